/** What `detect` says of contracts: events for people who act on them, and the report of /contracts. */
import type { ContractPlan, SignalPlan } from '../../contracts/contract.ts';
import { type Change, type SignalMemory, type State, worstState } from '../../contracts/judge.ts';
import type { EventRecord } from '../../core/otel.ts';
import { formatDuration } from '../../core/units.ts';

/** One signal of one contract, and what is remembered of it. */
export interface Watched {
  contract: ContractPlan;
  plan: SignalPlan;
  memory: SignalMemory;
}

/** What is told of a contract: /contracts shows it. */
export type ContractReport = {
  service: string;
  owner: string | null;
  version: string;
  state: State;
  signals: {
    name: string;
    state: State;
    since: string | null;
    frozen: boolean;
    value: number;
    items: number;
    window: string;
    threshold: { degraded: string | null; breached: string };
    why: string;
  }[];
};

/** The contract's state: the worst of its signals'. */
export function stateOf(watched: readonly Watched[], contract: ContractPlan): State {
  return worstState(watched.filter((one) => one.contract === contract).map((one) => one.memory.state));
}

const SEVERITY: Record<State, number> = { unknown: 9, healthy: 9, degraded: 13, breached: 17 };

/** An event for what people act on: a contract that changed, or one signal of it that got better or worse. */
export function describeChange(
  one: Watched,
  change: Change,
  before: State,
  after: State,
  timeMs: number,
  agent: string,
): EventRecord | null {
  const { contract, plan, memory } = one;
  const bad = (state: State) => state === 'degraded' || state === 'breached';
  if (change.kind === 'state' && before === after && !bad(change.from) && !bad(change.to)) return null;
  const why = whyOf(plan, memory);
  const attributes: EventRecord['attributes'] = {
    'contract.service': contract.service,
    'contract.version': contract.version,
    'contract.state': after,
    'contract.previous_state': before,
    'signal.name': plan.name,
    'signal.state': change.to,
    'signal.previous_state': change.from,
    'signal.value': memory.value,
    'signal.threshold':
      change.to === 'degraded' && plan.thresholds.degraded !== null
        ? plan.thresholds.degraded
        : plan.thresholds.breached,
    'signal.window': formatDuration(plan.windowMs),
    'signal.items': memory.windowItems,
    'plumbline.agent': agent,
  };
  if (contract.owner !== null) attributes['contract.owner'] = contract.owner;
  const resource = { 'service.name': contract.service };
  if (change.kind === 'no_data') {
    attributes['contract.frozen'] = true;
    const body = `${contract.service}: ${plan.name} has too few items to judge, its state stays ${change.to}: ${why}`;
    return { name: 'plumbline.contract.no_data', timeMs, severity: 13, body, resource, attributes };
  }
  const body = `${contract.service}: ${plan.name} ${change.from} -> ${change.to}: ${why}`;
  return {
    name: 'plumbline.contract.state_changed',
    timeMs,
    severity: SEVERITY[change.to],
    body,
    resource,
    attributes,
  };
}

function whyOf(plan: SignalPlan, memory: SignalMemory): string {
  const share = `${(memory.value * 100).toFixed(memory.value < 0.1 ? 2 : 1)}%`;
  const what = plan.slowerThanNs === Infinity ? 'bad' : `slower than ${formatDuration(plan.slowerThanNs / 1e6)}`;
  const limit =
    memory.value > plan.breachedAbove || plan.thresholds.degraded === null
      ? plan.thresholds.breached
      : plan.thresholds.degraded;
  return `${share} of ${Math.round(memory.windowItems)} items ${what} in ${formatDuration(plan.windowMs)}, limit ${limit}`;
}

export function reportOf(contract: ContractPlan, watched: readonly Watched[]): ContractReport {
  const signals = watched
    .filter((one) => one.contract === contract)
    .map(({ plan, memory }) => ({
      name: plan.name,
      state: memory.state,
      since: memory.since === 0 ? null : new Date(memory.since * 1000).toISOString(),
      frozen: memory.frozen,
      value: memory.value,
      items: memory.windowItems,
      window: formatDuration(plan.windowMs),
      threshold: plan.thresholds,
      why: whyOf(plan, memory),
    }));
  const { service, owner, version } = contract;
  return { service, owner, version, state: worstState(signals.map(({ state }) => state)), signals };
}
