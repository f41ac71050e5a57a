/**
 * How values are spread: counts of intervals (low, high], whatever made them: the logarithmic buckets in which workers count spans, or
 * a histogram's own. Spreads add up and are subtracted by their intervals; only what is read from them takes values to lie evenly within.
 */

export interface Spread {
  /**
   * Low, high and count of each interval, by low. A histogram's outermost are open (-Infinity, Infinity): their identity is the bound that
   * the metric has, not an extreme, which moves.
   */
  rows: number[];
  /** Least and greatest value as far as points have said it (else Infinity and -Infinity): where open intervals end. */
  min: number;
  max: number;
}

const ROW = 3;
/** More intervals than any histogram has; beyond, neighbours are joined. */
export const MOST_INTERVALS = 4096;

/** A spread of rows in any order. */
export function newSpread(rows: readonly number[] = [], min = Infinity, max = -Infinity): Spread {
  return { rows: bounded(sorted(rows)), min, max };
}

export function addSpread(into: Spread, more: Spread): void {
  into.min = Math.min(into.min, more.min);
  into.max = Math.max(into.max, more.max);
  addRows(into, more.rows);
}

/** Nearly always there are the same intervals on both sides: then nothing is allocated. */
function addRows(into: Spread, more: readonly number[]): void {
  const { rows } = into;
  const missing: number[] = [];
  let at = 0;
  for (let i = 0; i < more.length; i += ROW) {
    const low = more[i] as number;
    const high = more[i + 1] as number;
    const count = more[i + 2] as number;
    while (at < rows.length && compare(rows[at] as number, rows[at + 1] as number, low, high) < 0) at += ROW;
    if (rows[at] === low && rows[at + 1] === high) rows[at + 2] = (rows[at + 2] as number) + count;
    else missing.push(low, high, count);
  }
  if (missing.length > 0) into.rows = bounded(merged(rows, missing));
}

function compare(low: number, high: number, otherLow: number, otherHigh: number): number {
  if (low !== otherLow) return low < otherLow ? -1 : 1;
  return high === otherHigh ? 0 : high < otherHigh ? -1 : 1;
}

/** Two lists in order, of different intervals, as one. */
function merged(rows: readonly number[], others: readonly number[]): number[] {
  const made: number[] = [];
  let at = 0;
  for (let i = 0; i < others.length; i += ROW) {
    const low = others[i] as number;
    const high = others[i + 1] as number;
    while (at < rows.length && compare(rows[at] as number, rows[at + 1] as number, low, high) < 0)
      made.push(rows[at++] as number, rows[at++] as number, rows[at++] as number);
    made.push(low, high, others[i + 2] as number);
  }
  for (; at < rows.length; at++) made.push(rows[at] as number);
  return made;
}

/** Rows by their bounds, one for each interval; most come like that. */
function sorted(rows: readonly number[]): number[] {
  let isSorted = true;
  for (let i = ROW; i < rows.length && isSorted; i += ROW)
    isSorted = compare(rows[i - ROW] as number, rows[i - 2] as number, rows[i] as number, rows[i + 1] as number) < 0;
  if (isSorted) return [...rows];
  const order = Array.from({ length: rows.length / ROW }, (_, i) => i * ROW);
  order.sort((a, b) => compare(rows[a] as number, rows[a + 1] as number, rows[b] as number, rows[b + 1] as number));
  const made: number[] = [];
  for (const from of order) {
    const [low, high, count] = rows.slice(from, from + ROW) as [number, number, number];
    const last = made.length - ROW;
    if (made[last] === low && made[last + 1] === high) made[last + 2] = (made[last + 2] as number) + count;
    else made.push(low, high, count);
  }
  return made;
}

/** Joins neighbours two by two when there are too many: rarely, and then for long. */
function bounded(rows: number[]): number[] {
  let made = rows;
  while (made.length > MOST_INTERVALS * ROW) {
    const joined: number[] = [];
    for (let i = 0; i < made.length; i += 2 * ROW) {
      const pair = made.slice(i, i + 2 * ROW) as [number, number, number, number?, number?, number?];
      const [low, high, count, , otherHigh = high, otherCount = 0] = pair;
      joined.push(low, Math.max(high, otherHigh), count + otherCount);
    }
    made = sorted(joined);
  }
  return made;
}

