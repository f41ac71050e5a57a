/** Seeded mutations of valid inputs: what noise, a broken sender and an attacker make of a request. */
import { gzipSync } from 'node:zlib';
import type { Random } from '../../bench/random.ts';
import { SIGNALS, type Signal } from '../../src/core/block.ts';
import { toOtlpJson } from '../../src/otlp/json.ts';
import { encodeRequest, request } from '../otlp/generate.ts';

export interface Input {
  signal: Signal;
  bytes: Buffer;
}

/** Bytes that mean something to a parser: limits of varints and lengths, tags of groups, JSON's structure. */
const TELLING = [
  0x00, 0x01, 0x02, 0x03, 0x04, 0x07, 0x0a, 0x0b, 0x0c, 0x12, 0x7f, 0x80, 0xff, 0x22, 0x5b, 0x5c, 0x5d, 0x7b, 0x7d,
  0x2c, 0x3a, 0x2d, 0x65,
];
const RUNS = [
  '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01',
  '\x0a\xff\xff\xff\xff\x0f',
  '\x0b\x0b\x0b\x0b',
  '[[[[[[[[',
  '{"a":',
  '\\ud800',
  '1e999',
  '"__proto__":',
  '-9223372036854775809',
  '\x12\x80\x80\x80\x80\x08',
].map((text) => Buffer.from(text, 'latin1'));

/** Valid requests as protobuf, some with groups, unknown fields and odd orders. */
export function protobufSeeds(random: Random, count: number): Input[] {
  return Array.from({ length: count }, (_, i) => {
    const signal = random.pick(SIGNALS);
    return { signal, bytes: encodeRequest(signal, request(random, signal, 2), random, i % 2 === 0) };
  });
}

/** The same kind of requests as JSON. */
export function jsonSeeds(random: Random, count: number): Input[] {
  return Array.from({ length: count }, () => {
    const signal = random.pick(SIGNALS);
    return {
      signal,
      bytes: Buffer.from(toOtlpJson(signal, encodeRequest(signal, request(random, signal, 2), random))),
    };
  });
}

/** Some mutations, one on top of the other. */
export function mutate(random: Random, seed: Buffer, others: readonly Input[]): Buffer {
  let bytes: Buffer = Buffer.from(seed);
  for (let i = random.below(6) + 1; i > 0; i--) bytes = mutateOnce(random, bytes, others);
  return bytes;
}

function mutateOnce(random: Random, bytes: Buffer, others: readonly Input[]): Buffer {
  if (bytes.length === 0) return Buffer.from([random.pick(TELLING)]);
  const at = random.below(bytes.length);
  switch (random.below(9)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      return bytes;
    case 1:
      bytes[at] = random.pick(TELLING);
      return bytes;
    case 2:
      return bytes.subarray(0, at);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), random.pick(RUNS), bytes.subarray(at)]);
    case 4:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + random.below(9) + 1))]);
    case 5: {
      const other = random.pick(others).bytes;
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length + 1))]);
    }
    case 6: {
      const end = Math.min(bytes.length, at + random.below(40));
      return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
    }
    case 7:
      // One more or one less: lengths that are nearly right.
      bytes[at] = ((bytes[at] ?? 0) + (random.below(2) === 0 ? 1 : 255)) & 0xff;
      return bytes;
    default: {
      const run = Buffer.alloc(random.below(300), random.pick(TELLING));
      return Buffer.concat([bytes.subarray(0, at), run, bytes.subarray(at)]);
    }
  }
}

/** A request over HTTP, to be mutated as a whole: head and body. */
export function httpSeeds(random: Random, count: number): Input[] {
  const bodies = [...protobufSeeds(random, count), ...jsonSeeds(random, count)];
  return bodies.map(({ signal, bytes }, i) => {
    const isJson = i >= count;
    const isPacked = random.below(3) === 0;
    const body = isPacked ? gzipSync(bytes) : bytes;
    const isChunked = random.below(3) === 0;
    const head = [
      `POST /v1/${signal} HTTP/1.1`,
      'Host: fuzz',
      `Content-Type: ${isJson ? 'application/json' : 'application/x-protobuf'}`,
      ...(isPacked ? ['Content-Encoding: gzip'] : []),
      isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`,
      ...(random.below(4) === 0 ? ['Expect: 100-continue'] : []),
    ];
    const framed = isChunked
      ? Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')])
      : body;
    return { signal, bytes: Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), framed]) };
  });
}
