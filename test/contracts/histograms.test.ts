/** Holds what is read from histograms: buckets are told apart by the metric's own bounds, rises are of counts, and only then is interpolated. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addSpread, MOST_INTERVALS, newSpread, quantileOf, riseOf } from '../../src/contracts/spread.ts';
import { type Plain, seeded } from '../otlp/generate.ts';
import { signalOf } from './plans.ts';
import {
  type Arrival,
  CUMULATIVE,
  DELTA,
  exponential,
  histogram,
  metric,
  play,
  playing,
  point,
  START_MS,
  value,
} from './playing.ts';

const P95 = { take: 'p95', breached: 'above 1s', window: '10s' };
const P99 = { take: 'p99', breached: 'above 5s' };
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

test('a percentile sees as clearly after a day of points whose minimum and maximum move as after the first', (t) => {
  const random = seeded(t, 31);
  const played = playing(P99);
  let atMs = 0;
  for (let i = 1; i <= 9000; i++) {
    atMs += 10_000;
    const more = { min: 0.001 + random.next() * 0.001, max: 20 + random.next() * 10 };
    played.add(atMs - 1, histogram(atMs - 1, [900, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100], SECONDS, DELTA, more));
    if (i === 1) assert.ok(played.read(atMs).value > 20_000);
  }
  assert.ok(played.read(atMs).value > 20_000, `${played.read(atMs).value}`);
});

test('of a cumulative histogram only what it rose by counts, whatever its minimum and maximum do', () => {
  const slow: Arrival[] = [10, 20, 30, 40].map((s, i) => [
    s * 1000,
    // Half of the past took over 10 s; since then all are fast but one.
    histogram(s * 1000, [0, 5000 + 1000 * i, 5000 + (i === 3 ? 1 : 0)], [0.005, 10], undefined, {
      min: i === 3 ? 0.006 : 0.01,
      max: i === 3 ? 12.5 : 12,
    }),
  ]);
  assert.ok(play(P95, slow, 41_000).value < 10_000, `${play(P95, slow, 41_000).value}`);
  const over = (slower_than: string) => value(play({ slower_than, breached: 'above 5%', window: '10s' }, slow, 41_000));
  assert.equal(over('10s'), Number((1 / 1001).toPrecision(12)));
  assert.ok(over('12200ms') < 1 / 1001);
});

test('a limit within the lowest bucket is no reset when the minimum falls: what is slow is read from the rise', () => {
  const arrivals: Arrival[] = [10, 20].map((s, i) => [
    s * 1000,
    histogram(s * 1000, [100_000 + 10 * i, 0, 1000 + 1000 * i], [0.005, 1], undefined, {
      min: i === 0 ? 0.002 : 0.001,
      max: 3,
    }),
  ]);
  const { value: share, items } = play({ slower_than: '4ms', breached: 'above 90%' }, arrivals, 21_000);
  assert.equal(items, 1010);
  // A quarter of the ten between 1 and 5 ms, and the thousand.
  assert.equal(Number(share.toPrecision(12)), Number(((10 / 4 + 1000) / 1010).toPrecision(12)));
  assert.ok(play({ ...P95, take: 'p50' }, arrivals, 21_000).value > 1000);
});

test('an exponential histogram that lowers its scale rises by what came, at the coarser scale', () => {
  for (const to of [5, 4, 3, 0, -2]) {
    const arrivals: Arrival[] = [10, 20].map((s, i) => [
      s * 1000,
      exponential(s * 1000, i === 0 ? 5 : to, [
        [-3, 200],
        [0, 300],
        [0.02, 5000 + 1000 * i],
        [0.9, 4000],
        [5, 5000],
      ]),
    ]);
    const at = play(P95, arrivals, 21_000).value;
    // Nothing but 20 ms came: the answer lies within its bucket.
    const index = Math.ceil(Math.log2(0.02) * 2 ** to) - 1;
    const [low, high] = [index, index + 1].map((i) => 1000 * 2 ** (i / 2 ** to)) as [number, number];
    assert.ok(at > low && at <= high, `scale ${to}: ${at} within ${low} and ${high}`);
    const slow = play({ slower_than: '4s', breached: 'above 5%', window: '10s' }, arrivals, 21_000);
    assert.deepEqual(slow, { value: 0, items: 1000, enough: true });
  }
});

test('a fall of the count is a reset: all of the new beginning counts', () => {
  const arrivals: Arrival[] = [
    [10_000, histogram(10_000, [1000, 1000], [1])],
    [20_000, histogram(20_000, [5, 15], [1], undefined, { max: 2 })],
  ];
  const slow = { slower_than: '1s', breached: 'above 5%', window: '10s' };
  assert.deepEqual(play(slow, arrivals, 21_000), { value: 0.75, items: 20, enough: false });
  assert.deepEqual(play({ ...slow, min_items: 20 }, arrivals, 21_000).enough, true);
});

test('a restart between two points changes nothing', () => {
  const [first, second] = [0, 1].map((i) =>
    histogram(10_000 * (i + 1), [0, 5000 + 1000 * i, 5000], [0.005, 10], undefined, { max: 12 + i }),
  ) as [Uint8Array, Uint8Array];
  for (const signal of [P95, { slower_than: '10s', breached: 'above 5%', window: '10s' }]) {
    const [through, without] = [playing(signal), playing(signal)];
    for (const played of [through, without]) {
      played.add(10_000, first);
      if (played === through) played.restart();
      played.add(20_000, second);
    }
    through.restart();
    assert.deepEqual(through.read(21_000), without.read(21_000));
    assert.ok(through.read(21_000).value < 10_000);
  }
});

test('what was saved in another form has another key: it is dropped, as of a signal that measures something else', () => {
  const FORMER = [7_275_744_481_017_006, 6_991_170_109_586_413];
  const taken = { take: 'p95', breached: 'above 1s' };
  const keys = [signalOf({ of: undefined, metric: 'm', ...taken }), signalOf({ value: 'duration', ...taken })];
  for (const { key } of keys) assert.ok(!FORMER.includes(key));
  // Windows of shares over spans are what they were.
  assert.equal(signalOf({ bad: { status: 'error' }, breached: 'above 1%' }).key, 1_774_479_092_613_101);
});

test('a spread of more intervals than are told apart joins neighbours and loses nobody', () => {
  const total = newSpread();
  for (let i = 0; i < 3 * MOST_INTERVALS; i++) addSpread(total, newSpread([i, i + 0.5, 2]));
  assert.ok(total.rows.length <= 3 * MOST_INTERVALS);
  const count = total.rows.reduce((all, number, i) => (i % 3 === 2 ? all + number : all), 0);
  assert.equal(count, 6 * MOST_INTERVALS);
  const median = quantileOf(total, 0.5);
  assert.ok(Math.abs(median / (1.5 * MOST_INTERVALS) - 1) < 0.01, `${median}`);
});

/** One request at 10 s, judged a second later: what it comes to, and how many points were not judged. */
function alone(signal: object, request: Uint8Array) {
  const played = playing({ min_items: 1, ...signal });
  played.add(10_000, request);
  return { ...played.read(11_000), unmeasured: played.unmeasured };
}

