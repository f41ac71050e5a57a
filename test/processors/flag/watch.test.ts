/** Holds processors/flag/watch.ts: when a score becomes a flag, how long it lasts, and that it is not repeated. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom } from '../../../bench/random.ts';
import { DEFAULT_THRESHOLD } from '../../../src/processors/flag/index.ts';
import { type Finding, type Rules, type Side, Watch } from '../../../src/processors/flag/watch.ts';
import { afterRestart } from '../../support/saved.ts';

const RULES: Rules = { threshold: DEFAULT_THRESHOLD, margin: 0.2, warmUpPoints: 100, repeatMs: 600_000 };
const EVERY_MS = 5000;
const NOW_MS = 1_700_000_000_000;

/** 400 points about 100 +- 1, then these. Answers what was told of each of the latter. */
function watched(
  values: number[],
  { rules = {}, side = 'both', least = 0 }: { rules?: Partial<Rules>; side?: Side; least?: number } = {},
) {
  const random = createRandom(21);
  const watch = new Watch({ ...RULES, ...rules }, side, least, null);
  let at = NOW_MS;
  const see = (value: number) => {
    at += EVERY_MS;
    return watch.see(at, value);
  };
  for (let i = 0; i < 400; i++) assert.equal(see(99 + 2 * random.next()), null);
  const told = values.map(see);
  return { told: told.filter((one): one is Finding => one !== null), watch, see, now: () => at };
}

test('a flag says what was expected, what came, and the score; it is told once and lasts a minute beyond', () => {
  const { told, watch, see, now } = watched([200, 200, 200]);
  assert.equal(told.length, 1);
  const [flag] = told;
  assert.equal(flag?.value, 200);
  assert.ok(Math.abs((flag?.expected ?? 0) - 100) < 3, `${flag?.expected}`);
  assert.ok((flag?.score ?? 0) >= RULES.threshold);
  assert.ok(watch.flaggedUntilMs > now());
  for (let i = 0; i < 30; i++) see(100);
  assert.ok(watch.flaggedUntilMs < now(), 'it ends');
});

test('the next flag of a series is told no sooner than repeat after the last', () => {
  const again = [200, ...Array.from({ length: 70 }, () => 100), 900, ...Array.from({ length: 30 }, () => 100)];
  assert.equal(watched(again).told.length, 1);
  assert.equal(watched(again, { rules: { repeatMs: 0 } }).told.length, 2);
});

test('a flag from before the clock was set back is not up any more, and keeps no other from being told', () => {
  const random = createRandom(22);
  const { told, watch, now } = watched([200]);
  assert.equal(told.length, 1);
  const untilMs = watch.flaggedUntilMs;
  const backMs = now() - 3600_000;
  const points = [...Array.from({ length: 200 }, () => 99 + 2 * random.next()), 900];
  const again = points.map((value, i) => watch.see(backMs + i * EVERY_MS, value));
  assert.deepEqual(again.map((one) => one !== null).indexOf(true), 200);
  assert.ok(watch.flaggedUntilMs < untilMs);
  assert.equal(watch.flaggedSinceMs, backMs + 200 * EVERY_MS);
});

test('what is near to what was expected is no flag, however rare', () => {
  assert.equal(watched([115]).told.length, 0);
  assert.equal(watched([115], { rules: { margin: 0.05 } }).told.length, 1);
  assert.equal(watched([200], { least: 150 }).told.length, 0);
});

test('less is no flag where only more matters', () => {
  assert.equal(watched([1]).told.length, 1);
  assert.equal(watched([1], { side: 'above' }).told.length, 0);
  assert.equal(watched([200], { side: 'above' }).told.length, 1);
});

test('nothing is flagged before the warm-up, and no number is no point', () => {
  assert.equal(watched([200], { rules: { warmUpPoints: 500 } }).told.length, 0);
  assert.equal(watched([Number.NaN, Number.NaN]).told.length, 0);
});

test('a watch that was saved and restored goes on as if nothing had been', () => {
  const { watch, now } = watched([]);
  const other = new Watch(RULES, 'both', 0, afterRestart(watch.save()));
  for (let i = 1; i < 40; i++) {
    const value = i > 10 && i < 20 ? 300 : 100 + i / 50;
    assert.deepEqual(other.see(now() + i * EVERY_MS, value), watch.see(now() + i * EVERY_MS, value));
    assert.equal(other.flaggedUntilMs, watch.flaggedUntilMs);
  }
});
