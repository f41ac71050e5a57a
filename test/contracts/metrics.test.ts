/** Holds what docs/contracts.md says of metrics and of late and odd data: points go through a worker's code, values come from main's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import protobuf from 'protobufjs';
import { createMeasuring } from '../../src/cli/check/measure.ts';
import { Evidence } from '../../src/contracts/evidence.ts';
import { readSignal } from '../../src/contracts/reading.ts';
import { HASH_SEED, hashBytes } from '../../src/otlp/protobuf.ts';
import { messageType, requestType } from '../../src/otlp/schema.ts';
import { type Plain, seeded } from '../otlp/generate.ts';
import { afterRestart } from '../support/saved.ts';
import { logs, NOW_MS, service, span } from '../worker/world.ts';
import { contractOf } from './plans.ts';
import {
  type Arrival,
  attribute,
  CUMULATIVE,
  DELTA,
  type Given,
  gauge,
  histogram,
  metric,
  play,
  playing,
  point,
  START_MS,
  sum,
  value,
} from './playing.ts';

const RATE = { rate: true, breached: 'above 100/s' };

test('a counter gives the same rate as cumulative and as delta, whatever the export interval is', () => {
  const cumulative: [number, Uint8Array][] = [0, 10, 20, 30, 40, 50].map((s) => [
    s * 1000,
    sum(s * 1000, { value: s * 5 }),
  ]);
  const delta: [number, Uint8Array][] = [10, 20, 30, 40, 50].map((s) => [
    s * 1000,
    sum(s * 1000, { value: 50, startMs: START_MS + (s - 10) * 1000 }, DELTA),
  ]);
  assert.equal(value(play(RATE, cumulative, 51_000)), 5);
  assert.equal(value(play(RATE, delta, 51_000)), 5);
  const slow: [number, Uint8Array][] = [0, 60, 120].map((s) => [s * 1000, sum(s * 1000, { value: s * 5 })]);
  // One point or two in a window of a minute: the rate is what the points cover, not what fits the window.
  assert.equal(value(play(RATE, slow, 121_000)), 5);
  assert.equal(value(play(RATE, slow, 179_000)), 5);
});

test('a rate is of what only rises: of a gauge, and of a sum that goes up and down, there is none', () => {
  const level = { ...CUMULATIVE, isMonotonic: false };
  const change = { ...DELTA, isMonotonic: false };
  for (const request of [
    gauge,
    (ms: number, given: Given) => sum(ms, given, level),
    (ms: number, given: Given) => sum(ms, given, change),
  ]) {
    const played = playing({ ...RATE, breached: 'above 1/s' });
    for (const s of [10, 20, 30]) played.add(s * 1000, request(s * 1000, { value: 500 }));
    assert.deepEqual(played.read(31_000), { value: 0, items: 0, enough: false });
    assert.equal(played.unmeasured, 3);
  }
});

test('a reset counts from the new beginning; the first point of a series only says where it stands', () => {
  const reset: [number, Uint8Array][] = [
    [0, sum(0, { value: 1000, startMs: START_MS - 900_000 })],
    [10_000, sum(10_000, { value: 1050, startMs: START_MS - 900_000 })],
    [20_000, sum(20_000, { value: 25, startMs: START_MS + 15_000 })],
  ];
  // 50 in 10 s, then 25 in 5 s.
  assert.equal(value(play(RATE, reset, 21_000)), 5);
  const unknownStart: [number, Uint8Array][] = [
    [0, sum(0, { value: 1000 })],
    [10_000, sum(10_000, { value: 30 })],
  ];
  assert.equal(value(play(RATE, unknownStart, 11_000)), 3);
  assert.deepEqual(play(RATE, [[0, sum(0, { value: 1000 })]], 1000), { value: 0, items: 0, enough: false });
  const fresh = sum(10_000, { value: 40, startMs: START_MS });
  assert.equal(value(play(RATE, [[10_000, fresh]], 11_000)), 4);
});

test('a start that moved is a reset, however high the value is; one that lies before the last point is malformed', () => {
  const at = (s: number, value: number, startS: number): Arrival => [
    s * 1000,
    sum(s * 1000, { value, startMs: START_MS + startS * 1000 }),
  ];
  const TEN = { ...RATE, window: '10s' };
  const counted = (arrivals: Arrival[], atMs: number) => {
    const played = playing(TEN);
    for (const [ms, request] of arrivals) played.add(ms, request);
    return [value(played.read(atMs)), played.unmeasured];
  };
  const begun = [at(10, 5, -100), at(20, 10, -100)];
  assert.deepEqual(counted([...begun, at(30, 50, 22)], 31_000), [6.25, 0], 'it began 8 s ago and came to 50');
  assert.deepEqual(counted([...begun, at(30, 50, 20)], 31_000), [5, 0], 'just when the last point was made');
  assert.deepEqual(counted([...begun, at(30, 50, 19), at(40, 90, 19)], 41_000), [4, 1], 'goes on from there');
  assert.deepEqual(counted([...begun, at(30, 2, 19), at(40, 12, 19)], 41_000), [1, 1]);
  // Two senders under one name: none of it can be said.
  const two = [0, 1, 2].flatMap((i) => [at(10 + 10 * i, 1000 + i, -900), at(11 + 10 * i, 5 + i, -800)]);
  assert.deepEqual(counted(two, 32_000), [0, 5]);
  // A start that is the point's own time says that it is not known.
  assert.deepEqual(counted([at(10, 1000, 10), at(20, 1030, 20), at(30, 1080, 30)], 31_000), [5, 0]);
});

/** `sum`, with a piece of its resource before the one that names the service. */
function ofPod(pod: string, atMs: number, value: number): Uint8Array {
  const type = messageType('ResourceMetrics');
  const first = { resource: { attributes: [attribute('service.instance.id', pod)] } };
  const rest = protobuf.Reader.create(sum(atMs, { value }));
  rest.uint32();
  const inside = Buffer.concat([type.encode(type.fromObject(first)).finish(), rest.bytes()]);
  return protobuf.Writer.create().uint32(10).bytes(inside).finish();
}

