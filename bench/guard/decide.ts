/** Whether one side is slower than the other: ratios of runs in fresh processes, their median, and its bootstrap interval. */
import { interval, median } from '../statistics.ts';

/** A cost may rise by this much. */
export const MOST_RATIO = 1.05;

export interface Verdict {
  /** Median of head / base. */
  ratio: number;
  /** 95 % interval of it. */
  low: number;
  high: number;
  isWorse: boolean;
}

/** `isWorse` only when the whole interval is above MOST_RATIO: noise alone rarely is. */
export function judge(ratios: readonly number[]): Verdict {
  const [low, high] = interval(ratios);
  return { ratio: median(ratios), low, high, isWorse: low > MOST_RATIO };
}

/** Runs of everything; all of them together take most of the time. */
export const FIRST_RUNS = 2;
/** Rounds of fresh runs for what looked worse: whoever does not in one of them is let go, so that noise soon costs no more time. */
export const FRESH_ROUNDS = 3;
export const RUNS_A_ROUND = 4;

/** Whether it still looks worse; after the last round judge decides. */
export function looksWorse(ratios: readonly number[]): boolean {
  return median(ratios) > MOST_RATIO;
}

/** Adds the ratios of a run to those of the runs before. */
export function addRun(ratios: Map<string, number[]>, run: ReadonlyMap<string, number>): void {
  for (const [name, ratio] of run) ratios.set(name, [...(ratios.get(name) ?? []), ratio]);
}
