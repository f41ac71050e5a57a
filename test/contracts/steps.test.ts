/** Holds src/contracts/steps.ts and the bounds of series.ts: long windows keep their whole length, many series neither block nor vanish. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newMemory } from '../../src/contracts/memory.ts';
import { foldOf } from '../../src/contracts/steps.ts';
import { seeded } from '../otlp/generate.ts';
import { signalOf } from './plans.ts';
import { gauge, histogram, metric, playing, point, START_MS } from './playing.ts';

const EVERY_MS = 10_000;
const HOUR_MS = 3_600_000;

test('what is taken over six hours is of six hours: nothing that was in the window is forgotten, nothing older stays', (t) => {
  const random = seeded(t, 32);
  const values = Array.from({ length: 3300 }, (_, i) => (i === 30 ? 5000 : i === 31 ? -7 : random.below(100)));
  const played = ['max', 'min', 'mean', 'sum', 'last'].map((take) =>
    playing({ take, breached: 'above 1000', window: '6h' }),
  );
  values.forEach((value, i) => {
    for (const one of played) one.add((i + 1) * EVERY_MS - 1, gauge((i + 1) * EVERY_MS - 1, { value }));
    if (i % 97 !== 0 && i < 3290) return;
    const atMs = (i + 1) * EVERY_MS;
    // It begins at a whole minute.
    const fromMs = Math.max(0, Math.ceil((atMs - 6 * HOUR_MS) / 60_000) * 60_000);
    const within = values.slice(Math.ceil(fromMs / EVERY_MS), i + 1);
    const sum = within.reduce((all, one) => all + one, 0);
    const truth = [Math.max(...within), Math.min(...within), sum / within.length, sum, value];
    assert.deepEqual(
      played.map((one) => one.read(atMs)),
      truth.map((one) => ({ value: one, items: within.length, enough: true })),
      `after ${i + 1} points`,
    );
  });
  for (const { target } of played)
    for (const { steps } of target.memory.series?.all.values() ?? [])
      assert.ok(steps.length <= 1002, `${steps.length}`);
});

test('a percentile of numbers over a long window is near what it would be of each, also after a restart', (t) => {
  const random = seeded(t, 33);
  const played = playing({ take: 'p95', breached: 'above 1000', window: '7d' });
  const values: number[] = [];
  for (let i = 1; i <= 20_000; i++) {
    values.push(random.logNormal(50, 1));
    played.add(i * EVERY_MS - 1, gauge(i * EVERY_MS - 1, { value: values.at(-1) ?? 0 }));
    if (i === 10_000) played.restart();
  }
  const truth = values.sort((a, b) => a - b)[Math.ceil(0.95 * values.length) - 1] ?? 0;
  const { value, items } = played.read(20_000 * EVERY_MS);
  assert.equal(items, 20_000);
  assert.ok(Math.abs(value / truth - 1) < 0.02, `${value}, truth ${truth}`);
  for (const { steps } of played.target.memory.series?.all.values() ?? []) assert.ok(steps.length < 1000);
});

test('histograms over a long window merge all that came in it', () => {
  const played = playing({ take: 'p50', breached: 'above 1s', window: '1d' });
  for (let i = 1; i <= 2000; i++) {
    const counts = i <= 1100 ? [0, 10, 0] : [10, 0, 0];
    const request = histogram(i * EVERY_MS - 1, counts, [1, 3], { aggregationTemporality: 1 });
    played.add(i * EVERY_MS - 1, request);
  }
  // 11 of 20 lie evenly between one and three seconds.
  const { value } = played.read(2000 * EVERY_MS);
  assert.equal(Math.round(value), Math.round(1000 + 2000 * (100 / 1100)));
});

test('steps of short windows are of a second, of long ones of what fits the minute at which they begin', () => {
  for (const [windowMs, foldMs] of [
    [60_000, 1000],
    [600_000, 1000],
    [HOUR_MS, 4000],
    [6 * HOUR_MS, 30_000],
    [16 * HOUR_MS, 60_000],
    [7 * 24 * HOUR_MS, 660_000],
  ] as const) {
    assert.equal(foldOf(windowMs), foldMs);
    assert.ok(60_000 % foldMs === 0 || foldMs % 60_000 === 0);
  }
});

test('a run that is judged as a whole folds nothing: its percentile is a value that was there', () => {
  const plan = signalOf({ of: undefined, metric: 'm', take: 'p95', breached: 'above 1000', window: '7d' });
  const table = newMemory(plan, true).series;
  for (let i = 1; i <= 5000; i++)
    table?.step({ series: 1, flags: 6, startMs: 0, timeMs: START_MS + i, a: i, b: 0, spread: null }, START_MS, 0);
  assert.equal([...(table?.all.values() ?? [])][0]?.steps.length, 5000);
});

/** Points of so many series in one request. */
function many(atMs: number, count: number, from = 0) {
  const dataPoints = Array.from({ length: count }, (_, i) => point(atMs, { value: 1, series: `s${from + i}` }));
  return metric('m', { gauge: { dataPoints } });
}

test('points of series beyond the bound are counted as not judged', () => {
  const played = playing({ take: 'last', breached: 'above 1000' });
  played.add(1000, many(1000, 2000));
  assert.equal(played.unmeasured, 0);
  for (const s of [2, 3, 4]) played.add(s * 1000, many(s * 1000, 2000, 2000));
  assert.equal(played.unmeasured, 6000);
  assert.equal(played.target.memory.series?.all.size, 2000);
});

test('series that have been silent for an hour make room within a second', () => {
  const played = playing({ take: 'last', breached: 'above 1000' });
  played.add(1000, many(1000, 2000));
  played.add(HOUR_MS, many(HOUR_MS, 10, 5000));
  assert.equal(played.unmeasured, 10);
  played.add(HOUR_MS + 1500, many(HOUR_MS + 1500, 10, 5000));
  assert.equal(played.unmeasured, 10);
  assert.equal(played.read(HOUR_MS + 2000).items, 10);
});
