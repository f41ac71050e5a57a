/** Counts the items of an export request by walking its envelopes; nothing of src/otlp is used, so that it can be held against that. */
import type { Signal } from '../src/core/block.ts';

/** Field numbers from the request down to the item; metrics end in the points of any kind of data. */
const DATA_FIELDS = [5, 7, 9, 10, 11];
const PATHS: Record<Signal, readonly (readonly number[])[]> = {
  traces: [[1], [2], [2]],
  logs: [[1], [2], [2]],
  metrics: [[1], [2], [2], DATA_FIELDS, [1]],
};

/** Spans, log records or data points between `from` and `end`; throws on what is no protobuf. */
export function countItems(bytes: Uint8Array, from: number, end: number, signal: Signal): number {
  return countAt(bytes, from, end, PATHS[signal], 0);
}

let position = 0;

function countAt(
  bytes: Uint8Array,
  from: number,
  end: number,
  path: readonly (readonly number[])[],
  level: number,
): number {
  const wanted = path[level] as readonly number[];
  const isLast = level === path.length - 1;
  let items = 0;
  let pos = from;
  while (pos < end) {
    const tag = readVarint(bytes, pos);
    pos = position;
    const wire = tag & 7;
    if (wire === 2) {
      const length = readVarint(bytes, pos);
      pos = position;
      if (pos + length > end) throw new RangeError(`field of ${length} bytes where ${end - pos} are left`);
      if (wanted.includes(tag >>> 3)) items += isLast ? 1 : countAt(bytes, pos, pos + length, path, level + 1);
      pos += length;
    } else if (wire === 0) {
      readVarint(bytes, pos);
      pos = position;
    } else if (wire === 1) pos += 8;
    else if (wire === 5) pos += 4;
    else throw new RangeError(`wire type ${wire} at ${pos}`);
  }
  return items;
}

/** Leaves the position after it in `position`. */
function readVarint(bytes: Uint8Array, at: number): number {
  let value = 0;
  let scale = 1;
  for (let pos = at; pos < at + 10; pos++) {
    const byte = bytes[pos] as number;
    value += (byte & 0x7f) * scale;
    scale *= 128;
    if (byte < 0x80) {
      position = pos + 1;
      return value;
    }
  }
  throw new RangeError(`no varint at ${at}`);
}
