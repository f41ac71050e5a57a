/**
 * The series of a metric, on main: cumulative points become what they rose by, resets and duplicates are seen, and a series that has
 * gone quiet is stale after three of its export intervals. https://opentelemetry.io/docs/specs/otel/metrics/data-model/#resets-and-gaps
 */
import { restoreSpread, riseOf, type SavedSpread, type Spread, saveSpread } from './spread.ts';
import { type Keeping, pushStep, type Step, stepsBetween } from './steps.ts';

/**
 * Bits of a point's flags. `cumulative`: it counts from `startMs` on, and only what it rose by matters. `value`: it says how something
 * stands at `timeMs`. Neither: it adds what came since the point before. `gauge`: of a gauge. `distribution`: of a histogram or
 * a summary, `a` being its count and `b` its sum.
 */
export const Point = { cumulative: 1, value: 2, gauge: 4, noValue: 8, distribution: 16 } as const;

/** One data point as a worker has read it; `a` and `b` are what the signal measures of it. */
export interface MeasuredPoint {
  series: number;
  flags: number;
  /** Unix milliseconds; 0 when the sender does not say. */
  startMs: number;
  timeMs: number;
  /** Items, a count or a value. */
  a: number;
  /** Bad items, or the sum of a histogram. */
  b: number;
  spread: Spread | null;
}

export interface Series {
  /** What tells it from others, for people; null until somebody has said it. */
  name: string | null;
  flags: number;
  startMs: number;
  timeMs: number;
  receivedMs: number;
  /** Between its points, the shorter of the last two gaps; 0 until there were two points. */
  intervalMs: number;
  gapMs: number;
  a: number;
  b: number;
  spread: Spread | null;
  /** Oldest first; the last one stays until the series is forgotten. */
  steps: Step[];
}

export type SavedSeries = Omit<Series, 'spread' | 'steps' | 'receivedMs'> & {
  key: number;
  receivedMs: number | null;
  spread: SavedSpread;
  steps: (Omit<Step, 'spread'> & { spread: SavedSpread })[];
};

interface First {
  series: Series;
  step: Step;
  flags: number;
  startMs: number;
}

const MOST_SERIES = 2000;
/** Until two points have come, and never less. */
const USUAL_INTERVAL_MS = 60_000;
const STALE_INTERVALS = 3;
const REMEMBERED_MS = 3_600_000;
const LOOK_EVERY_MS = 1000;

export class SeriesTable {
  readonly all = new Map<number, Series>();
  /** Points that were not judged. */
  #refused = 0;
  /** When silent series were last looked for. */
  #lookedMs = -Infinity;
  readonly #keeping: Keeping;
  /** Of a run: what each cumulative series had counted at its first point. */
  #first: First[] = [];

  constructor(keeping: Keeping) {
    this.#keeping = keeping;
  }

  /**
   * What the point adds; null when it adds nothing: the first of a series, a duplicate, one without a value. A cumulative series that
   * began after `sinceMs` counts from its beginning; null: `takeFirst` will say when that was.
   */
  step(point: MeasuredPoint, receivedMs: number, sinceMs: number | null): Step | null {
    const before = this.all.get(point.series);
    if ((point.flags & Point.noValue) !== 0) {
      // The sender says that the series has ended: stale at once.
      if (before !== undefined) before.receivedMs = Number.NEGATIVE_INFINITY;
      return null;
    }
    if (before === undefined && this.all.size >= MOST_SERIES && !this.#forget(receivedMs)) {
      this.#refused++;
      return null;
    }
    if (before !== undefined && isRepeated(before, point)) return null;
    const step = this.#stepOf(before, point, receivedMs, sinceMs ?? Number.NEGATIVE_INFINITY);
    const series = before ?? newSeries();
    follow(series, point, receivedMs);
    if (before === undefined) this.all.set(point.series, series);
    if (step !== null && before === undefined && sinceMs === null && (point.flags & Point.cumulative) !== 0) {
      this.#first.push({ series, step, flags: point.flags, startMs: point.startMs });
      return null;
    }
    if (step !== null) pushStep(series.steps, step, (point.flags & Point.distribution) === 0, this.#keeping);
    return step;
  }

  /** What first points add, of series that began after `sinceMs`. */
  takeFirst(sinceMs: number): First[] {
    const first = this.#first.filter(({ startMs }) => startMs >= sinceMs);
    this.#first = [];
    for (const { series, step } of first) series.steps.unshift(step);
    return first;
  }

  #stepOf(before: Series | undefined, point: MeasuredPoint, receivedMs: number, sinceMs: number): Step | null {
    const { flags, startMs, timeMs } = point;
    const whole = (fromMs: number) => newStep(receivedMs, timeMs - fromMs, point.a, point.b, point.spread);
    const sinceBefore = before === undefined ? timeMs - USUAL_INTERVAL_MS : before.timeMs;
    // Gauges, and what is no counter, have a value at a time; deltas say themselves what they add.
    if ((flags & Point.cumulative) === 0) return whole(startMs > 0 && startMs < timeMs ? startMs : sinceBefore);
    if (before === undefined) {
      const isNew = startMs > 0 && startMs < timeMs && startMs >= sinceMs;
      return isNew ? whole(startMs) : null;
    }
    // One that is the point's own time says that it is not known.
    if (startMs > 0 && startMs < timeMs && startMs !== before.startMs) {
      if (startMs >= before.timeMs) return whole(startMs);
      if (before.startMs > 0) {
        // Two senders, or clocks that differ: nobody can say how much of it is new.
        this.#refused++;
        return null;
      }
    }
    if (point.a < before.a) return whole(before.timeMs);
    const spread = point.spread === null || before.spread === null ? point.spread : riseOf(before.spread, point.spread);
    return newStep(receivedMs, timeMs - before.timeMs, point.a - before.a, point.b - before.b, spread);
  }

