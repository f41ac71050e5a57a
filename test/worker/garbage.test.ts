/** Holds src/worker/garbage.ts: a large buffer's memory is gone at once, what Buffers share is never touched. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getHeapSpaceStatistics } from 'node:v8';
import { gunzipSync, gzipSync } from 'node:zlib';
import { collectGarbage, freeLarge, shrinkHeap } from '../../src/worker/garbage.ts';

test('a large buffer is freed', () => {
  const large = gunzipSync(gzipSync(Buffer.alloc(1 << 20)));
  freeLarge(large);
  assert.equal(large.length, 0);
});

test('small buffers, which share memory, stay as they are', () => {
  const neighbours = Array.from({ length: 20 }, (_, i) => Buffer.from(`neighbour ${i}`));
  for (const length of [0, 1, 100, 4000, 30_000, 60_000]) freeLarge(gunzipSync(gzipSync(Buffer.alloc(length, 1))));
  for (const [i, neighbour] of neighbours.entries()) freeLarge(neighbour.subarray(0, i));
  assert.deepEqual(
    neighbours.map(String),
    Array.from({ length: 20 }, (_, i) => `neighbour ${i}`),
  );
});

test('a collection on demand takes what is garbage', async () => {
  const garbage = new WeakRef(Buffer.alloc(4 << 20));
  // A reference that was looked at is kept until the turn ends.
  await new Promise((resolve) => setImmediate(resolve));
  collectGarbage();
  assert.equal(garbage.deref(), undefined);
});

test('the young generation that a start has made large is given back', () => {
  const young = () =>
    getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')?.physical_space_size ?? 0;
  // What survives makes it grow.
  const kept: object[] = [];
  for (let i = 0; i < 300_000; i++) kept.push({ i });
  const before = young();
  assert.ok(before > 2 << 20, `it did not grow: ${before} bytes`);
  assert.equal(kept.length, 300_000);
  shrinkHeap();
  assert.ok(young() < 1 << 20, `${before} bytes, now ${young()}`);
});
