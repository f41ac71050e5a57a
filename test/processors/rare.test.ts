/** The first of each operation and minute, held against a Set. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOST_OPERATIONS, Rare } from '../../src/processors/sample/rare.ts';
import { seeded } from '../journal/frames.ts';

test('an operation is rare once a minute, whatever its hash; no operation never is', () => {
  const rare = new Rare();
  const random = seeded(7);
  for (let minute = 100; minute < 103; minute++) {
    const known = new Set<number>();
    for (let i = 0; i < 50_000; i++) {
      // Many of the same, neighbours, and hashes of both signs.
      const operation = (Math.floor(random() ** 2 * 12_000) * (i % 2 === 0 ? 1 : 0x9e37_79b1)) >>> 0;
      const isFirst = operation !== 0 && !known.has(operation);
      known.add(operation);
      assert.equal(rare.isFirst(operation, minute * 60_000 + (i % 60_000)), isFirst);
    }
  }
});

test('at the border of two minutes, where what comes is not in order, an operation is rare once in each', () => {
  const rare = new Rare();
  let first = 0;
  for (let i = 0; i < 100; i++) {
    const receivedMs = 120_000 + i - 50 + (i % 2) * 10;
    for (let operation = 1; operation <= 10; operation++) if (rare.isFirst(operation, receivedMs)) first++;
  }
  assert.equal(first, 20);
  // Nor does a clock that is set back by more keep everything from being rare.
  assert.ok(rare.isFirst(1, 10_000));
});

test('beyond a bound nothing is rare until the next minute', () => {
  const rare = new Rare();
  const count = (fromMs: number) => {
    let first = 0;
    for (let i = 1; i <= 40_000; i++) if (rare.isFirst(Math.imul(i, 0x9e37_79b1), fromMs)) first++;
    return first;
  };
  assert.equal(count(0), MOST_OPERATIONS);
  assert.equal(count(0), 0);
  assert.equal(count(60_000), MOST_OPERATIONS);
});
