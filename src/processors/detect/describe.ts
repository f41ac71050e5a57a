/** What `detect` says of contracts: events for people who act on them, and the report of /contracts. */
import type { Contribution } from '../../contracts/evidence.ts';
import type { Change } from '../../contracts/judge.ts';
import { type State, worstState } from '../../contracts/judged.ts';
import { type ContractPlan, resourceOf, type SignalPlan } from '../../contracts/plan.ts';
import { type SeriesValue, worstSeries } from '../../contracts/reading.ts';
import { formatShare, formatValue, hasValue, whyOf } from '../../contracts/words.ts';
import { cutText } from '../../core/boundedText.ts';
import type { AnyAttribute, Attributes, EventRecord } from '../../core/otel.ts';
import { formatDuration } from '../../core/units.ts';
import { type Instance, type WatchedContract, type WatchedSignal, worstInstance } from './watch.ts';

/** What is told of a contract: /contracts shows it. */
export type ContractReport = {
  service: string;
  namespace: string | null;
  environment: string | null;
  service_version: string | null;
  owner: string | null;
  version: string;
  state: State;
  /** The worst signal in a sentence. */
  why: string;
  signals: SignalReport[];
};

type SignalReport = {
  name: string;
  state: State;
  since: string | null;
  frozen: boolean;
  /** Null while there is nothing to take it of. */
  value: number | null;
  items: number;
  window: string;
  threshold: { degraded: string | null; breached: string };
  why: string;
  operations: OperationReport[];
  /** Of rates and of what is taken of metrics. */
  series: SeriesValue[];
  /** Ids of traces that show it, newest first. */
  traces: string[];
  instances?: { name: string; state: State; value: number | null; items: number }[];
};

type OperationReport = { name: string; version: string; items: number; bad: number; excess: number };

type EventAttributes = Record<string, AnyAttribute>;

const SEVERITY: Record<State, number> = { unknown: 9, healthy: 9, degraded: 13, breached: 17 };
const MOST_OPERATIONS = 3;

interface Told {
  contract: WatchedContract;
  signal: WatchedSignal;
  change: Change;
  /** The contract's state before the change. */
  before: State;
  second: number;
  agent: string;
}

/** An event for what people act on: a contract that changed, or one signal of it that got better or worse. */
export function describeChange(told: Told): EventRecord | null {
  const { contract, signal, change, before, second } = told;
  const bad = (state: State) => state === 'degraded' || state === 'breached';
  if (change.kind === 'state' && before === contract.state && !bad(change.from) && !bad(change.to)) return null;
  const instance = worstInstance(signal);
  if (instance === null) return null;
  const { judged } = instance.memory;
  const { plan } = signal;
  const { service, per } = contract.plan;
  const attributes = attributesOf(told, instance);
  const resource = { ...resourceOf(contract.plan), ...(per === null ? {} : { [per]: instance.name }) };
  const timeMs = second * 1000;
  const why = whyOf(plan, judged.value, judged.items);
  if (change.kind === 'no_data') {
    attributes['contract.frozen'] = true;
    const body = `${service}: ${plan.name} has too few items to judge, its state stays ${change.to}: ${why}`;
    return { name: 'plumbline.contract.no_data', timeMs, severity: SEVERITY.degraded, body, resource, attributes };
  }
  let body = `${service}: ${plan.name} ${change.from} -> ${change.to}: ${why}`;
  if (bad(change.to)) {
    const most = addEvidence(attributes, resource, instance, second);
    if (judged.worseSince > 0) body += `; since ${timeOf(judged.worseSince)}`;
    if (most.length > 0) body += `; most by ${most.join(', ')}`;
  }
  const name = 'plumbline.contract.state_changed';
  return { name, timeMs, severity: SEVERITY[change.to], body, resource, attributes };
}

function attributesOf({ contract, signal, change, before, agent }: Told, { name, memory }: Instance): EventAttributes {
  const { plan } = signal;
  const { judged } = memory;
  const isDegraded = change.to === 'degraded' && plan.thresholds.degraded !== null;
  const attributes: EventAttributes = {
    'contract.service': contract.plan.service,
    'contract.version': contract.plan.version,
    'contract.state': contract.state,
    'contract.previous_state': before,
    'signal.name': plan.name,
    'signal.state': change.to,
    'signal.previous_state': change.from,
    ...(hasValue(plan, judged.items) ? { 'signal.value': judged.value } : {}),
    'signal.threshold': isDegraded ? (plan.thresholds.degraded ?? '') : plan.thresholds.breached,
    'signal.window': formatDuration(plan.windowMs),
    // Those that were sampled before count as many times as they stand for.
    'signal.items': wholeOf(judged.items),
    'plumbline.agent': agent,
  };
  if (contract.plan.owner !== null) attributes['contract.owner'] = contract.plan.owner;
  if (contract.plan.per !== null) attributes['contract.instance'] = name;
  return attributes;
}

