/** Cuts a metric down to its sound points: the bytes of the others go, lengths around them are recomputed, all else stays as it is. */
import { type MetricView, readMetric } from './metrics.ts';
import { type PointView, readPoint } from './points.ts';
import { copyRange, type Reader, readEnd, readTag, skipField, varintBytes, writeVarint } from './protobuf.ts';

/** Content length of the metric between `at` and `end` without its unsound points; 0 when no point would be left. */
export function soundLength(reader: Reader, at: number, end: number, metric: MetricView, point: PointView): number {
  readMetric(reader, at, end, metric);
  const counted = { kept: 0 };
  let length = 0;
  for (reader.pos = at; reader.pos < end; ) {
    const fieldAt = reader.pos;
    const stop = readData(reader, metric);
    if (stop < 0) length += reader.pos - fieldAt;
    else {
      const data = dataLength(reader, stop, metric, point, counted);
      length += 1 + varintBytes(data) + data;
    }
  }
  return counted.kept === 0 && metric.points > 0 ? 0 : length;
}

/** Writes that content to `to`; returns the position after it. */
export function copySound(
  reader: Reader,
  bytes: Buffer,
  at: number,
  end: number,
  to: number,
  metric: MetricView,
  point: PointView,
): number {
  readMetric(reader, at, end, metric);
  let out = to;
  for (reader.pos = at; reader.pos < end; ) {
    const fieldAt = reader.pos;
    const stop = readData(reader, metric);
    if (stop < 0) {
      out = copyRange(bytes, fieldAt, reader.pos, out);
      continue;
    }
    const contentAt = reader.pos;
    const length = dataLength(reader, stop, metric, point, { kept: 0 });
    bytes[out] = (metric.kind << 3) | 2;
    out = writeVarint(bytes, out + 1, length);
    reader.pos = contentAt;
    out = copyData(reader, bytes, stop, out, metric, point);
  }
  return out;
}

/** Passes a field of the metric; for the data that counts, stops at its content and returns its end, else -1. */
function readData(reader: Reader, metric: MetricView): number {
  const fieldAt = reader.pos;
  const tag = readTag(reader, metric.end);
  if (fieldAt >= metric.dataFrom && tag === ((metric.kind << 3) | 2)) return readEnd(reader, metric.end);
  skipField(reader, tag, metric.end);
  return -1;
}

function dataLength(
  reader: Reader,
  end: number,
  metric: MetricView,
  point: PointView,
  counted: { kept: number },
): number {
  let length = 0;
  while (reader.pos < end) {
    const fieldAt = reader.pos;
    if (!passPoint(reader, end, metric, point)) continue;
    length += reader.pos - fieldAt;
    if (point.end === reader.pos) counted.kept++;
  }
  return length;
}

function copyData(
  reader: Reader,
  bytes: Buffer,
  end: number,
  to: number,
  metric: MetricView,
  point: PointView,
): number {
  let out = to;
  while (reader.pos < end) {
    const fieldAt = reader.pos;
    if (passPoint(reader, end, metric, point)) out = copyRange(bytes, fieldAt, reader.pos, out);
  }
  return out;
}

/** Passes a field of the data message; false when it is an unsound point. `point.end` is the reader's position when it was a point. */
function passPoint(reader: Reader, end: number, metric: MetricView, point: PointView): boolean {
  point.end = -1;
  const tag = readTag(reader, end);
  if (tag !== 10) {
    skipField(reader, tag, end);
    return true;
  }
  readPoint(reader, readEnd(reader, end), metric.kind, point);
  return point.isSound;
}
