/**
 * How workers hand over what they measured for contracts: tables of doubles in shared memory, behind one another, with the number of
 * rows of each in front.
 */

export const MOST_TRACES = 5;

/**
 * Doubles in a row of each table. A cell is one signal (of one instance): its rows in the first three have the same index.
 *
 *   identity    key of the signal, hash of the instance (0: all of them), address and length of the instance's name
 *   numbers     items, sum (of bad items, or of values), min, max, last, items each counted as one, late items, items
 *               without a value that can be measured
 *   traces      how many, then addresses of the newest trace ids
 *   points      cell, flags, series, start and time in Unix milliseconds, a, b          (series.ts says what they mean);
 *               then where it lies: field number of its kind, from, to, first exemplar, address and length of the
 *               resource's instance; what its numbers are multiplied by to be in the signal's unit; and, when it has
 *               entries, its minimum and maximum
 *   operations  hash, address and length of the name, address and length of the service's version
 *   tallies     cell, operation, items, bad items
 *   buckets     cell, logarithmic bucket, items, -
 *   entries     point, low, high, count: a bucket of a histogram
 */
export const WIDTHS = {
  identity: 4,
  numbers: 8,
  traces: 1 + MOST_TRACES,
  points: 16,
  operations: 5,
  tallies: 4,
  buckets: 4,
  entries: 4,
} as const;
export type Table = keyof typeof WIDTHS;
export const TABLES = Object.keys(WIDTHS) as Table[];

/** Buckets of a doubling: a value is known to 2.2 %, as in summaries. */
const BUCKETS_PER_DOUBLING = 32;
/** Added to a bucket's number, so that it is never negative; negative values mirror theirs below zero. */
const BUCKET_BIAS = 1 << 16;
const ZERO_BUCKET = 0;

/** The bucket of a value: 2^(i/32) < value <= 2^((i+1)/32). */
export function bucketOf(value: number): number {
  if (value === 0) return ZERO_BUCKET;
  const index = Math.ceil(Math.log2(Math.abs(value)) * BUCKETS_PER_DOUBLING) - 1 + BUCKET_BIAS;
  return value > 0 ? index : -index;
}

/** Lower and upper bound of a bucket. */
export function boundsOf(bucket: number): [low: number, high: number] {
  if (bucket === ZERO_BUCKET) return [0, 0];
  const index = Math.abs(bucket) - BUCKET_BIAS;
  const low = 2 ** (index / BUCKETS_PER_DOUBLING);
  const high = 2 ** ((index + 1) / BUCKETS_PER_DOUBLING);
  return bucket > 0 ? [low, high] : [-high, -low];
}

/** What a worker wrote, as views into shared memory: valid during the merge. */
export type Measurements = Record<Table, Float64Array>;

const NO_ROWS = new Float64Array(0);
// A row for each of TABLES.
const EMPTY = Object.fromEntries(TABLES.map((table) => [table, NO_ROWS])) as Measurements;

export function readMeasurements(out: DataView, at: number, end: number): Measurements | null {
  if (end === at) return null;
  const doubles = new Float64Array(out.buffer, out.byteOffset + at, (end - at) / 8);
  const tables = { ...EMPTY };
  let from = TABLES.length;
  for (let i = 0; i < TABLES.length; i++) {
    const table = TABLES[i] as Table;
    const length = (doubles[i] as number) * WIDTHS[table];
    if (length > 0) tables[table] = doubles.subarray(from, from + length);
    from += length;
  }
  return tables;
}
