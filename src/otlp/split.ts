/**
 * Cuts one export request into several: at its top-level entries, below them by scope, item and data point, enclosing lengths recomputed.
 *
 *   Export...Request { repeated Resource... = 1 }    Resource... { Resource = 1; repeated Scope... = 2 }    Scope... { 1; repeated ITEM = 2 }
 *   Metric { name = 1; ...; Gauge 5 | Sum 7 | Histogram 9 | ExponentialHistogram 10 | Summary 11 }    Gauge ... { repeated points = 1 }
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/opentelemetry/proto/metrics/v1/metrics.proto
 *
 * A message is its fixed fields, which every piece repeats, and units: its entries in the repeated field, whole or cut themselves. Data that
 * stands in a metric several times is one message, and of its `oneof` the last kind counts, as protobuf has it.
 */
import type { Signal } from '../core/block.ts';
import { copyRange, Reader, readEnd, readTag, skipField, varintBytes, writeVarint } from './protobuf.ts';

/** Tags of the fields that lead down to the items, outermost first. */
const DOWN: Record<Signal, readonly (readonly number[])[]> = {
  traces: [[10], [18], [18]],
  logs: [[10], [18], [18]],
  metrics: [[10], [18], [18], [42, 58, 74, 82, 90], [10]],
};
/** Where entries are a metric's data. */
const DATA_LEVEL = 3;
/** How many times the bytes of a message its repeated fields may take: a piece for each item of a large resource would fill all memory. */
const MOST_GROWTH = 8;
/** A length prefix at its longest. */
export const LENGTH_BYTES = 5;

/** Bytes to be: a range of the memory, or a message (tag, or 0 for none) around others. */
export type Rope = { from: number; to: number } | { tag: number; content: Rope[]; bytes: number };

/** Something that stays together: one entry or a piece of it, tag and length included. */
export interface Unit {
  rope: Rope;
  bytes: number;
  items: number;
}

/** What is inside a message: fixed fields and units, packed. */
interface Piece {
  content: Rope[];
  bytes: number;
  items: number;
}

export interface RequestPiece extends Piece {
  key: string;
  /** The request as it lies in memory. */
  isWhole: boolean;
}

type Visit = (tagAt: number, from: number, to: number) => void;
type Entry = Parameters<Visit>;

/** The request between `at` and `end` as pieces of one key and at most `most` bytes each, as far as items allow. */
export function splitRequest(
  bytes: Uint8Array,
  signal: Signal,
  at: number,
  end: number,
  most: number,
  keyOf: (from: number, to: number) => string,
): RequestPiece[] {
  const splitter = createSplitter(bytes, signal);
  const entries: { key: string; tagAt: number; from: number; to: number }[] = [];
  const fixed = splitter.walk(0, at, end, (tagAt, from, to) => entries.push({ key: keyOf(from, to), tagAt, from, to }));
  const groups = Map.groupBy(entries, ({ key }) => key);
  if (groups.size === 0 || (groups.size === 1 && end - at <= most)) {
    const items = entries.reduce((sum, { from, to }) => sum + splitter.count(1, from, to), 0);
    return [{ content: [{ from: at, to: end }], bytes: end - at, items, key: entries[0]?.key ?? '', isWhole: true }];
  }
  const room = most - bytesOf(fixed);
  return [...groups].flatMap(([key, group]) => {
    const units = group.flatMap(({ tagAt, from, to }) => splitter.cut(1, tagAt, from, to, room));
    return pack(fixed, units, most).map((piece) => ({ ...piece, key, isWhole: false }));
  });
}

