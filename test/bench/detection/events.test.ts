/** Holds bench/detection/events.ts: nothing is adjusted, and an alarm pays for how long it lasts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EventCounts, f1, sweepEvents } from '../../../bench/detection/events.ts';

/** Labelled runs of ten at these rows. */
function labelled(rows: number, ...starts: number[]): Uint8Array {
  const labels = new Uint8Array(rows);
  for (const start of starts) labels.fill(1, start, start + 10);
  return labels;
}

function countsOf(labels: Uint8Array, flagged: Iterable<number>, from = 0): EventCounts {
  const scores = new Float64Array(labels.length);
  for (const row of flagged) scores[row] = 1;
  return sweepEvents(scores, labels, from, Float64Array.of(1))[0] as EventCounts;
}
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

test('one flag inside a labelled run finds it, however many there are; none misses it', () => {
  const labels = labelled(1000, 100, 200, 300);
  assert.deepEqual(countsOf(labels, [105, 106, 209]), { found: 2, missed: 1, falseAlarms: 0 });
  assert.equal(f1(countsOf(labels, [])), 0);
  assert.equal(f1(countsOf(labels, [100, 200, 300])), 1);
});

test('a flag next to a run is false: nothing is adjusted, and a late hit is none', () => {
  assert.deepEqual(countsOf(labelled(1000, 100), [99, 110]), { found: 0, missed: 1, falseAlarms: 2 });
});

test('a run of false flags costs one for every 60 points or part of them', () => {
  const labels = labelled(1000, 900);
  assert.equal(countsOf(labels, range(0, 60)).falseAlarms, 1);
  assert.equal(countsOf(labels, range(0, 61)).falseAlarms, 2);
  assert.equal(countsOf(labels, [0, 2, 4]).falseAlarms, 3);
});

test('an alarm that never ends finds all and is worth nothing', () => {
  const labels = labelled(10_000, 5000);
  const counts = countsOf(labels, range(0, 10_000));
  assert.deepEqual(counts, { found: 1, missed: 0, falseAlarms: 84 + 84 });
  assert.ok(f1(counts) < 0.02);
});

test('rows before the first that counts are neither found, missed nor false', () => {
  assert.deepEqual(countsOf(labelled(1000, 100, 300), [100, 150], 200), { found: 0, missed: 1, falseAlarms: 0 });
});

test('runs grow together in any order, and cost what they cost as a whole', () => {
  const labels = new Uint8Array(300);
  const scores = Float64Array.from({ length: 300 }, (_, i) => 1 + ((i * 7919) % 293));
  const all = sweepEvents(scores, labels, 0, Float64Array.of(0));
  assert.equal(all[0]?.falseAlarms, 5);
  for (const least of [100, 200, 290]) {
    let expected = 0;
    for (let i = 0, run = 0; i <= 300; i++) {
      if (i < 300 && (scores[i] as number) >= least) run++;
      else {
        expected += Math.ceil(run / 60);
        run = 0;
      }
    }
    assert.equal(sweepEvents(scores, labels, 0, Float64Array.of(least))[0]?.falseAlarms, expected);
  }
});
