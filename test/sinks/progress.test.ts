/** Holds src/sinks/progress.ts: how old what waits is, also while none of it is in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockPool, frameSpan, startFrame, UNIT_BYTES } from '../../src/core/block.ts';
import type { CursorRow } from '../../src/core/component.ts';
import { Progress } from '../../src/sinks/progress.ts';

const CURSOR: CursorRow = {
  ...{ next: 0, offeredFrom: 0, filteredFrom: 0, sampledOutFrom: 0, damagedFrom: 0, expiredFrom: 0 },
  ...{ delivered: 0, filtered: 0, deadLettered: 0, expired: 0, damaged: 0 },
};

test('the oldest that waits stays known when it is read again, and is forgotten once the cursor has passed it', () => {
  const pool = BlockPool.create(4 * UNIT_BYTES);
  const frame = pool.allocate(frameSpan(0));
  startFrame(pool, frame, 'raw', 'traces', 5000, 0);
  const progress = new Progress({ ...CURSOR }, pool, () => undefined);
  assert.equal(progress.oldestMs, Infinity);
  progress.see([frame]);
  assert.equal(progress.oldestMs, 5000, 'what comes before it is added may fail');
  const passed = { next: 1, damaged: 0, filtered: 0 };
  progress.add([frame], passed, 'flying');
  progress.clear();
  assert.equal(progress.oldestMs, 5000, 'it comes again');
  progress.settle(progress.add([frame], passed, 'flying'), 'done');
  assert.equal(progress.oldestMs, Infinity);
});

test('entries that were added without being seen are as old as the first of them, also when it comes again', () => {
  const pool = BlockPool.create(4 * UNIT_BYTES);
  const frame = pool.allocate(frameSpan(0));
  startFrame(pool, frame, 'raw', 'traces', 7000, 0);
  const progress = new Progress({ ...CURSOR }, pool, () => undefined);
  progress.add([frame], { next: 1, damaged: 0, filtered: 0 }, 'flying');
  progress.clear();
  assert.equal(progress.oldestMs, 7000);
});
