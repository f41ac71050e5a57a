/** Whether one side of alternating measurements is slower than the other: ratios of pairs, their median, and its bootstrap interval. */
import { interval, median } from '../statistics.ts';

/** A cost may rise by this much. */
export const MOST_RATIO = 1.05;

/** Costs an item of the base and of the head, measured one right after the other. */
export interface Pair {
  base: number;
  head: number;
}

export interface Verdict {
  /** Median of head / base. */
  ratio: number;
  /** 95 % interval of it. */
  low: number;
  high: number;
  isWorse: boolean;
}

/** `isWorse` only when the whole interval is above MOST_RATIO: noise alone rarely is. */
export function judgePairs(pairs: readonly Pair[]): Verdict {
  const ratios = pairs.map(({ base, head }) => head / base);
  const [low, high] = interval(ratios);
  return { ratio: median(ratios), low, high, isWorse: low > MOST_RATIO };
}

/** Rounds of fresh pairs for what looked worse: whoever does not in one of them is let go, so that noise soon costs no more time. */
export const FRESH_ROUNDS = 3;

/** Whether it still looks worse; after the last round judgePairs decides. */
export function looksWorse(pairs: readonly Pair[]): boolean {
  return judgePairs(pairs).ratio > MOST_RATIO;
}

/** Pairs of a run for each name that both sides have; what only one has cannot be compared. */
export function addPairs(
  pairs: Map<string, Pair[]>,
  base: ReadonlyMap<string, number>,
  head: ReadonlyMap<string, number>,
): void {
  for (const [name, cost] of head) {
    const before = base.get(name);
    if (before === undefined) continue;
    const list = pairs.get(name) ?? [];
    list.push({ base: before, head: cost });
    pairs.set(name, list);
  }
}