export function createSplitter(bytes: Uint8Array, signal: Signal) {
  const down = DOWN[signal];
  const reader = new Reader(bytes);

  /** Calls `visit` for each entry at a level; gives the ranges between them. */
  function walk(level: number, at: number, end: number, visit: Visit): Rope[] {
    const fixed: Rope[] = [];
    let fixedFrom = at;
    let pos = at;
    while (pos < end) {
      reader.pos = pos;
      const tag = readTag(reader, end);
      const isEntry = down[level]?.includes(tag) ?? false;
      const to = isEntry ? readEnd(reader, end) : -1;
      if (isEntry) {
        if (pos > fixedFrom) fixed.push({ from: fixedFrom, to: pos });
        visit(pos, reader.pos, to);
        fixedFrom = to;
        pos = to;
      } else {
        skipField(reader, tag, end);
        pos = reader.pos;
      }
    }
    if (end > fixedFrom) fixed.push({ from: fixedFrom, to: end });
    return fixed;
  }

  function count(level: number, at: number, end: number): number {
    if (level === down.length) return 1;
    let items = 0;
    let kind = 0;
    walk(level, at, end, (tagAt, from, to) => {
      if (level === DATA_LEVEL && tagOf(tagAt, to) !== kind) {
        kind = tagOf(tagAt, to);
        items = 0;
      }
      items += count(level + 1, from, to);
    });
    return items;
  }

  function tagOf(tagAt: number, to: number): number {
    reader.pos = tagAt;
    return readTag(reader, to);
  }

  /** An entry, whose content is read at `level`, as units of at most `most` bytes, as far as items allow. */
  function cut(level: number, tagAt: number, from: number, to: number, most: number): Unit[] {
    const whole = { rope: { from: tagAt, to }, bytes: to - tagAt };
    if (whole.bytes <= most || level === down.length) return [{ ...whole, items: count(level, from, to) }];
    const inside: Entry[] = [];
    const fixed = walk(level, from, to, (...entry) => inside.push(entry));
    const tag = tagOf(tagAt, to);
    const room = most - varintBytes(tag) - LENGTH_BYTES;
    const within = room - bytesOf(fixed);
    const units =
      level === DATA_LEVEL && inside.length > 1
        ? cutData(inside, within)
        : inside.flatMap(([at, start, end]) => cut(level + 1, at, start, end, within));
    if (units.length === 0) return [{ ...whole, items: 0 }];
    return pack(fixed, units, room).map((piece) => wrap(tag, piece));
  }

  /** Data messages of one metric: each piece says what all of the last kind say beside their points. */
  function cutData(messages: readonly Entry[], most: number): Unit[] {
    const tags = messages.map(([tagAt, , to]) => tagOf(tagAt, to));
    const tag = tags.at(-1) ?? 0;
    const points: Entry[] = [];
    const fixed = messages
      .slice(tags.findLastIndex((one) => one !== tag) + 1)
      .flatMap(([, from, to]) => walk(DATA_LEVEL + 1, from, to, (...point) => points.push(point)));
    const room = most - varintBytes(tag) - LENGTH_BYTES;
    const units = points.flatMap(([at, from, to]) => cut(DATA_LEVEL + 2, at, from, to, room - bytesOf(fixed)));
    return pack(fixed, units, room).map((piece) => wrap(tag, piece));
  }

  return { walk, count, cut };
}

/** A piece as one entry of the message around it. */
export function wrap(tag: number, { content, bytes, items }: Piece): Unit {
  return { rope: { tag, content, bytes }, bytes: varintBytes(tag) + varintBytes(bytes) + bytes, items };
}

/** Units in their order, as many to a piece as fit; each piece repeats the fixed fields. All in one where these would take most of the memory. */
export function pack(fixed: Rope[], units: readonly Unit[], most: number): Piece[] {
  const fixedBytes = bytesOf(fixed);
  const pieces = packed(fixed, fixedBytes, units, most);
  const unitBytes = units.reduce((sum, { bytes }) => sum + bytes, 0);
  if (pieces.length * fixedBytes <= MOST_GROWTH * (fixedBytes + unitBytes)) return pieces;
  return packed(fixed, fixedBytes, units, Number.POSITIVE_INFINITY);
}

function packed(fixed: Rope[], fixedBytes: number, units: readonly Unit[], most: number): Piece[] {
  const pieces: Piece[] = [];
  let piece: Piece | undefined;
  for (const unit of units) {
    if (piece === undefined || piece.bytes + unit.bytes > most) {
      piece = { content: [...fixed], bytes: fixedBytes, items: 0 };
      pieces.push(piece);
    }
    piece.content.push(unit.rope);
    piece.bytes += unit.bytes;
    piece.items += unit.items;
  }
  return pieces;
}

/** Writes a piece at `at`; returns the position after it. */
export function writeRope(bytes: Buffer, at: number, content: readonly Rope[]): number {
  let pos = at;
  for (const rope of content) {
    if ('tag' in rope) {
      pos = writeVarint(bytes, pos, rope.tag);
      pos = writeVarint(bytes, pos, rope.bytes);
      pos = writeRope(bytes, pos, rope.content);
    } else pos = copyRange(bytes, rope.from, rope.to, pos);
  }
  return pos;
}

export function bytesOf(content: readonly Rope[]): number {
  let sum = 0;
  for (const rope of content) {
    sum += 'tag' in rope ? varintBytes(rope.tag) + varintBytes(rope.bytes) + rope.bytes : rope.to - rope.from;
  }
  return sum;
}
