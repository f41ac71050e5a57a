/** Fits one threshold on half of the files and scores it on the other half, both ways: what is reported is never what was fitted. */
import type { Random } from '../random.ts';

/** What one file contributes at each threshold of a common list. */
export interface FileSweep<Part> {
  name: string;
  parts: ArrayLike<Part>;
}

/** How contributions become a score: `sum` over files, then a figure. */
export interface Rule<Part> {
  zero: Part;
  add(sum: Part, part: Part): Part;
  /** `files`: those that were summed, for rules that normalise by their labels. */
  figure(sum: Part, files: readonly FileSweep<Part>[]): number;
}

export interface Fit {
  /** Index into the thresholds. */
  threshold: number;
  figure: number;
}

/** The threshold (the highest of equals) with the best figure over these files. */
export function fit<Part>(files: readonly FileSweep<Part>[], rule: Rule<Part>): Fit {
  const count = files[0]?.parts.length ?? 0;
  let best: Fit = { threshold: 0, figure: -Infinity };
  for (let threshold = 0; threshold < count; threshold++) {
    const figure = figureAt(files, rule, threshold);
    if (figure > best.figure) best = { threshold, figure };
  }
  return best;
}

export function figureAt<Part>(files: readonly FileSweep<Part>[], rule: Rule<Part>, threshold: number): number {
  let sum = rule.zero;
  for (const { parts } of files) sum = rule.add(sum, parts[threshold] as Part);
  return rule.figure(sum, files);
}

/** Figures of each half under the threshold fitted on the other. */
export function crossFit<Part>(files: readonly FileSweep<Part>[], inFirst: boolean[], rule: Rule<Part>): number[] {
  const halves = [true, false].map((side) => files.filter((_, i) => inFirst[i] === side));
  return halves.map((half, i) => figureAt(half, rule, fit(halves[1 - i] ?? [], rule).threshold));
}

/** Every other file, in the order of their names. */
export function alternate(count: number): boolean[] {
  return Array.from({ length: count }, (_, i) => i % 2 === 0);
}

/** A random half. */
export function shuffled(count: number, random: Random): boolean[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  const first = new Set(order.slice(0, count >> 1));
  return Array.from({ length: count }, (_, i) => first.has(i));
}

/** Thresholds to try, descending from Infinity (no detection): every score of the highest `exact`, then ever fewer. */
export function thresholdsOf(scores: readonly Float64Array[], exact: number, ratio: number): Float64Array {
  const all = Float64Array.from(concatenate(scores)).sort().reverse();
  const picked = [Infinity];
  for (let rank = 0; rank < all.length; rank = rank < exact ? rank + 1 : Math.ceil((rank + 1) * ratio)) {
    const score = all[rank]!;
    if (score !== picked.at(-1)) picked.push(score);
  }
  return Float64Array.from(picked);
}

function concatenate(lists: readonly Float64Array[]): Float64Array {
  const whole = new Float64Array(lists.reduce((length, list) => length + list.length, 0));
  let at = 0;
  for (const list of lists) {
    whole.set(list, at);
    at += list.length;
  }
  return whole;
}
