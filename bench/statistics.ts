/** Median, spread and a bootstrap interval of the median. */
import { createRandom } from './random.ts';

const RESAMPLES = 2000;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/** 95 % interval of the median, by resampling with a fixed seed. */
export function interval(values: readonly number[]): [low: number, high: number] {
  const random = createRandom(95);
  const medians = Array.from({ length: RESAMPLES }, () => median(values.map(() => random.pick(values)))).sort(
    (a, b) => a - b,
  );
  return [medians[Math.floor(RESAMPLES * 0.025)] ?? Number.NaN, medians[Math.floor(RESAMPLES * 0.975)] ?? Number.NaN];
}

/** The value below which `share` of the values lie; 0 of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** Least squares: what `values`, taken at even steps, gain in a step; 0 of fewer than two. */
export function slope(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let above = 0;
  let below = 0;
  for (const [i, value] of values.entries()) {
    above += (i - middle) * (value - mean);
    below += (i - middle) ** 2;
  }
  return below === 0 ? 0 : above / below;
}