function rateOfTwo(a: string, b: string): number {
  const arrivals = [0, 10, 20].flatMap((s): Arrival[] => [
    [s * 1000, ofPod(a, s * 1000, 1000 + s)],
    [s * 1000 + 100, ofPod(b, s * 1000 + 100, s * 2)],
  ]);
  return value(play(RATE, arrivals, 21_000));
}

test('resources that stand in two pieces are told apart by both', () => {
  assert.equal(rateOfTwo('a', 'b'), 3);
});

test('resources of which 32 bits of hash are the same are told apart', (t) => {
  const random = seeded(t, 73);
  const type = messageType('Resource');
  const seen = new Map<number, string>();
  for (;;) {
    const pod = random.text(8);
    const bytes = type.encode(type.fromObject({ attributes: [attribute('service.instance.id', pod)] })).finish();
    const hash = hashBytes(bytes, 0, bytes.length, HASH_SEED);
    const other = seen.get(hash);
    seen.set(hash, pod);
    if (other === undefined || other === pod) continue;
    assert.equal(rateOfTwo(pod, other), 3);
    return;
  }
});

test('series are told apart by two attributes that end alike', () => {
  const numbers = Array.from({ length: 10 }, (_, i) => String(i));
  const series = numbers.flatMap((shard) => numbers.map((replica) => [shard, replica] as const));
  const arrivals = [0, 10, 20].flatMap((s) =>
    series.map(([shard, replica], i): Arrival => {
      const more = { attributes: [attribute('shard', shard), attribute('replica', replica)] };
      return [s * 1000, sum(s * 1000, { value: 1000 * i + s, more })];
    }),
  );
  assert.equal(value(play(RATE, arrivals, 21_000)), series.length);
});

