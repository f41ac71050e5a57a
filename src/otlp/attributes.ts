// HOT: once per attribute. Bench: bench/micro/otlp/attributes.bench.ts
/**
 * Attributes: validates `repeated KeyValue` and notes where each key and value lies, so that nobody has to read them twice.
 *
 *   KeyValue  { string key = 1; AnyValue value = 2 }
 *   AnyValue  { oneof: string 1, bool 2, int64 3, double 4, ArrayValue 5, KeyValueList 6, bytes 7 }
 *   ArrayValue { repeated AnyValue values = 1 }   KeyValueList { repeated KeyValue values = 1 }
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/opentelemetry/proto/common/v1/common.proto
 */
import { malformed, type Reader, readEnd, readInt64, readTag, sameBytes, skipField } from './protobuf.ts';

/** Most AnyValues inside one another, in both encodings. */
export const MAX_DEPTH = 100;
/** Attributes of one item that can be looked up; the rest is validated and forwarded all the same. */
const MAX_NOTED = 1024;
const STEP = 4;
/** Tag and length, tag and length of a key, and a value of two bytes with its own. */
const LEAST_BYTES = 8;
/** Tags of a KeyValue's key and value and of an AnyValue's string, where they stand in a word. */
const KEY = 10 << 16;
const VALUE = 18;
const STRING = 10 << 16;

/** Where the attributes of one item (or resource, or scope) lie: key from, key length, value from, value end, for each. */
export class AttributeTable {
  count = 0;
  /** Bit `length & 31` is set for every key noted: most keys that are asked for are not there. */
  lengths = 0;
  readonly rows = new Int32Array(MAX_NOTED * STEP);

  clear(): void {
    this.count = 0;
    this.lengths = 0;
  }

  keyAt(i: number): number {
    return this.rows[i * STEP]!;
  }
  keyLength(i: number): number {
    return this.rows[i * STEP + 1]!;
  }
  /** First byte of the AnyValue message; -1 when the attribute has no value. */
  valueAt(i: number): number {
    return this.rows[i * STEP + 2]!;
  }
  valueEnd(i: number): number {
    return this.rows[i * STEP + 3]!;
  }

  /** Index of the attribute with this key, the last one if it stands twice; -1 when there is none. */
  find(bytes: Uint8Array, key: Uint8Array): number {
    if (((this.lengths >>> key.length) & 1) === 0) return -1;
    const rows = this.rows;
    for (let i = this.count - 1; i >= 0; i--) {
      if (rows[i * STEP + 1] === key.length && sameBytes(bytes, rows[i * STEP]!, key, 0, key.length)) return i;
    }
    return -1;
  }
}

/** Takes nothing: for attributes that are only validated. */
export const NOT_NOTED = new AttributeTable();
NOT_NOTED.count = MAX_NOTED;

/**
 * Reads as many fields `tag` from `at` on as are usual: one after the other, each a short key and a short string or a number, in this
 * order. Answers where it stopped: at the end, at another field, or at one that is to be read by `readKeyValue`. Nearly all attributes are
 * usual, and are read by one chain of loads, from length to length, without a call; what stands between two lengths is compared as a word.
 * `| 0` says that a sum of addresses is an address: without it each is checked for an overflow, and what a loop carries is a tagged number.
 */
export function readUsual(reader: Reader, at: number, end: number, tag: number, table: AttributeTable): number {
  const { view } = reader;
  const { rows } = table;
  let count = table.count | 0;
  let lengths = table.lengths | 0;
  let pos = at | 0;
  const last = (end - LEAST_BYTES) | 0;
  while (pos <= last) {
    const head = view.getInt32(pos, true);
    if ((head & 0xff_80ff) !== (tag | KEY)) {
      if ((head & 0xffff) !== tag) break;
      // Nobody sends empty ones but to keep a reader busy.
      pos = (pos + 2) | 0;
      if (count < MAX_NOTED) {
        lengths |= 1;
        noteAt(rows, count, pos, 0, -1, -1);
        count = (count + 1) | 0;
      }
      continue;
    }
    const stop = (pos + 2 + ((head >>> 8) & 0x7f)) | 0;
    const keyLength = head >>> 24;
    const keyEnd = (pos + 4 + keyLength) | 0;
    const valueAt = (keyEnd + 2) | 0;
    const valueLength = (stop - valueAt) | 0;
    if (valueLength < 2 || stop > end) break;
    const tail = view.getInt32(keyEnd, true);
    const value = VALUE | (valueLength << 8);
    if (tail !== (value | STRING | ((valueLength - 2) << 24))) {
      if ((tail & 0xffff) !== value || !isNumber(reader.bytes, (tail >>> 16) & 0xff, valueAt + 1, stop)) break;
    }
    pos = stop;
    if (count === MAX_NOTED) continue;
    lengths |= 1 << keyLength;
    noteAt(rows, count, (keyEnd - keyLength) | 0, keyLength, valueAt, stop);
    count = (count + 1) | 0;
  }
  table.count = count;
  table.lengths = lengths;
  return pos;
}

/** A whole varint of an int or a bool, or a double, between `at` and `stop`. */
function isNumber(bytes: Uint8Array, kind: number, at: number, stop: number): boolean {
  if (kind === 33) return stop - at === 8;
  if ((kind !== 24 && kind !== 16) || stop - at > 10) return false;
  let last = at | 0;
  while (last < stop && bytes[last]! >= 0x80) last = (last + 1) | 0;
  return last === stop - 1;
}

/** Reads the field `tag` that begins at `at`, whose tag the reader has passed, and those of its kind that stand behind it and are usual. */
export function takeAttributes(reader: Reader, at: number, end: number, tag: number, table: AttributeTable): void {
  const stop = readUsual(reader, at, end, tag, table);
  if (stop > at) reader.pos = stop;
  else readKeyValue(reader, readEnd(reader, end), table, 1);
}