/** A counter that says nonsense adds up to more than any integer holds, or to no number. */
function wholeOf(items: number): bigint {
  const most = Number.MAX_SAFE_INTEGER;
  return Number.isNaN(items) ? 0n : BigInt(Math.round(Math.max(-most, Math.min(most, items))));
}

/** Adds what explains the change; returns what contributes most, in words. */
function addEvidence(attributes: EventAttributes, resource: Attributes, instance: Instance, second: number): string[] {
  const { plan, memory, evidence } = instance;
  const contributions = contributionsOf(instance, second);
  const series = seriesOf(instance, second).map((one) => describeSeries(plan, one));
  const most = contributions.length > 0 ? contributions.map(describeContribution) : series;
  if (memory.judged.worseSince > 0) attributes['signal.since'] = timeOf(memory.judged.worseSince);
  if (most.length > 0) attributes[plan.of === 'metrics' ? 'signal.series' : 'signal.operations'] = most;
  const versions = [...new Set(contributions.map(({ version }) => version).filter((version) => version !== ''))];
  if (versions.length > 0) attributes['signal.versions'] = versions;
  // The one that contributes most; which others do is in signal.versions.
  if (versions[0] !== undefined && resource['service.version'] === undefined) resource['service.version'] = versions[0];
  const traces = evidence.tracesSince(second * 1000 - Math.max(plan.windowMs, EVIDENCE_MS));
  if (traces.length > 0) attributes['trace.ids'] = traces;
  return most;
}

/** Traces this old still explain a short window. */
const EVIDENCE_MS = 60_000;

function contributionsOf({ plan, evidence }: Instance, second: number): Contribution[] {
  const limit = plan.budget ?? plan.degraded ?? plan.breached;
  const isShare = plan.measured === 'share' || plan.measured === 'burn';
  const found = isShare ? evidence.contributions(second * 1000, limit, MOST_OPERATIONS) : [];
  return found.map((one) => ({ ...one, name: cutText(one.name), version: cutText(one.version) }));
}

function seriesOf({ plan, memory }: Instance, second: number): SeriesValue[] {
  const found = worstSeries(plan, memory, second, MOST_OPERATIONS);
  return found.map((one) => ({ ...one, name: cutText(one.name) }));
}

function describeContribution({ name, version, items, bad }: Contribution): string {
  const of = version === '' ? '' : ` (${version})`;
  return `${name === '' ? 'unnamed' : name}${of} ${formatShare(items === 0 ? 0 : bad / items)} of ${Math.round(items)}`;
}

function describeSeries(plan: SignalPlan, { name, value }: SeriesValue): string {
  return `${name === '' ? 'unnamed' : name} ${formatValue(plan, value)}`;
}

function timeOf(second: number): string {
  return new Date(second * 1000).toISOString();
}

export function reportOf(contract: WatchedContract): ContractReport {
  const { service, namespace, environment, serviceVersion, owner, version } = contract.plan;
  const signals = contract.signals.map((signal) => reportSignal(contract.plan, signal));
  const state = worstState(signals.map((signal) => signal.state));
  const worst = signals.find((signal) => signal.state === state);
  const why = worst === undefined ? 'no signal' : `${worst.name} is ${worst.state}: ${worst.why}`;
  return { service, namespace, environment, service_version: serviceVersion, owner, version, state, why, signals };
}

function reportSignal({ per }: ContractPlan, signal: WatchedSignal): SignalReport {
  const { plan, state } = signal;
  const instance = worstInstance(signal);
  const judged = instance?.memory.judged;
  const second = Math.floor((instance?.memory.lastItemMs ?? 0) / 1000);
  const { value, items } = { value: judged?.value ?? 0, items: judged?.items ?? 0 };
  const frozen = judged?.frozen ?? false;
  const why = whyOf(plan, value, items);
  const isBad = state === 'degraded' || state === 'breached';
  return {
    name: plan.name,
    state,
    since: judged === undefined || judged.since === 0 ? null : timeOf(judged.since),
    frozen,
    value: hasValue(plan, items) ? value : null,
    items,
    window: formatDuration(plan.windowMs),
    threshold: plan.thresholds,
    why: frozen ? `${why}; too few items (${Math.round(items)} of ${plan.minItems}), so it stays ${state}` : why,
    operations: instance === null || !isBad ? [] : contributionsOf(instance, second),
    series: instance === null || !isBad ? [] : seriesOf(instance, second),
    traces: instance === null || !isBad ? [] : instance.evidence.tracesSince(0),
    ...(per === null ? {} : { instances: [...signal.instances.values()].map(describeInstance) }),
  };
}

function describeInstance({ name, plan, memory: { judged } }: Instance) {
  const { state, value, items } = judged;
  return { name, state, value: hasValue(plan, items) ? value : null, items };
}
