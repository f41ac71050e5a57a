// HOT: once per metric. Bench: bench/micro/otlp/metrics.bench.ts
/**
 * Metrics: reads what all points of one share, and goes from point to point (points.ts reads them).
 *
 *   Metric { string name = 1; string unit = 3; oneof data: Gauge 5, Sum 7, Histogram 9, ExponentialHistogram 10, Summary 11;
 *            repeated KeyValue metadata = 12 }
 *   Gauge, Sum, Histogram, ExponentialHistogram, Summary { repeated ...DataPoint data_points = 1; ... }
 *   Sum { ...; AggregationTemporality aggregation_temporality = 2; bool is_monotonic = 3 }
 *   Histogram, ExponentialHistogram { ...; AggregationTemporality aggregation_temporality = 2 }
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/opentelemetry/proto/metrics/v1/metrics.proto
 */
import { NOT_NOTED, readKeyValue } from './attributes.ts';
import { type PointView, readPoint } from './points.ts';
import { type Reader, readEnd, readTag, readVarint, skipField } from './protobuf.ts';

/** Which data a metric has: the field's number. `none` has no points. */
export const MetricKind = { none: 0, gauge: 5, sum: 7, histogram: 9, exponentialHistogram: 10, summary: 11 } as const;

/** AggregationTemporality. Gauges and summaries have none: 0. */
export const Temporality = { unspecified: 0, delta: 1, cumulative: 2 } as const;

/** One metric. Addresses; views hold until the next metric is read. */
export class MetricView {
  at = 0;
  end = 0;
  nameAt = 0;
  nameLength = 0;
  unitAt = 0;
  unitLength = 0;
  /** A value of MetricKind. */
  kind = 0;
  /** A value of Temporality. */
  temporality = 0;
  monotonic = false;
  /** How many points it has; known before the first is read. */
  points = 0;
  /** First field of the data: of a oneof the last field counts, and the same one twice is one message. */
  dataFrom = 0;
  /** Where `nextPoint` reads on, and the end of the data message around it. */
  cursor = 0;
  dataEnd = 0;
}

/** Reads the metric between `at` and `end`, all but its points: go through them with `nextPoint`, which validates them. Throws BODY_UNDECODABLE. */
export function readMetric(reader: Reader, at: number, end: number, metric: MetricView): void {
  metric.at = at;
  metric.end = end;
  metric.nameAt = at;
  metric.nameLength = 0;
  metric.unitAt = at;
  metric.unitLength = 0;
  metric.kind = MetricKind.none;
  metric.temporality = Temporality.unspecified;
  metric.monotonic = false;
  metric.points = 0;
  metric.dataFrom = end;
  reader.pos = at;
  while (reader.pos < end) {
    const fieldAt = reader.pos;
    const tag = readTag(reader, end);
    switch (tag) {
      case 10: // name
        metric.nameLength = readEnd(reader, end) - reader.pos;
        metric.nameAt = reader.pos;
        reader.pos += metric.nameLength;
        break;
      case 26: // unit
        metric.unitLength = readEnd(reader, end) - reader.pos;
        metric.unitAt = reader.pos;
        reader.pos += metric.unitLength;
        break;
      case 42: // gauge
      case 58: // sum
      case 74: // histogram
      case 82: // exponential_histogram
      case 90: // summary
        if (metric.kind !== tag >>> 3) enterData(metric, tag >>> 3, fieldAt);
        readData(reader, readEnd(reader, end), metric);
        break;
      case 98: // metadata
        readKeyValue(reader, readEnd(reader, end), NOT_NOTED, 1);
        break;
      default:
        skipField(reader, tag, end);
    }
  }
  rewindPoints(metric);
}

function enterData(metric: MetricView, kind: number, fieldAt: number): void {
  metric.kind = kind;
  metric.dataFrom = fieldAt;
  metric.points = 0;
  metric.temporality = Temporality.unspecified;
  metric.monotonic = false;
}

/** Counts the points and reads what stands beside them. */
function readData(reader: Reader, end: number, metric: MetricView): void {
  const { kind } = metric;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 16 && kind !== MetricKind.gauge && kind !== MetricKind.summary)
      metric.temporality = readVarint(reader, end) | 0;
    else if (tag === 24 && kind === MetricKind.sum) metric.monotonic = readVarint(reader, end) !== 0;
    else {
      if (tag === 10) metric.points++;
      skipField(reader, tag, end);
    }
  }
}

/** The next `nextPoint` reads the first point (again). */
function rewindPoints(metric: MetricView): void {
  metric.cursor = metric.dataFrom;
  metric.dataEnd = metric.dataFrom;
}

/** Reads and validates the metric's next point; false when there is none. Throws BODY_UNDECODABLE. */
export function nextPoint(reader: Reader, metric: MetricView, point: PointView): boolean {
  do {
    while (metric.cursor < metric.dataEnd) {
      reader.pos = metric.cursor;
      const tag = readTag(reader, metric.dataEnd);
      if (tag === 10) {
        const stop = readEnd(reader, metric.dataEnd);
        readPoint(reader, stop, metric.kind, point);
        metric.cursor = stop;
        return true;
      }
      skipField(reader, tag, metric.dataEnd);
      metric.cursor = reader.pos;
    }
  } while (nextData(reader, metric));
  return false;
}

/** Moves into the next data message; nearly every metric has one. */
function nextData(reader: Reader, metric: MetricView): boolean {
  reader.pos = metric.dataEnd;
  while (reader.pos < metric.end) {
    const tag = readTag(reader, metric.end);
    if (tag === ((metric.kind << 3) | 2)) {
      metric.dataEnd = readEnd(reader, metric.end);
      metric.cursor = reader.pos;
      return true;
    }
    skipField(reader, tag, metric.end);
  }
  return false;
}
