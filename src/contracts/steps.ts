/**
 * What came between the points of a series, over time. As many steps as a window needs, but for those of long windows: what came within a
 * thousandth of it is folded into one, from which everything that is taken can still be told, percentiles of numbers nearly.
 */
import { addSpread, coarsen, newSpread, type Spread } from './spread.ts';

/** What came between two points of a series, or several such steps as one. */
export interface Step {
  /** Of the first of them. */
  receivedMs: number;
  coveredMs: number;
  a: number;
  b: number;
  /** How the values of a histogram are spread; of folded numbers how they are, where a percentile is taken. */
  spread: Spread | null;
  /** How many they are, and the least, greatest and last `a` of one. */
  points: number;
  min: number;
  max: number;
  last: number;
}

/** What is kept of them. */
export interface Keeping {
  /** Steps older than this are needed no more, but the last. */
  keepMs: number;
  /** Those that were received within this are one; 0: each stays as it is. */
  foldMs: number;
  /** How numbers are spread is asked for. */
  values: boolean;
}

const MOST_STEPS = 1000;
/** Intervals for the values of one step. */
const MOST_VALUES = 16;
/** They fit a minute: a window over ten minutes begins at a whole one, and so with a step. */
const FOLDS_S = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60];
const MINUTE_MS = 60_000;

/** For a window of `keepMs`. Up to 1000 s it is a second, as windows are; over 1000 min a number of minutes. */
export function foldOf(keepMs: number): number {
  const leastMs = keepMs / MOST_STEPS;
  const seconds = FOLDS_S.find((one) => one * 1000 >= leastMs);
  return seconds === undefined ? Math.ceil(leastMs / MINUTE_MS) * MINUTE_MS : seconds * 1000;
}

/** Adds the newest step, of a number or of a histogram. It is never folded: it is what a series has last. */
export function pushStep(steps: Step[], step: Step, isNumber: boolean, { keepMs, foldMs, values }: Keeping): void {
  const newer = steps.at(-1);
  const older = steps.at(-2);
  const slot = ({ receivedMs }: Step) => Math.floor(receivedMs / foldMs);
  if (foldMs > 0 && older !== undefined && newer !== undefined && slot(newer) <= slot(older)) {
    steps.pop();
    fold(older, newer, values && isNumber);
  }
  steps.push(step);
  while (steps.length > 1 && (steps[0] as Step).receivedMs < step.receivedMs - keepMs) steps.shift();
}

function fold(into: Step, more: Step, values: boolean): void {
  const spreads = [into, more].map((step) => step.spread ?? (values ? exactly(step) : null));
  into.spread = sumOf(spreads);
  if (values && into.spread !== null) coarsen(into.spread, MOST_VALUES);
  into.coveredMs += more.coveredMs;
  into.a += more.a;
  into.b += more.b;
  into.points += more.points;
  into.min = Math.min(into.min, more.min);
  into.max = Math.max(into.max, more.max);
  into.last = more.last;
}

/** A number, as an interval that has no width. */
function exactly({ a }: Step): Spread {
  return newSpread([a, a, 1]);
}

/** The steps within the window. */
export function stepsBetween(steps: readonly Step[], fromMs: number, toMs: number): Step[] {
  return steps.filter(({ receivedMs }) => receivedMs >= fromMs && receivedMs < toMs);
}

export function pointsOf(steps: readonly Step[]): number {
  return steps.reduce((sum, { points }) => sum + points, 0);
}

/** How the values of histograms are spread over all steps; null when none has any. */
export function spreadOfSteps(steps: readonly Step[]): Spread | null {
  return sumOf(steps.map(({ spread }) => spread));
}

/** How numbers are spread over all steps. */
export function spreadOfValues(steps: readonly Step[]): Spread {
  return { ...newSpread(), rows: steps.flatMap((step) => (step.spread ?? exactly(step)).rows) };
}

function sumOf(spreads: readonly (Spread | null)[]): Spread | null {
  let total: Spread | null = null;
  for (const spread of spreads) {
    if (spread === null) continue;
    total ??= newSpread();
    addSpread(total, spread);
  }
  return total;
}
