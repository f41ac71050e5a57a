/** Holds src/otlp/metrics.ts: metrics and their points are protobufjs's, and attributes are validated down to exemplars. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../src/core/errors.ts';
import { readBucketCounts, readBuckets } from '../../src/otlp/buckets.ts';
import { MetricKind, MetricView, nextPoint, readMetric } from '../../src/otlp/metrics.ts';
import { PointView, readPoint } from '../../src/otlp/points.ts';
import { Reader } from '../../src/otlp/protobuf.ts';
import { messageType } from '../../src/otlp/schema.ts';
import { createMetricCutter } from '../../src/otlp/soundPoints.ts';
import {
  decoded,
  encode,
  encodeRequest,
  generated,
  itemsOf,
  list,
  metric,
  type Plain,
  placed,
  request,
  seeded,
} from './generate.ts';
import { oracleMetric, walk } from './walked.ts';

const KINDS = ['none', 'gauge', 'sum', 'histogram', 'exponentialHistogram', 'summary'];

test('metrics and every field of all kinds of points are those of protobufjs', (t) => {
  const random = seeded(t, 3);
  const seen = new Map<string, number>();
  for (let i = 0; i < generated(2000); i++) {
    const bytes = encodeRequest('metrics', request(random, 'metrics'), random);
    const { buffer, at, end } = placed(bytes, 0xff);
    const wanted = itemsOf('metrics', decoded('metrics', bytes)).map(({ item }) => oracleMetric(item));
    const found = walk('metrics', buffer, at, end).map(({ item }) => item);
    assert.deepEqual(found, wanted, `case ${i}`);
    for (const { kind, points } of found) {
      const name = KINDS[[0, 5, 7, 9, 10, 11].indexOf(Number(kind))] ?? '';
      seen.set(name, (seen.get(name) ?? 0) + (points as Plain[]).length);
    }
  }
  for (const kind of KINDS.slice(1)) assert.ok((seen.get(kind) ?? 0) > 50, `too few points of ${kind}`);
});

const encoded = (name: string, plain: Plain) => messageType(name).encode(messageType(name).fromObject(plain)).finish();
function read(...parts: Uint8Array[]): { metric: MetricView; values: number[] } {
  const bytes = Buffer.concat(parts);
  const metric = new MetricView();
  const point = new PointView();
  const reader = new Reader(bytes);
  const values: number[] = [];
  readMetric(reader, 0, bytes.length, metric);
  while (nextPoint(reader, metric, point)) values.push(point.value);
  return { metric, values };
}

test('of the oneof the last data counts; the same data twice is one message', () => {
  const gauge = encoded('Metric', { gauge: { dataPoints: [{ asInt: 1 }] } });
  const sum = (asInt: number, more: Plain = {}) =>
    encoded('Metric', { sum: { dataPoints: [{ asInt }, { asInt: asInt + 1 }], ...more } });
  const name = encoded('Metric', { name: 'n' });
  assert.deepEqual(read(sum(5), gauge).values, [1]);
  assert.deepEqual(read(gauge, name, sum(5)).values, [5, 6]);
  const twice = read(gauge, sum(5, { aggregationTemporality: 1, isMonotonic: true }), name, sum(8));
  assert.deepEqual(twice.values, [5, 6, 8, 9]);
  assert.deepEqual([twice.metric.points, twice.metric.temporality, twice.metric.monotonic], [4, 1, true]);
  const replaced = read(sum(5, { aggregationTemporality: 1, isMonotonic: true }), gauge, sum(8));
  assert.deepEqual(replaced.values, [8, 9]);
  assert.deepEqual([replaced.metric.points, replaced.metric.temporality, replaced.metric.monotonic], [2, 0, false]);
});

test('a point is sound when its counts fit its bounds, packed or not', () => {
  const point = new PointView();
  const soundness = (...parts: Uint8Array[]) => {
    const bytes = Buffer.concat(parts);
    readPoint(new Reader(bytes), bytes.length, MetricKind.histogram, point);
    return point.isSound(Infinity);
  };
  const histogram = (bucketCounts: number[], explicitBounds: number[]) =>
    encoded('HistogramDataPoint', { bucketCounts, explicitBounds });
  assert.equal(soundness(histogram([], [])), true);
  assert.equal(soundness(histogram([3], [])), true);
  assert.equal(soundness(histogram([1, 2], [5])), true);
  assert.equal(soundness(histogram([1, 2], [])), false);
  assert.equal(soundness(histogram([], [1])), false);
  assert.equal(soundness(histogram([1, 2], [1, 2])), false);
  // Packed, then one unpacked, then packed again: three counts.
  assert.equal(soundness(histogram([1], [1, 2]), Buffer.from([49, 2, 0, 0, 0, 0, 0, 0, 0]), histogram([3], [])), true);
  assert.deepEqual([point.bucketCounts.count, point.bucketCounts.at], [3, -1]);
  const three = new Float64Array(5);
  const joined = Buffer.concat([histogram([1], []), Buffer.from([49, 2, 0, 0, 0, 0, 0, 0, 0])]);
  readPoint(new Reader(joined), joined.length, MetricKind.histogram, point);
  assert.equal(readBucketCounts(new Reader(joined), point, three), 2);
  assert.deepEqual([...three.subarray(0, 2)], [1, 2]);
});

test('two Buckets messages are one', () => {
  const bytes = Buffer.concat([
    encoded('ExponentialHistogramDataPoint', { positive: { offset: 3, bucketCounts: [1, 300] } }),
    encoded('ExponentialHistogramDataPoint', { positive: { bucketCounts: [5] } }),
  ]);
  const point = new PointView();
  readPoint(new Reader(bytes), bytes.length, MetricKind.exponentialHistogram, point);
  const counts = new Float64Array(8);
  assert.equal(readBuckets(new Reader(bytes), point, 'positive', counts), 3);
  assert.deepEqual([point.positive.offset, ...counts.subarray(0, 3)], [3, 1, 300, 5]);
});

const KIND_OF_POINTS = KINDS.slice(1);
/** Empty is none; else `bytes` of them. */
const isIdOrNone = (base64: unknown, bytes: number) =>
  [0, bytes].includes(Buffer.from(String(base64 ?? ''), 'base64').length);