  isStale(series: Series, nowMs: number): boolean {
    return nowMs - series.receivedMs > STALE_INTERVALS * (series.intervalMs || USUAL_INTERVAL_MS);
  }

  /** Points that were not judged since this was last asked. */
  takeRefused(): number {
    const refused = this.#refused;
    this.#refused = 0;
    return refused;
  }

  /** Makes room: series that have been silent for an hour. True when there is some. Once a second: it looks at all of them. */
  #forget(nowMs: number): boolean {
    if (Math.abs(nowMs - this.#lookedMs) < LOOK_EVERY_MS) return false;
    this.#lookedMs = nowMs;
    for (const [key, series] of this.all)
      if (series.receivedMs < nowMs - Math.max(REMEMBERED_MS, this.#keeping.keepMs)) this.all.delete(key);
    return this.all.size < MOST_SERIES;
  }

  save(): SavedSeries[] {
    return [...this.all].map(([key, { spread, steps, receivedMs, ...series }]) => ({
      ...series,
      key,
      // JSON has no infinity: null is a series that has ended.
      receivedMs: Number.isFinite(receivedMs) ? receivedMs : null,
      spread: saveSpread(spread),
      steps: steps.map((step) => ({ ...step, spread: saveSpread(step.spread) })),
    }));
  }

  restore(saved: readonly SavedSeries[]): void {
    for (const { key, spread, steps, receivedMs, ...series } of saved)
      this.all.set(key, {
        ...series,
        name: series.name ?? null,
        receivedMs: receivedMs ?? Number.NEGATIVE_INFINITY,
        spread: restoreSpread(spread),
        steps: steps.map((step) => ({ ...step, spread: restoreSpread(step.spread) })),
      });
  }
}

function newStep(receivedMs: number, coveredMs: number, a: number, b: number, spread: Spread | null): Step {
  return { receivedMs, coveredMs: Math.max(1, coveredMs), a, b, spread, points: 1, min: a, max: a, last: a };
}

function newSeries(): Series {
  const none = { name: null, flags: 0, startMs: 0, timeMs: 0, receivedMs: 0, intervalMs: 0, gapMs: 0, a: 0, b: 0 };
  return { ...none, spread: null, steps: [] };
}

/** The same point again, or for what is cumulative an older one. */
function isRepeated(before: Series, { flags, timeMs, startMs }: MeasuredPoint): boolean {
  if ((flags & (Point.cumulative | Point.value)) !== 0) return timeMs <= before.timeMs;
  return timeMs === before.timeMs && startMs === before.startMs;
}

function follow(series: Series, point: MeasuredPoint, receivedMs: number): void {
  const gapMs = series.timeMs > 0 ? Math.abs(point.timeMs - series.timeMs) : 0;
  if (gapMs > 0) {
    series.intervalMs = series.gapMs > 0 ? Math.min(gapMs, series.gapMs) : gapMs;
    series.gapMs = gapMs;
  }
  series.flags = point.flags;
  series.startMs = point.startMs;
  series.timeMs = Math.max(series.timeMs, point.timeMs);
  series.receivedMs = receivedMs;
  series.a = point.a;
  series.b = point.b;
  // Of a cumulative series alone: what the next point is held against.
  series.spread = (point.flags & Point.cumulative) === 0 ? null : point.spread;
}

/** The steps within the window, else the last one while the series is not stale. */
export function stepsWithin(table: SeriesTable, series: Series, fromMs: number, toMs: number): Step[] {
  const within = stepsBetween(series.steps, fromMs, toMs);
  if (within.length > 0) return within;
  const last = series.steps.at(-1);
  return last === undefined || last.receivedMs >= toMs || table.isStale(series, toMs) ? [] : [last];
}
