/**
 * An exponential histogram of at most MAX_BUCKETS buckets that lowers its scale when its values spread: what OpenTelemetry's SDK calls
 * base-2 exponential bucket aggregation. https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
 */

/** The SDK's default: a relative error of 2.2 % over three decades, 4.3 % over five. */
export const MAX_BUCKETS = 160;

export class ExponentialHistogram {
  scale: number;
  /** Index of `counts[0]` at `scale`. */
  offset = 0;
  counts = new Float64Array(16);
  /** Buckets in use, from `offset` on. */
  length = 0;
  zeroCount = 0;
  count = 0;
  sum = 0;
  min = Infinity;
  max = 0;

  constructor(scale: number) {
    this.scale = scale;
  }

  /** Adds `weight` values that fall into bucket `index` of scale `scaleOfIndex` (at least this histogram's). */
  add(index: number, scaleOfIndex: number, weight: number): void {
    let at = index >> (scaleOfIndex - this.scale);
    const known = at - this.offset;
    if (known >= 0 && known < this.length) {
      this.counts[known] = this.counts[known]! + weight;
      return;
    }
    if (this.length === 0) {
      this.offset = at;
      this.length = 1;
      this.counts[0] = weight;
      return;
    }
    const low = at < this.offset ? at : this.offset;
    const high = at >= this.offset + this.length ? at : this.offset + this.length - 1;
    if (high - low >= MAX_BUCKETS) {
      this.#coarsen(low, high);
      at = index >> (scaleOfIndex - this.scale);
    }
    this.#include(at);
    this.counts[at - this.offset] = this.counts[at - this.offset]! + weight;
  }

  /** Halves the resolution until low to high fit. */
  #coarsen(low: number, high: number): void {
    let shift = 0;
    while ((high >> shift) - (low >> shift) >= MAX_BUCKETS) shift++;
    const counts = new Float64Array(MAX_BUCKETS);
    const offset = this.offset >> shift;
    for (let i = 0; i < this.length; i++) {
      const to = ((this.offset + i) >> shift) - offset;
      counts[to] = counts[to]! + this.counts[i]!;
    }
    this.length = ((this.offset + this.length - 1) >> shift) - offset + 1;
    this.offset = offset;
    this.counts = counts;
    this.scale -= shift;
  }

  /** Makes room for bucket `at`, which is near enough. */
  #include(at: number): void {
    const first = at < this.offset ? at : this.offset;
    const end = at >= this.offset + this.length ? at + 1 : this.offset + this.length;
    if (end - first > this.counts.length || first < this.offset) {
      const counts = new Float64Array(Math.max(this.counts.length, 2 ** Math.ceil(Math.log2(end - first))));
      counts.set(this.counts.subarray(0, this.length), this.offset - first);
      this.counts = counts;
    }
    this.offset = first;
    this.length = end - first;
  }

  /** Plain data for the checkpoint. */
  save(): unknown[] {
    const counts = Array.from(this.counts.subarray(0, this.length));
    return [
      this.scale,
      this.offset,
      counts,
      this.zeroCount,
      this.count,
      this.sum,
      this.min === Infinity ? null : this.min,
      this.max,
    ];
  }

  static restore(saved: unknown[]): ExponentialHistogram {
    const [scale, offset, counts, zeroCount, count, sum, min, max] = saved as [
      number,
      number,
      number[],
      number,
      number,
      number,
      number | null,
      number,
    ];
    const histogram = new ExponentialHistogram(scale);
    histogram.offset = offset;
    histogram.counts = new Float64Array(Math.max(16, counts.length));
    histogram.counts.set(counts);
    histogram.length = counts.length;
    histogram.zeroCount = zeroCount;
    histogram.count = count;
    histogram.sum = sum;
    histogram.min = min ?? Infinity;
    histogram.max = max;
    return histogram;
  }
}
