// HOT: seven times a point at most. Bench: bench/micro/processors/flag/detector.bench.ts
/**
 * How surprising a value of a feature is: a peaks-over-threshold tail over the largest values lately seen, of which old ones count ever less.
 *
 * A value v at point n is kept as `ln v + n / horizon`, horizon in points. All kept values fade alike that way, without being touched, so their order stays.
 * The smallest of the TAIL_LENGTH kept is the threshold; the mean excess over it is Hill's estimate of the tail's weight ("A Simple
 * General Approach to Inference About the Tail of a Distribution", 1975), held near a prior while few values are known. A fading value is
 * overtaken after about horizon x weight points, so that many points are what a rank is out of.
 */

/** Values kept: more are slower to call the new ordinary, fewer forget too fast what was seen before. */
export const TAIL_LENGTH = 16;
/** Tail weight believed before anything is known, and how many excesses that belief is worth. */
const PRIOR_WEIGHT = 0.2;
const PRIOR_COUNT = 4;
/** Decades that a first departure from nothing counts beyond its rarity: no scale is known yet to measure it by. */
const FIRST_EVER = 4;
/** What is remembered is at most so much (ln) above the largest: one fault does not hide the next. */
const MOST_ABOVE = 0.5;

/**
 * -log10 of the chance of a value at least this large at one point; 0 when it is no more than ordinary. Then remembers it.
 * `keys[at .. at + TAIL_LENGTH]`: kept values, largest first, NaN where none is yet. `key`: ln v, plus what has faded so far.
 * `near`: kept values larger than this fraction (as ln) below are as large.
 */
export function surprise(
  keys: Float32Array,
  at: number,
  key: number,
  points: number,
  horizon: number,
  near: number,
): number {
  const last = at + TAIL_LENGTH - 1;
  if (key <= keys[last]!) return 0;
  let kept = 0;
  let above = 0;
  let sum = 0;
  for (; kept < TAIL_LENGTH; kept++) {
    const one = keys[at + kept]!;
    // NaN: the rest is empty.
    if (!(one > -Infinity)) break;
    if (one >= key - near) above++;
    sum += one;
  }
  const score =
    kept === 0 ? Math.log(points) + FIRST_EVER * Math.LN10 : chance(keys, at, key, kept, above, sum, points, horizon);
  const most = keys[at]! + MOST_ABOVE;
  insert(keys, at, key > most ? most : key);
  return score / Math.LN10;
}

/** -ln of the chance, by rank within what is kept and by the tail's weight beyond. */
function chance(
  keys: Float32Array,
  at: number,
  key: number,
  kept: number,
  above: number,
  sum: number,
  points: number,
  horizon: number,
): number {
  const lowest = keys[at + kept - 1]!;
  const weight = (sum - kept * lowest + PRIOR_WEIGHT * PRIOR_COUNT) / (kept - 1 + PRIOR_COUNT);
  const memory = horizon * weight;
  const outOf = Math.log(points < memory ? points : memory);
  // 0.7: the median of the largest of n lies near 1 - 0.7 / n.
  if (above === 0) return outOf - Math.log(0.7) + (key - keys[at]!) / weight;
  return outOf - Math.log(above + 0.2);
}

function insert(keys: Float32Array, at: number, key: number): void {
  let i = at + TAIL_LENGTH - 1;
  for (; i > at && !(keys[i - 1]! >= key); i--) keys[i] = keys[i - 1]!;
  keys[i] = key;
}
