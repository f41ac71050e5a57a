/** All that main remembers of one signal (of one instance, where a contract judges each), and how what workers measured gets there. */
import type { Evidence } from './evidence.ts';
import { type Judged, newJudged } from './judged.ts';
import type { SignalPlan } from './plan.ts';
import { type MeasuredPoint, Point, type SavedSeries, SeriesTable } from './series.ts';
import { countAbove } from './spread.ts';
import { foldOf, type Keeping, type Step } from './steps.ts';
import { BURN_PAIRS } from './threshold.ts';
import { type Amounts, FINE_WINDOW_MS, noAmounts, type SavedWindow, Window } from './window.ts';

export interface SignalMemory {
  window: Window;
  /** The signal's. */
  windowMs: number;
  /** Of metrics alone. */
  series: SeriesTable | null;
  /** Since when it has been watched without a gap, Unix milliseconds; 0 until the first second is judged. */
  watchedMs: number;
  fromStart: boolean;
  /** When the last item came; 0 before the first. */
  lastItemMs: number;
  /** When anything last came that it is about, judged or not; 0 before that. */
  heardMs: number;
  /** Items of spans and logs, each counted as one whatever it stands for. */
  seen: number;
  judged: Judged;
}

/**
 * `fromStart`: of a run that is judged as a whole: `settleRun` says which cumulative series count from their own beginning, else those
 * that begin while they are watched; and no step is folded, so that what is judged once is exact.
 */
export function newMemory(plan: SignalPlan, fromStart = false): SignalMemory {
  const { fineMs, coarseMs } = windowsOf(plan);
  return {
    window: new Window(fineMs, coarseMs, plan.measured === 'take'),
    windowMs: plan.windowMs,
    series: plan.of === 'metrics' ? new SeriesTable(keepingOf(plan, fromStart)) : null,
    watchedMs: 0,
    fromStart,
    lastItemMs: 0,
    heardMs: 0,
    seen: 0,
    judged: newJudged(),
  };
}

function windowsOf(plan: SignalPlan): { fineMs: number; coarseMs: number } {
  if (plan.measured === 'silence') return { fineMs: 1000, coarseMs: 0 };
  if (plan.measured === 'burn') return { fineMs: BURN_PAIRS[0].shortMs, coarseMs: BURN_PAIRS[1].longMs };
  return plan.windowMs > FINE_WINDOW_MS
    ? { fineMs: 0, coarseMs: plan.windowMs }
    : { fineMs: plan.windowMs, coarseMs: 0 };
}

function keepingOf(plan: SignalPlan, fromStart: boolean): Keeping {
  const keepMs = needsSteps(plan) ? plan.windowMs : 0;
  return { keepMs, foldMs: fromStart ? 0 : foldOf(keepMs), values: plan.quantile !== null };
}

/** Rates, and what is taken of numbers, look at each series over time; all else adds up over series. */
export function needsSteps(plan: SignalPlan): boolean {
  return plan.of === 'metrics' && (plan.measured === 'rate' || plan.measured === 'take');
}

/** Adds items of spans or log records that were received at `receivedMs`. */
export function addItems(memory: SignalMemory, receivedMs: number, amounts: Amounts): void {
  memory.window.add(receivedMs, amounts);
  memory.lastItemMs = Math.max(memory.lastItemMs, receivedMs);
}

/** Where the numbers of a signal's cell go. */
export interface Target {
  plan: SignalPlan;
  memory: SignalMemory;
  evidence: Evidence;
}

/** Adds a data point; what it added, or null. */
export function addPoint(
  plan: SignalPlan,
  memory: SignalMemory,
  receivedMs: number,
  point: MeasuredPoint,
): Step | null {
  const sinceMs = memory.fromStart ? null : memory.watchedMs || Infinity;
  const step = memory.series?.step(point, receivedMs, sinceMs) ?? null;
  if (step !== null) addStep(plan, memory, step, point.flags);
  return step;
}

/** Ends a run that began at `sinceMs`: cumulative series that began within it count from their beginning. */
export function settleRun(plan: SignalPlan, memory: SignalMemory, sinceMs: number): void {
  for (const { step, flags } of memory.series?.takeFirst(sinceMs) ?? []) addStep(plan, memory, step, flags);
}

function addStep(plan: SignalPlan, memory: SignalMemory, step: Step, flags: number): void {
  const { receivedMs } = step;
  if (plan.slowerThanMs !== null && step.spread !== null) {
    step.b = countAbove(step.spread, plan.slowerThanMs);
    step.spread = null;
  }
  // A counter that did not rise says that nothing came; whoever says how something stands has come.
  if (step.a > 0 || (flags & Point.value) !== 0) memory.lastItemMs = Math.max(memory.lastItemMs, receivedMs);
  if (!needsSteps(plan)) memory.window.add(receivedMs, { ...noAmounts(), items: step.a, sum: step.b });
}

export interface SavedMemory {
  window: SavedWindow;
  /** Missing of former versions. */
  windowMs?: number;
  series: SavedSeries[] | null;
  watchedMs: number;
  lastItemMs: number;
  /** Missing of former versions. */
  heardMs?: number;
  seen: number;
  judged: Judged;
}

export function saveMemory(memory: SignalMemory): SavedMemory {
  const { window, windowMs, series, watchedMs, lastItemMs, heardMs, seen, judged } = memory;
  return {
    window: window.save(),
    windowMs,
    series: series?.save() ?? null,
    watchedMs,
    lastItemMs,
    heardMs,
    seen,
    judged: structuredClone(judged),
  };
}

/** Whether what was kept fills the signal's window. Series are kept as they are in any case. */
function isWithin({ of, windowMs }: SignalPlan, { windowMs: keptMs = windowMs }: SavedMemory): boolean {
  const keepsMinutes = keptMs > FINE_WINDOW_MS;
  return of === 'metrics' || (windowMs <= keptMs && windowMs > FINE_WINDOW_MS === keepsMinutes);
}

/** The memory of a signal whose definition is the saved one's; its window may be another. */
export function restoreMemory(plan: SignalPlan, saved: SavedMemory): SignalMemory {
  const memory = newMemory(plan);
  memory.window.restore(saved.window);
  memory.series?.restore(saved.series ?? []);
  memory.watchedMs = isWithin(plan, saved) ? saved.watchedMs : 0;
  memory.lastItemMs = saved.lastItemMs;
  memory.heardMs = saved.heardMs ?? saved.lastItemMs;
  memory.seen = saved.seen;
  memory.judged = structuredClone(saved.judged);
  return memory;
}
