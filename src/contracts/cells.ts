// HOT: once per counted item. Bench: bench/micro/contracts/measure.bench.ts
/** What a worker counts for contracts during one task, and how it leaves: sums by cell, data points, operations, spreads. */
import type { PointView } from '../otlp/points.ts';
import { MOST_TRACES, TABLES, type Table, WIDTHS } from './rows.ts';

/** Operations (names of spans by version) that one task tells apart; the rest counts in sums alone. */
const MOST_OPERATIONS = 1024;
const NUMBERS = WIDTHS.numbers;

/** A growing list of rows of doubles. */
class Rows {
  count = 0;
  readonly width: number;
  numbers: Float64Array;

  constructor(width: number, rows: number) {
    this.width = width;
    this.numbers = new Float64Array(width * rows);
  }

  /** Offset of a new row in `numbers`. */
  push(): number {
    const at = this.count++ * this.width;
    if (at + this.width > this.numbers.length) {
      const grown = new Float64Array(this.numbers.length * 2);
      grown.set(this.numbers);
      this.numbers = grown;
    }
    return at;
  }
}

/** Sums of two numbers by a pair of small integers; open addressing, so that an item costs no allocation. */
class PairSums {
  readonly rows = new Rows(4, 256);
  #table = new Int32Array(1024);

  reset(): void {
    if (this.rows.count > 0) this.#table.fill(0);
    this.rows.count = 0;
  }

