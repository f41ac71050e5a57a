/** `detect` on main: merges what the workers counted, judges every second, and says what changed. */
import type { SignalPlan } from '../../contracts/contract.ts';
import { addMeasured, judgeSignal, newMemory, type SignalMemory, STATES } from '../../contracts/judge.ts';
import { MEASURE_ROW_BYTES } from '../../contracts/measure.ts';
import { type EventRecord, serializeEvents, serializeMetrics } from '../../core/otel.ts';
import type { Emission, Observer, ObserverContext } from '../processor.ts';
import { type ContractReport, describeChange, reportOf, stateOf, type Watched } from './describe.ts';

export interface Saved {
  judgedSecond: number;
  sentMs: number;
  memories: [key: number, memory: SignalMemory][];
}

export interface DetectObserver extends Observer {
  report(): ContractReport[];
}

/** Longest stretch of seconds judged one by one after a pause (a suspended laptop); older windows are empty anyway. */
const MAX_CATCH_UP_S = 3600;

export function createObserver(everyMs: number, context: ObserverContext, saved: Saved | null): DetectObserver {
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
