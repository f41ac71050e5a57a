/** Holds src/contracts/binomial.ts and verdict.ts: bounds as the binomial distribution has them, verdicts as docs/ci.md says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { itemsNeeded, lowerBound, upperBound } from '../../src/contracts/binomial.ts';
import { addItems, newMemory } from '../../src/contracts/memory.ts';
import { judgeRun } from '../../src/contracts/verdict.ts';
import { noAmounts } from '../../src/contracts/window.ts';
import { seeded } from '../otlp/generate.ts';
import { signalOf } from './plans.ts';

/** P(X <= k) of a binomial distribution, term by term. */
function atMost(k: number, n: number, p: number): number {
  // In logarithms: the first terms may be below the smallest number.
  let log = n * Math.log1p(-p);
  let sum = Math.exp(log);
  for (let i = 1; i <= k; i++) {
    log += Math.log((n - i + 1) / i) + Math.log(p / (1 - p));
    sum += Math.exp(log);
  }
  return sum;
}

test('bounds are where the distribution has 5 % left: summed up term by term', (t) => {
  const random = seeded(t, 90);
  for (let run = 0; run < 300; run++) {
    const items = 1 + random.below(400);
    const bad = random.below(items + 1);
    const upper = upperBound(bad, items);
    const lower = lowerBound(bad, items);
    if (bad < items) assert.ok(Math.abs(atMost(bad, items, upper) - 0.05) < 1e-9, `${bad} of ${items}: ${upper}`);
    else assert.equal(upper, 1);
    if (bad > 0) assert.ok(Math.abs(1 - atMost(bad - 1, items, lower) - 0.05) < 1e-9, `${bad} of ${items}: ${lower}`);
    else assert.equal(lower, 0);
  }
});

test('how many items are enough: one fewer is not', () => {
  assert.equal(itemsNeeded(0, 0.01), 299);
  assert.equal(itemsNeeded(0, 0.001), 2995);
  assert.equal(itemsNeeded(1, 0.5), 5);
  assert.equal(itemsNeeded(0.01, 0.01), null);
  assert.ok(upperBound(0, 299) < 0.01 && upperBound(0, 298) >= 0.01);
});

const ERRORS = { bad: { status: 'error' }, degraded: 'above 0.5%', breached: 'above 1%' };

function verdict(signal: object, items: number, sum: number, seconds = 60, weight = 1) {
  const plan = signalOf(signal);
  const memory = newMemory(plan, true);
  if (items > 0)
    addItems(memory, 1000, { ...noAmounts(), items: items * weight, sum: sum * weight, last: sum, min: sum, max: sum });
  memory.seen = items;
  return judgeRun(plan, memory, seconds);
}

test('ten requests never prove an objective of 1 %; enough do, and a share beyond the limit breaks it', () => {
  assert.deepEqual([verdict(ERRORS, 10, 0).kind, verdict(ERRORS, 10, 0).needed], ['not_enough_data', 299]);
  assert.equal(verdict(ERRORS, 299, 0).kind, 'kept');
  assert.equal(verdict(ERRORS, 10, 3).kind, 'broken');
  assert.equal(verdict(ERRORS, 300, 4).kind, 'not_enough_data');
  assert.deepEqual([verdict(ERRORS, 3000, 20).kind, verdict(ERRORS, 3000, 20).degraded], ['kept', true]);
  assert.equal(verdict(ERRORS, 0, 0).kind, 'not_enough_data');
  assert.equal(verdict({ ...ERRORS, degraded: 'below 99%', breached: 'below 95%' }, 400, 400).kind, 'kept');
});

test('items that stand for a hundred each prove no more than they are', () => {
  assert.equal(verdict(ERRORS, 10, 0, 60, 100).kind, 'not_enough_data');
});

test('an objective is held as a share; rates over the length of the run; silence by whether something came', () => {
  assert.equal(verdict({ bad: { status: 'error' }, objective: '99%' }, 1000, 0).kind, 'kept');
  assert.equal(verdict({ bad: { status: 'error' }, objective: '99%' }, 1000, 100).kind, 'broken');
  const rate = { rate: true, breached: 'below 10/s' };
  assert.deepEqual([verdict(rate, 600, 0, 30).kind, verdict(rate, 600, 0, 30).value], ['kept', 20]);
  assert.equal(verdict(rate, 600, 0, 120).kind, 'broken');
  assert.equal(verdict(rate, 0, 0).kind, 'not_enough_data');
  const silent = { silent_for: '26h' };
  assert.equal(verdict(silent, 1, 0).kind, 'kept');
  assert.equal(verdict(silent, 0, 0).kind, 'not_enough_data');
  assert.equal(verdict(silent, 0, 0, 27 * 3600).kind, 'broken');
  assert.equal(verdict({ take: 'max', value: 'duration', breached: 'above 1s' }, 1, 1500).kind, 'broken');
});