/** Reads the KeyValues in the field `attributeTag` of the message between `at` and `end` into `table`; passes over all else. */
export function readAttributes(
  reader: Reader,
  at: number,
  end: number,
  attributeTag: number,
  table: AttributeTable,
): void {
  reader.pos = at;
  while (reader.pos < end) {
    const fieldAt = reader.pos;
    const tag = readTag(reader, end);
    if (tag === attributeTag) takeAttributes(reader, fieldAt, end, tag, table);
    else skipField(reader, tag, end);
  }
}

/** An AnyValue that is one string of fewer than 128 bytes: they begin at `at` + 2. */
export function isShortString(bytes: Uint8Array, at: number, end: number): boolean {
  return bytes[at] === 10 && bytes[at + 1]! < 0x80 && at + 2 + bytes[at + 1]! === end;
}

/** A validated AnyValue that is one integer below 16,384, of one byte or two. */
export function isSmallInt(bytes: Uint8Array, at: number, end: number): boolean {
  return bytes[at] === 24 && (end - at === 2 || (end - at === 3 && bytes[at + 1]! >= 0x80));
}

/** The integer of one that is. */
export function smallInt(bytes: Uint8Array, at: number, end: number): number {
  return end - at === 2 ? bytes[at + 1]! : (bytes[at + 1]! & 0x7f) | (bytes[at + 2]! << 7);
}

function note(table: AttributeTable, keyAt: number, keyLength: number, valueAt: number, valueEnd: number): void {
  if (table.count === MAX_NOTED) return;
  table.lengths |= 1 << keyLength;
  noteAt(table.rows, table.count++, keyAt, keyLength, valueAt, valueEnd);
}

function noteAt(
  rows: Int32Array,
  index: number,
  keyAt: number,
  keyLength: number,
  valueAt: number,
  valueEnd: number,
): void {
  const row = Math.imul(index, STEP);
  rows[row] = keyAt;
  rows[row + 1] = keyLength;
  rows[row + 2] = valueAt;
  rows[row + 3] = valueEnd;
}

/** Reads one KeyValue that ends at `end` and notes it in `table`. */
export function readKeyValue(reader: Reader, end: number, table: AttributeTable, depth: number): void {
  let keyAt = reader.pos;
  let keyLength = 0;
  let valueAt = -1;
  let valueEnd = -1;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 10) {
      const stop = readEnd(reader, end);
      keyAt = reader.pos;
      keyLength = stop - keyAt;
      reader.pos = stop;
    } else if (tag === 18) {
      const stop = readEnd(reader, end);
      const start = reader.pos;
      // Two values are one, in which what the last of them says counts; an empty one says nothing.
      if (readAnyValue(reader, stop, depth) || valueAt < 0) {
        valueAt = start;
        valueEnd = stop;
      }
    } else skipField(reader, tag, end);
  }
  note(table, keyAt, keyLength, valueAt, valueEnd);
}

/** Validates an AnyValue that ends at `end`, and answers whether any kind of value is set in it. */
export function readAnyValue(reader: Reader, end: number, depth: number): boolean {
  let isSet = false;
  if (depth > MAX_DEPTH) malformed(reader, `more than ${MAX_DEPTH} values inside one another`);
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 10 || tag === 58) reader.pos = readEnd(reader, end);
    else if (tag === 42) readEntries(reader, readEnd(reader, end), depth, false);
    else if (tag === 50) readEntries(reader, readEnd(reader, end), depth, true);
    else {
      skipField(reader, tag, end);
      if (tag !== 16 && tag !== 24 && tag !== 33) continue;
    }
    isSet = true;
  }
  return isSet;
}

/** The entries of an ArrayValue or a KeyValueList. */
function readEntries(reader: Reader, end: number, depth: number, pairs: boolean): void {
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag !== 10) skipField(reader, tag, end);
    else if (pairs) readKeyValue(reader, readEnd(reader, end), NOT_NOTED, depth + 1);
    else readAnyValue(reader, readEnd(reader, end), depth + 1);
  }
}

/** What an AnyValue holds: `at` and `end` for strings and bytes, `number` for the others. */
export interface Value {
  kind: 'none' | 'string' | 'bool' | 'int' | 'double' | 'bytes' | 'other';
  at: number;
  end: number;
  number: number;
}

export function emptyValue(): Value {
  return { kind: 'none', at: 0, end: 0, number: 0 };
}

/** Reads a validated AnyValue into `value`; the last field set wins, as in a oneof. Short strings and small ints take no call. */
export function readValue(reader: Reader, at: number, end: number, value: Value): void {
  const { bytes } = reader;
  value.kind = 'none';
  reader.pos = at;
  if (at >= 0 && isShortString(bytes, at, end)) {
    value.kind = 'string';
    value.at = at + 2;
    value.end = end;
    return;
  }
  if (at >= 0 && isSmallInt(bytes, at, end)) {
    value.kind = 'int';
    value.number = smallInt(bytes, at, end);
    return;
  }
  while (at >= 0 && reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 10 || tag === 58 || tag === 42 || tag === 50) {
      value.kind = tag === 10 ? 'string' : tag === 58 ? 'bytes' : 'other';
      value.end = readEnd(reader, end);
      value.at = reader.pos;
      reader.pos = value.end;
    } else if (tag === 16 || tag === 24) {
      value.kind = tag === 16 ? 'bool' : 'int';
      value.number = readInt64(reader, end);
    } else if (tag === 33) {
      skipField(reader, tag, end);
      value.kind = 'double';
      value.number = reader.view.getFloat64(reader.pos - 8, true);
    } else skipField(reader, tag, end);
  }
}
