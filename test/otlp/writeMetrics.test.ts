/** Holds the writer of the agent's own metrics against OpenTelemetry's transformer: what is decoded of both is equal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HrTime } from '@opentelemetry/api';
import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { AggregationTemporality, type DataPoint, DataPointType, type MetricData } from '@opentelemetry/sdk-metrics';
import type { Attributes, HistogramValue, Metric, Point } from '../../src/core/otel.ts';
import { encodeAttributes, writeMetrics } from '../../src/otlp/writeMetrics.ts';
import { decoded, generated, list, type Plain, seeded } from './generate.ts';

type Random = ReturnType<typeof seeded>;

/** ValueType of the API: 0 are integers. */
const ValueType = { INT: 0, DOUBLE: 1 } as const;

/** Unix milliseconds as the SDK's [seconds, nanoseconds]. */
function hrTime(ms: number): HrTime {
  return [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];
}

function bySdk(resources: { attributes: Attributes; metrics: Metric[] }[], startMs: number, endMs: number): Plain {
  const times = { startTime: hrTime(startMs), endTime: hrTime(endMs) };
  const requests = resources.map(({ attributes, metrics }) => {
    const resource = resourceFromAttributes(attributes);
    const scopeMetrics = [{ scope: { name: 'plumbline' }, metrics: metrics.map((one) => metricData(one, times)) }];
    return ProtobufMetricsSerializer.serializeRequest({ resource, scopeMetrics }) ?? assert.fail('nothing');
  });
  // The serialiser takes one resource; requests laid end to end are one request.
  return decoded('metrics', Buffer.concat(requests));
}

/** The same with the attributes of its points as bytes. */
function encodedOf(metric: Metric): Metric {
  const points = metric.points.map((point) => ({
    ...point,
    attributes: encodeAttributes(point.attributes as Attributes),
  }));
  return { ...metric, points } as Metric;
}

function metricData(metric: Metric, times: { startTime: HrTime; endTime: HrTime }): MetricData {
  const descriptor = {
    name: metric.name,
    unit: metric.unit,
    description: metric.description,
    valueType: ValueType.DOUBLE,
  };
  const base = { descriptor, aggregationTemporality: AggregationTemporality.DELTA };
  const points = <From, To>(given: Point<From>[], convert: (value: From) => To): DataPoint<To>[] =>
    given.map(({ attributes, value }) => ({ ...times, attributes: attributes as Attributes, value: convert(value) }));
  switch (metric.kind) {
    case 'gauge':
      return { ...base, dataPointType: DataPointType.GAUGE, dataPoints: points(metric.points, (value) => value) };
    case 'sum':
      return {
        ...base,
        descriptor: { ...descriptor, valueType: ValueType.INT },
        dataPointType: DataPointType.SUM,
        isMonotonic: true,
        dataPoints: points(metric.points, (value) => value),
      };
    case 'histogram':
      return {
        ...base,
        dataPointType: DataPointType.EXPONENTIAL_HISTOGRAM,
        dataPoints: points(metric.points, ({ offset, counts, ...value }) => ({
          ...value,
          positive: { offset, bucketCounts: counts },
          negative: { offset: 0, bucketCounts: [] },
        })),
      };
  }
}

const texts = ['', 'a', 'GET /cart/{id}', 'größer', '\u{1f600}'.repeat(40), 'x'.repeat(300)];

function attributesFrom(random: Random): Attributes {
  const values = [
    random.pick(texts),
    random.below(2) === 0,
    random.below(100) - 50,
    -(2 ** 40),
    2 ** 52,
    0.1,
    ['a', 'ö'],
  ];
  return Object.fromEntries(
    Array.from({ length: random.below(4) }, (_, i) => [`${random.pick(texts)}${i}`, random.pick(values)]),
  );
}

function count(random: Random): number {
  return random.pick([0, 1, 127, 128, 16_384, 2 ** 31, 2 ** 32, 2 ** 45 + 1]);
}

function histogramFrom(random: Random): HistogramValue {
  return {
    count: count(random),
    sum: random.next() * 1e6,
    min: random.next(),
    max: random.next() * 1e5,
    scale: random.below(12) - 6,
    zeroCount: count(random),
    offset: random.below(4000) - 2000,
    counts: Array.from({ length: random.below(161) }, () => count(random)),
  };
}

function metricFrom(random: Random): Metric {
  const words = { name: `m${random.below(9)}`, unit: random.pick(texts), description: random.pick(texts) };
  const points = <Value>(value: () => Value): Point<Value>[] =>
    Array.from({ length: 1 + random.below(30) }, () => ({ attributes: attributesFrom(random), value: value() }));
  const kind = random.pick(['gauge', 'sum', 'histogram'] as const);
  if (kind === 'histogram') return { ...words, kind, points: points(() => histogramFrom(random)) };
  return { ...words, kind, points: points(() => (kind === 'sum' ? count(random) : random.next() * 10 - 5)) };
}

/** The transformer writes an empty `negative`, and leaves out the length of none. */
function withoutNegative(request: Plain): Plain {
  for (const { scopeMetrics } of list(request.resourceMetrics))
    for (const { metrics } of list(scopeMetrics))
      for (const { exponentialHistogram } of list(metrics))
        for (const point of list((exponentialHistogram as Plain | undefined)?.dataPoints)) delete point.negative;
  return request;
}

test('what is written is what the transformer of the SDK writes', (t) => {
  const random = seeded(t, 31);
  for (let i = 0; i < generated(300); i++) {
    const resources = Array.from({ length: random.below(4) }, () => ({
      attributes: attributesFrom(random),
      metrics: Array.from({ length: random.below(4) }, () => metricFrom(random)),
    }));
    const startMs = 1_700_000_000_000 + random.below(1e9);
    const endMs = startMs + random.below(1e6);
    const bytes = writeMetrics(resources, startMs, endMs);
    assert.deepEqual(withoutNegative(decoded('metrics', bytes)), withoutNegative(bySdk(resources, startMs, endMs)));
    const encoded = resources.map(({ attributes, metrics }) => ({ attributes, metrics: metrics.map(encodedOf) }));
    assert.ok(Buffer.from(writeMetrics(encoded, startMs, endMs)).equals(bytes), 'attributes encoded beforehand');
  }
});
