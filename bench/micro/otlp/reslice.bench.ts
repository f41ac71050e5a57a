/** Re-slicing with a chooser that costs nothing: every tenth item kept, all kept, none kept. */
import { FRAME_HEADER_BYTES, payloadLength } from '../../../src/core/block.ts';
import { copyRange } from '../../../src/otlp/protobuf.ts';
import { type Chooser, DROP, Reslicer } from '../../../src/otlp/reslice.ts';
import type { Bench } from '../harness.ts';
import { createWorld, type World } from '../world.ts';

export function benches(): Bench[] {
  const world = createWorld({ processors: [] });
  return [
    reslicing('otlp/reslice: 10 % kept', world, 10),
    reslicing('otlp/reslice: all kept', world, 1),
    reslicing('otlp/reslice: none kept', world, 0),
  ];
}

function reslicing(name: string, world: World, every: number): Bench {
  const { pool, frames } = world;
  const { reader, envelope } = world.parts.views;
  const reslicer = new Reslicer();
  const to = world.scratch(2 << 20);
  let number = 0;
  const chooser: Chooser = {
    choose: () => (every > 0 && number++ % every === 0 ? 0 : DROP),
    copy: (bytes, at, end, _index, out) => copyRange(bytes, at, end, out),
  };
  return {
    name,
    unit: 'span',
    items: world.items,
    mostHeapBytes: 8,
    run() {
      for (let i = 0; i < frames.length; i++) {
        const from = frames[i]! + FRAME_HEADER_BYTES;
        const end = from + payloadLength(pool, frames[i]!);
        if (reslicer.plan(reader, from, end, envelope, chooser) > 0) reslicer.write(pool.bytes, to, chooser);
      }
    },
  };
}
