/** What a whole run says about a signal: kept, broken, or not enough data. The values are the judge's; a share has exact bounds beside. */
import { itemsNeeded, lowerBound, upperBound } from './binomial.ts';
import { type SignalMemory, settleRun } from './memory.ts';
import type { SignalPlan } from './plan.ts';
import { readSignal } from './reading.ts';
import { isOver } from './threshold.ts';

export interface Verdict {
  kind: 'kept' | 'broken' | 'not_enough_data';
  value: number;
  items: number;
  /** Of a share: it lies above the one and below the other, each with 95 % confidence. */
  bounds: { lower: number; upper: number } | null;
  /** Items that would be enough if the share stays as it is; null when no number is, or when it is no share. */
  needed: number | null;
  /** Over the limit of `degraded`, though not of `breached`. */
  degraded: boolean;
}

/**
 * Judges what was received at second 1 of a memory of its own. `seconds`: how long the run took, `sinceMs`: when it began. Neither `for` nor `min_items` matters:
 * what there is, is all there will be, and bounds say how much it proves.
 */
export function judgeRun(plan: SignalPlan, memory: SignalMemory, seconds: number, sinceMs = 0): Verdict {
  settleRun(plan, memory, sinceMs);
  memory.watchedMs = 1;
  if (plan.measured === 'share' || plan.measured === 'burn') return judgeShare(plan, memory);
  if (plan.measured === 'silence') return judgeSilence(plan, memory, seconds);
  const { value, items } = readSignal({ ...plan, minItems: 1 }, memory, 2);
  // Spans and log records were all put into one second.
  const isCount = plan.measured === 'rate' && plan.of !== 'metrics';
  const perSecond = isCount ? items / seconds : value;
  return { ...verdictOf(plan, perSecond, items), value: perSecond };
}

function judgeShare(plan: SignalPlan, memory: SignalMemory): Verdict {
  const { value, items } = readSignal({ ...plan, measured: 'share', minItems: 1 }, memory, 2);
  // Items that stand for many are no more evidence than one.
  const seen = plan.of === 'metrics' ? items : memory.seen;
  const limit = plan.budget ?? plan.breached;
  const bad = Math.min(seen, value * seen);
  const bounds = { lower: lowerBound(bad, seen), upper: upperBound(bad, seen) };
  const [worse, better] = plan.direction > 0 ? [bounds.lower, bounds.upper] : [bounds.upper, bounds.lower];
  const degraded = plan.degraded !== null && seen > 0 && isOver(plan, value, plan.degraded);
  const made = { value, items: seen, bounds, degraded };
  if (seen > 0 && isOver(plan, worse, limit)) return { ...made, kind: 'broken', needed: null };
  if (seen > 0 && isOver({ direction: plan.direction > 0 ? -1 : 1 }, better, limit))
    return { ...made, kind: 'kept', needed: null };
  return {
    ...made,
    kind: 'not_enough_data',
    needed: itemsNeeded(seen > 0 ? value : plan.direction > 0 ? 0 : 1, limit),
  };
}

function judgeSilence(plan: SignalPlan, memory: SignalMemory, seconds: number): Verdict {
  const came = memory.lastItemMs > 0;
  const kind = came ? 'kept' : seconds * 1000 > plan.breached ? 'broken' : 'not_enough_data';
  const value = came ? 0 : seconds * 1000;
  return {
    kind,
    value,
    items: came ? Math.max(1, memory.seen) : 0,
    bounds: null,
    needed: came ? null : 1,
    degraded: false,
  };
}

function verdictOf(plan: SignalPlan, value: number, items: number): Verdict {
  const none = { value, items, bounds: null, degraded: false };
  if (items === 0) return { ...none, kind: 'not_enough_data', needed: 1 };
  const degraded = plan.degraded !== null && isOver(plan, value, plan.degraded);
  return { ...none, kind: isOver(plan, value, plan.breached) ? 'broken' : 'kept', needed: null, degraded };
}
