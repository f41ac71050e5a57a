/** What a worker tells main of operations: each once a second, and again when a task came to nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sighted } from '../../src/processors/sample/sighted.ts';
import { seeded } from '../journal/frames.ts';

const NOW_MS = 1_750_000_000_000;

/** Hashes of which the task told main. */
function told(sighted: Sighted, receivedMs: number, hashes: readonly number[]): number[] {
  sighted.begin(receivedMs);
  return hashes.filter((hash) => sighted.isNew(hash));
}

test('an operation is told once a second, over tasks', () => {
  const sighted = new Sighted();
  assert.deepEqual(told(sighted, NOW_MS, [1, 2, 1, -3]), [1, 2, -3]);
  sighted.handedOver();
  assert.deepEqual(told(sighted, NOW_MS + 999, [1, 2, -3, 4]), [4]);
  sighted.handedOver();
  assert.deepEqual(told(sighted, NOW_MS + 1000, [1, 2]), [1, 2]);
});

test('what a task was about to tell when it failed is told by the next', () => {
  const sighted = new Sighted();
  assert.deepEqual(told(sighted, NOW_MS, [1]), [1]);
  sighted.handedOver();
  assert.deepEqual(told(sighted, NOW_MS, [1, 2]), [2]);
  assert.deepEqual(told(sighted, NOW_MS, [1, 2]), [1, 2]);
});

test('nothing is ever kept back that was not told; thousands of operations are told once or, seldom, twice', () => {
  const sighted = new Sighted();
  const random = seeded(3);
  const known = new Set<number>();
  let again = 0;
  for (let task = 0; task < 200; task++) {
    sighted.begin(NOW_MS);
    for (let i = 0; i < 500; i++) {
      const hash = Math.imul(Math.floor(random() * 2400) + 1, 0x9e37_79b1);
      const isNew = sighted.isNew(hash);
      assert.ok(isNew || known.has(hash));
      if (isNew && known.has(hash)) again++;
      known.add(hash);
    }
    sighted.handedOver();
  }
  assert.equal(sighted.isNew(0), false);
  assert.ok(again < 5000, `${again} of 100,000 were told again`);
});