test('a point that comes twice, or late after newer ones, counts once', () => {
  const twice: [number, Uint8Array][] = [0, 10, 10, 5, 20].map((s, i) => [20_000 + i, sum(s * 1000, { value: s * 2 })]);
  assert.deepEqual(play(RATE, twice, 21_000), { value: 2, items: 2, enough: true });
  const delta = sum(10_000, { value: 30, startMs: START_MS }, DELTA);
  assert.equal(
    value(
      play(
        RATE,
        [
          [10_000, delta],
          [10_001, delta],
        ],
        11_000,
      ),
    ),
    3,
  );
});

test('series add up, and one without points for three export intervals is stale', () => {
  const arrivals: [number, Uint8Array][] = [0, 10, 20].flatMap((s) =>
    ['a', 'b'].map((series): [number, Uint8Array] => [s * 1000, sum(s * 1000, { value: s, series })]),
  );
  for (let s = 30; s <= 100; s += 10) arrivals.push([s * 1000, sum(s * 1000, { value: s, series: 'a' })]);
  assert.equal(value(play(RATE, arrivals.slice(0, 6), 21_000)), 2);
  assert.equal(value(play(RATE, arrivals, 101_000)), 1);
});

test('scopes tell series of one metric apart, by name, version and attributes; within a request and over several', () => {
  const LAST = { take: 'last', breached: 'above 1000', across: 'sum' };
  const data = (value: number) => ({ gauge: { dataPoints: [point(1000, { value })] } });
  const scopes: Plain[] = [
    {},
    { name: 'a' },
    { name: 'b' },
    { name: 'b', version: '2' },
    { name: 'b', attributes: [attribute('k', 'v')] },
  ];
  const apart: Arrival[] = scopes.map((scope, i) => [1000, metric('m', data(10 ** i), '', scope)]);
  assert.equal(play(LAST, apart, 2000).value, 11_111);
  assert.equal(play(LAST, [...apart, ...apart], 2000).value, 11_111);
  const type = requestType('metrics');
  const metrics = (value: number) => [{ name: 'other' }, { name: 'm', ...data(value) }];
  const scopeMetrics = scopes.map((scope, i) => ({ scope, metrics: metrics(10 ** i), schemaUrl: 'x' }));
  // Twice a resource: the second one's scopes are not the first one's.
  const resource = (more: Plain[]) => ({ attributes: [attribute('service.name', 'shop'), ...more] });
  const resourceMetrics = [
    { resource: resource([]), scopeMetrics: [{}, ...scopeMetrics] },
    { resource: resource([attribute('r', '2')]), scopeMetrics },
  ];
  const request = type.encode(type.fromObject({ resourceMetrics })).finish();
  assert.equal(play(LAST, [[1000, request]], 2000).value, 22_222);
  assert.equal(play(LAST, [...apart, [1001, request]], 2000).value, 22_222);
});

test('take works on each series over time, then across: the maximum of gauges, the sum of sums, or as it says', () => {
  const arrivals: [number, Uint8Array][] = [
    [1000, gauge(1000, { value: 10 })],
    [1000, gauge(1000, { value: 70, series: 'b' })],
    [11_000, gauge(11_000, { value: 30 })],
    [11_000, gauge(11_000, { value: 50, series: 'b' })],
  ];
  const taken = (signal: object) => value(play({ breached: 'above 1000', ...signal }, arrivals, 12_000));
  assert.deepEqual(
    [
      { take: 'last' },
      { take: 'last', across: 'min' },
      { take: 'max', across: 'sum' },
      { take: 'mean', across: 'mean' },
    ].map(taken),
    [50, 30, 100, 40],
  );
  assert.deepEqual(
    [{ take: 'min', across: 'min' }, { take: 'p50', across: 'max' }, { take: 'sum' }].map(taken),
    [10, 50, 120],
  );
  const level = { aggregationTemporality: 2, isMonotonic: false };
  const queues: [number, Uint8Array][] = ['a', 'b'].map((series) => [1000, sum(1000, { value: 4, series }, level)]);
  assert.equal(value(play({ take: 'last', breached: 'above 1000' }, queues, 2000)), 8);
});

