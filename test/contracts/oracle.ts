/**
 * A slow judge, for tests: every second it looks at everything that ever came, and at every second that was ever judged. No rings, no
 * running sums, no counters; written from docs/contracts.md, not from src/contracts.
 */
import type { SignalPlan } from '../../src/contracts/plan.ts';

export interface Came {
  ms: number;
  items: number;
  /** Bad items of a share; the sum of the values that were taken. */
  sum: number;
  values: number[];
}

type State = 'unknown' | 'healthy' | 'degraded' | 'breached';

export class Oracle {
  readonly came: Came[] = [];
  state: State = 'unknown';
  /** For each second that could be judged under the limits of now: how bad it was. */
  #history: { breached: boolean; degraded: boolean }[] = [];
  #limits = '';
  #firstSecond = 0;

  /** The state after the second that ends at `second`. */
  judge(plan: SignalPlan, second: number): State {
    this.#firstSecond ||= second - 1;
    const limits = JSON.stringify([plan.breached, plan.degraded, plan.windowMs, plan.minItems, plan.budget]);
    if (limits !== this.#limits) this.#history = [];
    this.#limits = limits;
    const value = this.value(plan, second);
    const watchedWindow = second - this.#firstSecond >= plan.windowMs / 1000;
    if (value === null && !(plan.noData === 'breached' && this.state !== 'unknown' && watchedWindow)) return this.state;
    const over = (limit: number | null) =>
      value === null ? true : limit !== null && (plan.direction > 0 ? value > limit : value < limit);
    const breached = over(plan.breached);
    this.#history.push({ breached, degraded: breached || (value !== null && over(plan.degraded)) });
    this.state = this.#next(plan);
    return this.state;
  }

  #next({ forMs, recoverAfterMs }: SignalPlan): State {
    const lasted = (ms: number, how: (one: { breached: boolean; degraded: boolean }) => boolean) => {
      const wanted = ms / 1000 + 1;
      const tail = this.#history.slice(-wanted);
      return tail.length === wanted && tail.every(how);
    };
    const { state } = this;
    if (state !== 'breached' && lasted(forMs, ({ breached }) => breached)) return 'breached';
    if ((state === 'unknown' || state === 'healthy') && lasted(forMs, ({ degraded }) => degraded)) return 'degraded';
    if (state === 'unknown') return this.#history.at(-1)?.degraded ? 'unknown' : 'healthy';
    if (state === 'healthy') return state;
    if (lasted(recoverAfterMs, ({ degraded }) => !degraded)) return 'healthy';
    if (state === 'breached' && lasted(recoverAfterMs, ({ breached }) => !breached)) return 'degraded';
    return state;
  }

  /** What came in the window: whole seconds before `second`; over ten minutes it begins at a whole minute. */
  #within(second: number, windowMs: number): Came[] {
    let from = second * 1000 - windowMs;
    if (windowMs > 600_000) while (from % 60_000 !== 0) from += 1000;
    return this.came.filter(({ ms }) => ms >= from && ms < second * 1000);
  }

  /** Null when there is not enough to say anything. */
  value(plan: SignalPlan, second: number): number | null {
    const within = this.#within(second, plan.windowMs);
    const items = within.reduce((sum, one) => sum + one.items, 0);
    const sum = within.reduce((total, one) => total + one.sum, 0);
    const values = within.flatMap((one) => one.values);
    switch (plan.measured) {
      case 'share':
        return items < plan.minItems ? null : sum / items;
      case 'burn':
        return this.#burn(plan, second);
      case 'rate': {
        const watched = second - this.#firstSecond >= plan.windowMs / 1000;
        return !watched || second === this.#firstSecond + 1 || items < plan.minItems
          ? null
          : items / (plan.windowMs / 1000);
      }
      case 'silence': {
        const last = this.came.filter(({ ms }) => ms < second * 1000).at(-1)?.ms;
        return last === undefined ? null : second * 1000 - last;
      }
      case 'take':
        if (items < plan.minItems) return null;
        if (plan.take === 'min') return Math.min(...values);
        if (plan.take === 'max') return Math.max(...values);
        if (plan.take === 'sum') return sum;
        if (plan.take === 'mean') return sum / items;
        return values.at(-1) ?? null;
      default:
        throw new Error(plan.measured satisfies never);
    }
  }

  #burn(plan: SignalPlan, second: number): number | null {
    const share = (ms: number) => {
      const within = this.#within(second, ms);
      const items = within.reduce((sum, one) => sum + one.items, 0);
      return { items, share: within.reduce((sum, one) => sum + one.sum, 0) / items };
    };
    const pairs = [
      [3_600_000, 300_000, 14.4],
      [21_600_000, 1_800_000, 6],
    ] as const;
    const burns = pairs.flatMap(([long, short, factor]) => {
      const now = share(short);
      return now.items < plan.minItems ? [] : [Math.min(now.share, share(long).share) / (plan.budget ?? 1) / factor];
    });
    return burns.length === 0 ? null : Math.max(0, ...burns);
  }
}
