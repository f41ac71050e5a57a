/** What the agent itself says in OTLP: metric and log data of the OpenTelemetry SDK's shapes, serialised by its own transformer. */
import { createRequire } from 'node:module';
import type { HrTime } from '@opentelemetry/api';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { DataPoint, MetricData, ResourceMetrics } from '@opentelemetry/sdk-metrics';
import { AgentError } from './errors.ts';

const require = createRequire(import.meta.url);

interface Sdk {
  transformer: typeof import('@opentelemetry/otlp-transformer');
  resources: typeof import('@opentelemetry/resources');
  metrics: typeof import('@opentelemetry/sdk-metrics');
}

let loaded: Sdk | null = null;

/** Loaded with the first word that is said: workers, and an agent that has nothing to say, do without its 17 MB. */
function sdk(): Sdk {
  loaded ??= {
    transformer: require('@opentelemetry/otlp-transformer') as Sdk['transformer'],
    resources: require('@opentelemetry/resources') as Sdk['resources'],
    metrics: require('@opentelemetry/sdk-metrics') as Sdk['metrics'],
  };
  return loaded;
}

/** ValueType of the API: 0 are integers. */
const ValueType = { INT: 0, DOUBLE: 1 } as const;

const SCOPE = { name: 'plumbline' };

/** Unix milliseconds as the SDK's [seconds, nanoseconds]. */
function hrTime(ms: number): HrTime {
  return [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];
}

export type Attributes = Record<string, string | number | boolean | string[]>;

export interface Point<Value> {
  attributes: Attributes;
  value: Value;
}

/** The buckets of positive values; counts are integers. */
export interface HistogramValue {
  count: number;
  sum: number;
  min: number;
  max: number;
  scale: number;
  zeroCount: number;
  offset: number;
  counts: number[];
}

export type Metric =
  | { kind: 'sum'; name: string; unit: string; description: string; points: Point<number>[] }
  | { kind: 'gauge'; name: string; unit: string; description: string; points: Point<number>[] }
  | { kind: 'histogram'; name: string; unit: string; description: string; points: Point<HistogramValue>[] };

/** Sums and histograms are deltas from `startMs` to `endMs`. Returns one ExportMetricsServiceRequest. */
export function serializeMetrics(
  resources: { attributes: Attributes; metrics: Metric[] }[],
  startMs: number,
  endMs: number,
): Uint8Array {
  const times = { startTime: hrTime(startMs), endTime: hrTime(endMs) };
  const data: ResourceMetrics[] = resources.map(({ attributes, metrics }) => ({
    resource: sdk().resources.resourceFromAttributes(attributes),
    scopeMetrics: [{ scope: SCOPE, metrics: metrics.map((metric) => metricData(metric, times)) }],
  }));
  // The serialiser takes one resource; requests laid end to end are one request.
  return Buffer.concat(data.map((one) => bytesOf(sdk().transformer.ProtobufMetricsSerializer.serializeRequest(one))));
}

function metricData(metric: Metric, times: { startTime: HrTime; endTime: HrTime }): MetricData {
  const { AggregationTemporality, DataPointType } = sdk().metrics;
  const descriptor = {
    name: metric.name,
    unit: metric.unit,
    description: metric.description,
    valueType: ValueType.DOUBLE,
  };
  const base = { descriptor, aggregationTemporality: AggregationTemporality.DELTA };
  const points = <From, To>(given: Point<From>[], convert: (value: From) => To): DataPoint<To>[] =>
    given.map(({ attributes, value }) => ({ ...times, attributes, value: convert(value) }));
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

/** An event: a log record with an EventName. `severity` is the SeverityNumber. */
export interface EventRecord {
  name: string;
  timeMs: number;
  severity: number;
  /** A sentence for people. */
  body: string;
  resource: Attributes;
  attributes: Attributes;
}

/** Returns one ExportLogsServiceRequest. */
export function serializeEvents(events: EventRecord[]): Uint8Array {
  const records: ReadableLogRecord[] = events.map((event) => ({
    hrTime: hrTime(event.timeMs),
    hrTimeObserved: hrTime(event.timeMs),
    eventName: event.name,
    severityNumber: event.severity,
    body: event.body,
    resource: sdk().resources.resourceFromAttributes(event.resource),
    instrumentationScope: SCOPE,
    attributes: event.attributes,
    droppedAttributesCount: 0,
  }));
  return bytesOf(sdk().transformer.ProtobufLogsSerializer.serializeRequest(records));
}

function bytesOf(serialized: Uint8Array | undefined): Uint8Array {
  if (serialized === undefined) throw new AgentError('BODY_UNDECODABLE', 'the OTLP serialiser returned nothing');
  return serialized;
}
