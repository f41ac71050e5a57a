/**
 * How long the spans of each operation last, learned from what `summarize` flushes: a histogram for each, of which the past fades. What
 * lies beyond a quantile of it is slow.
 */
import type { OperationDurations } from '../processor.ts';
import { MOST_LIMITS, operationOf } from './limits.ts';

/** Buckets of a histogram: each 9 % wider than the one before, from 1 us to 70 minutes. */
const PER_DOUBLING = 8;
const LEAST_DOUBLING = -10;
const BUCKETS = 32 * PER_DOUBLING;
/** A limit needs as many spans beyond it as say something: 1,000 spans for p99. */
const MIN_BEYOND = 10;
/**
 * Of what was learned half is left after this. A lasting change of all spans counts as usual when one per cent (p99) of the weight is new:
 * within minutes where it got slower.
 */
const HALF_LIFE_MS = 6 * 3600_000;
const FADE_EVERY_MS = 60_000;
const SAVED_WORDS = 3;

interface Operation {
  counts: Float32Array;
  total: number;
  /** Buckets in use: from the first to before the end. */
  first: number;
  end: number;
}

export interface SavedOperations {
  fadedMs: number;
  /** Three words of each: the operation, its first bucket in use and how many follow from there. */
  operations: Int32Array;
  /** Of all these buckets. */
  counts: Float32Array;
}

export class Operations {
  readonly #known = new Map<number, Operation>();
  #fadedMs: number;
  /** Nothing was learned since. */
  #saved: SavedOperations | null = null;

  constructor(saved: SavedOperations | null) {
    this.#fadedMs = saved?.fadedMs ?? 0;
    if (saved === null) return;
    const { operations, counts: all } = saved;
    for (let i = 0, at = 0; i < operations.length; i += SAVED_WORDS) {
      const [operation = 0, first = 0, used = 0] = operations.subarray(i);
      const counts = new Float32Array(BUCKETS);
      counts.set(all.subarray(at, at + used), first);
      at += used;
      const total = counts.reduce((sum, count) => sum + count, 0);
      this.#known.set(operation, { counts, total, first, end: first + used });
    }
  }

  get size(): number {
    return this.#known.size;
  }

  learn(flushed: readonly OperationDurations[], nowMs: number): void {
    this.#saved = null;
    this.#fade(nowMs);
    for (const { service, name, kind, durations } of flushed) {
      const known = this.#of(operationOf(service, name, kind));
      if (durations.zeroCount > 0) add(known, 0, durations.zeroCount);
      for (let i = 0; i < durations.counts.length; i++) {
        const count = durations.counts[i] as number;
        if (count > 0) add(known, bucketOf((durations.offset + i + 1) / 2 ** durations.scale), count);
      }
    }
  }

  #of(operation: number): Operation {
    const known = this.#known.get(operation);
    if (known !== undefined) return known;
    const made = { counts: new Float32Array(BUCKETS), total: 0, first: BUCKETS, end: 0 };
    this.#known.set(operation, made);
    return made;
  }

  #fade(nowMs: number): void {
    if (this.#fadedMs === 0) this.#fadedMs = nowMs;
    const elapsedMs = nowMs - this.#fadedMs;
    if (elapsedMs < FADE_EVERY_MS) return;
    this.#fadedMs = nowMs;
    const left = 0.5 ** (elapsedMs / HALF_LIFE_MS);
    for (const [operation, known] of this.#known) {
      known.total *= left;
      for (let b = known.first; b < known.end; b++) known.counts[b] = (known.counts[b] as number) * left;
      if (known.total < 1) this.#known.delete(operation);
    }
  }

  /** Forgets all but those with the most spans: for the end of a flush, of which all operations are learned. */
  bound(): void {
    if (this.#known.size <= MOST_LIMITS) return;
    this.#saved = null;
    const least = [...this.#known].sort(([, a], [, b]) => a.total - b.total).slice(0, this.#known.size - MOST_LIMITS);
    for (const [operation] of least) this.#known.delete(operation);
  }

  /** Milliseconds beyond which less than 1 - `quantile` of the operation's spans lie, of those that are known well enough. */
  limits(quantile: number): Map<number, number> {
    const limits = new Map<number, number>();
    for (const [operation, { counts, total, end }] of this.#known) {
      const allowed = total * (1 - quantile);
      if (allowed < MIN_BEYOND - 1e-6) continue;
      let bucket = end - 1;
      for (let beyond = 0; bucket > 0; bucket--) {
        beyond += counts[bucket] as number;
        if (beyond > allowed) break;
      }
      limits.set(operation, 2 ** (LEAST_DOUBLING + (bucket + 1) / PER_DOUBLING));
    }
    return limits;
  }

  save(): SavedOperations {
    if (this.#saved !== null) return this.#saved;
    const operations = new Int32Array(this.#known.size * SAVED_WORDS);
    let word = 0;
    let buckets = 0;
    for (const [operation, { first, end }] of this.#known) {
      operations[word++] = operation;
      operations[word++] = first;
      operations[word++] = end - first;
      buckets += end - first;
    }
    const all = new Float32Array(buckets);
    let to = 0;
    for (const { counts, first, end } of this.#known.values()) {
      all.set(counts.subarray(first, end), to);
      to += end - first;
    }
    this.#saved = { fadedMs: this.#fadedMs, operations, counts: all };
    return this.#saved;
  }
}

function add(into: Operation, bucket: number, count: number): void {
  into.counts[bucket] = (into.counts[bucket] as number) + count;
  into.total += count;
  if (bucket < into.first) into.first = bucket;
  if (bucket >= into.end) into.end = bucket + 1;
}

/** The bucket that ends at or after this many doublings of a millisecond; the ends of finer buckets fall on it or before it. */
function bucketOf(doublings: number): number {
  const bucket = Math.ceil((doublings - LEAST_DOUBLING) * PER_DOUBLING - 1e-9) - 1;
  return Math.max(0, Math.min(BUCKETS - 1, bucket));
}
