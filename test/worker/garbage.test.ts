/** Holds src/worker/garbage.ts: garbage and the room it took are given back on demand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getHeapSpaceStatistics } from 'node:v8';
import { collectGarbage, shrinkHeap } from '../../src/worker/garbage.ts';

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
