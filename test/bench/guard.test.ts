/** The guard's decision: noise passes, a tenth more does not. What it measures is held by `npm run bench:guard -- --self-test`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addRun, FIRST_RUNS, FRESH_ROUNDS, judge, looksWorse, RUNS_A_ROUND } from '../../bench/guard/decide.ts';
import { createRandom } from '../../bench/random.ts';

const random = createRandom(11);

/** Runs as on a shared machine: 2 % of noise on each side, and now and then a neighbour that takes a third. */
function runsOf(ratio: number, count: number): number[] {
  const cost = () => 100 * (1 + 0.02 * normal()) * (random.next() < 0.08 ? 1.33 : 1);
  return Array.from({ length: count }, () => (cost() * ratio) / cost());
}

function normal(): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

/** As the guard does it: a few runs raise a suspicion, fresh ones decide. */
function isStopped(ratio: number): boolean {
  if (!looksWorse(runsOf(ratio, FIRST_RUNS))) return false;
  const fresh: number[] = [];
  for (let round = 0; round < FRESH_ROUNDS; round++) {
    fresh.push(...runsOf(ratio, RUNS_A_ROUND));
    if (!looksWorse(fresh)) return false;
  }
  return judge(fresh).isWorse;
}

function stopped(ratio: number, times: number): number {
  return Array.from({ length: times }, () => isStopped(ratio)).filter(Boolean).length;
}

test('a run of the same code over 80 benches, ten times: nothing is stopped', () => {
  assert.equal(stopped(1, 10 * 80), 0);
});

test('a tenth more is stopped, nearly always', () => {
  const found = stopped(1.1, 200);
  assert.ok(found >= 150, `${found} of 200`);
});

test('3 % more is not stopped: the bound is 5 %', () => {
  const found = stopped(1.03, 200);
  assert.ok(found <= 2, `${found} of 200`);
});

test('ratios are kept by name', () => {
  const ratios = new Map<string, number[]>();
  addRun(ratios, new Map([['a', 1]]));
  addRun(
    ratios,
    new Map([
      ['a', 2],
      ['b', 3],
    ]),
  );
  assert.deepEqual(
    [...ratios],
    [
      ['a', [1, 2]],
      ['b', [3]],
    ],
  );
});
