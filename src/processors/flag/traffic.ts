/** What one service's entry spans add up to between two judgements: rate, share of errors, quantiles of their durations. */
import { BUCKET_BIAS, BUCKETS, PER_DOUBLING } from './measure.ts';

/** Shares and quantiles of fewer spans than this say little: they wait for more. */
const LEAST_SPANS = 20;

interface TrafficValues {
  /** Spans a second. */
  rate: number;
  /** The rest is NaN while there are too few spans. Shares from 0 to 1, durations in milliseconds. */
  errors: number;
  p50: number;
  p95: number;
}

export interface SavedTraffic {
  count: number;
  next: number;
  spans: number;
  errors: number;
  /** Pairs of bucket and count. */
  buckets: number[];
}

export class Traffic {
  /** Since the last judgement, and what was received after the moment of the next one and is here already. */
  #count = 0;
  #next = 0;
  /** Since shares and quantiles were last given. */
  #spans = 0;
  #errors = 0;
  readonly #buckets = new Uint32Array(BUCKETS);

  constructor(saved: SavedTraffic | null) {
    if (saved === null) return;
    this.#count = saved.count;
    this.#next = saved.next;
    this.#spans = saved.spans;
    this.#errors = saved.errors;
    for (let i = 0; i + 1 < saved.buckets.length; i += 2) this.#buckets[saved.buckets[i]!] = saved.buckets[i + 1]!;
  }

  add(count: number, errors: number, isNext: boolean): void {
    if (isNext) this.#next += count;
    else this.#count += count;
    this.#spans += count;
    this.#errors += errors;
  }

  addDuration(bucket: number): void {
    this.#buckets[bucket]!++;
  }

  /** Begins anew: what was counted over an unknown time says nothing of rates. */
  forget(): void {
    this.#count = 0;
    this.#next = 0;
  }

  /** `slots` of `seconds` each have passed since the last time. */
  take(slots: number, seconds: number): TrafficValues {
    const whole = slots === 1 ? this.#count : this.#count + this.#next;
    const rate = whole / (slots * seconds);
    this.#count = slots === 1 ? this.#next : 0;
    this.#next = 0;
    if (this.#spans < LEAST_SPANS) return { rate, errors: Number.NaN, p50: Number.NaN, p95: Number.NaN };
    const errors = this.#errors / this.#spans;
    const values = { rate, errors, p50: this.#quantile(0.5), p95: this.#quantile(0.95) };
    this.#spans = 0;
    this.#errors = 0;
    this.#buckets.fill(0);
    return values;
  }

  /** Milliseconds; interpolated within the bucket on its logarithmic scale. */
  #quantile(share: number): number {
    let rest = share * this.#spans;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const count = this.#buckets[bucket]!;
      if (count >= rest && count > 0) return 2 ** ((bucket + rest / count - BUCKET_BIAS) / PER_DOUBLING);
      rest -= count;
    }
    return Number.NaN;
  }

  save(): SavedTraffic {
    const buckets: number[] = [];
    for (const [bucket, count] of this.#buckets.entries()) if (count > 0) buckets.push(bucket, count);
    return { count: this.#count, next: this.#next, spans: this.#spans, errors: this.#errors, buckets };
  }
}
