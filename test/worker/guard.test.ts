/** Holds src/worker/guard.ts: beyond its bytes a slot gets nothing more, every item is counted once, and what comes again is judged alike. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Signal } from '../../src/core/block.ts';
import { Guard } from '../../src/worker/guard.ts';
import type { SelectResult } from '../../src/worker/tasks.ts';

const SLOT_MS = 10_000;

function result(parts: Partial<Record<Signal, number>>): SelectResult {
  const selected = Object.entries(parts).map(([signal, length]) => ({
    // Keys of the record above.
    signal: signal as Signal,
    at: 0,
    length,
    items: length / 10,
  }));
  return { block: -1, selected, filtered: [0, 0, 0], sampledOut: [0, 0, 0] };
}

test('what is over the bound of a slot is dropped and counted when that is safe; metrics pass, another slot has its own', () => {
  let dropped = 0;
  const guard = new Guard(1000, SLOT_MS, (items) => {
    dropped += items;
  });
  const check = (parts: Partial<Record<Signal, number>>, ms: number) => {
    const one = result(parts);
    guard.check(one, ms);
    return one;
  };
  assert.equal(check({ traces: 600, logs: 300 }, 5000).selected.length, 2);
  const over = check({ traces: 200, logs: 50, metrics: 5000 }, 9999);
  assert.deepEqual([over.selected.map(({ signal }) => signal), over.sampledOut], [['metrics'], [20, 0, 5]]);
  assert.equal(check({ traces: 1000 }, 10_000).selected.length, 1);
  assert.equal(dropped, 0, 'nothing is safe yet');
  guard.rollback();
  assert.equal(check({ traces: 600, logs: 300 }, 5000).selected.length, 2, 'the same again');
  check({ traces: 200 }, 5000);
  guard.commit();
  assert.equal(dropped, 20);
  guard.rollback();
  assert.equal(check({ traces: 200 }, 5000).selected.length, 0, 'what is safe counts on');
  assert.equal(check({ traces: 100 }, 5000).selected.length, 1);
});

test('slots that come again because the clock was set back have bounds of their own', () => {
  const guard = new Guard(1000, SLOT_MS, () => undefined);
  const kept = (ms: number) => {
    const one = result({ traces: 900 });
    guard.check(one, ms);
    return one.selected.length;
  };
  // The last of a slot may come behind the first of the next.
  assert.deepEqual(
    [10, 11, 10, 12, 13].map((slot) => kept(slot * SLOT_MS)),
    [1, 1, 0, 1, 1],
  );
  guard.commit();
  assert.deepEqual(
    [14, 15].map((slot) => kept(slot * SLOT_MS)),
    [1, 1],
  );
  guard.rollback();
  // Passing a gap of the journal is of no slot.
  guard.check(result({}), 0);
  assert.deepEqual(
    [13, 14, 15].map((slot) => kept(slot * SLOT_MS)),
    [0, 1, 1],
    'what comes again does so by the same clock',
  );
  assert.deepEqual(
    [10, 11, 11, 12].map((slot) => kept(slot * SLOT_MS)),
    [1, 1, 0, 1],
  );
});
