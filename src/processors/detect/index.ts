/** `detect`: holds what was measured against the contracts every second; a change of state becomes an event. */
import { type Static, Type } from 'typebox';
import type { ContractPlan, SignalPlan } from '../../contracts/contract.ts';
import {
  addMeasured,
  type Change,
  judgeSignal,
  newMemory,
  type SignalMemory,
  STATES,
  type State,
  worstState,
} from '../../contracts/judge.ts';
import { ContractMeasure, MEASURE_ROW_BYTES } from '../../contracts/measure.ts';
import { type EventRecord, serializeEvents, serializeMetrics } from '../../core/otel.ts';
import { formatDuration, parseDurationMs } from '../../core/units.ts';
import type { Emission, Measurer, Observer, ObserverContext, ProcessorDefinition, Views } from '../processor.ts';

const config = Type.Object(
  {
    every: Type.String({
      format: 'duration',
      default: '10s',
      description: 'How often values and states are sent as metrics; they are judged every second',
    }),
  },
  { additionalProperties: false },
);

export const detect: ProcessorDefinition = {
  type: 'detect',
  summary: 'Judges contracts every second; changes of state become events.',
  kind: 'observer',
  config,
  measurer: (_, views) => createMeasurer(views),
  observer: (given, context, saved) =>
    createObserver(parseDurationMs((given as Static<typeof config>).every) ?? 10_000, context, saved as Saved | null),
};

function createMeasurer(views: Views): Measurer {
  const measure = new ContractMeasure(views.contracts, views.reader, views.span, views.log);
  let nowMs = 0;
  return {
    reset(receivedMs) {
      nowMs = receivedMs;
      measure.reset();
    },
    enterResource: (envelope) => measure.enterResource(envelope),
    span: (span, envelope) => measure.span(span, envelope, nowMs),
    log: (log, envelope) => measure.log(log, envelope, nowMs),
    size: () => measure.size(),
    write: (out, at) => measure.write(out, at),
  };
}

interface Watched {
  contract: ContractPlan;
  plan: SignalPlan;
  memory: SignalMemory;
}

interface Saved {
  judgedSecond: number;
  sentMs: number;
  memories: [key: number, memory: SignalMemory][];
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

export interface DetectObserver extends Observer {
  report(): ContractReport[];
}

/** Longest stretch of seconds judged one by one after a pause (a suspended laptop); older windows are empty anyway. */
const MAX_CATCH_UP_S = 3600;

function createObserver(everyMs: number, context: ObserverContext, saved: Saved | null): DetectObserver {
  const remembered = new Map(saved?.memories ?? []);
  const watched: Watched[] = context.contracts.flatMap((contract) =>
    contract.signals.map((plan) => ({
      contract,
      plan,
      memory: fitting(remembered.get(plan.key), plan) ?? newMemory(plan),
    })),
  );
  const byKey = new Map(watched.map((one) => [one.plan.key, one]));
  let judgedSecond = saved?.judgedSecond ?? 0;
  let sentMs = saved?.sentMs ?? 0;

  function judgeUpTo(second: number): EventRecord[] {
    const events: EventRecord[] = [];
    if (judgedSecond === 0 || second - judgedSecond > MAX_CATCH_UP_S) judgedSecond = second - 1;
    for (; judgedSecond < second; judgedSecond++) {
      for (const one of watched) {
        const before = stateOf(watched, one.contract);
        const change = judgeSignal(one.contract, one.plan, one.memory, judgedSecond + 1);
        if (change === null) continue;
        const event = describeChange(
          one,
          change,
          before,
          stateOf(watched, one.contract),
          (judgedSecond + 1) * 1000,
          context.agent,
        );
        if (event !== null) events.push(event);
      }
    }
    return events;
  }

  function emitValues(nowMs: number): Emission[] {
    if (watched.length === 0 || Math.floor(nowMs / everyMs) === Math.floor(sentMs / everyMs)) return [];
    const from = sentMs === 0 ? nowMs - everyMs : sentMs;
    sentMs = nowMs;
    const resources = context.contracts.map((contract) => {
      const points = watched.filter((one) => one.contract === contract);
      const point = (value: (one: Watched) => number) =>
        points.map((one) => ({ attributes: { 'signal.name': one.plan.name }, value: value(one) }));
      return {
        attributes: { 'service.name': contract.service, 'plumbline.agent': context.agent },
        metrics: [
          {
            kind: 'gauge' as const,
            name: 'plumbline.contract.value',
            unit: '1',
            description: 'Share of bad items in the window',
            points: point(({ memory }) => memory.value),
          },
          {
            kind: 'gauge' as const,
            name: 'plumbline.contract.state',
            unit: '1',
            description: '0 unknown, 1 healthy, 2 degraded, 3 breached',
            points: point(({ memory }) => STATES.indexOf(memory.state)),
          },
        ],
      };
    });
    return [
      {
        stream: 'summaries',
        signal: 'metrics',
        bytes: serializeMetrics(resources, from, nowMs),
        items: watched.length * 2,
        timeMs: nowMs,
        ends: false,
      },
    ];
  }

  return {
    merge(out, at, end, receivedMs) {
      for (let row = at; row < end; row += MEASURE_ROW_BYTES) {
        const one = byKey.get(out.getUint32(row, true));
        if (one !== undefined)
          addMeasured(one.memory, receivedMs, out.getFloat64(row + 8, true), out.getFloat64(row + 16, true));
      }
    },
    tick(nowMs) {
      const events = judgeUpTo(Math.floor(nowMs / 1000));
      const emissions = emitValues(nowMs);
      for (const { contract, plan, memory } of watched) {
        context.telemetry.contractState.set(
          { service: contract.service, signal: plan.name },
          STATES.indexOf(memory.state),
        );
      }
      if (events.length > 0)
        emissions.unshift({
          stream: 'events',
          signal: 'logs',
          bytes: serializeEvents(events),
          items: events.length,
          timeMs: judgedSecond * 1000,
          ends: false,
        });
      return emissions;
    },
    save: () =>
      ({ judgedSecond, sentMs, memories: watched.map(({ plan, memory }) => [plan.key, memory]) }) satisfies Saved,
    report: () => context.contracts.map((contract) => reportOf(contract, watched)),
  };
}

/** A saved memory whose window is still the plan's. */
function fitting(memory: SignalMemory | undefined, plan: SignalPlan): SignalMemory | undefined {
  const fresh = newMemory(plan);
  const fits = memory?.slotMs === fresh.slotMs && memory.slots.length === fresh.slots.length;
  return fits ? memory : undefined;
}

function stateOf(watched: readonly Watched[], contract: ContractPlan): State {
  return worstState(watched.filter((one) => one.contract === contract).map((one) => one.memory.state));
}

const SEVERITY: Record<State, number> = { unknown: 9, healthy: 9, degraded: 13, breached: 17 };

/** An event for what people act on: a contract that changed, or one signal of it that got better or worse. */
function describeChange(
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

function reportOf(contract: ContractPlan, watched: readonly Watched[]): ContractReport {
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
