// HOT: once per histogram point whose buckets a signal reads. Bench: bench/micro/contracts/measure.bench.ts
/** Hands over the buckets of a histogram's point that hold something; how values lie within them is main's to say (spread.ts). */
import { readBounds, readBucketCounts, readBuckets } from '../otlp/buckets.ts';
import type { BucketsView } from '../otlp/lists.ts';
import type { PointView } from '../otlp/points.ts';
import type { Reader } from '../otlp/protobuf.ts';
import type { Cells } from './cells.ts';
import type { Take } from './contract.ts';

/** Buckets of one histogram that are looked at; no SDK makes as many. */
const MOST_BUCKETS = 1024;

export class PointBuckets {
  readonly #reader: Reader;
  readonly #point: PointView;
  readonly #cells: Cells;
  readonly #counts = new Float64Array(MOST_BUCKETS);
  readonly #bounds = new Float64Array(MOST_BUCKETS);
  /** How many bounds there are of the point that `tell` was asked about. */
  #bounded = 0;

  constructor(reader: Reader, point: PointView, cells: Cells) {
    this.#reader = reader;
    this.#point = point;
    this.#cells = cells;
  }

  /**
   * Whether the point says how its values are spread, as far as `take` wants to know. Without buckets, or with the one that holds
   * everything, minimum and maximum are known, of a delta; a summary's quantiles can be neither added nor subtracted.
   */
  tell(take: Take | null, isCumulative: boolean): boolean {
    const { count, zeroCount, zeroThreshold, bucketCounts, positive, negative, hasMin, hasMax } = this.#point;
    this.#bounded = readBounds(this.#reader, this.#point, this.#bounds);
    if (!this.#isAscending() || !(zeroThreshold >= 0 && zeroThreshold < Infinity)) return false;
    if (count === 0) return true;
    if (!this.#ends(positive, hasMax) || !this.#ends(negative, hasMin)) return false;
    const most = Math.max(bucketCounts.count, positive.counts.count, negative.counts.count);
    if (most > 1 || zeroCount > 0 || positive.counts.count + negative.counts.count > 0) return most <= MOST_BUCKETS;
    return !isCumulative && ((take === 'max' && hasMax) || (take === 'min' && hasMin));
  }

  /** Bounds that are no numbers, or in no order, make no buckets: nothing tells what lies where. */
  #isAscending(): boolean {
    const bounds = this.#bounds;
    let last = -Infinity;
    for (let i = 0; i < this.#bounded; i++) {
      if (!(bounds[i]! > last)) return false;
      last = bounds[i]!;
    }
    return true;
  }

  /** Scales that coarse have buckets that go beyond all doubles. */
  #ends({ offset, counts }: BucketsView, isTold: boolean): boolean {
    if (counts.count === 0) return true;
    return isTold ? this.#boundOf(0) === 1 : this.#boundOf(offset + counts.count) < Infinity;
  }

  /** Entries of the row, by their bounds, in the signal's unit. */
  write(row: number, unit: number): void {
    const { hasMin, min, hasMax, max } = this.#point;
    this.#cells.ends(row, hasMin ? min * unit : Infinity, hasMax ? max * unit : -Infinity);
    this.#writeNegative(row, unit);
    const { zeroCount, zeroThreshold } = this.#point;
    if (zeroCount > 0) this.#cells.entry(row, -zeroThreshold * unit, zeroThreshold * unit, zeroCount);
    this.#writePositive(row, unit);
    this.#writeExplicit(row, unit);
  }

  #writeNegative(row: number, unit: number): void {
    const counts = this.#counts;
    const { offset } = this.#point.negative;
    for (let i = readBuckets(this.#reader, this.#point, 'negative', counts) - 1; i >= 0; i--)
      if (counts[i] !== 0)
        this.#cells.entry(row, -this.#boundOf(offset + i + 1) * unit, -this.#boundOf(offset + i) * unit, counts[i]!);
  }

  #writePositive(row: number, unit: number): void {
    const counts = this.#counts;
    const { offset } = this.#point.positive;
    const count = readBuckets(this.#reader, this.#point, 'positive', counts);
    for (let i = 0; i < count; i++)
      if (counts[i] !== 0)
        this.#cells.entry(
          row,
          Math.min(this.#boundOf(offset + i) * unit, Number.MAX_VALUE),
          this.#boundOf(offset + i + 1) * unit,
          counts[i]!,
        );
  }

  /** Lower bound of an exponential bucket. One product, which is exact: bounds that two scales share are the same double in both. */
  #boundOf(index: number): number {
    return 2 ** (index * 2 ** -this.#point.scale);
  }

  /** The outermost buckets are open: minimum and maximum move, and would make other buckets of them. */
  #writeExplicit(row: number, unit: number): void {
    const counts = this.#counts;
    const bounds = this.#bounds;
    const count = readBucketCounts(this.#reader, this.#point, counts);
    const bounded = this.#bounded;
    if (count === 0 && this.#isBare()) this.#cells.entry(row, -Infinity, Infinity, this.#point.count);
    for (let i = 0; i < count; i++) {
      if (counts[i] === 0) continue;
      const low = i > 0 ? Math.min(bounds[i - 1]! * unit, Number.MAX_VALUE) : -Infinity;
      this.#cells.entry(row, low, i < bounded ? bounds[i]! * unit : Infinity, counts[i]!);
    }
  }

  #isBare(): boolean {
    const { count, zeroCount, positive, negative } = this.#point;
    return count > 0 && zeroCount + positive.counts.count + negative.counts.count === 0;
  }
}
