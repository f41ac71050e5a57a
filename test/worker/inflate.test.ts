/** Holds src/worker/inflate.ts: every coding, members and frames, the bound to the byte, and what is cut, long or no such thing. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { Encoding } from '../../src/core/block.ts';
import { AgentError, type ErrorCode } from '../../src/core/errors.ts';
import { inflate } from '../../src/worker/inflate.ts';

const CODECS = [
  ['gzip', Encoding.gzip, gzipSync],
  ['zstd', Encoding.zstd, zstdCompressSync],
  ['deflate', Encoding.deflate, deflateSync],
] as const;
const PLAIN = Buffer.from('telemetry '.repeat(5000));
const fails = (code: ErrorCode) => (error: unknown) => error instanceof AgentError && error.code === code;

for (const [name, encoding, compress] of CODECS) {
  test(`${name}: what went in comes out, from shared memory too`, () => {
    for (const plain of [PLAIN, Buffer.alloc(0), Buffer.from('x')]) {
      const packed = compress(plain);
      const shared = new Uint8Array(new SharedArrayBuffer(packed.length));
      shared.set(packed);
      assert.deepEqual(Buffer.from(inflate(packed, encoding, 100_000)), plain);
      assert.deepEqual(Buffer.from(inflate(shared, encoding, 100_000)), plain);
    }
  });

  test(`${name}: exactly the bound is taken, one byte more is too large`, () => {
    assert.equal(inflate(compress(Buffer.alloc(70_000)), encoding, 70_000).length, 70_000);
    assert.throws(() => inflate(compress(Buffer.alloc(70_001)), encoding, 70_000), fails('BODY_TOO_LARGE'));
  });

  test(`${name}: cut, with bytes behind its end, or no such thing: undecodable`, () => {
    const packed = compress(PLAIN);
    for (const cut of [0, 1, 3, packed.length >> 1, packed.length - 1])
      assert.throws(() => inflate(packed.subarray(0, cut), encoding, 100_000), fails('BODY_UNDECODABLE'), `${cut}`);
    for (const tail of ['x', '\0', '\0\0\0\0', 'trailing garbage'])
      assert.throws(
        () => inflate(Buffer.concat([packed, Buffer.from(tail)]), encoding, 100_000),
        fails('BODY_UNDECODABLE'),
      );
    assert.throws(() => inflate(PLAIN, encoding, 100_000), fails('BODY_UNDECODABLE'));
  });
}

for (const [name, encoding, compress] of CODECS.slice(0, 2)) {
  test(`${name}: members follow one another, and the bound is that of their sum`, () => {
    const members = Buffer.concat([compress(PLAIN), compress(Buffer.from('end')), compress(Buffer.alloc(0))]);
    assert.deepEqual(Buffer.from(inflate(members, encoding, 100_000)), Buffer.concat([PLAIN, Buffer.from('end')]));
    assert.equal(inflate(members, encoding, PLAIN.length + 3).length, PLAIN.length + 3);
    assert.throws(() => inflate(members, encoding, PLAIN.length + 2), fails('BODY_TOO_LARGE'));
    assert.throws(() => inflate(members, encoding, PLAIN.length), fails('BODY_TOO_LARGE'));
  });
}

test('a size that lies changes nothing', () => {
  const packed = gzipSync(PLAIN);
  for (const size of [0, 1, 0xffff_ffff]) {
    packed.writeUInt32LE(size, packed.length - 4);
    // zlib checks it, too.
    assert.throws(() => inflate(packed, Encoding.gzip, 100_000), fails('BODY_UNDECODABLE'));
  }
});

test('zstd frames that come to exactly the bound are taken, one byte more is too large, however the frames divide it', () => {
  const bound = 10_000;
  const frames = (...sizes: number[]) => Buffer.concat(sizes.map((size) => zstdCompressSync(randomBytes(size))));
  for (const rest of [1, 10, 63, 64, 5000]) {
    assert.equal(inflate(frames(bound - rest, rest), Encoding.zstd, bound).length, bound, `the last ${rest}`);
    assert.throws(() => inflate(frames(bound - rest, rest + 1), Encoding.zstd, bound), { code: 'BODY_TOO_LARGE' });
  }
});
