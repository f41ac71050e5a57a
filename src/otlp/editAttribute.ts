// HOT: once per attribute, when editors are configured. Bench: bench/micro/otlp/edit.bench.ts
/** The attribute under edit: where it lies, and which maps it stands in. edit.ts walks and writes. */
import { isShortString, isSmallInt, MAX_DEPTH } from './attributes.ts';
import { tag } from './editShapes.ts';
import { type Reader, readEnd, readTag, skipField } from './protobuf.ts';

/** Addresses. `replacement` is the AnyValue's new content when an editor answers `replace`. */
export interface AttributeEdit {
  keyAt: number;
  keyLength: number;
  /** The AnyValue's content; equal when there is none. */
  valueAt: number;
  valueEnd: number;
  /** How many maps it stands in, one in the other. */
  depth: number;
  /** Its key behind the keys of those maps, with dots between: so many bytes, of which `path` has the first. Not set outside of maps. */
  pathLength: number;
  readonly path: Buffer;
  /** Where the key of each map begins in it, the outermost first. */
  readonly starts: Int32Array;
  /** There are maps or arrays in its value. */
  holdsMaps: boolean;
  replacement: Buffer;
}

const MOST_PATH_BYTES = 4096;
/** Up to here copying by hand is cheaper than a call. */
const SHORT_BYTES = 48;
const DOT = 46;
const ARRAY = tag(5);
const MAP = tag(6);

export const edit: AttributeEdit = {
  keyAt: 0,
  keyLength: 0,
  valueAt: 0,
  valueEnd: 0,
  depth: 0,
  pathLength: 0,
  path: Buffer.alloc(MOST_PATH_BYTES),
  // One more than is refused.
  starts: new Int32Array(MAX_DEPTH + 2),
  holdsMaps: false,
  replacement: Buffer.alloc(0),
};
/** Bytes of the path that are of the maps around. */
let around = 0;

/** A request begins. */
export function beginAttributes(): void {
  around = 0;
  edit.depth = 0;
}

/** What follows lies in the value of the attribute that was read last. Answers what `leaveValue` takes. */
export function enterValue(bytes: Buffer): number {
  const outside = around;
  if (outside === 0) bytes.copy(edit.path, 0, edit.keyAt, edit.keyAt + edit.keyLength);
  edit.starts[edit.depth++] = outside;
  around += edit.keyLength;
  if (around < MOST_PATH_BYTES) edit.path[around] = DOT;
  around++;
  return outside;
}

export function leaveValue(outside: number): void {
  around = outside;
  edit.depth--;
}

/** Whether the AnyValue from here to `end` is, or was, a map or an array; moves the reader. Nearly all are not, and take no call. */
export function holdsMaps(reader: Reader, end: number): boolean {
  const { bytes, pos } = reader;
  if (isShortString(bytes, pos, end) || isSmallInt(bytes, pos, end)) return false;
  while (reader.pos < end) {
    const field = readTag(reader, end);
    if (field === ARRAY || field === MAP) return true;
    skipField(reader, field, end);
  }
  return false;
}

/** Fills `edit` from the KeyValue that ends at `end`. */
export function readAttribute(reader: Reader, bytes: Buffer, end: number): void {
  if (!readUsual(reader, bytes, end)) readAny(reader, end);
  if (around > 0) notePath(bytes);
}

/** As nearly all are: a short key and behind it a short value. */
function readUsual(reader: Reader, bytes: Buffer, end: number): boolean {
  const at = reader.pos;
  const keyLength = bytes[at + 1]!;
  const keyEnd = at + 2 + keyLength;
  if (keyEnd + 2 > end || bytes[at] !== 10 || keyLength >= 0x80) return false;
  const valueLength = bytes[keyEnd + 1]!;
  if (bytes[keyEnd] !== 18 || valueLength >= 0x80 || keyEnd + 2 + valueLength !== end) return false;
  edit.keyAt = at + 2;
  edit.keyLength = keyLength;
  edit.valueAt = keyEnd + 2;
  edit.valueEnd = end;
  reader.pos = keyEnd + 2;
  edit.holdsMaps = holdsMaps(reader, end);
  return true;
}

function readAny(reader: Reader, end: number): void {
  edit.keyAt = reader.pos;
  edit.keyLength = 0;
  edit.valueAt = end;
  edit.valueEnd = end;
  edit.holdsMaps = false;
  while (reader.pos < end) {
    const field = readTag(reader, end);
    if (field !== 10 && field !== 18) {
      skipField(reader, field, end);
      continue;
    }
    const stop = readEnd(reader, end);
    if (field === 10) {
      edit.keyAt = reader.pos;
      edit.keyLength = stop - reader.pos;
    } else {
      edit.valueAt = reader.pos;
      edit.valueEnd = stop;
      if (holdsMaps(reader, stop)) edit.holdsMaps = true;
    }
    reader.pos = stop;
  }
}

function notePath(bytes: Buffer): void {
  const { path, keyAt, keyLength } = edit;
  edit.pathLength = around + keyLength;
  if (keyLength > SHORT_BYTES) bytes.copy(path, around, keyAt, keyAt + keyLength);
  // What is behind its end goes nowhere.
  else for (let i = 0; i < keyLength; i++) path[around + i] = bytes[keyAt + i]!;
}
