/** What a signal's value is at a second: the past that memory.ts keeps, added up as the contract says. Judges nothing. */
import type { SignalMemory } from './memory.ts';
import { needsSteps } from './memory.ts';
import type { SignalPlan } from './plan.ts';
import { Point, type Series, type SeriesTable, stepsWithin } from './series.ts';
import { quantileOf } from './spread.ts';
import { pointsOf, type Step, spreadOfSteps, spreadOfValues } from './steps.ts';
import { BURN_PAIRS } from './threshold.ts';
import { type Amounts, FINE_WINDOW_MS } from './window.ts';

export interface Reading {
  /** A share from 0 to 1, items a second, milliseconds, or the number taken; of an objective how fast its budget burns: 1 is too fast. */
  value: number;
  items: number;
  /** Whether that is enough to say anything. */
  enough: boolean;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;

/** The reading of the whole seconds that ended at `second`. */
export function readSignal(plan: SignalPlan, memory: SignalMemory, second: number): Reading {
  switch (plan.measured) {
    case 'share': {
      const { items, sum } = sharesOf(memory, second, plan.windowMs);
      return { value: items > 0 ? sum / items : 0, items, enough: items >= plan.minItems };
    }
    case 'burn':
      return readBurn(plan, memory, second);
    case 'rate':
      return plan.of === 'metrics' ? readMetricRate(plan, memory, second) : readRate(plan, memory, second);
    case 'take':
      return plan.of === 'metrics' ? readMetricTake(plan, memory, second) : readTake(plan, memory, second);
    case 'silence':
      return readSilence(memory, second);
    default:
      return plan.measured satisfies never;
  }
}

/** Items and bad items of a window; series of metrics that are not stale and have no point within it count with their last. */
function sharesOf(memory: SignalMemory, second: number, windowMs: number): Amounts {
  const total = memory.window.sum(second, windowMs);
  if (memory.series === null) return total;
  const fromMs = windowStartMs(second, windowMs);
  for (const series of memory.series.all.values()) {
    const last = series.steps.at(-1);
    if (last === undefined || last.receivedMs >= fromMs || memory.series.isStale(series, second * SECOND_MS)) continue;
    total.items += last.a;
    total.sum += last.b;
  }
  return total;
}

/** Windows over ten minutes begin at a whole minute. */
function windowStartMs(second: number, windowMs: number): number {
  const fromMs = (second - Math.max(1, Math.ceil(windowMs / SECOND_MS))) * SECOND_MS;
  return windowMs <= FINE_WINDOW_MS ? fromMs : Math.ceil(fromMs / MINUTE_MS) * MINUTE_MS;
}

/**
 * The value is how far the worse pair of windows burns beyond what is too fast, in both of its windows: over 1 breaches.
 * https://sre.google/workbook/alerting-on-slos/ (multiwindow, multi-burn-rate)
 */
function readBurn(plan: SignalPlan, memory: SignalMemory, second: number): Reading {
  const budget = plan.budget ?? 1;
  let value = 0;
  let enough = false;
  let items = 0;
  for (const { longMs, shortMs, factor } of BURN_PAIRS) {
    const short = sharesOf(memory, second, shortMs);
    const long = sharesOf(memory, second, longMs);
    items = long.items;
    if (short.items < plan.minItems) continue;
    enough = true;
    value = Math.max(value, Math.min(short.sum / short.items, long.sum / long.items) / budget / factor);
  }
  return { value, items, enough };
}

/** A rate needs a whole window: of half a window only half has been counted. */
function isWatched(plan: SignalPlan, memory: SignalMemory, second: number): boolean {
  return memory.watchedMs > 0 && second * SECOND_MS - memory.watchedMs >= plan.windowMs;
}

function readRate(plan: SignalPlan, memory: SignalMemory, second: number): Reading {
  const { items } = memory.window.sum(second, plan.windowMs);
  const seconds = (second * SECOND_MS - windowStartMs(second, plan.windowMs)) / SECOND_MS;
  return { value: items / seconds, items, enough: items >= plan.minItems && isWatched(plan, memory, second) };
}

function readTake(plan: SignalPlan, memory: SignalMemory, second: number): Reading {
  const total = memory.window.sum(second, plan.windowMs);
  const { items } = total;
  return { value: items > 0 ? takenOf(plan, total) : 0, items, enough: items >= plan.minItems };
}

function takenOf(plan: SignalPlan, { items, sum, min, max, last, spread }: Amounts): number {
  switch (plan.take) {
    case 'last':
      return last;
    case 'min':
      return min;
    case 'max':
      return max;
    case 'mean':
      return sum / items;
    case 'sum':
      return sum;
    default:
      return spread === null ? Number.NaN : quantileOf(spread, plan.quantile ?? 0.5);
  }
}

/** Silence is measured from the last item; of what never came nothing is known. */
function readSilence(memory: SignalMemory, second: number): Reading {
  const came = memory.lastItemMs > 0;
  const value = came ? Math.max(0, second * SECOND_MS - memory.lastItemMs) : 0;
  return { value, items: came ? 1 : 0, enough: came };
}

interface Seen {
  table: SeriesTable;
  series: Series;
  steps: Step[];
}

function seenSeries(plan: SignalPlan, memory: SignalMemory, second: number): Seen[] {
  const table = memory.series;
  if (table === null || !needsSteps(plan)) return [];
  const fromMs = windowStartMs(second, plan.windowMs);
  const seen: Seen[] = [];
  for (const series of table.all.values()) {
    const steps = stepsWithin(table, series, fromMs, second * SECOND_MS);
    if (steps.length > 0) seen.push({ table, series, steps });
  }
  return seen;
}

/** What one series has, in the signal's unit. */
export interface SeriesValue {
  name: string;
  value: number;
}

/**
 * The series of a rate or of what is taken of a metric that explain the signal's value, up to `most`, the worst first: those that are
 * over the limit by themselves, else, where only all together are, those that have most.
 */
export function worstSeries(plan: SignalPlan, memory: SignalMemory, second: number, most: number): SeriesValue[] {
  const limit = plan.degraded ?? plan.breached;
  const all = seenSeries(plan, memory, second).map(({ series, steps }) => ({
    name: series.name ?? '',
    value: seriesValue(plan, series, steps),
  }));
  const over = all.filter(({ value }) => (value - limit) * plan.direction > 0);
  return (over.length > 0 ? over : all.filter(({ value }) => !Number.isNaN(value)))
    .sort((a, b) => (b.value - a.value) * plan.direction || (a.name < b.name ? -1 : 1))
    .slice(0, most);
}

function seriesValue(plan: SignalPlan, series: Series, steps: readonly Step[]): number {
  if (plan.measured === 'rate') return rateOf(plan, steps);
  const isDistribution = (series.flags & Point.distribution) !== 0;
  return isDistribution ? takenOfHistograms(plan, steps) : takenOverTime(plan, steps);
}

/** A series' increase over the time that its points cover, a second. */
function rateOf(plan: SignalPlan, steps: readonly Step[]): number {
  let rise = 0;
  let coveredMs = 0;
  for (const step of steps) {
    rise += plan.value === 'sum' ? step.b : step.a;
    coveredMs += step.coveredMs;
  }
  return (rise / coveredMs) * SECOND_MS;
}

/** Series add up. */
function readMetricRate(plan: SignalPlan, memory: SignalMemory, second: number): Reading {
  let value = 0;
  let items = 0;
  for (const { steps } of seenSeries(plan, memory, second)) {
    value += rateOf(plan, steps);
    items += pointsOf(steps);
  }
  return { value, items, enough: items >= plan.minItems };
}

/** Numbers: each series over time, then across series. Histograms merge first. */
function readMetricTake(plan: SignalPlan, memory: SignalMemory, second: number): Reading {
  const seen = seenSeries(plan, memory, second);
  const items = seen.reduce((sum, { steps }) => sum + pointsOf(steps), 0);
  if (items === 0) return { value: 0, items, enough: false };
  const value = seen.some(({ series }) => (series.flags & Point.distribution) !== 0)
    ? takenOfHistograms(
        plan,
        seen.flatMap(({ steps }) => steps),
      )
    : takenAcross(plan, seen);
  // Histograms that counted nothing.
  if (Number.isNaN(value)) return { value: 0, items: 0, enough: false };
  return { value, items, enough: items >= plan.minItems };
}

function takenOfHistograms(plan: SignalPlan, steps: readonly Step[]): number {
  const count = steps.reduce((sum, { a }) => sum + a, 0);
  const sum = steps.reduce((total, { b }) => total + b, 0);
  if (plan.take === 'sum') return sum;
  if (plan.take === 'mean') return sum / count;
  const latest = steps.reduce((a, b) => (b.receivedMs >= a.receivedMs ? b : a));
  const spread = plan.take === 'last' ? latest.spread : spreadOfSteps(steps);
  if (spread === null) return Number.NaN;
  const quantile = { min: 0, max: 1, last: 0.5 }[plan.take as 'min' | 'max' | 'last'] ?? plan.quantile ?? 0.5;
  return quantileOf(spread, quantile);
}

function takenAcross(plan: SignalPlan, seen: readonly Seen[]): number {
  const values = seen.map(({ steps }) => takenOverTime(plan, steps));
  const gauges = seen.every(({ series }) => (series.flags & Point.gauge) !== 0);
  const across = plan.across ?? (gauges ? 'max' : 'sum');
  const sum = values.reduce((total, value) => total + value, 0);
  if (across === 'sum') return sum;
  if (across === 'mean') return sum / values.length;
  return values.reduce((best, value) => (across === 'max' ? Math.max(best, value) : Math.min(best, value)));
}

function takenOverTime(plan: SignalPlan, steps: readonly Step[]): number {
  const sum = () => steps.reduce((total, { a }) => total + a, 0);
  switch (plan.take) {
    case 'min':
      return steps.reduce((best, { min }) => Math.min(best, min), Infinity);
    case 'max':
      return steps.reduce((best, { max }) => Math.max(best, max), -Infinity);
    case 'sum':
      return sum();
    case 'mean':
      return sum() / pointsOf(steps);
    case 'last':
      return (steps.at(-1) as Step).last;
    default:
      // The nearest rank: a value that was there.
      return quantileOf(spreadOfValues(steps), plan.quantile ?? 0.5);
  }
}
