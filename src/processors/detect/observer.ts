/** `detect` on main: merges what the workers counted, judges every second, and says what changed. */
import { STATES, type State, worstState } from '../../contracts/judged.ts';
import { mergeMeasurements } from '../../contracts/merge.ts';
import { type ContractPlan, resourceOf } from '../../contracts/plan.ts';
import { PointText } from '../../contracts/pointText.ts';
import { readMeasurements } from '../../contracts/rows.ts';
import { scopeOf } from '../../contracts/service.ts';
import { hasValue } from '../../contracts/words.ts';
import type { EventRecord } from '../../core/otel.ts';
import { writeMetrics } from '../../otlp/writeMetrics.ts';
import { emitEvents } from '../events.ts';
import { type Emission, type Observer, type ObserverContext, SET_BACK_MS } from '../processor.ts';
import { type ContractReport, describeChange, reportOf } from './describe.ts';
import {
  groupByName,
  instanceOf,
  judgeWatched,
  type SavedWatch,
  saveWatch,
  type WatchedContract,
  type WatchedSignal,
  watchAnew,
  watchContracts,
  worstInstance,
} from './watch.ts';

export interface Saved {
  judgedSecond: number;
  sentMs: number;
  /** When it was last told the time. */
  heardMs: number;
  watch: SavedWatch;
  /** Frames of their time may be marked again. */
  breaches?: SavedBreach[];
  /** Of former versions: those that were over. */
  ended?: SavedBreach[];
}

interface SavedBreach {
  scope: number;
  /** One of the contract's; missing of former versions. */
  signal?: string;
  sinceMs: number;
  /** Infinity while it is. */
  untilMs: number;
}

export interface DetectObserver extends Observer {
  report(): ContractReport[];
}

/**
 * So many seconds of a pause (a suspended laptop, an agent that was down) are judged one by one: what had begun before may hold for that long.
 * Of the rest nothing is known, and an hour of it for hundreds of contracts would hold main up for longer than probes wait.
 */
const MAX_CATCH_UP_S = 60;
/** A pause that is longer is the agent's own, and no silence of the services. */
const GAP_MS = 15_000;
/** What a start goes over again stands in another order than it came. */
const DISORDER_MS = 15_000;

