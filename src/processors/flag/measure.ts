// HOT: once per span and data point. Bench: bench/micro/processors/flag/measure.bench.ts
/**
 * `flag` in the worker: counts a task's entry spans by service, and notes the values of the metrics that are watched.
 *
 * What it writes:  u32 services, u32 entries, u32 points, u32 0 | rows of SERVICE_BYTES | rows of POINT_BYTES | entries u32
 * An entry is one span: `service row << 12 | bucket of its duration`. Main does the histograms.
 */

import { MetricKind, Temporality } from '../../otlp/metrics.ts';
import { sameBytes } from '../../otlp/protobuf.ts';
import { SeriesKey } from '../../otlp/seriesKey.ts';
import { STATUS_ERROR } from '../../otlp/traces.ts';
import type { Measurer, Views } from '../processor.ts';

export const HEADER_BYTES = 16;
/** Byte offsets in the row of a service: u32 each. */
export const Service = { hash: 0, nameAt: 4, nameLength: 8, count: 12, errors: 16 } as const;
export const SERVICE_BYTES = 24;
/**
 * Byte offsets in the row of a data point: u32 each, then doubles, of which `series` is its SeriesKey. `metricAt` is where its metric's name
 * lies, `kind` a value of Reading.
 */
export const Point = {
  service: 0,
  nameAt: 4,
  nameLength: 8,
  metricAt: 12,
  metricLength: 16,
  kind: 20,
  at: 24,
  end: 28,
  series: 32,
  value: 40,
  timeMs: 48,
} as const;
export const POINT_BYTES = 56;
/** What a point's value means: itself, an increase, or a total that only grows. */
export const Reading = { value: 0, increase: 1, total: 2 } as const;

/** Buckets per doubling of a duration: 4.4 % of error at most. */
export const PER_DOUBLING = 8;
/** Bucket of a millisecond; one nanosecond is bucket 0. */
export const BUCKET_BIAS = 160;
export const BUCKETS = 512;

const SERVER = 2;
const CONSUMER = 5;
const SERVICE_STEP = SERVICE_BYTES / 4;
const POINT_STEP = POINT_BYTES / 4;

export function bucketOf(ms: number): number {
  const index = Math.floor(Math.log2(ms) * PER_DOUBLING) + BUCKET_BIAS;
  // A duration of zero has no logarithm.
  return index > 0 ? (index < BUCKETS ? index : BUCKETS - 1) : 0;
}

/** `names`: metrics to watch. */
export function createMeasurer(views: Views, names: readonly string[]): Measurer {
  const bytes = views.pool.bytes;
  const watched = names.map((name) => Buffer.from(name));
  const series = new SeriesKey(bytes);
  let services = new Uint32Array(SERVICE_STEP * 16);
  let serviceCount = 0;
  let points = new Float64Array((POINT_STEP / 2) * 64);
  let pointWords = new Uint32Array(points.buffer);
  let pointCount = 0;
  let entries = new Uint32Array(1024);
  let entryCount = 0;
  /** Row of the service whose resource was entered last, or -1 before its first entry span. */
  let row = -1;
  let isWatched = false;

  function enterService(hash: number, nameAt: number, nameLength: number): number {
    for (let i = 0; i < serviceCount; i++) if (services[i * SERVICE_STEP] === hash) return i;
    if ((serviceCount + 1) * SERVICE_STEP > services.length) {
      const grown = new Uint32Array(services.length * 2);
      grown.set(services);
      services = grown;
    }
    const at = serviceCount * SERVICE_STEP;
    services[at] = hash;
    services[at + 1] = nameAt;
    services[at + 2] = nameLength;
    services[at + 3] = 0;
    services[at + 4] = 0;
    return serviceCount++;
  }

  return {
    reset() {
      serviceCount = 0;
      pointCount = 0;
      entryCount = 0;
      row = -1;
    },
    enterResource() {
      row = -1;
      series.begin();
    },
    span(span, envelope) {
      if ((span.kind !== SERVER && span.kind !== CONSUMER) || span.isAdded) return;
      if (row < 0) row = enterService(envelope.serviceHash, envelope.serviceAt, envelope.serviceLength);
      const at = row * SERVICE_STEP;
      services[at + 3] = services[at + 3]! + 1;
      if (span.status === STATUS_ERROR) services[at + 4] = services[at + 4]! + 1;
      if (entryCount === entries.length) {
        const grown = new Uint32Array(entries.length * 2);
        grown.set(entries);
        entries = grown;
      }
      entries[entryCount++] = (row << 12) | bucketOf(span.durationNs() / 1e6);
    },
    metric(view) {
      isWatched = false;
      for (const name of watched) {
        if (name.length === view.nameLength && sameBytes(bytes, view.nameAt, name, 0, name.length)) isWatched = true;
      }
    },
    point(point, view, envelope) {
      if (!isWatched || !point.hasValue || point.noRecordedValue) return;
      if (pointCount * POINT_STEP === pointWords.length) {
        const grown = new Float64Array(points.length * 2);
        grown.set(points);
        points = grown;
        pointWords = new Uint32Array(points.buffer);
      }
      const at = pointCount++ * POINT_STEP;
      pointWords[at] = envelope.serviceHash;
      pointWords[at + 1] = envelope.serviceAt;
      pointWords[at + 2] = envelope.serviceLength;
      pointWords[at + 3] = view.nameAt;
      pointWords[at + 4] = view.nameLength;
      pointWords[at + 5] =
        view.kind !== MetricKind.sum || !view.monotonic
          ? Reading.value
          : view.temporality === Temporality.delta
            ? Reading.increase
            : Reading.total;
      pointWords[at + 6] = point.at;
      pointWords[at + 7] = point.end;
      points[(at >>> 1) + 4] = series.of(view, point, envelope);
      points[(at >>> 1) + 5] = point.value;
      points[(at >>> 1) + 6] = point.timeMs();
    },
    size: () =>
      serviceCount + pointCount === 0
        ? 0
        : HEADER_BYTES + serviceCount * SERVICE_BYTES + pointCount * POINT_BYTES + entryCount * 4,
    write(out, at) {
      if (serviceCount + pointCount === 0) return at;
      const words = new Uint32Array(out.buffer, out.byteOffset + at);
      words[0] = serviceCount;
      words[1] = entryCount;
      words[2] = pointCount;
      words[3] = 0;
      let to = HEADER_BYTES / 4;
      words.set(services.subarray(0, serviceCount * SERVICE_STEP), to);
      to += serviceCount * SERVICE_STEP;
      words.set(pointWords.subarray(0, pointCount * POINT_STEP), to);
      to += pointCount * POINT_STEP;
      words.set(entries.subarray(0, entryCount), to);
      return at + (to + entryCount) * 4;
    },
  };
}