/** Joins the neighbours that lie closest until there are at most so many: what is far from all others stays as it is. For short lists. */
export function coarsen({ rows }: Spread, most: number): void {
  const widthAt = (i: number) => Math.max(rows[i + 1] as number, rows[i + 4] as number) - (rows[i] as number);
  while (rows.length > most * ROW) {
    let narrowest = 0;
    for (let i = ROW; i < rows.length - ROW; i += ROW) if (widthAt(i) < widthAt(narrowest)) narrowest = i;
    const [low, high, count, , otherHigh, otherCount] = rows.slice(narrowest, narrowest + 2 * ROW) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    rows.splice(narrowest, 2 * ROW, low, Math.max(high, otherHigh), count + otherCount);
  }
}

/**
 * What came between two points that count from the same beginning. Where their intervals differ (an exponential histogram has lowered its
 * scale) those that overlap are one, from which all of them are subtracted: the coarser scale's.
 */
export function riseOf({ rows: earlier }: Spread, now: Spread): Spread {
  const { rows: later, min, max } = now;
  const rows: number[] = [];
  let i = 0;
  let j = 0;
  while (i < later.length || j < earlier.length) {
    const low = Math.min(lowAt(later, i), lowAt(earlier, j));
    // Nothing begins at infinity, or at what is no number: else this would have no end.
    if (!(low < Infinity)) break;
    let high = low;
    let count = 0;
    for (;;) {
      if (lowAt(later, i) < high || lowAt(later, i) === low) {
        high = Math.max(high, later[i + 1] as number);
        count += later[i + 2] as number;
        i += ROW;
      } else if (lowAt(earlier, j) < high || lowAt(earlier, j) === low) {
        high = Math.max(high, earlier[j + 1] as number);
        count -= earlier[j + 2] as number;
        j += ROW;
      } else break;
    }
    if (count > 0) rows.push(low, high, count);
  }
  return { rows, min, max };
}

/** Infinity behind the last: no interval begins there. */
function lowAt(rows: readonly number[], i: number): number {
  return i < rows.length ? (rows[i] as number) : Infinity;
}

/** Where the interval at `i` begins, to interpolate: an open one at the minimum, else at zero. */
function lowEnd({ rows, min }: Spread, i: number): number {
  const low = rows[i] as number;
  if (low !== -Infinity) return low;
  return Math.min(min === Infinity ? 0 : min, rows[i + 1] as number);
}

/** An open one ends at the maximum, else at twice its bound. */
function highEnd({ rows, max }: Spread, i: number): number {
  const low = rows[i] as number;
  const high = rows[i + 1] as number;
  if (high !== Infinity) return high;
  return max === -Infinity ? Math.min(Math.max(0, low * 2), Number.MAX_VALUE) : Math.max(max, low);
}

/** How many lie above a limit. */
export function countAbove(spread: Spread, limit: number): number {
  const { rows } = spread;
  let above = 0;
  for (let i = 0; i < rows.length; i += ROW) {
    const low = lowEnd(spread, i);
    const high = highEnd(spread, i);
    const count = rows[i + 2] as number;
    if (low >= limit && high > limit) above += count;
    else if (high > limit) above += (count * (high - limit)) / (high - low);
  }
  return above;
}

/**
 * The value below which the share `quantile` of all lies; NaN of an empty spread. Intervals may overlap: the sweep adds up the densities
 * that are open between two edges.
 */
export function quantileOf(spread: Spread, quantile: number): number {
  const { rows } = spread;
  let total = 0;
  const edges: { at: number; density: number; mass: number }[] = [];
  for (let i = 0; i < rows.length; i += ROW) {
    const low = lowEnd(spread, i);
    const high = highEnd(spread, i);
    const count = rows[i + 2] as number;
    total += count;
    if (high <= low) edges.push({ at: high, density: 0, mass: count });
    else {
      const density = count / (high - low);
      edges.push({ at: low, density, mass: 0 }, { at: high, density: -density, mass: 0 });
    }
  }
  if (!(total > 0)) return Number.NaN;
  edges.sort((a, b) => a.at - b.at);
  let rest = quantile * total;
  let density = 0;
  let at = edges[0]?.at ?? Number.NaN;
  for (const edge of edges) {
    const between = density * (edge.at - at);
    if (density > 0 && between >= rest) return at + rest / density;
    rest -= between;
    at = edge.at;
    if (edge.mass >= rest && edge.mass > 0) return at;
    rest -= edge.mass;
    density += edge.density;
  }
  return at;
}

/** As the checkpoint holds it: min, max, then the rows; empty for none. */
export type SavedSpread = Float64Array | number[];

export function saveSpread(spread: Spread | null): SavedSpread {
  return spread === null ? [] : Float64Array.of(spread.min, spread.max, ...spread.rows);
}

export function restoreSpread(saved: SavedSpread): Spread | null {
  const [min = Infinity, max = -Infinity, ...rows] = saved;
  return saved.length === 0 ? null : { rows, min, max };
}
