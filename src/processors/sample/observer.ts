// HOT: once per run of spans. Bench: bench/micro/processors/sample/observer.bench.ts
/**
 * `sample` on main: keeps the trace table and the slots, which are rebuilt from the journal after a restart, and learns what is slow, which
 * is saved.
 */
import type { ContractPlan } from '../../contracts/plan.ts';
import { shareOf } from '../../core/units.ts';
import {
  type Flagged,
  type Observer,
  type ObserverContext,
  type OperationDurations,
  SET_BACK_MS,
} from '../processor.ts';
import { ANOMALOUS, BASE, breachClass, classesOf, RARE, slotBytes } from './classes.ts';
import { quantileOf, type SampleConfig } from './config.ts';
import { publishLimits } from './limits.ts';
import { LOG_ROW, MARK_HEADER_BYTES, MARK_ROW_BYTES } from './mark.ts';
import { Operations, type SavedOperations } from './operations.ts';
import { Rare } from './rare.ts';
import { SLOT_MS, Slots } from './slots.ts';
import { slotOfTicks, TraceTable } from './traceTable.ts';

/** Operations that are learned in a tick. */
const LEARNED_A_TICK = 512;

export function createObserver(
  config: SampleConfig,
  context: ObserverContext,
  saved: SavedOperations | null,
): Observer {
  const { traces: handle, telemetry } = context;
  if (handle === null) return { isRebuilt: true, merge() {}, tick: () => [], save: () => null, follow() {} };
  let given = config;
  let contracts = context.contracts;
  const { limits } = handle;
  const hasBudget = handle.lagMs > 0;
  const slots = new Slots(handle.slots);
  const table = new TraceTable(handle, hasBudget ? slots : null);
  let shares = sharesOf(given, contracts);
  let grantsRare = shareOf(given.keep.rare) > 0;
  let told = 0;
  /** A start goes over what is in the journal in another order than it came. */
  let isPast = true;
  let tickedMs = 0;
  const rare = new Rare();
  const operations = new Operations(saved);
  let unlearned: readonly OperationDurations[] = [];

  function publish(): void {
    const quantile = quantileOf(given);
    publishLimits(limits, quantile === null ? new Map() : operations.limits(quantile));
  }

  /** What the source of a trace is found to be in at that moment. `at`: its address. */
  function stateClass(out: DataView, at: number, receivedMs: number): number {
    const { flagged } = context;
    if (flagged.size === 0 && context.breaches.size === 0) return BASE;
    let found = flagged.size > 0 && isWithin(flagged.get(out.getUint32(at, true)), receivedMs) ? ANOMALOUS : BASE;
    if (context.breaches.size === 0) return found;
    const end = at + 8 + out.getInt32(at + 4, true) * 4;
    for (let scope = at + 8; scope < end; scope += 4) {
      const breaches = context.breaches.get(out.getInt32(scope, true));
      if (breaches === undefined) continue;
      for (const { plan, sinceMs, untilMs } of breaches)
        if (receivedMs >= sinceMs && receivedMs < untilMs) found = Math.max(found, breachClass(given, contracts, plan));
    }
    return found;
  }

  function mergeRow(out: DataView, row: number, sourcesAt: number, receivedMs: number): void {
    const word = (index: number) => out.getInt32(row + index * 4, true);
    const low = word(0);
    const high = word(1);
    const kind = word(2);
    if ((kind & LOG_ROW) !== 0) {
      table.addLog(low >>> 0, high >>> 0, receivedMs, kind & 0xff, word(4));
      return;
    }
    let traceClass = Math.max(kind, stateClass(out, sourcesAt + word(3) * 4, receivedMs));
    if (grantsRare && rare.isFirst(word(5), receivedMs)) traceClass = Math.max(traceClass, RARE);
    table.mark(low, high, receivedMs, traceClass, word(4));
  }

  /** A part of what was flushed each time: thousands of operations at once would hold requests up. */
  function learnSome(nowMs: number, final: boolean): void {
    const { flushed } = context.operations;
    if (flushed.length > 0) {
      context.operations.flushed = [];
      // What the flush before has left.
      learn(unlearned.length, nowMs);
      unlearned = flushed;
    }
    learn(final ? unlearned.length : LEARNED_A_TICK, nowMs);
  }

  function learn(count: number, nowMs: number): void {
    if (unlearned.length === 0) return;
    operations.learn(unlearned.slice(0, count), nowMs);
    unlearned = unlearned.slice(count);
    if (unlearned.length > 0) return;
    operations.bound();
    publish();
  }

  publish();
  return {
    isRebuilt: true,
    merge(out, at, end, receivedMs) {
      if (at === end) return;
      if (hasBudget) {
        const totals = slots.of(slotOfTicks(table.ticksOf(receivedMs)));
        if (totals !== null) {
          totals.envelopes += out.getUint32(at, true);
          totals.envelopeBytes += out.getUint32(at + 4, true);
          totals.runs += out.getUint32(at + 8, true);
        }
      }
      const sourcesAt = end - out.getUint32(at + 12, true) * 4;
      // The table is far from the processor: touched in a loop that does nothing else, many fetches are under way at once.
      let touched = 0;
      for (let row = at + MARK_HEADER_BYTES; row < sourcesAt; row += MARK_ROW_BYTES)
        touched += table.touch(out.getInt32(row, true), out.getInt32(row + 4, true));
      // Never so; a sum that nobody asks for would not be computed, and nothing fetched.
      if (touched < 0) return;
      for (let row = at + MARK_HEADER_BYTES; row < sourcesAt; row += MARK_ROW_BYTES)
        mergeRow(out, row, sourcesAt, receivedMs);
    },
    tick(nowMs, final) {
      learnSome(nowMs, final);
      if (hasBudget) {
        // Whoever stops waits for nothing any more.
        const slot = slotOfTicks(table.ticksOf(final ? nowMs + SLOT_MS : nowMs - handle.waitMs));
        const isSetBack = !isPast && nowMs < tickedMs - SET_BACK_MS;
        const mostBytes = slotBytes(given, SLOT_MS);
        telemetry.slotsOverBudget.inc(
          isSetBack ? slots.rewind(slot, shares, mostBytes) : slots.settle(slot, shares, mostBytes),
        );
        tickedMs = nowMs;
      }
      if (table.evicted > told) {
        telemetry.tracesEvicted.inc(table.evicted - told);
        told = table.evicted;
      }
      return [];
    },
    decided: (undecidedMs) => table.decide(undecidedMs),
    resume() {
      isPast = false;
    },
    save: () => operations.save(),
    follow(next, plans) {
      // Of this type's own schema: the registry hands configurations out untyped.
      given = next as SampleConfig;
      contracts = plans;
      shares = sharesOf(given, contracts);
      grantsRare = shareOf(given.keep.rare) > 0;
      publish();
    },
  };
}

function isWithin(flagged: readonly Flagged[] | undefined, ms: number): boolean {
  if (flagged === undefined) return false;
  for (const { sinceMs, untilMs } of flagged) if (ms >= sinceMs && ms < untilMs) return true;
  return false;
}

function sharesOf(given: SampleConfig, contracts: readonly ContractPlan[]): number[] {
  return classesOf(given, contracts).map((one) => one?.share ?? 0);
}
