// HOT: once per list of a data point. Bench: bench/micro/otlp/metrics.bench.ts
/**
 * Repeated numbers of data points, packed or not: counts them while they are validated, and copies them out for who wants them.
 *
 * https://protobuf.dev/programming-guides/encoding/#packed - a parser takes both forms, even mixed, and several packed runs.
 */
import { malformed, type Reader, readEnd, readTag, readUint64, readVarint, skipField } from './protobuf.ts';

/**
 * How many numbers, and where. `at` to `end` is their content when they came as one packed run, as SDKs write them; else `at` is -1,
 * and `from` the first field that holds some (-1: there are none).
 */
export class ListView {
  count = 0;
  at = -1;
  end = -1;
  from = -1;

  reset(): void {
    this.count = 0;
    this.at = -1;
    this.end = -1;
    this.from = -1;
  }
}

/** One side of an exponential histogram: bucket i has the bounds base^(offset+i) to base^(offset+i+1). Counts are varints. */
export class BucketsView {
  offset = 0;
  readonly counts = new ListView();
}

/** What a list's elements are on the wire. */
type Element = 'double' | 'fixed64' | 'varint';

/** Passes over a field that holds one or more fixed 64-bit elements and counts them. */
export function passFixed(reader: Reader, tag: number, fieldAt: number, end: number, list: ListView): void {
  if ((tag & 7) === 1) {
    skipField(reader, tag, end);
    add(list, fieldAt, -1, -1, 1);
    return;
  }
  const stop = readEnd(reader, end);
  const length = stop - reader.pos;
  if ((length & 7) !== 0) malformed(reader, `${length} bytes of numbers that take 8 each`);
  if (length > 0) add(list, fieldAt, reader.pos, stop, length >>> 3);
  reader.pos = stop;
}

/** Reads one Buckets message up to `end`; `fieldAt` is its tag's address. Two of them are one: scalars are replaced, counts go on. */
export function passBuckets(reader: Reader, fieldAt: number, end: number, buckets: BucketsView): void {
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 8) buckets.offset = readZigzag(reader, end);
    else if (tag === 18 || tag === 16) passVarints(reader, tag, fieldAt, end, buckets.counts);
    else skipField(reader, tag, end);
  }
}

/** A sint32. */
export function readZigzag(reader: Reader, end: number): number {
  const value = readVarint(reader, end);
  return (value >>> 1) ^ -(value & 1);
}

/** As passFixed, for varints; each ends with a byte below 128. */
function passVarints(reader: Reader, tag: number, fieldAt: number, end: number, list: ListView): void {
  if ((tag & 7) === 0) {
    skipField(reader, tag, end);
    add(list, fieldAt, -1, -1, 1);
    return;
  }
  const stop = readEnd(reader, end);
  const at = reader.pos;
  let count = 0;
  let last = at;
  for (let i = at; i < stop; i++) {
    if (reader.bytes[i]! >= 0x80) continue;
    if (i - last >= 10) malformed(reader, 'varint of more than 10 bytes');
    last = i + 1;
    count++;
  }
  if (last !== stop) malformed(reader, 'cut off');
  if (count > 0) add(list, fieldAt, at, stop, count);
  reader.pos = stop;
}

function add(list: ListView, fieldAt: number, at: number, end: number, count: number): void {
  const isFirst = list.count === 0;
  list.at = isFirst ? at : -1;
  list.end = isFirst ? end : -1;
  if (isFirst) list.from = fieldAt;
  list.count += count;
}

/**
 * Copies the elements of all fields with this number between the reader and `end`, to `out` from `copied` on, as far as there is
 * room; returns how many `out` then has. Integers beyond 2^53 become the nearest double.
 */
export function copyFields(
  reader: Reader,
  field: number,
  element: Element,
  end: number,
  out: Float64Array,
  copied: number,
): number {
  const single = (field << 3) | (element === 'varint' ? 0 : 1);
  let count = copied;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === ((field << 3) | 2)) {
      const stop = readEnd(reader, end);
      while (reader.pos < stop) count = copyOne(reader, element, stop, out, count);
    } else if (tag === single) count = copyOne(reader, element, end, out, count);
    else skipField(reader, tag, end);
  }
  return count;
}

function copyOne(reader: Reader, element: Element, end: number, out: Float64Array, count: number): number {
  const { view, pos } = reader;
  let value: number;
  if (element === 'varint') value = readUint64(reader, end);
  else {
    value =
      element === 'double'
        ? view.getFloat64(pos, true)
        : view.getUint32(pos + 4, true) * 0x1_0000_0000 + view.getUint32(pos, true);
    reader.pos = pos + 8;
  }
  if (count >= out.length) return count;
  out[count] = value;
  return count + 1;
}