test('"no recorded value" ends a series at once; NaN and infinities are no values', () => {
  const LAST = { take: 'last', breached: 'above 1000' };
  const ended: [number, Uint8Array][] = [
    [1000, gauge(1000, { value: 10 })],
    [2000, gauge(2000, { flags: 1 })],
  ];
  assert.equal(play(LAST, ended, 3000).items, 1, 'the point that there was still lies in the window');
  assert.equal(play({ ...LAST, window: '5s' }, ended, 9000).enough, false);
  assert.equal(play({ ...LAST, window: '5s' }, ended.slice(0, 1), 9000).value, 10);
  for (const odd of [Number.NaN, Number.POSITIVE_INFINITY])
    assert.equal(play(LAST, [[1000, gauge(1000, { value: odd })]], 2000).items, 0);
});

test('points that are older than late_after, and metrics of no unit of time where one is needed, are not judged', () => {
  const LAST = { take: 'last', breached: 'above 1000' };
  assert.equal(play(LAST, [[300_000, gauge(1000, { value: 10 })]], 301_000).items, 0);
  assert.equal(play(LAST, [[1000, gauge(200_000, { value: 10 })]], 2000).items, 1, 'a clock that is ahead is judged');
  const inSeconds = metric('m', { gauge: { dataPoints: [point(1000, { value: 0.25 })] } }, 's');
  const inBytes = metric('m', { gauge: { dataPoints: [point(1000, { value: 0.25 })] } }, 'By');
  const MS = { take: 'last', breached: 'above 300ms' };
  assert.equal(value(play(MS, [[1000, inSeconds]], 2000)), 250);
  assert.equal(play(MS, [[1000, inBytes]], 2000).items, 0);
});

test('shares weigh by value and count; slower_than reads buckets in the unit of the metric', () => {
  const code = (status: string) => ({ attributes: [attribute('code', status)] });
  const requests = metric('m', {
    sum: {
      dataPoints: [
        point(10_000, { value: 90, startMs: START_MS, more: code('200') }),
        point(10_000, { value: 10, startMs: START_MS, more: code('500') }),
      ],
      ...DELTA,
    },
  });
  const errors = { bad: { code: { like: '5*' } }, breached: 'above 5%' };
  assert.deepEqual(play(errors, [[10_000, requests]], 11_000), { value: 0.1, items: 100, enough: true });
  const slow = { slower_than: '250ms', breached: 'above 5%' };
  const arrivals: [number, Uint8Array][] = [
    [0, histogram(0, [10, 10, 10], [0.25, 0.5])],
    [10_000, histogram(10_000, [70, 30, 20], [0.25, 0.5])],
  ];
  // 60 below, 20 and 10 above 250 ms since the first point.
  assert.equal(value(play(slow, arrivals, 11_000)), Number((30 / 90).toPrecision(12)));
  const between = { slower_than: '375ms', breached: 'above 5%' };
  assert.equal(value(play(between, arrivals, 11_000)), Number((20 / 90).toPrecision(12)), 'evenly within the bucket');
});

test('percentiles of histograms, explicit and exponential, come from the merged buckets', () => {
  const P95 = { take: 'p95', breached: 'above 1s' };
  const arrivals: [number, Uint8Array][] = [[10_000, histogram(10_000, [50, 40, 10], [0.1, 0.2], DELTA, { max: 0.4 })]];
  assert.equal(value(play(P95, arrivals, 11_000)), 300);
  const { asDouble: _, ...rest } = point(10_000, {});
  const exponential = metric(
    'm',
    {
      exponentialHistogram: {
        // Scale 0: buckets (1, 2] and (2, 4].
        dataPoints: [{ ...rest, count: 20, sum: 1, scale: 0, positive: { offset: 0, bucketCounts: [10, 10] } }],
        aggregationTemporality: 1,
      },
    },
    'ms',
  );
  assert.equal(value(play({ take: 'p75', breached: 'above 1s' }, [[10_000, exponential]], 11_000)), 3);
  assert.equal(value(play({ take: 'mean', breached: 'above 1s' }, arrivals, 11_000)), 1000);
});

