/** Streams series through the production detector with the production defaults: each point is scored before the next is known. */
import { Detector, STATE_BYTES } from '../../src/processors/flag/detector.ts';
import { DEFAULT_THRESHOLD } from '../../src/processors/flag/index.ts';
import type { Detect } from './baselines.ts';

export { DEFAULT_THRESHOLD, STATE_BYTES };

export const detect: Detect = (times, values) => {
  const detector = new Detector();
  const scores = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) scores[i] = detector.step(times[i]!, values[i]!);
  return scores;
};