const SLOW = { slower_than: '1s', breached: 'above 5%' };
const UNMEASURED = { value: 0, items: 0, enough: false, unmeasured: 1 };

test('a histogram that does not say how its values are spread is not judged, and not healthy', () => {
  const bare = histogram(10_000, [], [], DELTA, { count: 1000, sum: 5000, min: 1, max: 9 });
  const single = histogram(10_000, [1000], [], DELTA, { sum: 5000, min: 1, max: 9 });
  for (const request of [bare, single]) {
    for (const signal of [SLOW, P95, { ...P95, take: 'last' }]) assert.deepEqual(alone(signal, request), UNMEASURED);
    const taken = (take: string) => alone({ ...P95, take }, request);
    assert.deepEqual(
      ['mean', 'sum', 'min', 'max'].map((take) => taken(take).value),
      [5000, 5_000_000, 1000, 9000],
    );
    assert.equal(alone({ rate: true, breached: 'above 1/s' }, request).unmeasured, 0);
  }
  const none = histogram(10_000, [0, 0], [1], DELTA);
  assert.deepEqual(alone(SLOW, none), { value: 0, items: 0, enough: false, unmeasured: 0 });
});

test('neither a mean nor a sum is taken of a histogram without one', () => {
  const request = histogram(10_000, [0, 1000], [1], DELTA, { sum: undefined });
  for (const take of ['mean', 'sum']) assert.deepEqual(alone({ take, breached: 'above 1s' }, request), UNMEASURED);
  const rate = { rate: true, value: 'sum', breached: 'above 1/s' };
  assert.deepEqual(alone(rate, request), UNMEASURED);
  assert.deepEqual(alone(SLOW, request), { value: 1, items: 1000, enough: true, unmeasured: 0 });
});