test('several names are one metric; another name, service or where is none of it', () => {
  const old = metric('old', { gauge: { dataPoints: [point(1000, { value: 7 })] } });
  const signal = { take: 'last', breached: 'above 1000' };
  assert.equal(play({ ...signal, metric: ['new', 'old'] }, [[1000, old]], 2000).value, 7);
  assert.equal(play(signal, [[1000, old]], 2000).items, 0);
  assert.equal(play({ ...signal, where: { series: 'b' } }, [[1000, gauge(1000, { value: 7 })]], 2000).items, 0);
});

/** Spans or log records of one request, received at NOW_MS. */
function measured(signal: object, more: object, request: Uint8Array, kind: 'traces' | 'logs' = 'traces') {
  const contract = contractOf([{ name: 's', of: kind === 'logs' ? 'logs' : 'spans', min_items: 1, ...signal }], more);
  const measuring = createMeasuring([contract], false);
  measuring.add(kind, request, NOW_MS);
  const [target] = contract.signals.flatMap((one) => measuring.instancesOf(one));
  assert.ok(target !== undefined);
  return { ...readSignal(target.plan, target.memory, NOW_MS / 1000 + 1), target };
}

test('values of spans: durations and numeric attributes, with percentiles to 2.2 %; what has none is left out', () => {
  const spans = [10, 20, 30, 40, 400].map((ms, i) =>
    span(i, i === 4 ? {} : { attributes: [{ key: 'rows', value: { intValue: String(ms) } }] }, ms),
  );
  const request = service('shop', ...spans);
  const taken = (signal: object) => measured({ breached: 'above 1000', ...signal }, {}, request).value;
  const ofDuration = (take: string) => taken({ take, value: 'duration', breached: 'above 1s' });
  assert.deepEqual(['last', 'min', 'max', 'mean', 'sum'].map(ofDuration), [400, 10, 400, 100, 500]);
  assert.ok(Math.abs(ofDuration('p50') - 29.5) < 1.5, `${ofDuration('p50')}`);
  assert.ok(Math.abs(ofDuration('p99') - 400) < 9, `${ofDuration('p99')}`);
  assert.deepEqual(
    ['last', 'sum'].map((take) => taken({ take, value: 'rows' })),
    [40, 100],
  );
});

test('upstream_sampling counts what a sampler before the agent has dropped; a th says it better; log records carry theirs', () => {
  const errors = { bad: { status: 'error' }, breached: 'above 5%' };
  const request = service('shop', span(1), span(2, { traceState: 'ot=th:8' }));
  assert.equal(measured(errors, { upstream_sampling: '10%' }, request).items, 12);
  const sampled = { attributes: [attribute('sampling.threshold', 'c')], severityNumber: 17 };
  const bad = { bad: { severity: { gte: 17 } }, breached: 'above 5%' };
  assert.deepEqual(measured(bad, {}, logs(sampled, { severityNumber: 9 }), 'logs').items, 5);
});

test('what a look-back of an agent before has added is judged by nobody, also where it is late', () => {
  const errors = { bad: { status: 'error' }, breached: 'above 5%' };
  const attributes = [attribute('plumbline.kept', 'look_back')];
  const added = { status: { code: 2 }, attributes };
  const late = { startTimeUnixNano: 1, endTimeUnixNano: 2, ...added };
  const request = service('shop', span(1), span(2, added), span(3, { ...added, traceState: 'ot=th:8' }), span(4, late));
  const { items, value } = measured(errors, { upstream_sampling: '10%' }, request);
  assert.deepEqual([items, value], [10, 0]);
  assert.equal(measured({ take: 'max', value: 'duration', breached: 'above 1s' }, {}, request).items, 1);
  const bad = { bad: { severity: { gte: 17 } }, breached: 'above 5%' };
  const records = logs({ severityNumber: 17, attributes }, { severityNumber: 9 });
  assert.deepEqual(measured(bad, {}, records, 'logs').items, 1);
});

