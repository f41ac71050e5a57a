/**
 * The rules of the Numenta Anomaly Benchmark: a detection counts by where in a labelled window it lies, a false one by how far past the last.
 * https://github.com/numenta/NAB (its sweeper and scorer; "Evaluating Real-time Anomaly Detection Algorithms", 2015)
 */

/** What a false positive and a missed window cost; a window detected at its left edge gives 1. */
export interface Profile {
  name: string;
  falsePositive: number;
  missed: number;
}

export const PROFILES: readonly Profile[] = [
  { name: 'standard', falsePositive: 0.11, missed: 1 },
  { name: 'low FP', falsePositive: 0.22, missed: 1 },
  { name: 'low FN', falsePositive: 0.11, missed: 2 },
];

/** First and last row of a labelled window, both inside. */
export interface Window {
  first: number;
  last: number;
}

const PROBATION_SHARE = 0.15;
const MOST_PROBATION_OF = 5000;
/** Farther past a window than this (in windows) a false positive costs all it can. */
const FAR = 3;

/** Rows at the beginning of a file that are not scored. */
export function probationOf(rows: number): number {
  return Math.floor(PROBATION_SHARE * Math.min(rows, MOST_PROBATION_OF));
}

/** 1 far before 0, 0 at it, -1 far behind. */
function scaledSigmoid(position: number): number {
  return position > FAR ? -1 : 2 / (1 + Math.exp(5 * position)) - 1;
}

const MOST_HIT = scaledSigmoid(-1);

/** What a detection at `row` is worth: in (0, 1] inside a window, in [-1, 0) outside; and which window it is in, or -1. */
export function worthOf(row: number, windows: readonly Window[]): { worth: number; window: number } {
  let past: Window | null = null;
  for (const [index, window] of windows.entries()) {
    if (row < window.first) break;
    if (row <= window.last) {
      const width = window.last - window.first + 1;
      return { worth: scaledSigmoid(-(window.last - row + 1) / width) / MOST_HIT, window: index };
    }
    past = window;
  }
  if (past === null) return { worth: -1, window: -1 };
  return { worth: scaledSigmoid((row - past.last) / (past.last - past.first)), window: -1 };
}

/**
 * For each of `thresholds` (descending) the sum of what the detections `score >= threshold` of one file are worth. A window counts once, by
 * the best of its detections; one without costs `missed`.
 */
export function sweepFile(
  scores: Float64Array,
  windows: readonly Window[],
  profile: Profile,
  thresholds: Float64Array,
): Float64Array {
  const rows = rankRows(scores, probationOf(scores.length), thresholds.at(-1) ?? Infinity);
  const best = windows.map(() => -profile.missed);
  const sums = new Float64Array(thresholds.length);
  let sum = -profile.missed * windows.length;
  let next = 0;
  for (let i = 0; i < thresholds.length; i++) {
    for (; next < rows.length && scores[rows[next]!]! >= thresholds[i]!; next++) {
      const { worth, window } = worthOf(rows[next]!, windows);
      if (window < 0) sum += worth * profile.falsePositive;
      else if (worth > best[window]!) {
        sum += worth - best[window]!;
        best[window] = worth;
      }
    }
    sums[i] = sum;
  }
  return sums;
}

/** 0 is what no detection at all gets, 100 a detection at the left edge of every window and no other. */
export function normalise(sum: number, windows: number, profile: Profile): number {
  return (100 * (sum + profile.missed * windows)) / ((1 + profile.missed) * windows);
}

/** Rows from `from` on whose score is `least` or more, highest score first. */
export function rankRows(scores: Float64Array, from: number, least: number): Uint32Array {
  let count = 0;
  const rows = new Uint32Array(scores.length);
  for (let row = from; row < scores.length; row++) if (scores[row]! >= least) rows[count++] = row;
  return rows.subarray(0, count).sort((a, b) => scores[b]! - scores[a]!);
}
