/**
 * Moves a signal through its states, one whole second at a time: pure, so that production, `check` and tests get the same answer.
 *
 *                    enough items, good                     worse for `for`
 *   unknown ------------------------------> healthy -------------------------------> degraded / breached
 *      \____________ worse for `for` _________^  ^____________ better for `recover_after` _________/
 *
 * Too few items freeze the state and stop its clocks.
 */
import type { Judged, State } from './judged.ts';
import type { SignalMemory } from './memory.ts';
import type { SignalPlan } from './plan.ts';
import { readSignal } from './reading.ts';
import { BURN_PAIRS, isOver } from './threshold.ts';

const SECOND_MS = 1000;

export interface Change {
  kind: 'state' | 'no_data';
  from: State;
  to: State;
}

/** Judges the window of whole slots that ended at `second` (Unix seconds); returns what changed, or null. */
export function judgeSignal(plan: SignalPlan, memory: SignalMemory, second: number): Change | null {
  const { judged } = memory;
  const { value, items, enough } = readSignal(plan, memory, second);
  if (memory.watchedMs === 0) memory.watchedMs = (second - 1) * SECOND_MS;
  followLimits(plan, judged);
  judged.value = value;
  judged.items = items;
  const from = judged.state;
  if (!enough && !isMissed(plan, memory, second)) {
    // While the agent itself has not watched for so long, nobody knows that nothing came.
    const neededMs = plan.measured === 'burn' ? BURN_PAIRS[1].shortMs : plan.windowMs;
    const isTold = judged.isToldFrozen || plan.noData !== 'freeze' || !hasWatched(memory, second, neededMs);
    const starts = from !== 'unknown' && !isTold;
    judged.frozen = from !== 'unknown';
    if (starts) judged.isToldFrozen = true;
    return starts ? { kind: 'no_data', from, to: from } : null;
  }
  judged.frozen = false;
  judged.isToldFrozen = false;
  const isBreached = !enough || isOver(plan, value, plan.breached);
  const isDegraded = isBreached || (plan.degraded !== null && isOver(plan, value, plan.degraded));
  count(judged, isDegraded, isBreached, second);
  const to = nextState(plan, judged);
  if (to === from) return null;
  judged.state = to;
  judged.since = second;
  return { kind: 'state', from, to };
}

/** With `no_data: breached` too few items are a breach; not while the agent itself has only just begun to watch. */
function isMissed({ noData, windowMs }: SignalPlan, memory: SignalMemory, second: number): boolean {
  return noData === 'breached' && memory.judged.state !== 'unknown' && hasWatched(memory, second, windowMs);
}

function hasWatched({ watchedMs }: SignalMemory, second: number, ms: number): boolean {
  return second * SECOND_MS - watchedMs >= ms;
}

/** Runs were counted against limits that may have changed since. */
function followLimits(plan: SignalPlan, judged: Judged): void {
  const { direction, degraded, breached, budget, windowMs, minItems } = plan;
  const limits = `${direction} ${degraded} ${breached} ${budget} ${windowMs} ${minItems}`;
  if (judged.limits === limits) return;
  judged.limits = limits;
  judged.overDegraded = 0;
  judged.underDegraded = 0;
  judged.overBreached = 0;
  judged.underBreached = 0;
  judged.worseSince = 0;
}

function count(judged: Judged, isDegraded: boolean, isBreached: boolean, second: number): void {
  judged.overBreached = isBreached ? judged.overBreached + 1 : 0;
  judged.underBreached = isBreached ? 0 : judged.underBreached + 1;
  judged.overDegraded = isDegraded ? judged.overDegraded + 1 : 0;
  judged.underDegraded = isDegraded ? 0 : judged.underDegraded + 1;
  if (judged.overDegraded === 1) judged.worseSince = second;
}

function nextState({ forMs, recoverAfterMs }: SignalPlan, judged: Judged): State {
  // The first second in a row counts zero seconds of holding.
  const held = (run: number, ms: number) => run > 0 && (run - 1) * SECOND_MS >= ms;
  const { state } = judged;
  if (state !== 'breached' && held(judged.overBreached, forMs)) return 'breached';
  if ((state === 'unknown' || state === 'healthy') && held(judged.overDegraded, forMs)) return 'degraded';
  if (state === 'unknown' && judged.underDegraded > 0) return 'healthy';
  if (state !== 'healthy' && state !== 'unknown' && held(judged.underDegraded, recoverAfterMs)) return 'healthy';
  if (state === 'breached' && held(judged.underBreached, recoverAfterMs)) return 'degraded';
  return state;
}
