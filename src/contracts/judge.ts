/**
 * Moves a contract through its states, one whole second at a time: pure, so that production, `check` and tests get the same answer.
 *
 *                    enough items, good                     above for `for`
 *   unknown ------------------------------> healthy -------------------------------> degraded / breached
 *      \____________ above for `for` _________^  ^____________ below for `recover_after` _________/
 *
 * Too few items freeze the state and stop its clocks.
 */
import type { ContractPlan, SignalPlan } from './contract.ts';

export const STATES = ['unknown', 'healthy', 'degraded', 'breached'] as const;
export type State = (typeof STATES)[number];
/** From worst to best, for a contract of several signals. */
const WORST_FIRST: readonly State[] = ['breached', 'degraded', 'unknown', 'healthy'];

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
/** Windows over this are kept in slots of a minute. */
const FINE_WINDOW_MS = 600_000;

/** All that is remembered of one signal; plain data, saved in the checkpoint. Times are Unix seconds. */
export interface SignalMemory {
  slotMs: number;
  /** Ring of slots: which slot it holds (its number since 1970), its items and its bad items. */
  slots: number[];
  items: number[];
  bad: number[];
  state: State;
  /** Second in which the state was entered. */
  since: number;
  frozen: boolean;
  /** Seconds in a row at or over each level; under it. */
  overDegraded: number;
  underDegraded: number;
  overBreached: number;
  underBreached: number;
  /** As of the last judgement. */
  value: number;
  windowItems: number;
}

export function newMemory(plan: SignalPlan): SignalMemory {
  const slotMs = plan.windowMs > FINE_WINDOW_MS ? MINUTE_MS : SECOND_MS;
  // One slot is filling while a window of whole past ones is judged, one more may already have begun.
  const count = Math.max(1, Math.ceil(plan.windowMs / slotMs)) + 2;
  const zeros = () => new Array<number>(count).fill(0);
  return {
    slotMs,
    slots: zeros(),
    items: zeros(),
    bad: zeros(),
    state: 'unknown',
    since: 0,
    frozen: false,
    overDegraded: 0,
    underDegraded: 0,
    overBreached: 0,
    underBreached: 0,
    value: 0,
    windowItems: 0,
  };
}

/** Adds what was received at `receivedMs`. What is older than the ring is too late to be judged. */
export function addMeasured(memory: SignalMemory, receivedMs: number, items: number, bad: number): void {
  const slot = Math.floor(receivedMs / memory.slotMs);
  const i = slot % memory.slots.length;
  if ((memory.slots[i] as number) > slot) return;
  if (memory.slots[i] !== slot) {
    memory.slots[i] = slot;
    memory.items[i] = 0;
    memory.bad[i] = 0;
  }
  memory.items[i] = (memory.items[i] as number) + items;
  memory.bad[i] = (memory.bad[i] as number) + bad;
}

export interface Change {
  kind: 'state' | 'no_data';
  from: State;
  to: State;
}

/** Judges the window of whole slots that ended at `second`; returns what changed, or null. */
export function judgeSignal(
  contract: ContractPlan,
  plan: SignalPlan,
  memory: SignalMemory,
  second: number,
): Change | null {
  sumWindow(plan, memory, second);
  const enough = memory.windowItems >= plan.minItems;
  const from = memory.state;
  if (!enough && !(contract.noData === 'breached' && from !== 'unknown')) {
    const starts = !memory.frozen && from !== 'unknown' && contract.noData === 'freeze';
    memory.frozen = from !== 'unknown';
    return starts ? { kind: 'no_data', from, to: from } : null;
  }
  memory.frozen = false;
  const breached = !enough || memory.value > plan.breachedAbove;
  const degraded = breached || memory.value > plan.degradedAbove;
  memory.overBreached = breached ? memory.overBreached + 1 : 0;
  memory.underBreached = breached ? 0 : memory.underBreached + 1;
  memory.overDegraded = degraded ? memory.overDegraded + 1 : 0;
  memory.underDegraded = degraded ? 0 : memory.underDegraded + 1;
  const to = nextState(contract, memory);
  if (to === from) return null;
  memory.state = to;
  memory.since = second;
  return { kind: 'state', from, to };
}

function sumWindow(plan: SignalPlan, memory: SignalMemory, second: number): void {
  const end = Math.floor((second * SECOND_MS) / memory.slotMs);
  const first = end - Math.max(1, Math.ceil(plan.windowMs / memory.slotMs));
  let items = 0;
  let bad = 0;
  for (let i = 0; i < memory.slots.length; i++) {
    const slot = memory.slots[i] as number;
    if (slot < first || slot >= end) continue;
    items += memory.items[i] as number;
    bad += memory.bad[i] as number;
  }
  memory.windowItems = items;
  memory.value = items === 0 ? 0 : bad / items;
}

function nextState(contract: ContractPlan, memory: SignalMemory): State {
  // The first second in a row counts zero seconds of holding.
  const held = (run: number, ms: number) => run > 0 && (run - 1) * SECOND_MS >= ms;
  const { state } = memory;
  if (state !== 'breached' && held(memory.overBreached, contract.forMs)) return 'breached';
  if ((state === 'unknown' || state === 'healthy') && held(memory.overDegraded, contract.forMs)) return 'degraded';
  if (state === 'unknown' && memory.underDegraded > 0) return 'healthy';
  if (state !== 'healthy' && state !== 'unknown' && held(memory.underDegraded, contract.recoverAfterMs))
    return 'healthy';
  if (state === 'breached' && held(memory.underBreached, contract.recoverAfterMs)) return 'degraded';
  return state;
}

/** The worst of the signals' states, in the order breached, degraded, unknown, healthy. */
export function worstState(states: readonly State[]): State {
  return WORST_FIRST.find((state) => states.includes(state)) ?? 'unknown';
}