test('namespace, environment (by either name) and service_version choose among resources of one name', () => {
  const type = requestType('traces');
  const request = (...attributes: [string, string][]) =>
    type
      .encode(
        type.fromObject({
          resourceSpans: [
            {
              resource: {
                attributes: [['service.name', 'shop'], ...attributes].map(([key, text]) =>
                  attribute(key ?? '', text ?? ''),
                ),
              },
              scopeSpans: [{ spans: [span(1)] }],
            },
          ],
        }),
      )
      .finish();
  const errors = { bad: { status: 'error' }, breached: 'above 5%' };
  const items = (more: object, ...attributes: [string, string][]) =>
    measured(errors, more, request(...attributes)).items;
  assert.equal(items({ namespace: 'eu' }, ['service.namespace', 'eu']), 1);
  assert.equal(items({ namespace: 'eu' }, ['service.namespace', 'us']), 0);
  assert.equal(items({ namespace: 'eu' }), 0);
  assert.equal(items({ environment: 'production' }, ['deployment.environment.name', 'production']), 1);
  assert.equal(items({ environment: 'production' }, ['deployment.environment', 'production']), 1);
  assert.equal(items({ environment: 'production' }, ['deployment.environment.name', 'test']), 0);
  assert.equal(items({ service_version: '2' }, ['service.version', '2']), 1);
  assert.equal(items({ service_version: '2' }, ['service.version', '1']), 0);
});

test('evidence is the operations that exceed the limit most, by version, and the newest traces of bad items', () => {
  const named = (from: number, name: string, count: number, bad: number) =>
    Array.from({ length: count }, (_, i) => span(from + i, { name, status: { code: i < bad ? 2 : 0 } }));
  const spans = [
    ...named(0, 'a', 100, 1),
    ...named(200, 'b', 10, 9),
    ...named(300, 'c', 100, 40),
    ...named(500, 'd', 10, 2),
  ];
  const { target } = measured({ bad: { status: 'error' }, breached: 'above 5%' }, {}, service('shop', ...spans));
  const contributions = target.evidence.contributions(NOW_MS, 0.05, 3);
  assert.deepEqual(
    contributions.map(({ name, items, bad, excess }) => [name, items, bad, excess]),
    [
      ['c', 100, 40, 35],
      ['b', 10, 9, 8.5],
      ['d', 10, 2, 1.5],
    ],
  );
  const ids = target.evidence.tracesSince(0);
  assert.equal(ids.length, 5);
  assert.equal(ids[0], Buffer.from(spans.at(-9)?.traceId as Buffer).toString('hex'));
});

test('operations and versions that end alike are told apart', () => {
  const numbers = Array.from({ length: 10 }, (_, i) => i);
  const type = requestType('traces');
  const resourceSpans = numbers.map((version) => ({
    resource: { attributes: [attribute('service.name', 'shop'), attribute('service.version', `2.1.${version}`)] },
    scopeSpans: [
      { spans: numbers.map((name) => span(10 * version + name, { name: `work-${name}`, status: { code: 2 } })) },
    ],
  }));
  const request = type.encode(type.fromObject({ resourceSpans })).finish();
  const { target } = measured({ bad: { status: 'error' }, breached: 'above 5%' }, {}, request);
  const found = target.evidence.contributions(NOW_MS, 0.05, 200);
  assert.equal(new Set(found.map(({ name, version }) => `${name} ${version}`)).size, 100);
});

test('a restart keeps apart what was apart and together what was one: series of 53 bits, operations of 32', () => {
  const evidence = new Evidence(60_000);
  const keys = [5 * 2 ** 32 + 77, 6 * 2 ** 32 + 77, -77];
  const add = (to: Evidence) => {
    for (const key of keys) to.addOperation(NOW_MS, key, 100, 50, () => ({ name: `${key}`, version: '' }));
  };
  add(evidence);
  const restarted = new Evidence(60_000);
  restarted.restore(afterRestart(evidence.save()));
  add(evidence);
  add(restarted);
  assert.deepEqual(restarted.contributions(NOW_MS, 0.05, 5), evidence.contributions(NOW_MS, 0.05, 5));
});
