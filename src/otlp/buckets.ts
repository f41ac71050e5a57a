// HOT: once per histogram point that somebody measures. Bench: bench/micro/otlp/metrics.bench.ts
/** Copies what a data point lists (bucket counts, bounds) into the caller's memory. points.ts has validated it. */
import { copyFields } from './lists.ts';
import type { PointView } from './points.ts';
import { type Reader, readEnd, readTag, skipField } from './protobuf.ts';

/** Counts of a histogram's buckets; returns how many there are in `out`: at most what it holds. */
export function readBucketCounts(reader: Reader, point: PointView, out: Float64Array): number {
  if (point.bucketCounts.count === 0) return 0;
  reader.pos = point.bucketCounts.from;
  return copyFields(reader, 6, 'fixed64', point.end, out, 0);
}

/** Upper bounds of a histogram's buckets; the last bucket has none. */
export function readBounds(reader: Reader, point: PointView, out: Float64Array): number {
  if (point.explicitBounds.count === 0) return 0;
  reader.pos = point.explicitBounds.from;
  return copyFields(reader, 7, 'double', point.end, out, 0);
}

/** Counts of one side of an exponential histogram. */
export function readBuckets(
  reader: Reader,
  point: PointView,
  side: 'positive' | 'negative',
  out: Float64Array,
): number {
  const { counts } = point[side];
  if (counts.count === 0) return 0;
  const sideTag = side === 'positive' ? 66 : 74;
  let copied = 0;
  reader.pos = counts.from;
  while (reader.pos < point.end) {
    const tag = readTag(reader, point.end);
    if (tag === sideTag) copied = copyFields(reader, 2, 'varint', readEnd(reader, point.end), out, copied);
    else skipField(reader, tag, point.end);
  }
  return copied;
}