test('a summary has a count and a sum; its quantiles are not judged', () => {
  const quantileValues = [{ quantile: 0.99, value: 9 }];
  const { asDouble: _, ...rest } = point(10_000, { startMs: START_MS });
  const summary = metric('m', { summary: { dataPoints: [{ ...rest, count: 1000, sum: 5000, quantileValues }] } }, 's');
  for (const signal of [SLOW, P95]) assert.deepEqual(alone(signal, summary), UNMEASURED);
  assert.deepEqual(alone({ take: 'mean', breached: 'above 1s' }, summary), {
    value: 5000,
    items: 1,
    enough: true,
    unmeasured: 0,
  });
});

test('a counter has no durations that could be slow', () => {
  const counter = metric('m', { sum: { dataPoints: [point(10_000, { value: 9 })], ...DELTA } }, 's');
  assert.deepEqual(alone(SLOW, counter), UNMEASURED);
});

test('an exponential histogram whose buckets have no end in doubles is measured to its maximum, else not at all', () => {
  const scaled = (scale: number, more: Plain) => exponential(10_000, scale, [[10, 100]], DELTA, more);
  for (const scale of [-10, -11, -1100]) assert.deepEqual(alone(SLOW, scaled(scale, {})), UNMEASURED);
  assert.deepEqual(alone(P95, scaled(-10, {})), UNMEASURED);
  assert.equal(alone({ ...P95, take: 'max' }, scaled(-10, { max: 10 })).value, 10_000);
  assert.equal(alone(SLOW, scaled(-10, { max: 10 })).value, 1);
  const negative = { positive: undefined, negative: { offset: 0, bucketCounts: [100] } };
  assert.deepEqual(alone(SLOW, scaled(-10, negative)), UNMEASURED);
  assert.deepEqual(alone(SLOW, scaled(-10, { ...negative, min: -10 })).value, 0);
  assert.deepEqual(alone(SLOW, scaled(-1100, { max: 10 })), UNMEASURED);
});

test('a histogram whose bounds are no numbers, or in no order, is not judged, and holds nobody up', () => {
  const twice = (made: (n: number) => Uint8Array, atMs: (n: number) => number) => {
    const played = playing(SLOW);
    for (const n of [1, 2]) played.add(atMs(n), made(n));
    return { ...played.read(21_000), unmeasured: played.unmeasured };
  };
  const atMs = (n: number) => n * 10_000;
  for (const bounds of [[Number.NaN], [1, Number.NaN, 3], [3, 2, 1], [1, 1]])
    for (const kind of [CUMULATIVE, DELTA]) {
      const counts = (n: number) => [...bounds.map(() => 0), 100 * n];
      const made = (n: number) => histogram(atMs(n), counts(n), bounds, kind);
      assert.deepEqual(twice(made, atMs), { ...UNMEASURED, unmeasured: 2 }, `${bounds}`);
    }
  const zero = (zeroThreshold: number) => (n: number) =>
    exponential(atMs(n), 0, [[0, 100 * n]], CUMULATIVE, { zeroThreshold });
  for (const threshold of [Number.NaN, Infinity, -1])
    assert.deepEqual(twice(zero(threshold), atMs), { ...UNMEASURED, unmeasured: 2 });
  assert.deepEqual(twice(zero(0.5), atMs), { value: 0, items: 100, enough: true, unmeasured: 0 });
  // Buckets that begin where there is no end.
  const counts = (n: number) => [0, 0, 100 * n];
  for (const bounds of [
    [1, Infinity],
    [1e300, 1e307],
  ]) {
    const made = (n: number) => histogram(atMs(n), counts(n), bounds);
    assert.deepEqual(twice(made, atMs), { value: 1, items: 100, enough: true, unmeasured: 0 });
  }
  const far = (n: number) =>
    exponential(atMs(n), 0, [], CUMULATIVE, {
      count: 100 * n,
      max: 9,
      positive: { offset: 5000, bucketCounts: [100 * n] },
    });
  assert.deepEqual(twice(far, atMs), { value: 1, items: 100, enough: true, unmeasured: 0 });
});

