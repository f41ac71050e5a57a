/** Cuts a metric down to its sound points and exemplars: the bytes of the others go, lengths around them are recomputed, all else stays. */
import { EXEMPLAR_TAGS, readExemplar } from './exemplar.ts';
import { type MetricView, readMetric } from './metrics.ts';
import { type PointView, readPoint } from './points.ts';
import { copyRange, type Reader, readEnd, readTag, skipField, varintBytes, writeVarint } from './protobuf.ts';

interface MetricCutter {
  /** Content length that the metric between `at` and `end` will have; 0 when no point would be left. */
  length(at: number, end: number): number;
  /** Writes that content to `to`, in the same bytes; returns the position after it. */
  copy(at: number, end: number, to: number): number;
}

/** Both move the reader, which reads `bytes`, and use the views. */
export function createMetricCutter(
  reader: Reader,
  bytes: Buffer,
  metric: MetricView,
  point: PointView,
  mostItemBytes: number,
): MetricCutter {
  let kept = 0;

  /** Passes a field of the metric; for the data that counts, stops at its content and returns its end, else -1. */
  function readData(): number {
    const fieldAt = reader.pos;
    const tag = readTag(reader, metric.end);
    if (fieldAt >= metric.dataFrom && tag === ((metric.kind << 3) | 2)) return readEnd(reader, metric.end);
    skipField(reader, tag, metric.end);
    return -1;
  }

  /** Passes a field of the data: how many bytes of it are kept, 0 of an unsound point. `point.end` is the reader's position when it was a point. */
  function passField(end: number): number {
    const fieldAt = reader.pos;
    point.end = -1;
    const tag = readTag(reader, end);
    if (tag !== 10) {
      skipField(reader, tag, end);
      return reader.pos - fieldAt;
    }
    readPoint(reader, readEnd(reader, end), metric.kind, point);
    if (!point.isSound(mostItemBytes)) return 0;
    if (point.badExemplars === 0) return reader.pos - fieldAt;
    const length = keptBytes(point);
    return 1 + varintBytes(length) + length;
  }

  function dataLength(end: number): number {
    let length = 0;
    while (reader.pos < end) {
      const fieldBytes = passField(end);
      if (fieldBytes > 0 && point.end === reader.pos) kept++;
      length += fieldBytes;
    }
    return length;
  }

  function copyData(end: number, to: number): number {
    let out = to;
    while (reader.pos < end) {
      const fieldAt = reader.pos;
      if (passField(end) === 0) continue;
      if (point.end === reader.pos && point.badExemplars > 0) out = copyPoint(out);
      else out = copyRange(bytes, fieldAt, reader.pos, out);
    }
    return out;
  }

  /** The field of the point that was just read, without its bad exemplars. */
  function copyPoint(to: number): number {
    const { at, end, exemplarsFrom } = point;
    bytes[to] = 10;
    let out = writeVarint(bytes, to + 1, keptBytes(point));
    out = copyRange(bytes, at, exemplarsFrom, out);
    for (reader.pos = exemplarsFrom; reader.pos < end; ) {
      const fieldAt = reader.pos;
      const tag = readTag(reader, end);
      let isKept = true;
      if (tag === EXEMPLAR_TAGS[metric.kind]) isKept = readExemplar(reader, readEnd(reader, end));
      else skipField(reader, tag, end);
      if (isKept) out = copyRange(bytes, fieldAt, reader.pos, out);
    }
    return out;
  }

  return {
    length(at, end) {
      readMetric(reader, at, end, metric);
      kept = 0;
      let length = 0;
      for (reader.pos = at; reader.pos < end; ) {
        const fieldAt = reader.pos;
        const stop = readData();
        if (stop < 0) length += reader.pos - fieldAt;
        else {
          const data = dataLength(stop);
          length += 1 + varintBytes(data) + data;
        }
      }
      return kept === 0 && metric.points > 0 ? 0 : length;
    },
    copy(at, end, to) {
      readMetric(reader, at, end, metric);
      let out = to;
      for (reader.pos = at; reader.pos < end; ) {
        const fieldAt = reader.pos;
        const stop = readData();
        if (stop < 0) {
          out = copyRange(bytes, fieldAt, reader.pos, out);
          continue;
        }
        const contentAt = reader.pos;
        bytes[out] = (metric.kind << 3) | 2;
        out = writeVarint(bytes, out + 1, dataLength(stop));
        reader.pos = contentAt;
        out = copyData(stop, out);
      }
      return out;
    },
  };
}

function keptBytes(point: PointView): number {
  return point.end - point.at - point.badExemplarBytes;
}
