/** The contracts as `detect` watches them: each signal, each of its instances, and what is saved of them. */
import { Evidence, type SavedEvidence } from '../../contracts/evidence.ts';
import { type Change, judgeSignal } from '../../contracts/judge.ts';
import { type State, worstState } from '../../contracts/judged.ts';
import {
  newMemory,
  restoreMemory,
  type SavedMemory,
  type SignalMemory,
  saveMemory,
  type Target,
} from '../../contracts/memory.ts';
import { type ContractPlan, nameOfSignal, type SignalPlan } from '../../contracts/plan.ts';
import { cutText } from '../../core/boundedText.ts';

export interface Instance extends Target {
  /** Of `per`; empty when all are judged as one. */
  name: string;
}

export interface WatchedSignal {
  plan: SignalPlan;
  state: State;
  /** By the hash of the name; 0 when all are judged as one. */
  instances: Map<number, Instance>;
}

export interface WatchedContract {
  plan: ContractPlan;
  state: State;
  signals: WatchedSignal[];
}

interface SavedInstance {
  /** Which contract and signal it belongs to, whatever they measure now. */
  of: string;
  key: number;
  group: number;
  name: string;
  memory: SavedMemory;
  evidence: SavedEvidence;
}
export type SavedWatch = SavedInstance[];

const MOST_INSTANCES = 1000;
/** An instance that has been silent for so long, and for two windows, is gone; unless it is the last. */
const GONE_MS = 600_000;

/** Watches the contracts, with what was remembered of their signals. */
export function watchContracts(plans: readonly ContractPlan[], saved: SavedWatch): WatchedContract[] {
  const byName = Map.groupBy(saved, ({ of }) => of);
  const keys = new Set(plans.flatMap(({ signals }) => signals.map(({ key }) => key)));
  return plans.map((plan) => {
    const signals = plan.signals.map((signal) => {
      // Signals of two contracts may share a name: what another still measures is that one's.
      const named = byName.get(nameOfSignal(plan, signal.name)) ?? [];
      const same = named.filter(({ key }) => key === signal.key);
      const before = same.length > 0 ? same : named.filter(({ key }) => !keys.has(key));
      const instances = new Map(before.map((one) => [one.group, resume(signal, one)]));
      if (plan.per === null && !instances.has(0)) instances.set(0, newInstance(signal, ''));
      for (const group of instances.keys()) if ((plan.per === null) !== (group === 0)) instances.delete(group);
      return { plan: signal, state: stateOfInstances(instances), instances };
    });
    return { plan, state: worstState(signals.map(({ state }) => state)), signals };
  });
}

function newInstance(plan: SignalPlan, name: string): Instance {
  return { plan, name, memory: newMemory(plan), evidence: new Evidence(plan.windowMs) };
}

/** What it measured counts on while its definition is the same; the state stays in any case, since too little data never resolves it. */
function resume(plan: SignalPlan, saved: SavedInstance): Instance {
  const instance = newInstance(plan, cutText(saved.name));
  if (saved.key === plan.key) {
    instance.memory = restoreMemory(plan, saved.memory);
    instance.evidence.restore(saved.evidence);
  } else {
    instance.memory.judged.state = saved.memory.judged.state;
    instance.memory.judged.since = saved.memory.judged.since;
  }
  return instance;
}

/** The clock was set back to `nowMs`: what was measured is forgotten, what was judged is not. */
export function watchAnew(contracts: readonly WatchedContract[], nowMs: number): void {
  const second = Math.floor(nowMs / 1000);
  for (const { signals } of contracts)
    for (const { plan, instances } of signals)
      for (const instance of instances.values()) {
        const { judged, lastItemMs, heardMs, seen } = instance.memory;
        judged.since = Math.min(judged.since, second);
        judged.worseSince = Math.min(judged.worseSince, second);
        const heard = { lastItemMs: Math.min(lastItemMs, nowMs), heardMs: Math.min(heardMs, nowMs) };
        instance.memory = { ...newMemory(plan), ...heard, judged, seen };
        instance.evidence = new Evidence(plan.windowMs);
      }
}

export function saveWatch(contracts: readonly WatchedContract[]): SavedWatch {
  return contracts.flatMap((contract) =>
    contract.signals.flatMap((signal) =>
      [...signal.instances].map(([group, { name, memory, evidence }]) => ({
        of: nameOfSignal(contract.plan, signal.plan.name),
        key: signal.plan.key,
        group,
        name,
        memory: saveMemory(memory),
        evidence: evidence.save(),
      })),
    ),
  );
}

/** Signals that share a name, with the contract of the first. */
export function groupByName(contracts: readonly WatchedContract[]): { of: ContractPlan; signals: WatchedSignal[] }[] {
  const groups = new Map<string, { of: ContractPlan; signals: WatchedSignal[] }>();
  for (const { plan, signals } of contracts)
    for (const signal of signals) {
      const name = nameOfSignal(plan, signal.plan.name);
      const group = groups.get(name) ?? { of: plan, signals: [] };
      group.signals.push(signal);
      groups.set(name, group);
    }
  return [...groups.values()];
}

/** The instance that a worker's cell is about; null beyond the bound. */
export function instanceOf(signal: WatchedSignal, group: number, name: () => string): Instance | null {
  const known = signal.instances.get(group);
  if (known !== undefined) return known;
  if (signal.instances.size >= MOST_INSTANCES) return null;
  const made = newInstance(signal.plan, cutText(name()));
  signal.instances.set(group, made);
  return made;
}

/** The instance that decides the signal's state: the worst, of those the one with the worst value. */
export function worstInstance({ plan, state, instances }: WatchedSignal): Instance | null {
  let worst: Instance | null = null;
  for (const one of instances.values()) {
    if (one.memory.judged.state !== state) continue;
    const worse = worst === null || (one.memory.judged.value - worst.memory.judged.value) * plan.direction > 0;
    if (worse) worst = one;
  }
  return worst;
}

function stateOfInstances(instances: ReadonlyMap<number, Instance>): State {
  return worstState([...instances.values()].map(({ memory }) => memory.judged.state));
}

/** Judges a signal's instances at `second`; what changed for the signal as a whole, or null. */
export function judgeWatched(signal: WatchedSignal, second: number): Change | null {
  const { plan, instances, state: from } = signal;
  const single = instances.size === 1 ? instances.values().next().value : undefined;
  if (single !== undefined) {
    const change = judgeSignal(plan, single.memory, second);
    signal.state = single.memory.judged.state;
    if (change?.kind === 'no_data') return change;
    return signal.state === from ? null : { kind: 'state', from, to: signal.state };
  }
  let starved = false;
  for (const { memory } of instances.values()) {
    const change = judgeSignal(plan, memory, second);
    if (change?.kind === 'no_data') starved = true;
  }
  const isFed = [...instances.values()].some(({ memory }) => !isStarved(plan, memory));
  if (isFed) forgetGone(signal, second);
  signal.state = stateOfInstances(instances);
  if (signal.state !== from) return { kind: 'state', from, to: signal.state };
  return starved && !isFed ? { kind: 'no_data', from, to: from } : null;
}

/** Has too few items, whatever that means for its state. */
function isStarved({ minItems }: SignalPlan, { judged: { frozen, items } }: SignalMemory): boolean {
  return frozen || items < minItems;
}

function forgetGone({ plan, instances }: WatchedSignal, second: number): void {
  const goneMs = second * 1000 - Math.max(GONE_MS, 2 * plan.windowMs);
  for (const [group, { memory }] of instances)
    if (isStarved(plan, memory) && memory.heardMs < goneMs) instances.delete(group);
}
