/** Detectors that know little or nothing; every figure is shown beside theirs. */
import { createRandom } from '../random.ts';

export type Detect = (times: Float64Array, values: Float64Array) => Float64Array;

const EWMA_POINTS = 50;

export const BASELINES: Record<string, Detect> = {
  'no detection': (times) => new Float64Array(times.length),
  random(times) {
    const random = createRandom(times.length);
    return Float64Array.from(times, () => random.next());
  },
  /** One alarm in every twentieth of the file, whatever the values. */
  'blind, every 5 %': (times) =>
    Float64Array.from(times, (_, i) => (i % Math.max(1, Math.floor(times.length / 20)) === 0 ? 1 : 0)),
  'always on': (times) => new Float64Array(times.length).fill(1),
  /** Distance from a moving mean in moving deviations. */
  'EWMA z-score'(_, values) {
    const alpha = 2 / (EWMA_POINTS + 1);
    let mean = values[0] ?? 0;
    let variance = 0;
    return Float64Array.from(values, (value) => {
      const residual = value - mean;
      const score = variance > 0 ? Math.abs(residual) / Math.sqrt(variance) : 0;
      mean += alpha * residual;
      variance = (1 - alpha) * (variance + alpha * residual * residual);
      return Number.isFinite(score) ? score : 0;
    });
  },
};