const hasSoundIds = ({ traceId, spanId }: Plain) => isIdOrNone(traceId, 16) && isIdOrNone(spanId, 8);

test('a cut metric has the sound points and exemplars and everything else of the old one', (t) => {
  const random = seeded(t, 4);
  const type = messageType('Metric');
  const fits = ({ bucketCounts, explicitBounds }: Plain) =>
    list(bucketCounts).length === 0
      ? list(explicitBounds).length === 0
      : list(bucketCounts).length === list(explicitBounds).length + 1;
  const cut: Record<string, number> = { points: 0 };
  for (let i = 0; i < generated(3000); i++) {
    const bytes = encode(type, metric(random), random, true);
    const plain = type.toObject(type.decode(bytes), { longs: String, bytes: String, json: true }) as Plain;
    const { buffer, at, end } = placed(bytes, 0xff);
    const room = Buffer.concat([buffer, Buffer.alloc(bytes.length + 64)]);
    const cutter = createMetricCutter(new Reader(room), room, new MetricView(), new PointView(), Infinity);
    const length = cutter.length(at, end);
    const kind = KIND_OF_POINTS.find((name) => plain[name] !== undefined) ?? 'none';
    const data = plain[kind] as Plain | undefined;
    const before = list(data?.dataPoints);
    const kept = before.filter(fits);
    if (data !== undefined && before.length > 0 && kept.length === 0) {
      assert.equal(length, 0);
      continue;
    }
    if (data !== undefined && kept.length > 0) data.dataPoints = kept;
    let bad = 0;
    for (const point of kept) {
      const exemplars = list(point.exemplars);
      const sound = exemplars.filter(hasSoundIds);
      bad += exemplars.length - sound.length;
      if (sound.length > 0) point.exemplars = sound;
      else delete point.exemplars;
    }
    const to = buffer.length;
    assert.equal(cutter.copy(at, end, to), to + length, `case ${i}`);
    const after = Uint8Array.from(room.subarray(to, to + length));
    assert.deepEqual(type.toObject(type.decode(after), { longs: String, bytes: String, json: true }), plain);
    if (kept.length < before.length) cut.points = (cut.points ?? 0) + 1;
    cut[kind] = (cut[kind] ?? 0) + bad;
    if (kept.length === before.length && bad === 0 && bytes.length !== length)
      assert.fail(`case ${i}: ${length} bytes of ${bytes.length} where nothing was cut`);
  }
  t.diagnostic(`cut: ${JSON.stringify(cut)}`);
  for (const what of ['points', 'gauge', 'sum', 'histogram', 'exponentialHistogram'])
    assert.ok((cut[what] ?? 0) > 30, `too few of ${what} were cut`);
});

function readAll(reader: Reader, end: number): void {
  const metric = new MetricView();
  readMetric(reader, 0, end, metric);
  while (nextPoint(reader, metric, new PointView()));
}

test('a broken attribute is refused wherever it hides: point, exemplar, metadata', () => {
  const type = messageType('Metric');
  const good = { key: 'k', value: { stringValue: 'marker' } };
  const exemplars = [{ filteredAttributes: [good] }];
  const places: Plain[] = [
    { metadata: [good] },
    { gauge: { dataPoints: [{ attributes: [good] }] } },
    { sum: { dataPoints: [{ exemplars }] } },
    { histogram: { dataPoints: [{ attributes: [good] }] } },
    { histogram: { dataPoints: [{ exemplars }] } },
    { exponentialHistogram: { dataPoints: [{ attributes: [good] }] } },
    { exponentialHistogram: { dataPoints: [{ exemplars }] } },
    { summary: { dataPoints: [{ attributes: [good] }] } },
  ];
  for (const place of places) {
    const bytes = Buffer.from(type.encode(type.fromObject(place)).finish());
    const reader = new Reader(bytes);
    readAll(reader, bytes.length);
    // The length of the text inside the AnyValue now leads behind it.
    bytes[bytes.indexOf('marker') - 1] = 7;
    assert.throws(
      () => readAll(reader, bytes.length),
      (error) => error instanceof AgentError && error.code === 'BODY_UNDECODABLE',
      JSON.stringify(place),
    );
  }
});
