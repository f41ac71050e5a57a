/** What the walkers see of a request, as plain data that can be held against protobufjs. */
import type { Signal } from '../../src/core/block.ts';
import { type AttributeTable, emptyValue, readValue } from '../../src/otlp/attributes.ts';
import { readBounds, readBucketCounts, readBuckets } from '../../src/otlp/buckets.ts';
import { LogView, readLogRecord } from '../../src/otlp/logs.ts';
import { MetricView, nextPoint, readMetric } from '../../src/otlp/metrics.ts';
import { PointView } from '../../src/otlp/points.ts';
import { Reader } from '../../src/otlp/protobuf.ts';
import { Envelope, walkItems } from '../../src/otlp/resource.ts';
import { readSpan, SpanView } from '../../src/otlp/traces.ts';
import { list, type Plain } from './generate.ts';

export interface Walked {
  item: Plain;
  resource: Plain[];
  scope: Plain[];
  service: string;
}

const wide = (low: number, high: number) => String((BigInt(high) << 32n) | BigInt(low));

/** Keys and scalar values as noted; `double` exact, `int` as the nearest double. */
export function attributesOf(buffer: Buffer, table: AttributeTable): Plain[] {
  const value = emptyValue();
  return Array.from({ length: table.count }, (_, i) => {
    const key = buffer.toString('utf8', table.keyAt(i), table.keyAt(i) + table.keyLength(i));
    readValue(new Reader(buffer), table.valueAt(i), table.valueEnd(i), value);
    const text = () => buffer.subarray(value.at, value.end);
    const shown =
      value.kind === 'string'
        ? text().toString()
        : value.kind === 'bytes'
          ? text().toString('hex')
          : value.kind === 'none' || value.kind === 'other'
            ? null
            : value.number;
    return { key, kind: value.kind, value: shown };
  });
}

/** Throws what the walkers throw. */
export function walk(signal: Signal, buffer: Buffer, at: number, end: number): Walked[] {
  const walked: Walked[] = [];
  const views = { traces: new SpanView(), logs: new LogView(), metrics: new MetricView() };
  const text = (from: number, length: number) => buffer.toString('utf8', from, from + length);
  const id = (from: number, length: number) => (from < 0 ? null : buffer.toString('hex', from, from + length));
  walkItems(new Reader(buffer), at, end, new Envelope(buffer), {
    enterResource() {},
    item(reader, from, to, envelope) {
      const envelopeParts = {
        resource: attributesOf(buffer, envelope.resource),
        scope: attributesOf(buffer, envelope.scope),
        service: text(envelope.serviceAt, envelope.serviceLength),
      };
      let item: Plain;
      if (signal === 'traces') {
        const { traces: view } = views;
        readSpan(reader, from, to, view);
        item = {
          traceId: id(view.traceIdAt, 16),
          spanId: id(view.spanIdAt, 8),
          name: text(view.nameAt, view.nameLength),
          kind: view.kind,
          status: view.status,
          start: wide(view.startLow, view.startHigh),
          end: wide(view.endLow, view.endHigh),
          traceState: view.traceStateTagAt < 0 ? '' : text(view.traceStateAt, view.traceStateEnd - view.traceStateAt),
          attributes: attributesOf(buffer, view.attributes),
        };
      } else if (signal === 'logs') {
        const { logs: view } = views;
        readLogRecord(reader, from, to, view);
        item = {
          traceId: id(view.traceIdAt, 16),
          severity: view.severity,
          time: wide(view.timeLow, view.timeHigh),
          body: view.bodyAt < 0 ? null : buffer.toString('hex', view.bodyAt, view.bodyEnd),
          attributes: attributesOf(buffer, view.attributes),
        };
      } else {
        const { metrics: view } = views;
        readMetric(reader, from, to, view);
        item = {
          name: text(view.nameAt, view.nameLength),
          unit: text(view.unitAt, view.unitLength),
          kind: view.kind,
          temporality: view.temporality,
          monotonic: view.monotonic,
          count: view.points,
          points: pointsOf(buffer, reader, view),
        };
      }
      walked.push({ item, ...envelopeParts });
    },
  });
  return walked;
}

