/** Holds processors/flag/detector.ts: quiet where nothing happens, awake where something does, and unmoved by whatever is fed to it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom, type Random } from '../../../bench/random.ts';
import { Detector, STATE_BYTES, WARM_UP_POINTS } from '../../../src/processors/flag/detector.ts';
import { DEFAULT_THRESHOLD } from '../../../src/processors/flag/index.ts';
import { seeded } from '../../otlp/generate.ts';

const DAY_S = 86_400;
const START_S = 1_700_000_000;
const SERIES = 1000;
const EVERY_S = 60;

const normal = (random: Random) => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
const day = (i: number, phase: number) => Math.sin(((i * EVERY_S) / DAY_S + phase) * 2 * Math.PI);

/** Stationary and daily-seasonal series of pure noise, light and heavy of tail. */
const KINDS: Record<string, (random: Random) => (i: number) => number> = {
  normal: (random) => () => 100 + normal(random),
  'log-normal': (random) => () => random.logNormal(20, 0.5),
  counts(random) {
    return () => {
      let events = 0;
      for (let p = random.next(); p > Math.exp(-3); p *= random.next()) events++;
      return events;
    };
  },
  wandering(random) {
    let value = 0;
    return () => {
      value = 0.95 * value + normal(random);
      return value;
    };
  },
  'daily, normal': (random) => {
    const phase = random.next();
    return (i) => 100 + 10 * day(i, phase) + normal(random);
  },
  'daily, log-normal': (random) => {
    const phase = random.next();
    return (i) => (2 + day(i, phase)) * random.logNormal(20, 0.3);
  },
  'daily, rates': (random) => {
    const phase = random.next();
    return (i) => Math.max(0, Math.round(50 * (1.2 + day(i, phase)) + 5 * normal(random)));
  },
};

test(`${SERIES} series of noise: no flag before warm-up, at most one a series on the first day, and one in the week after`, (t) => {
  const perDay = DAY_S / EVERY_S;
  let first = 0;
  let later = 0;
  const kinds = Object.entries(KINDS);
  const byKind = new Map(kinds.map(([name]) => [name, 0]));
  for (let series = 0; series < SERIES; series++) {
    const [name, kind] = kinds[series % kinds.length] as (typeof kinds)[number];
    const next = kind(createRandom(1 + series));
    const detector = new Detector();
    for (let i = 0; i < 8 * perDay; i++) {
      const score = detector.step(START_S + i * EVERY_S, next(i));
      if (score < DEFAULT_THRESHOLD) continue;
      assert.ok(i >= WARM_UP_POINTS, `${name} ${series} is flagged at point ${i}`);
      byKind.set(name, (byKind.get(name) ?? 0) + 1);
      if (i < perDay) first++;
      else later++;
    }
  }
  t.diagnostic(
    `a series: ${(first / SERIES).toFixed(2)} on the first day, ${(later / SERIES).toFixed(2)} in the week after`,
  );
  t.diagnostic(
    [...byKind].map(([name, flags]) => `${name} ${((flags * kinds.length) / SERIES).toFixed(2)}`).join(', '),
  );
  assert.ok(first <= SERIES, `${first} flags on the first day of ${SERIES} series`);
  assert.ok(later <= SERIES, `${later} flags in the week after of ${SERIES} series`);
});

/** Largest score over the points from `from` on, of 2 days of noise that `change` bends. */
function highest(change: (value: number, i: number) => number, from: number, seed = 3): number {
  const random = createRandom(seed);
  const detector = new Detector();
  let most = 0;
  for (let i = 0; i < from + 20; i++) {
    const value = change(100 + 10 * day(i, 0) + normal(random), i);
    const score = detector.step(START_S + i * EVERY_S, value);
    if (i >= from) most = Math.max(most, score);
  }
  return most;
}
const FROM = 2500;
const CHANGES: Record<string, (value: number, i: number) => number> = {
  spike: (value, i) => (i === FROM ? value + 60 : value),
  drop: (value, i) => (i === FROM ? value - 60 : value),
  'shift of the level': (value, i) => (i >= FROM ? value + 30 : value),
  'noise ten times as loud': (value, i) => (i >= FROM ? value + (i % 2 === 0 ? 30 : -30) : value),
};
for (const [name, change] of Object.entries(CHANGES)) {
  test(`${name}: what has not been before is flagged within 20 points`, () => {
    assert.ok(highest(change, FROM) >= DEFAULT_THRESHOLD, `${highest(change, FROM)}`);
    assert.ok(highest((value) => value, FROM) < DEFAULT_THRESHOLD);
  });
}

