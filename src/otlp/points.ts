// HOT: once per data point. Bench: bench/micro/otlp/metrics.bench.ts
/**
 * Data points of all five kinds: validates one and notes what it says.
 *
 *   all:       fixed64 start = 2; fixed64 time = 3
 *   number:    double as_double = 4; repeated Exemplar = 5; sfixed64 as_int = 6; repeated KeyValue attributes = 7; uint32 flags = 8
 *   histogram: fixed64 count = 4; double sum = 5; repeated fixed64 bucket_counts = 6; repeated double explicit_bounds = 7;
 *              repeated Exemplar = 8; repeated KeyValue attributes = 9; uint32 flags = 10; double min = 11; double max = 12
 *   exponential histogram: repeated KeyValue attributes = 1; fixed64 count = 4; double sum = 5; sint32 scale = 6; fixed64 zero_count = 7;
 *              Buckets positive = 8; Buckets negative = 9; uint32 flags = 10; repeated Exemplar = 11; double min = 12; double max = 13;
 *              double zero_threshold = 14        Buckets { sint32 offset = 1; repeated uint64 bucket_counts = 2 }
 *   summary:   fixed64 count = 4; double sum = 5; repeated { double quantile = 1; double value = 2 } = 6; attributes = 7; flags = 8
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/opentelemetry/proto/metrics/v1/metrics.proto
 */
import { AttributeTable, takeAttributes } from './attributes.ts';
import { readExemplar } from './exemplar.ts';
import { BucketsView, ListView, passBuckets, passFixed, readZigzag } from './lists.ts';
import { type Reader, readEnd, readTag, readVarint, skipField } from './protobuf.ts';

/** DataPointFlags: the series has no value any more. */
const NO_RECORDED_VALUE = 1;

/** One data point. Addresses; views hold until the next point is read. What its kind does not have is 0, false or empty. */
export class PointView {
  at = 0;
  end = 0;
  startLow = 0;
  startHigh = 0;
  timeLow = 0;
  timeHigh = 0;
  flags = 0;
  /** Numbers. Exact for doubles, and for integers up to 2^53. */
  hasValue = false;
  value = 0;
  /** The others. Exact up to 2^53. */
  count = 0;
  sum = 0;
  hasSum = false;
  min = 0;
  hasMin = false;
  max = 0;
  hasMax = false;
  /** Histograms: fixed64 counts (one more than bounds, or none) and doubles. */
  readonly bucketCounts = new ListView();
  readonly explicitBounds = new ListView();
  /** Exponential histograms. */
  scale = 0;
  zeroCount = 0;
  zeroThreshold = 0;
  readonly positive = new BucketsView();
  readonly negative = new BucketsView();
  readonly attributes = new AttributeTable();
  /** The first field of an exemplar (tag included; -1: none). */
  exemplarsFrom = -1;
  /** Those with an id that is none, and the bytes of their fields. */
  badExemplars = 0;
  badExemplarBytes = 0;

  get noRecordedValue(): boolean {
    return (this.flags & NO_RECORDED_VALUE) !== 0;
  }

  /** The point's own time in Unix milliseconds. */
  timeMs(): number {
    return (this.timeHigh * 0x1_0000_0000 + this.timeLow) / 1e6;
  }

  /** False for a histogram whose counts do not fit its bounds, since nobody can say what it counted, and for what is over the limit. */
  isSound(mostBytes: number): boolean {
    if (this.end - this.at > mostBytes) return false;
    const counts = this.bucketCounts.count;
    const bounds = this.explicitBounds.count;
    return counts === 0 ? bounds === 0 : counts === bounds + 1;
  }
}

/** Reads and validates the point of a metric of `kind` (a field number) from the reader's position to `end`; throws BODY_UNDECODABLE. */
export function readPoint(reader: Reader, end: number, kind: number, point: PointView): void {
  reset(point, reader.pos, end);
  if (kind === 5 || kind === 7) readNumberPoint(reader, end, point);
  else if (kind === 9) readHistogramPoint(reader, end, point);
  else if (kind === 10) readExponentialPoint(reader, end, point);
  else readSummaryPoint(reader, end, point);
}

function reset(point: PointView, at: number, end: number): void {
  point.at = at;
  point.end = end;
  point.startLow = 0;
  point.startHigh = 0;
  point.timeLow = 0;
  point.timeHigh = 0;
  point.flags = 0;
  point.hasValue = false;
  point.value = 0;
  point.count = 0;
  point.sum = 0;
  point.hasSum = false;
  point.min = 0;
  point.hasMin = false;
  point.max = 0;
  point.hasMax = false;
  point.bucketCounts.reset();
  point.explicitBounds.reset();
  point.scale = 0;
  point.zeroCount = 0;
  point.zeroThreshold = 0;
  point.positive.offset = 0;
  point.positive.counts.reset();
  point.negative.offset = 0;
  point.negative.counts.reset();
  point.attributes.clear();
  point.exemplarsFrom = -1;
  point.badExemplars = 0;
  point.badExemplarBytes = 0;
}

