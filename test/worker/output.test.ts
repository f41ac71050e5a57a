/** Holds src/worker/output.ts: what a task wrote is handed over once, and given back when the task fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockPool, PAGE_BYTES, UNIT_BYTES } from '../../src/core/block.ts';
import { AgentError } from '../../src/core/errors.ts';
import { TaskOutput } from '../../src/worker/output.ts';

const worker = () => new BlockPool(BlockPool.create(4 * UNIT_BYTES).handle, 2);

test('frames of one block are one region, the next block begins another, and a page stays free behind each', () => {
  const pool = worker();
  const output = new TaskOutput(pool);
  const first = output.allocateFrame(100);
  const second = output.allocateFrame(101);
  assert.deepEqual([second - first, second % 8], [104, 0]);
  output.shrinkFrame(second, 50);
  const third = output.allocateFrame(UNIT_BYTES - PAGE_BYTES);
  const { blocks, regions } = output.take();
  assert.equal(blocks.length, 2);
  assert.deepEqual(regions, [
    { block: first, first, end: second + 56 },
    { block: third, first: third, end: third + UNIT_BYTES - PAGE_BYTES },
  ]);
  assert.deepEqual(output.take(), { blocks: [], regions: [] });
});

test('discard gives every block back, and an empty pool is OVERLOADED', () => {
  const pool = worker();
  const output = new TaskOutput(pool);
  for (let i = 0; i < 4; i++) output.allocate(UNIT_BYTES - PAGE_BYTES);
  assert.throws(
    () => output.allocate(8),
    (error) => error instanceof AgentError && error.code === 'OVERLOADED' && error.retryable,
  );
  output.discard();
  assert.equal(pool.unitsInUse, 0);
  assert.ok(output.allocate(8) >= 0);
});