export function createObserver(everyMs: number, context: ObserverContext, saved: Saved | null): DetectObserver {
  let heardMs = saved?.heardMs ?? 0;
  const watched = watchContracts(context.contracts, saved?.watch ?? []);
  const byKey = new Map<number, { contract: WatchedContract; signal: WatchedSignal }>();
  for (const contract of watched)
    for (const signal of contract.signals) byKey.set(signal.plan.key, { contract, signal });
  /** Of those that share a name the worst is shown. */
  const groups = groupByName(watched);
  const texts = new PointText(context.pool.bytes);
  let judgedSecond = saved?.judgedSecond ?? 0;
  let sentMs = saved?.sentMs ?? 0;
  /** A start goes over what was judged before again. */
  let isPast = saved !== null;
  let mostBackMs = DISORDER_MS;
  const { contractState, contractUnjudged } = context.telemetry;

  function judgeUpTo(second: number): EventRecord[] {
    const events: EventRecord[] = [];
    if (judgedSecond === 0) judgedSecond = second - 1;
    const last = judgedSecond + MAX_CATCH_UP_S;
    while (judgedSecond < second) {
      if (judgedSecond === last) judgedSecond = second - 1;
      judgedSecond++;
      for (const contract of watched) judgeContract(contract, judgedSecond, events);
    }
    return events;
  }

  function judgeContract(contract: WatchedContract, second: number, events: EventRecord[]): void {
    for (const signal of contract.signals) {
      const before = contract.state;
      const change = judgeWatched(signal, second);
      if (change === null) continue;
      contract.state = worstState(contract.signals.map(({ state }) => state));
      followBreach(contract, before, second * 1000);
      const event = describeChange({ contract, signal, change, before, second, agent: context.agent });
      if (event !== null) events.push(event);
    }
  }

  /** What sampling follows. */
  function followBreach({ plan, state }: WatchedContract, before: State, nowMs: number): void {
    if ((state === 'breached') === (before === 'breached')) return;
    const scope = scopeOf(plan);
    const known = context.breaches.get(scope) ?? [];
    if (state === 'breached') {
      context.breaches.set(scope, [
        ...known.filter((one) => one.plan !== plan),
        { plan, sinceMs: nowMs, untilMs: Infinity },
      ]);
      context.onBreach(plan, nowMs);
    } else for (const breach of known) if (breach.plan === plan) breach.untilMs = nowMs;
  }

  /** Those that were broken before a restart or a reload are so still, and what came through one that was is still of its time. */
  function publishBreaches(): void {
    context.breaches.clear();
    for (const { plan, state, signals } of watched) {
      const scope = scopeOf(plan);
      const isOf = (signal?: string) => signal === undefined || signals.some((one) => one.plan.name === signal);
      const known = (saved?.breaches ?? saved?.ended)?.find((one) => one.scope === scope && isOf(one.signal));
      const since = Math.min(...signals.map((one) => (one.state === 'breached' ? sinceOf(one) : Infinity)));
      const breach =
        state === 'breached'
          ? { plan, sinceMs: known?.untilMs === Infinity ? known.sinceMs : since * 1000, untilMs: Infinity }
          : known === undefined || known.untilMs === Infinity
            ? null
            : { plan, sinceMs: known.sinceMs, untilMs: known.untilMs };
      if (breach !== null) context.breaches.set(scope, [...(context.breaches.get(scope) ?? []), breach]);
    }
  }

  function saveBreaches(): SavedBreach[] {
    return [...context.breaches].flatMap(([scope, breaches]) =>
      breaches.map(({ plan, sinceMs, untilMs }) => ({ scope, signal: plan.signals[0]?.name ?? '', sinceMs, untilMs })),
    );
  }

  /** Windows begin anew, as they hold what is to come by this clock; states stay as they are. */
  function followSetBack(nowMs: number): void {
    if (nowMs >= judgedSecond * 1000) isPast = false;
    if (isPast || nowMs >= judgedSecond * 1000 - mostBackMs) return;
    judgedSecond = Math.floor(nowMs / 1000);
    heardMs = nowMs;
    sentMs = Math.min(sentMs, nowMs);
    watchAnew(watched, nowMs);
    for (const [scope, breaches] of context.breaches) {
      const open = breaches.filter(({ untilMs }) => untilMs === Infinity);
      for (const breach of open) breach.sinceMs = Math.min(breach.sinceMs, nowMs);
      context.breaches.set(scope, open);
    }
  }

  /** While the agent itself did not run nobody was silent. */
  function passGap(nowMs: number): void {
    const gapMs = heardMs === 0 ? 0 : nowMs - heardMs;
    heardMs = Math.max(heardMs, nowMs);
    if (gapMs <= GAP_MS) return;
    for (const { signals } of watched)
      for (const { instances } of signals)
        for (const { memory } of instances.values()) {
          if (memory.watchedMs > 0) memory.watchedMs = nowMs;
          if (memory.lastItemMs > 0) memory.lastItemMs += gapMs;
          if (memory.heardMs > 0) memory.heardMs += gapMs;
        }
  }

  function emitValues(nowMs: number): Emission[] {
    if (watched.length === 0 || Math.floor(nowMs / everyMs) === Math.floor(sentMs / everyMs)) return [];
    const from = sentMs === 0 ? nowMs - everyMs : sentMs;
    sentMs = nowMs;
    const shown = new Set(groups.map(worstOf));
    const resources = watched.map(({ plan, signals: all }) => {
      const signals = all.filter((signal) => shown.has(signal));
      const gauge = (name: string, description: string, value: (signal: WatchedSignal) => number | null) => ({
        kind: 'gauge' as const,
        name,
        unit: '1',
        description,
        points: signals.flatMap((signal) => {
          const worst = value(signal);
          return worst === null ? [] : [{ attributes: { 'signal.name': signal.plan.name }, value: worst }];
        }),
      });
      return {
        attributes: { ...resourceOf(plan), 'plumbline.agent': context.agent },
        metrics: [
          gauge('plumbline.contract.value', 'Value of the signal over its window', worstValue),
          gauge('plumbline.contract.state', '0 unknown, 1 healthy, 2 degraded, 3 breached', ({ state }) =>
            STATES.indexOf(state),
          ),
        ].filter(({ points }) => points.length > 0),
      };
    });
    const items = resources.reduce(
      (sum, { metrics }) => sum + metrics.reduce((all, one) => all + one.points.length, 0),
      0,
    );
    const bytes = writeMetrics(resources, from, nowMs);
    return [{ stream: 'summaries', signal: 'metrics', bytes, items, timeMs: nowMs, ends: false }];
  }

  function countUnjudged(key: number, reason: 'late' | 'unmeasured' | 'instances', items: number): void {
    const found = byKey.get(key);
    if (found === undefined) return;
    const labels = { ...labelsOf(found.contract.plan), signal: found.signal.plan.name };
    contractUnjudged.inc({ ...labels, reason }, items);
  }

  function showStates(): void {
    for (const group of groups) {
      const { plan, state } = worstOf(group);
      contractState.set({ ...labelsOf(group.of), signal: plan.name }, STATES.indexOf(state));
    }
  }

  // Contracts that a reload removed have no state any more.
  contractState.reset();
  showStates();
  publishBreaches();
  return {
    merge(out, at, end, receivedMs) {
      const tables = readMeasurements(out, at, end);
      if (tables === null) return;
      mergeMeasurements(tables, receivedMs, {
        bytes: context.pool.bytes,
        texts,
        find(key, group, name) {
          const found = byKey.get(key);
          return found === undefined ? null : instanceOf(found.signal, group, name);
        },
        unplaced: (key, items) => countUnjudged(key, 'instances', items),
        unjudged: ({ plan }, reason, items) => countUnjudged(plan.key, reason, items),
      });
    },
    tick(nowMs) {
      followSetBack(nowMs);
      passGap(nowMs);
      const before = judgedSecond;
      const events = judgeUpTo(Math.floor(nowMs / 1000));
      if (judgedSecond !== before) showStates();
      const emissions = emitValues(nowMs);
      if (events.length > 0) emissions.unshift(emitEvents(events, judgedSecond * 1000));
      return emissions;
    },
    leave(nowMs) {
      contractState.reset();
      for (const breach of [...context.breaches.values()].flat()) breach.untilMs = Math.min(breach.untilMs, nowMs);
    },
    resume() {
      isPast = false;
      mostBackMs = SET_BACK_MS;
    },
    save: () =>
      ({ judgedSecond, sentMs, heardMs, watch: saveWatch(watched), breaches: saveBreaches() }) satisfies Saved,
    report: () => watched.map((contract) => reportOf(contract)),
  };
}

function worstOf({ signals }: { signals: readonly WatchedSignal[] }): WatchedSignal {
  const [first] = signals as [WatchedSignal];
  if (signals.length === 1) return first;
  const worst = worstState(signals.map(({ state }) => state));
  return signals.find(({ state }) => state === worst) ?? first;
}

function sinceOf(signal: WatchedSignal): number {
  return worstInstance(signal)?.memory.judged.since ?? 0;
}

/** Null while there is nothing to take it of. */
function worstValue(signal: WatchedSignal): number | null {
  const judged = worstInstance(signal)?.memory.judged;
  return judged !== undefined && hasValue(signal.plan, judged.items) ? judged.value : null;
}

/** Which contract a metric is of: what it says of the service beyond its name stands only where it says it. */
function labelsOf({ service, namespace, environment, serviceVersion }: ContractPlan) {
  return {
    service,
    ...(namespace === null ? {} : { service_namespace: namespace }),
    ...(environment === null ? {} : { environment }),
    ...(serviceVersion === null ? {} : { service_version: serviceVersion }),
  };
}