test('random histograms are the same as cumulative, at falling scales, and as deltas', (t) => {
  const random = seeded(t, 34);
  for (let round = 0; round < 60; round++) {
    const isExplicit = round % 3 === 0;
    const signals = [
      { ...P95, window: '1m' },
      { slower_than: '80ms', breached: 'above 5%', min_items: 1 },
    ];
    const both = signals.map((signal) => [playing(signal), playing(signal)] as const);
    const all = new Map<number, number>([[0.05, 3]]);
    // With 1,024 buckets or fewer: more are not measured.
    let scale = 5;
    for (let i = 0; i < 8; i++) {
      const fresh = new Map<number, number>();
      for (let n = random.below(40); n > 0; n--) {
        const value = random.below(20) === 0 ? 0 : random.logNormal(0.05, 2) * (random.below(4) === 0 ? -1 : 1);
        fresh.set(value, 1 + random.below(9));
      }
      for (const [value, count] of i === 0 ? [] : fresh) all.set(value, (all.get(value) ?? 0) + count);
      scale -= random.below(3);
      const ms = (i + 1) * 5000;
      const encode = (values: Map<number, number>, kind: object) => {
        const min = Math.min(...all.keys());
        const more = { min, max: Math.max(...all.keys()) };
        if (!isExplicit) return exponential(ms, scale, [...values], { ...kind }, more);
        const counts = new Array<number>(SECONDS.length + 1).fill(0);
        for (const [value, count] of values) {
          const found = SECONDS.findIndex((bound) => value <= bound);
          const at = found < 0 ? SECONDS.length : found;
          counts[at] = (counts[at] ?? 0) + count;
        }
        return histogram(ms, counts, SECONDS, { ...kind }, more);
      };
      for (const [cumulative, delta] of both) {
        cumulative.add(ms, encode(all, CUMULATIVE));
        if (i > 0) delta.add(ms, encode(fresh, DELTA));
        const [one, other] = [cumulative.read(ms + 1000), delta.read(ms + 1000)];
        // A delta of nothing is a point; cumulative, too, but for the first.
        assert.equal(one.items, other.items);
        assert.ok(
          Math.abs(one.value - other.value) <= 1e-9 * Math.abs(other.value),
          `round ${round}, point ${i}: ${one.value}, ${other.value}, ${scale}`,
        );
      }
    }
  }
});

test('points that counted nothing are no percentile', () => {
  assert.deepEqual(alone(P95, histogram(10_000, [0, 0], [1], DELTA)), {
    value: 0,
    items: 0,
    enough: false,
    unmeasured: 0,
  });
});

test('the rise of spreads that a former version has saved, with bounds that are no numbers, has an end', () => {
  const spread = (...rows: number[]) => ({ rows, min: Infinity, max: -Infinity });
  for (const bound of [Number.NaN, Infinity]) {
    const rise = riseOf(spread(0, 1, 2, bound, bound, 3), spread(0, 1, 5, bound, bound, 7));
    assert.deepEqual(rise.rows, [0, 1, 3]);
  }
});
