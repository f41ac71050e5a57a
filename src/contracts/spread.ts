/**
 * How values are spread: counts of intervals (low, high], whatever made them: the logarithmic buckets in which workers count spans, or
 * a histogram's own. Spreads add up; a percentile is read from their sum, as if values lay evenly within each interval.
 */

/** Counts by the number that Intervals gave to an interval. */
export type Spread = Map<number, number>;

export function addSpread(into: Spread, more: Spread): void {
  for (const [id, count] of more) into.set(id, (into.get(id) ?? 0) + count);
}

/** More different intervals than any histogram has; beyond, an interval is widened to one that is known. */
const MOST_INTERVALS = 8192;

/** Numbers for the intervals of one signal. */
export class Intervals {
  readonly low: number[] = [];
  readonly high: number[] = [];
  readonly #ids = new Map<number, Map<number, number>>();

  /** The number of (low, high]; -1 when there are too many already. */
  idOf(low: number, high: number): number {
    let byHigh = this.#ids.get(low);
    if (byHigh === undefined) {
      byHigh = new Map();
      this.#ids.set(low, byHigh);
    }
    const known = byHigh.get(high);
    if (known !== undefined) return known;
    if (this.low.length === MOST_INTERVALS) return -1;
    byHigh.set(high, this.low.length);
    this.high.push(high);
    return this.low.push(low) - 1;
  }

  save(): number[] {
    return this.low.flatMap((low, id) => [low, this.high[id] as number]);
  }

  static restore(saved: readonly number[]): Intervals {
    const intervals = new Intervals();
    for (let i = 0; i < saved.length; i += 2) intervals.idOf(saved[i] as number, saved[i + 1] as number);
    return intervals;
  }
}

/**
 * The value below which the share `quantile` of all lies; NaN of an empty spread. Intervals may overlap: the sweep adds up the densities
 * that are open between two edges.
 */
export function quantileOf(spread: Spread, intervals: Intervals, quantile: number): number {
  let total = 0;
  const edges: { at: number; density: number; mass: number }[] = [];
  for (const [id, count] of spread) {
    const low = intervals.low[id] as number;
    const high = intervals.high[id] as number;
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
