/** What explains a signal's value to the person who is woken: which operations of which version contributed, and traces to look at. */
import { MOST_TRACES } from './rows.ts';

interface OperationCount {
  name: string;
  version: string;
  items: number;
  bad: number;
}

export interface Contribution extends OperationCount {
  /** Bad items beyond what the limit allows for as many items. */
  excess: number;
}

export interface SavedEvidence {
  period: number;
  /** Missing of former versions. */
  periodMs?: number;
  now: [number, OperationCount][];
  before: [number, OperationCount][];
  traces: { id: string; receivedMs: number }[];
}

/** Operations of one signal that are told apart within half a window. */
const MOST_OPERATIONS = 256;
const SHORTEST_PERIOD_MS = 5000;

/** Of the last half to whole window: counts are kept for two halves that take turns. */
export class Evidence {
  readonly #periodMs: number;
  #period = 0;
  #now = new Map<number, OperationCount>();
  #before = new Map<number, OperationCount>();
  /** Oldest first. */
  #traces: { id: string; receivedMs: number }[] = [];

  constructor(windowMs: number) {
    this.#periodMs = Math.max(SHORTEST_PERIOD_MS, windowMs / 2);
  }

  /** Adds what an operation had; `identify` is asked once for each. */
  addOperation(
    receivedMs: number,
    hash: number,
    items: number,
    bad: number,
    identify: () => Pick<OperationCount, 'name' | 'version'>,
  ): void {
    this.#turn(receivedMs);
    let known = this.#now.get(hash);
    if (known === undefined) {
      if (this.#now.size === MOST_OPERATIONS) return;
      known = { ...(this.#before.get(hash) ?? identify()), items: 0, bad: 0 };
      this.#now.set(hash, known);
    }
    known.items += items;
    known.bad += bad;
  }

  #turn(receivedMs: number): void {
    const period = Math.floor(receivedMs / this.#periodMs);
    if (period <= this.#period) return;
    this.#before = period === this.#period + 1 ? this.#now : new Map();
    this.#now = new Map();
    this.#period = period;
  }

  addTrace(receivedMs: number, id: string): void {
    if (this.#traces.some((one) => one.id === id)) return;
    this.#traces.push({ id, receivedMs });
    if (this.#traces.length > MOST_TRACES) this.#traces.shift();
  }

  /** Ids of traces that came after `fromMs`, the newest first. */
  tracesSince(fromMs: number): string[] {
    return this.#traces.flatMap(({ id, receivedMs }) => (receivedMs >= fromMs ? [id] : [])).reverse();
  }

  /** Operations by how far they exceed `limit` (a share of bad items), the worst first; only those that do. */
  contributions(nowMs: number, limit: number, most: number): Contribution[] {
    this.#turn(nowMs);
    const sums = new Map<number, OperationCount>();
    for (const counts of [this.#before, this.#now]) {
      for (const [hash, { items, bad, ...identity }] of counts) {
        const sum = sums.get(hash) ?? { ...identity, items: 0, bad: 0 };
        sum.items += items;
        sum.bad += bad;
        sums.set(hash, sum);
      }
    }
    return [...sums.values()]
      .map((count) => ({ ...count, excess: count.bad - limit * count.items }))
      .filter(({ excess }) => excess > 0)
      .sort((a, b) => b.excess - a.excess || (a.name < b.name ? -1 : 1))
      .slice(0, most);
  }

  save(): SavedEvidence {
    const [period, periodMs] = [this.#period, this.#periodMs];
    return { period, periodMs, now: [...this.#now], before: [...this.#before], traces: [...this.#traces] };
  }

  restore({ period, periodMs = this.#periodMs, now, before, traces }: SavedEvidence): void {
    // Of another window: periods are counted in its halves, and a longer one would not turn for years.
    this.#period = Math.floor((period * periodMs) / this.#periodMs);
    this.#now = new Map(now.map(([hash, count]) => [hash, { ...count }]));
    this.#before = new Map(before.map(([hash, count]) => [hash, { ...count }]));
    this.#traces = [...traces];
  }
}