test('a series that was flat for an hour is flagged when it moves, and a spike that comes every hour is flagged no more', () => {
  const flat = new Detector();
  let score = 0;
  for (let i = 0; i <= 720; i++) score = flat.step(START_S + i * 5, i < 720 ? 0 : 0.05);
  assert.ok(score >= DEFAULT_THRESHOLD, `${score}`);
  const random = createRandom(5);
  const spiky = new Detector();
  let flags = 0;
  for (let i = 0; i < 60 * 48; i++) {
    const found = spiky.step(START_S + i * EVERY_S, 100 + normal(random) + (i % 60 === 30 ? 50 + normal(random) : 0));
    if (i > 60 * 24 && found >= DEFAULT_THRESHOLD) flags++;
  }
  assert.ok(flags <= 1, `${flags} flags on the second day`);
});

test('scores are the same when values are scaled and shifted', () => {
  const random = createRandom(11);
  const values = Array.from(
    { length: 3000 },
    (_, i) => 100 + 10 * day(i, 0) + normal(random) + (i % 700 === 699 ? 40 : 0),
  );
  const run = (scale: number, shift: number) => {
    const detector = new Detector();
    return values.map((value, i) => detector.step(START_S + i * EVERY_S, value * scale + shift));
  };
  const plain = run(1, 0);
  assert.ok(plain.some((score) => score > 3));
  for (const [scale, shift] of [
    [1000, 0],
    [1e-6, 0],
    [1, 5000],
    [-1, 0],
    [4, -300],
  ] as const) {
    const other = run(scale, shift);
    const apart = plain.map((score, i) => Math.abs(score - (other[i] as number)));
    assert.ok(Math.max(...apart) < 0.05, `x ${scale} + ${shift}: ${Math.max(...apart)} apart`);
  }
});

/** What goes wrong in series: by point, a value and a time. */
const STRANGE: Record<string, (i: number, random: Random) => [timeS: number, value: number]> = {
  'a constant': (i) => [i, 42],
  'zero for ever': (i) => [i, 0],
  'NaN and infinities between values': (i, random) => [
    i,
    [Number.NaN, Infinity, -Infinity, random.next()][i % 4] as number,
  ],
  'nothing but NaN': (i) => [i, Number.NaN],
  'values from 1e-300 to 1e300': (i, random) => [i, 10 ** (600 * random.next() - 300) * (i % 3 === 0 ? -1 : 1)],
  'the largest numbers': (i) => [i, i % 2 === 0 ? Number.MAX_VALUE : -Number.MAX_VALUE],
  'the smallest numbers': (i) => [i, i % 2 === 0 ? Number.MIN_VALUE : 0],
  'tiny then huge': (i) => [i, i < 500 ? 1e-300 * (i % 7) : 1e300 * (i % 7)],
  'time that stands still': (_, random) => [START_S, random.next()],
  'time that runs backwards': (i, random) => [START_S - i * 60, random.next()],
  'time that jumps': (i, random) => [START_S + i * 60 + (i % 100 === 0 ? 1e9 : 0), random.next()],
  'times that are none': (i, random) => [[Number.NaN, Infinity, -1e18, 1e18][i % 4] as number, random.next()],
  'a counter that begins anew': (i) => [i * 5, i % 333],
};
for (const [name, point] of Object.entries(STRANGE)) {
  test(`${name}: no throw, no NaN, no state beyond its bound, the same after it was saved and restored`, (t) => {
    const random = createRandom(seeded(t, 17).below(2 ** 31));
    const points = Array.from({ length: 3000 }, (_, i) => point(i, random));
    let detector = new Detector();
    const kept = new Detector();
    for (const [i, [timeS, value]] of points.entries()) {
      if (i % 500 === 250) detector = new Detector(new Uint8Array(detector.state));
      const score = detector.step(timeS, value);
      assert.equal(score, kept.step(timeS, value), `point ${i} after restoring`);
      assert.ok(Number.isFinite(score) && score >= 0 && score < 13.4, `point ${i} scores ${score}`);
      assert.ok(Number.isFinite(detector.raw) && Number.isFinite(detector.expected(timeS)));
    }
    assert.equal(detector.state.byteLength, STATE_BYTES);
  });
}

test('2 KB hold a series, and another length is refused', () => {
  assert.ok(STATE_BYTES <= 2048, `${STATE_BYTES}`);
  assert.throws(() => new Detector(new Uint8Array(10)), /a saved state of 10 bytes, not/);
});
