// HOT: once per metric and data point. Bench: bench/micro/otlp/metrics.bench.ts
/**
 * Metrics: validates one and counts its data points.
 *
 *   Metric { string name = 1; oneof data: Gauge 5, Sum 7, Histogram 9, ExponentialHistogram 10, Summary 11; repeated KeyValue metadata = 12 }
 *   Gauge, Sum, Histogram, ExponentialHistogram, Summary { repeated ...DataPoint data_points = 1; ... }
 *   attributes: field 7 of NumberDataPoint and SummaryDataPoint, 9 of HistogramDataPoint, 1 of ExponentialHistogramDataPoint
 *   exemplars: field 5, 8, 11; Exemplar { ...; repeated KeyValue filtered_attributes = 7 }
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/opentelemetry/proto/metrics/v1/metrics.proto
 */
import { readKeyValue } from './attributes.ts';
import { type Reader, readEnd, readTag, skipField } from './protobuf.ts';

/** One metric. Addresses; views hold until the next metric is read. */
export class MetricView {
  at = 0;
  end = 0;
  nameAt = 0;
  nameLength = 0;
  points = 0;
}

/** By field number of `data`: tags of the attributes and of the exemplars of its points (0: none). */
const POINT_TAGS: (readonly [attributes: number, exemplars: number])[] = [];
POINT_TAGS[5] = [58, 42];
POINT_TAGS[7] = [58, 42];
POINT_TAGS[9] = [74, 66];
POINT_TAGS[10] = [10, 90];
POINT_TAGS[11] = [58, 0];
const FILTERED_ATTRIBUTES = 58;

/** Reads and validates the metric between `at` and `end`; throws BODY_UNDECODABLE. */
export function readMetric(reader: Reader, at: number, end: number, metric: MetricView): void {
  metric.at = at;
  metric.end = end;
  metric.nameAt = at;
  metric.nameLength = 0;
  metric.points = 0;
  reader.pos = at;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 10) {
      const stop = readEnd(reader, end);
      metric.nameAt = reader.pos;
      metric.nameLength = stop - reader.pos;
      reader.pos = stop;
    } else if (tag === 98) readKeyValue(reader, readEnd(reader, end), null, 1);
    else if ((tag & 7) === 2 && POINT_TAGS[tag >>> 3] !== undefined) {
      const [attributes, exemplars] = POINT_TAGS[tag >>> 3]!;
      metric.points += readPoints(reader, readEnd(reader, end), attributes, exemplars);
    } else skipField(reader, tag, end);
  }
}

function readPoints(reader: Reader, end: number, attributeTag: number, exemplarTag: number): number {
  let points = 0;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 10) {
      readPoint(reader, readEnd(reader, end), attributeTag, exemplarTag);
      points++;
    } else skipField(reader, tag, end);
  }
  return points;
}

function readPoint(reader: Reader, end: number, attributeTag: number, exemplarTag: number): void {
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === attributeTag) readKeyValue(reader, readEnd(reader, end), null, 1);
    else if (tag === exemplarTag) readPoint(reader, readEnd(reader, end), FILTERED_ATTRIBUTES, 0);
    else skipField(reader, tag, end);
  }
}