function readNumberPoint(reader: Reader, end: number, point: PointView): void {
  while (reader.pos < end) {
    const fieldAt = reader.pos;
    const tag = readTag(reader, end);
    switch (tag) {
      case 58:
        takeAttributes(reader, fieldAt, end, tag, point.attributes);
        break;
      case 33: // as_double
        point.value = takeDouble(reader, end);
        point.hasValue = true;
        break;
      case 49: // as_int
        skipField(reader, tag, end);
        point.value =
          reader.view.getInt32(reader.pos - 4, true) * 0x1_0000_0000 + reader.view.getUint32(reader.pos - 8, true);
        point.hasValue = true;
        break;
      case 64:
        point.flags = readVarint(reader, end) | 0;
        break;
      case 42:
        takeExemplar(reader, fieldAt, end, point);
        break;
      default:
        takeTime(reader, tag, end, point);
    }
  }
}

function readHistogramPoint(reader: Reader, end: number, point: PointView): void {
  while (reader.pos < end) {
    const fieldAt = reader.pos;
    const tag = readTag(reader, end);
    switch (tag) {
      case 74:
        takeAttributes(reader, fieldAt, end, tag, point.attributes);
        break;
      case 50: // bucket_counts, packed; 49: one of them
      case 49:
        passFixed(reader, tag, fieldAt, end, point.bucketCounts);
        break;
      case 58: // explicit_bounds, packed; 57: one of them
      case 57:
        passFixed(reader, tag, fieldAt, end, point.explicitBounds);
        break;
      case 80:
        point.flags = readVarint(reader, end) | 0;
        break;
      case 89:
        point.min = takeDouble(reader, end);
        point.hasMin = true;
        break;
      case 97:
        point.max = takeDouble(reader, end);
        point.hasMax = true;
        break;
      case 66:
        takeExemplar(reader, fieldAt, end, point);
        break;
      default:
        takeTotals(reader, tag, end, point);
    }
  }
}

function readExponentialPoint(reader: Reader, end: number, point: PointView): void {
  while (reader.pos < end) {
    const fieldAt = reader.pos;
    const tag = readTag(reader, end);
    switch (tag) {
      case 10:
        takeAttributes(reader, fieldAt, end, tag, point.attributes);
        break;
      case 48:
        point.scale = readZigzag(reader, end);
        break;
      case 57:
        point.zeroCount = takeFixed64(reader, end);
        break;
      case 66:
        passBuckets(reader, fieldAt, readEnd(reader, end), point.positive);
        break;
      case 74:
        passBuckets(reader, fieldAt, readEnd(reader, end), point.negative);
        break;
      case 80:
        point.flags = readVarint(reader, end) | 0;
        break;
      case 90:
        takeExemplar(reader, fieldAt, end, point);
        break;
      case 97:
        point.min = takeDouble(reader, end);
        point.hasMin = true;
        break;
      case 105:
        point.max = takeDouble(reader, end);
        point.hasMax = true;
        break;
      case 113:
        point.zeroThreshold = takeDouble(reader, end);
        break;
      default:
        takeTotals(reader, tag, end, point);
    }
  }
}

function readSummaryPoint(reader: Reader, end: number, point: PointView): void {
  point.hasSum = true;
  while (reader.pos < end) {
    const fieldAt = reader.pos;
    const tag = readTag(reader, end);
    if (tag === 58) takeAttributes(reader, fieldAt, end, tag, point.attributes);
    else if (tag === 64) point.flags = readVarint(reader, end) | 0;
    else if (tag === 50) {
      const stop = readEnd(reader, end);
      while (reader.pos < stop) skipField(reader, readTag(reader, stop), stop);
    } else takeTotals(reader, tag, end, point);
  }
}

/** Count and sum have the same numbers in all kinds but numbers. */
function takeTotals(reader: Reader, tag: number, end: number, point: PointView): void {
  if (tag === 33) point.count = takeFixed64(reader, end);
  else if (tag === 41) {
    point.sum = takeDouble(reader, end);
    point.hasSum = true;
  } else takeTime(reader, tag, end, point);
}

function takeTime(reader: Reader, tag: number, end: number, point: PointView): void {
  skipField(reader, tag, end);
  if (tag === 25) {
    point.timeLow = reader.view.getUint32(reader.pos - 8, true);
    point.timeHigh = reader.view.getUint32(reader.pos - 4, true);
  } else if (tag === 17) {
    point.startLow = reader.view.getUint32(reader.pos - 8, true);
    point.startHigh = reader.view.getUint32(reader.pos - 4, true);
  }
}

function takeExemplar(reader: Reader, fieldAt: number, end: number, point: PointView): void {
  if (point.exemplarsFrom < 0) point.exemplarsFrom = fieldAt;
  if (readExemplar(reader, readEnd(reader, end))) return;
  point.badExemplars++;
  point.badExemplarBytes += reader.pos - fieldAt;
}

/** A field of wire type 1 as a double. */
function takeDouble(reader: Reader, end: number): number {
  skipField(reader, 9, end);
  return reader.view.getFloat64(reader.pos - 8, true);
}

function takeFixed64(reader: Reader, end: number): number {
  skipField(reader, 9, end);
  return reader.view.getUint32(reader.pos - 4, true) * 0x1_0000_0000 + reader.view.getUint32(reader.pos - 8, true);
}
