/** The reader's and the writers' pieces. */
import {
  copyRange,
  HASH_SEED,
  hashBytes,
  Reader,
  readTag,
  readVarint,
  skipField,
  writeVarint,
} from '../../../src/otlp/protobuf.ts';
import { itemsOf } from '../frames.ts';
import type { Bench } from '../harness.ts';
import { createWorld } from '../world.ts';

const TIMES = 1000;

export function benches(): Bench[] {
  const world = createWorld({ processors: [] });
  const { reader } = world.parts.views;
  const places = itemsOf(world);
  let fields = 0;
  const skimSpans = () => {
    fields = 0;
    for (let i = 0; i < places.length; i += 2) {
      reader.pos = places[i]!;
      const end = places[i + 1]!;
      while (reader.pos < end) {
        skipField(reader, readTag(reader, end), end);
        fields++;
      }
    }
  };
  skimSpans();
  const to = world.scratch(1 << 20);
  return [
    {
      name: 'otlp/protobuf: skip the fields of a span',
      unit: 'field',
      items: fields,
      mostHeapBytes: 8,
      run: skimSpans,
    },
    ...[1, 2, 5].map((bytes) => varints(bytes)),
    ...[24, 250, 660, 2000].map((length) =>
      repeated(`hash ${length} bytes`, () => hashBytes(reader.bytes, places[0]!, length, HASH_SEED)),
    ),
    ...[24, 250, 660, 2000].map((length) =>
      repeated(`copy ${length} bytes`, () => copyRange(world.pool.bytes, places[0]!, places[0]! + length, to)),
    ),
    repeated('write a varint of 3 bytes', () => writeVarint(world.pool.bytes, to, 100_000)),
  ];
}

function varints(length: number): Bench {
  const bytes = Buffer.alloc(TIMES * length, 0x80);
  for (let i = length - 1; i < bytes.length; i += length) bytes[i] = 1;
  const reader = new Reader(bytes);
  return {
    name: `otlp/protobuf: read varints of ${length} bytes`,
    unit: 'varint',
    items: TIMES,
    mostHeapBytes: 8,
    run() {
      reader.pos = 0;
      for (let i = 0; i < TIMES; i++) readVarint(reader, bytes.length);
    },
  };
}

function repeated(name: string, once: () => number): Bench {
  return {
    name: `otlp/protobuf: ${name}`,
    unit: 'call',
    items: TIMES,
    run() {
      for (let i = 0; i < TIMES; i++) once();
    },
  };
}
