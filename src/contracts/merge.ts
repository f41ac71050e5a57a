/** Main's side of what workers measured: cells, points and operations into the memory of their signals, in the journal's order. */
import { cutLength } from '../core/boundedText.ts';
import { explainPoint } from './explain.ts';
import { addItems, addPoint, type Target } from './memory.ts';
import type { PointText } from './pointText.ts';
import { boundsOf, type Measurements, MOST_TRACES, WIDTHS } from './rows.ts';
import { newSpread } from './spread.ts';

interface MergeOptions {
  /** The target of a signal's key and an instance; null for what nobody asks about any more, or beyond a bound. `name` reads the instance's name. */
  find(key: number, group: number, name: () => string): Target | null;
  /** Items, or points, of a key for which there was no target. */
  unplaced?(key: number, items: number): void;
  /** Items that were not judged, and why. */
  unjudged(target: Target, reason: 'late' | 'unmeasured', items: number): void;
  /** Bytes that the addresses in the tables point into. */
  bytes: Buffer;
  /** Reads points that lie in them. */
  texts: PointText;
}

export function mergeMeasurements(tables: Measurements, receivedMs: number, options: MergeOptions): void {
  const targets = cellsOf(tables, options);
  const buckets = byOwner(tables.buckets, targets.length, (list, row) => {
    const [low, high] = boundsOf(tables.buckets[row + 1] as number);
    list.push(low, high, tables.buckets[row + 2] as number);
  });
  targets.forEach((target, cell) => {
    if (target) mergeCell(tables, cell, target, receivedMs, buckets[cell], options);
    else if (target === null)
      options.unplaced?.(tables.identity[cell * WIDTHS.identity] as number, itemsOf(tables, cell));
  });
  mergePoints(tables, targets, receivedMs, options.texts);
  for (const target of targets) {
    const refused = target?.memory.series?.takeRefused() ?? 0;
    if (target && refused > 0) options.unjudged(target, 'unmeasured', refused);
  }
  mergeOperations(tables, targets, receivedMs, options.bytes);
}

/** Undefined: nothing is in the cell. An instance whose resource sends other things alone is none of the signal's. */
function cellsOf(tables: Measurements, { find, bytes }: MergeOptions): (Target | null | undefined)[] {
  const { identity, points } = tables;
  const targets = new Array<Target | null | undefined>(identity.length / WIDTHS.identity);
  const place = (cell: number) => {
    if (targets[cell] !== undefined) return;
    const number = (i: number) => identity[cell * WIDTHS.identity + i] as number;
    targets[cell] = find(number(0), number(1), () => text(bytes, number(2), number(3)));
  };
  for (let cell = 0; cell < targets.length; cell++) if (countedIn(tables, cell) > 0) place(cell);
  for (let at = 0; at < points.length; at += WIDTHS.points) place(points[at] as number);
  return targets;
}

/** Items that were counted one by one, judged or not. */
function countedIn({ numbers }: Measurements, cell: number): number {
  const at = cell * WIDTHS.numbers;
  return (numbers[at + 5] as number) + (numbers[at + 6] as number) + (numbers[at + 7] as number);
}

/** All that a cell is about, judged or not. */
function itemsOf(tables: Measurements, cell: number): number {
  const { points } = tables;
  let items = countedIn(tables, cell);
  for (let at = 0; at < points.length; at += WIDTHS.points) if (points[at] === cell) items++;
  return items;
}

function mergeCell(
  { numbers, traces }: Measurements,
  cell: number,
  target: Target,
  receivedMs: number,
  buckets: readonly number[] | undefined,
  { bytes, unjudged }: MergeOptions,
): void {
  const at = cell * WIDTHS.numbers;
  const number = (i: number) => numbers[at + i] as number;
  const items = number(0);
  if (items > 0)
    addItems(target.memory, receivedMs, {
      items,
      sum: number(1),
      min: number(2),
      max: number(3),
      last: number(4),
      spread: buckets === undefined ? null : newSpread(buckets),
    });
  target.memory.seen += number(5);
  target.memory.heardMs = Math.max(target.memory.heardMs, receivedMs);
  if (number(6) > 0) unjudged(target, 'late', number(6));
  if (number(7) > 0) unjudged(target, 'unmeasured', number(7));
  const from = cell * WIDTHS.traces;
  const count = traces[from] as number;
  // A ring: the oldest first.
  for (let i = Math.max(0, count - MOST_TRACES); i < count; i++) {
    const idAt = traces[from + 1 + (i % MOST_TRACES)] as number;
    target.evidence.addTrace(receivedMs, bytes.toString('hex', idAt, idAt + 16));
  }
}

function mergePoints(
  { points, entries }: Measurements,
  targets: readonly (Target | null | undefined)[],
  receivedMs: number,
  texts: PointText,
): void {
  const rows = byOwner(entries, points.length / WIDTHS.points, (list, row) =>
    list.push(entries[row + 1] as number, entries[row + 2] as number, entries[row + 3] as number),
  );
  for (let point = 0; point < points.length / WIDTHS.points; point++) {
    const number = (i: number) => points[point * WIDTHS.points + i] as number;
    const target = targets[number(0)];
    if (!target) continue;
    const buckets = rows[point];
    const measured = {
      flags: number(1),
      series: number(2),
      startMs: number(3),
      timeMs: number(4),
      a: number(5),
      b: number(6),
      spread: buckets === undefined ? null : newSpread(buckets, number(14), number(15)),
    };
    const step = addPoint(target.plan, target.memory, receivedMs, measured);
    const source = {
      kind: number(7),
      at: number(8),
      end: number(9),
      exemplarsFrom: number(10),
      instanceAt: number(11),
      instanceLength: number(12),
    };
    explainPoint({ target, receivedMs, measured, step, source, unit: number(13), texts });
  }
}

/** Rows of which the first number is the owner, as one list for each owner, to which `add` adds low, high and count of a row. */
function byOwner(
  table: Float64Array,
  owners: number,
  add: (list: number[], row: number) => void,
): (number[] | undefined)[] {
  const lists = new Array<number[] | undefined>(table.length === 0 ? 0 : owners);
  for (let row = 0; row < table.length; row += WIDTHS.entries) {
    const owner = table[row] as number;
    let list = lists[owner];
    if (list === undefined) {
      list = [];
      lists[owner] = list;
    }
    add(list, row);
  }
  return lists;
}

function mergeOperations(
  { tallies, operations }: Measurements,
  targets: readonly (Target | null | undefined)[],
  receivedMs: number,
  bytes: Buffer,
): void {
  let at = 0;
  const number = (i: number) => operations[at + i] as number;
  const identify = () => ({
    name: text(bytes, number(1), number(2)),
    version: text(bytes, number(3), number(4)),
  });
  for (let row = 0; row < tallies.length; row += WIDTHS.tallies) {
    const target = targets[tallies[row] as number];
    if (!target) continue;
    at = (tallies[row + 1] as number) * WIDTHS.operations;
    // Signed, so that it is a small integer, which a Map finds without a detour.
    const hash = number(0) | 0;
    target.evidence.addOperation(receivedMs, hash, tallies[row + 2] as number, tallies[row + 3] as number, identify);
  }
}

/** What is remembered of a name has a bound, whatever a service sends. */
function text(bytes: Buffer, at: number, length: number): string {
  return bytes.toString('utf8', at, at + cutLength(bytes, at, length));
}
