/** Holds src/core/block.ts: memory is given once, given back once, and a frame reads as it was written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fastCheck from 'fast-check';
import {
  BlockPool,
  copyInto,
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  isVoid,
  nextFrame,
  payloadLength,
  readU64,
  setVoid,
  startFrame,
  UNIT_BYTES,
  writeU64,
} from '../../src/core/block.ts';

test('a pool has whole units, at least four, and a full one gives -1', () => {
  const pool = BlockPool.create(1);
  assert.equal(pool.units, 4);
  const blocks = [pool.allocate(1), pool.allocate(UNIT_BYTES), pool.allocate(UNIT_BYTES + 1)];
  assert.deepEqual(blocks, [0, UNIT_BYTES, 2 * UNIT_BYTES]);
  assert.equal(pool.capacity(2 * UNIT_BYTES), 2 * UNIT_BYTES);
  assert.equal(pool.allocate(1), -1);
  assert.equal(pool.unitsInUse, 4);
});

test('of the largest pool all addresses, and the end, are signed words', () => {
  const pool = BlockPool.create(2 ** 33);
  const last = pool.allocateLasting(1);
  assert.equal(last + UNIT_BYTES, pool.bytes.length);
  assert.equal((last + UNIT_BYTES) | 0, last + UNIT_BYTES);
});

test('a large block needs a run of units: free ones that do not lie together do not do', () => {
  const pool = BlockPool.create(4 * UNIT_BYTES);
  const blocks = [pool.allocate(1), pool.allocate(1), pool.allocate(1), pool.allocate(1)];
  pool.release(blocks[0] as number);
  pool.release(blocks[2] as number);
  assert.equal(pool.allocate(2 * UNIT_BYTES), -1);
  assert.equal(pool.unitsInUse, 2);
  pool.release(blocks[1] as number);
  assert.equal(pool.allocate(3 * UNIT_BYTES), 0);
});

test('what lasts is taken from the end, and never from what is taken', () => {
  const pool = BlockPool.create(6 * UNIT_BYTES);
  assert.equal(pool.allocateLasting(2 * UNIT_BYTES), 4 * UNIT_BYTES);
  assert.equal(pool.allocate(UNIT_BYTES), 0);
  const middle = pool.allocateLasting(UNIT_BYTES);
  assert.equal(middle, 3 * UNIT_BYTES);
  assert.equal(pool.allocateLasting(2 * UNIT_BYTES), UNIT_BYTES);
  assert.equal(pool.allocateLasting(1), -1);
  pool.release(middle);
  assert.equal(pool.allocateLasting(2 * UNIT_BYTES), -1);
  assert.equal(pool.unitsInUse, 5);
});

test('a block is free after as many releases as references, and one more is refused', () => {
  const pool = BlockPool.create(4 * UNIT_BYTES);
  const at = pool.allocate(1);
  pool.retain(at);
  pool.release(at);
  assert.equal(pool.unitsInUse, 1);
  pool.release(at);
  assert.equal(pool.unitsInUse, 0);
  assert.throws(() => pool.release(at), RangeError);
});

test('what a block has not used is given back, and is another block then', () => {
  const pool = BlockPool.create(4 * UNIT_BYTES);
  const block = pool.allocate(3 * UNIT_BYTES);
  pool.trim(block, UNIT_BYTES + 1);
  assert.deepEqual([pool.capacity(block), pool.unitsInUse], [2 * UNIT_BYTES, 2]);
  const other = pool.allocate(2 * UNIT_BYTES);
  assert.equal(other, 2 * UNIT_BYTES);
  pool.trim(block, 0);
  pool.trim(block, 3 * UNIT_BYTES);
  assert.deepEqual([pool.capacity(block), pool.unitsInUse], [UNIT_BYTES, 3]);
  pool.release(block);
  assert.deepEqual([pool.capacity(other), pool.unitsInUse], [2 * UNIT_BYTES, 2]);
});

test('what a dead worker owned is reclaimed, what main adopted before stays', () => {
  const main = BlockPool.create(4 * UNIT_BYTES);
  const worker = new BlockPool(main.handle, 2);
  const adopted = worker.allocate(1);
  worker.allocate(2 * UNIT_BYTES);
  main.adopt(adopted);
  main.reclaim(2);
  assert.equal(main.unitsInUse, 1);
  main.release(adopted);
  assert.equal(main.unitsInUse, 0);
});

test('no two blocks share a byte, whatever the order of allocations and releases', () => {
  const step = fastCheck.record({ units: fastCheck.integer({ min: 1, max: 5 }), release: fastCheck.nat(7) });
  fastCheck.assert(
    fastCheck.property(fastCheck.array(step, { maxLength: 40 }), (steps) => {
      const pool = BlockPool.create(16 * UNIT_BYTES);
      const held: { at: number; units: number }[] = [];
      for (const { units, release } of steps) {
        const at = pool.allocate(units * UNIT_BYTES);
        for (const other of held) {
          assert.ok(at === -1 || at >= other.at + other.units * UNIT_BYTES || other.at >= at + units * UNIT_BYTES);
        }
        if (at !== -1) held.push({ at, units });
        const gone = held[release];
        if (gone === undefined) continue;
        pool.release(gone.at);
        held.splice(release, 1);
      }
      assert.equal(
        pool.unitsInUse,
        held.reduce((sum, { units }) => sum + units, 0),
      );
    }),
  );
});

test('a frame reads as it was written, and the next one begins 8-aligned behind it', () => {
  const pool = BlockPool.create(4 * UNIT_BYTES);
  pool.bytes.fill(0xff, 0, 256);
  startFrame(pool, 0, 'sampled', 'logs', 1_800_000_000_123, 13);
  assert.equal(payloadLength(pool, 0), 13);
  assert.equal(readU64(pool, Field.receivedMs), 1_800_000_000_123);
  assert.deepEqual([...pool.bytes.subarray(0, 4)], [...Buffer.from('PLMB')]);
  assert.deepEqual([pool.bytes[Field.stream], pool.bytes[Field.signal]], [1, 2]);
  assert.equal(readU64(pool, Field.sequence), 0);
  assert.equal(nextFrame(pool, 0), FRAME_HEADER_BYTES + 16);
  assert.equal(isVoid(pool, 0), false);
  setVoid(pool, 0);
  assert.equal(isVoid(pool, 0), true);
});

test('the length lies big-endian right before the payload, as otlp_proto files have it', () => {
  const pool = BlockPool.create(4 * UNIT_BYTES);
  for (const bytes of [0, 1, 255, 256, 0x01020304, 0x7fffffff]) {
    startFrame(pool, 64, 'raw', 'traces', 0, bytes);
    assert.equal(pool.bytes.readUInt32BE(64 + FRAME_HEADER_BYTES - 4), bytes);
    assert.equal(payloadLength(pool, 64), bytes);
  }
});

test('64-bit fields are exact below 2^53', () => {
  const pool = BlockPool.create(4 * UNIT_BYTES);
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 7, Number.MAX_SAFE_INTEGER]) {
    writeU64(pool, 8, value);
    assert.equal(readU64(pool, 8), value);
    assert.equal(pool.bytes.readBigUInt64LE(8), BigInt(value));
  }
});

test('a copy into shared memory changes exactly its own bytes', () => {
  const pool = BlockPool.create(4 * UNIT_BYTES);
  for (const length of [0, 1, 2, 7, 4096, 70_000]) {
    pool.bytes.fill(0xee, 0, 80_000);
    copyInto(pool.bytes, 5, new Uint8Array(length).fill(7));
    assert.ok(pool.bytes.subarray(5, 5 + length).every((byte) => byte === 7));
    assert.deepEqual([pool.bytes[4], pool.bytes[5 + length]], [0xee, 0xee]);
  }
});

test('a frame takes its header, its payload and at most 7 bytes more', () => {
  for (let bytes = 0; bytes < 20; bytes++) {
    assert.equal(frameSpan(bytes) % 8, 0);
    assert.ok(frameSpan(bytes) - FRAME_HEADER_BYTES - bytes < 8);
  }
});