/** Every field of every point. */
function pointsOf(buffer: Buffer, reader: Reader, metric: MetricView): Plain[] {
  const points: Plain[] = [];
  const point = new PointView();
  const numbers = new Float64Array(100);
  const listed = (count: number) => Array.from(numbers.subarray(0, count));
  while (nextPoint(reader, metric, point)) {
    points.push({
      start: wide(point.startLow, point.startHigh),
      time: wide(point.timeLow, point.timeHigh),
      flags: point.flags >>> 0,
      noRecordedValue: point.noRecordedValue,
      value: point.hasValue ? point.value : null,
      count: point.count,
      sum: point.hasSum ? point.sum : null,
      min: point.hasMin ? point.min : null,
      max: point.hasMax ? point.max : null,
      bucketCounts: listed(readBucketCounts(reader, point, numbers)),
      explicitBounds: listed(readBounds(reader, point, numbers)),
      listed: [point.bucketCounts.count, point.explicitBounds.count],
      scale: point.scale,
      zeroCount: point.zeroCount,
      zeroThreshold: point.zeroThreshold,
      positive: { offset: point.positive.offset, counts: listed(readBuckets(reader, point, 'positive', numbers)) },
      negative: { offset: point.negative.offset, counts: listed(readBuckets(reader, point, 'negative', numbers)) },
      hasExemplars: point.exemplarsFrom >= 0,
      attributes: attributesOf(buffer, point.attributes),
    });
  }
  return points;
}

const KINDS = [
  ['gauge', 5],
  ['sum', 7],
  ['histogram', 9],
  ['exponentialHistogram', 10],
  ['summary', 11],
] as const;

/** A decoded metric in the shape of `walk`'s items. */
export function oracleMetric(metric: Plain): Plain {
  const [kind, field] = KINDS.find(([one]) => metric[one] !== undefined && metric[one] !== null) ?? ['', 0];
  const data = (metric[kind] ?? {}) as Plain;
  const points = list(data.dataPoints);
  return {
    name: metric.name ?? '',
    unit: metric.unit ?? '',
    kind: field,
    temporality: data.aggregationTemporality ?? 0,
    monotonic: data.isMonotonic ?? false,
    count: points.length,
    points: points.map((point) => oraclePoint(point, kind === 'summary')),
  };
}

function oraclePoint(point: Plain, isSummary: boolean): Plain {
  const all = (name: string) => list(point[name]).map(Number);
  const buckets = (name: string) => {
    const side = (point[name] ?? {}) as Plain;
    return { offset: side.offset ?? 0, counts: list(side.bucketCounts).map(Number) };
  };
  const optional = (name: string) => (point[name] === undefined ? null : Number(point[name]));
  const flags = Number(point.flags ?? 0);
  return {
    start: String(point.startTimeUnixNano ?? 0),
    time: String(point.timeUnixNano ?? 0),
    flags,
    noRecordedValue: (flags & 1) === 1,
    value: optional(point.asInt === undefined ? 'asDouble' : 'asInt'),
    count: Number(point.count ?? 0),
    sum: isSummary ? Number(point.sum ?? 0) : optional('sum'),
    min: optional('min'),
    max: optional('max'),
    bucketCounts: all('bucketCounts'),
    explicitBounds: all('explicitBounds'),
    listed: [all('bucketCounts').length, all('explicitBounds').length],
    scale: point.scale ?? 0,
    zeroCount: Number(point.zeroCount ?? 0),
    zeroThreshold: Number(point.zeroThreshold ?? 0),
    positive: buckets('positive'),
    negative: buckets('negative'),
    hasExemplars: list(point.exemplars).length > 0,
    attributes: oracleAttributes(point.attributes),
  };
}

const hexOf = (base64: unknown) => Buffer.from(String(base64 ?? ''), 'base64').toString('hex');

/** An id as the walkers have it: hex, or null when its length is wrong or it is zero. */
export function validId(base64: unknown, length: number): string | null {
  const text = hexOf(base64);
  return text.length === length * 2 && /[^0]/.test(text) ? text : null;
}

/** Attributes of a decoded message in the shape of `attributesOf`. */
export function oracleAttributes(attributes: unknown): Plain[] {
  return ((attributes ?? []) as Plain[]).map(({ key, value }) => {
    const content = (value ?? {}) as Plain;
    const [kind] = Object.keys(content);
    const shown = kind === undefined ? null : content[kind];
    const name = key ?? '';
    switch (kind) {
      case undefined:
        return { key: name, kind: 'none', value: null };
      case 'stringValue':
        return { key: name, kind: 'string', value: shown };
      case 'bytesValue':
        return { key: name, kind: 'bytes', value: hexOf(shown) };
      case 'boolValue':
        return { key: name, kind: 'bool', value: Number(shown) };
      case 'intValue':
        return { key: name, kind: 'int', value: Number(shown) };
      case 'doubleValue':
        return { key: name, kind: 'double', value: Number(shown) };
      default:
        return { key: name, kind: 'other', value: null };
    }
  });
}