  add(first: number, second: number, x: number, y: number): void {
    if ((this.rows.count + 1) * 2 > this.#table.length) this.#grow();
    const table = this.#table;
    const { numbers } = this.rows;
    let slot = hashPair(first, second) & (table.length - 1);
    for (let found = table[slot]!; found !== 0; slot = (slot + 1) & (table.length - 1), found = table[slot]!) {
      const at = (found - 1) * 4;
      if (numbers[at] !== first || numbers[at + 1] !== second) continue;
      numbers[at + 2] = numbers[at + 2]! + x;
      numbers[at + 3] = numbers[at + 3]! + y;
      return;
    }
    table[slot] = this.rows.count + 1;
    const at = this.rows.push();
    this.rows.numbers[at] = first;
    this.rows.numbers[at + 1] = second;
    this.rows.numbers[at + 2] = x;
    this.rows.numbers[at + 3] = y;
  }

  #grow(): void {
    const table = new Int32Array(this.#table.length * 2);
    for (let row = 0; row < this.rows.count; row++) {
      const { numbers } = this.rows;
      let slot = hashPair(numbers[row * 4]!, numbers[row * 4 + 1]!) & (table.length - 1);
      while (table[slot] !== 0) slot = (slot + 1) & (table.length - 1);
      table[slot] = row + 1;
    }
    this.#table = table;
  }
}

function hashPair(first: number, second: number): number {
  const mixed = Math.imul(first, 0x9e37_79b1) ^ Math.imul(second, 0x85eb_ca6b);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

export class Cells {
  readonly #identity = new Rows(WIDTHS.identity, 64);
  readonly #numbers = new Rows(NUMBERS, 64);
  readonly #traces = new Rows(WIDTHS.traces, 64);
  readonly #points = new Rows(WIDTHS.points, 64);
  readonly #entries = new Rows(WIDTHS.entries, 64);
  readonly #operations = new Rows(WIDTHS.operations, 64);
  readonly #operationTable = new Int32Array(4 * MOST_OPERATIONS);
  readonly #tallies = new PairSums();
  readonly #buckets = new PairSums();
  readonly #tables: Record<Table, Rows> = {
    identity: this.#identity,
    numbers: this.#numbers,
    traces: this.#traces,
    points: this.#points,
    operations: this.#operations,
    tallies: this.#tallies.rows,
    buckets: this.#buckets.rows,
    entries: this.#entries,
  };

  reset(): void {
    this.#identity.count = 0;
    this.#numbers.count = 0;
    this.#traces.count = 0;
    this.#points.count = 0;
    this.#entries.count = 0;
    if (this.#operations.count > 0) this.#operationTable.fill(0);
    this.#operations.count = 0;
    this.#tallies.reset();
    this.#buckets.reset();
  }

  /** A new cell for a signal of an instance; its index. */
  open(key: number, group: number, groupAt: number, groupLength: number): number {
    const cell = this.#identity.count;
    const at = this.#identity.push();
    const identity = this.#identity.numbers;
    identity[at] = key;
    identity[at + 1] = group;
    identity[at + 2] = groupAt;
    identity[at + 3] = groupLength;
    const to = this.#numbers.push();
    this.#numbers.numbers.fill(0, to, to + NUMBERS);
    this.#numbers.numbers[to + 2] = Infinity;
    this.#numbers.numbers[to + 3] = -Infinity;
    this.#traces.numbers[this.#traces.push()] = 0;
    return cell;
  }

  /** Counts `weight` items that came as one. */
  count(cell: number, weight: number, bad: boolean): void {
    const { numbers } = this.#numbers;
    const at = cell * NUMBERS;
    numbers[at] = numbers[at]! + weight;
    if (bad) numbers[at + 1] = numbers[at + 1]! + weight;
    numbers[at + 5] = numbers[at + 5]! + 1;
  }

  /** Takes a value of `weight` items. True when it is the largest of the cell so far. */
  take(cell: number, weight: number, value: number): boolean {
    const { numbers } = this.#numbers;
    const at = cell * NUMBERS;
    numbers[at] = numbers[at]! + weight;
    numbers[at + 1] = numbers[at + 1]! + weight * value;
    if (value < numbers[at + 2]!) numbers[at + 2] = value;
    const isLargest = value > numbers[at + 3]!;
    if (isLargest) numbers[at + 3] = value;
    numbers[at + 4] = value;
    numbers[at + 5] = numbers[at + 5]! + 1;
    return isLargest;
  }

  late(cell: number): void {
    const at = cell * NUMBERS + 6;
    this.#numbers.numbers[at] = this.#numbers.numbers[at]! + 1;
  }

  /** An item whose value is no number, or of no unit that is known. */
  odd(cell: number): void {
    const at = cell * NUMBERS + 7;
    this.#numbers.numbers[at] = this.#numbers.numbers[at]! + 1;
  }

  /** Notes where the id of a trace lies, as evidence: the newest replace the oldest. */
  trace(cell: number, idAt: number): void {
    const { numbers } = this.#traces;
    const at = cell * WIDTHS.traces;
    const count = numbers[at]!;
    numbers[at + 1 + (count % MOST_TRACES)] = idAt;
    numbers[at] = count + 1;
  }

  /** Adds to what one operation had of a cell; a negative operation is one too many. */
  tally(cell: number, operation: number, weight: number, bad: boolean): void {
    if (operation >= 0) this.#tallies.add(cell, operation, weight, bad ? weight : 0);
  }

  /** Adds to a logarithmic bucket of a cell's spread. */
  bucket(cell: number, bucket: number, weight: number): void {
    this.#buckets.add(cell, bucket, weight, 0);
  }

  /** The number of an operation; -1 when there are too many in this task. */
  operation(hash: number, nameAt: number, nameLength: number, versionAt: number, versionLength: number): number {
    const table = this.#operationTable;
    const { numbers } = this.#operations;
    let slot = hash & (table.length - 1);
    for (let found = table[slot]!; found !== 0; slot = (slot + 1) & (table.length - 1), found = table[slot]!) {
      if (numbers[(found - 1) * 5] === hash) return found - 1;
    }
    if (this.#operations.count === MOST_OPERATIONS) return -1;
    const at = this.#operations.push();
    const row = this.#operations.numbers;
    row[at] = hash;
    row[at + 1] = nameAt;
    row[at + 2] = nameLength;
    row[at + 3] = versionAt;
    row[at + 4] = versionLength;
    table[slot] = this.#operations.count;
    return this.#operations.count - 1;
  }

  /** A data point; its index. */
  point(cell: number, flags: number, series: number, startMs: number, timeMs: number, a: number, b: number): number {
    const at = this.#points.push();
    const row = this.#points.numbers;
    row[at] = cell;
    row[at + 1] = flags;
    row[at + 2] = series;
    row[at + 3] = startMs;
    row[at + 4] = timeMs;
    row[at + 5] = a;
    row[at + 6] = b;
    return this.#points.count - 1;
  }

  /** Where a point lies, for what explains it (rows.ts). */
  pointSource(
    point: number,
    kind: number,
    { at, end, exemplarsFrom }: PointView,
    instanceAt: number,
    instanceLength: number,
    unit: number,
  ): void {
    const row = this.#points.numbers;
    const to = point * WIDTHS.points + 7;
    row[to] = kind;
    row[to + 1] = at;
    row[to + 2] = end;
    row[to + 3] = exemplarsFrom;
    row[to + 4] = instanceAt;
    row[to + 5] = instanceLength;
    row[to + 6] = unit;
  }

  /** Minimum and maximum of a point with entries; Infinity and -Infinity where it does not say them. */
  ends(point: number, min: number, max: number): void {
    const to = point * WIDTHS.points + 14;
    this.#points.numbers[to] = min;
    this.#points.numbers[to + 1] = max;
  }

  /** A part of a point's spread. */
  entry(point: number, low: number, high: number, count: number): void {
    const at = this.#entries.push();
    const row = this.#entries.numbers;
    row[at] = point;
    row[at + 1] = low;
    row[at + 2] = high;
    row[at + 3] = count;
  }

  /** Bytes that `write` needs; 0 when nothing was counted. */
  size(): number {
    if (this.#identity.count === 0) return 0;
    let doubles = TABLES.length;
    for (const table of TABLES) doubles += this.#tables[table].count * WIDTHS[table];
    return doubles * 8;
  }

  /** Writes the counts of all tables, then the tables; returns the address after them. */
  write(out: DataView, at: number): number {
    const bytes = this.size();
    const doubles = new Float64Array(out.buffer, out.byteOffset + at, bytes / 8);
    let to = TABLES.length;
    if (bytes === 0) return at;
    TABLES.forEach((table, i) => {
      const { count, numbers } = this.#tables[table];
      doubles[i] = count;
      doubles.set(numbers.subarray(0, count * WIDTHS[table]), to);
      to += count * WIDTHS[table];
    });
    return at + bytes;
  }
}
