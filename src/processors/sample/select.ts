// HOT: once per span. Bench: bench/micro/processors/sample/select.bench.ts
/**
 * `sample` after the journal: keeps whole local traces by the class they had `wait` after their first item, each class with its own
 * probability, by consistent probability sampling: keep iff R >= T.
 * https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
 */
import { ContractMeasure } from '../../contracts/measure.ts';
import { readLogRecord } from '../../otlp/logs.ts';
import { logRandomness } from '../../otlp/randomness.ts';
import type { Envelope } from '../../otlp/resource.ts';
import { findTraceId, readSpan } from '../../otlp/traces.ts';
import { atLeast, type Bits56, OtState, readOtState, readRandomness, thresholdOf } from '../../otlp/tracestate.ts';
import { type Addition, NO_OPINION, type Outlook, SAMPLED_OUT, type Selector, type Views } from '../processor.ts';
import { BASE, CLASS_COUNT, SLOW, type TraceClass } from './classes.ts';
import type { SampleConfig } from './config.ts';
import { ItemClass } from './itemClass.ts';
import { markedOf } from './marked.ts';
import { readSlot, SLOT_MS } from './slots.ts';
import {
  beyondTick,
  classOf,
  firstTick,
  isBehind,
  isLate,
  placeOf,
  slotOfTicks,
  ticksOf,
  touchTrace,
} from './traceTable.ts';

/** Index of the addition for a late item of a dropped trace: those stand behind the classes' own. */
const PARTIAL = CLASS_COUNT;

/** Where more than this is kept anyhow, looking ahead spares nothing. */
const MOST_OUTLOOK_SHARE = 0.3;

export function createSelector(
  given: SampleConfig,
  classes: readonly (TraceClass | null)[],
  additions: readonly Addition[],
  views: Views,
): Selector {
  const { reader, span, log } = views;
  const { view } = reader;
  const bytes = views.pool.bytes;
  const handle = views.traces;
  const table = handle === null ? null : new Uint32Array(handle.memory);
  const slots = handle === null || handle.lagMs === 0 ? null : new Uint32Array(handle.slots);
  const startMs = handle?.startMs ?? 0;
  const waitMs = handle?.waitMs ?? 0;
  const contracts = new ContractMeasure(views.contracts, reader, span, log, views.point);
  const itemClass = new ItemClass(given, views);
  const configured: Bits56[] = classes.map((one) => thresholdOf(one?.share ?? 0).bits);
  /** Nothing is ever kept at a share of zero: the largest threshold stands for it, but is no probability. */
  const isPossible = classes.map((one) => one !== null && one.share > 0);
  const random: Bits56 = { high: 0, low: 0 };
  const threshold: Bits56 = { high: 0, low: 0 };
  const ofTrace: Bits56 = { high: 0, low: 0 };
  const ot = new OtState();
  let hasTraceState = false;
  let frameSlot = 0;
  let isOwn = false;
  /** When the frame came: what is behind its trace's decision is late, and with a budget held against the slot it came in, too. */
  let tick = 0;
  let within = 0;
  let isLateItem = false;
  // Signed, as the bit operations give them: a uint32 in a closure would be boxed for each new trace.
  let lastLow = 0;
  let lastHigh = 0;
  /** Of the trace looked up last: its entry (0 when it is not in the table), class, and slot. */
  let entry = 0;
  let traceClass = BASE;
  let slot = 0;

  /** Runs of one trace are looked up once. */
  function lookUp(traceIdAt: number): void {
    const low = view.getInt32(traceIdAt + 8, true);
    const high = view.getInt32(traceIdAt + 12, true);
    if (low === lastLow && high === lastHigh) return;
    lastLow = low;
    lastHigh = high;
    const place = table === null ? -1 : placeOf(table, low >>> 0, high >>> 0);
    entry = place < 0 ? 0 : table![place + 3]!;
    // What came before the first span, as log records do, is counted in the slot it came in.
    slot = place < 0 ? frameSlot : Math.min(frameSlot, slotOfTicks(firstTick(table!, place)) | 0);
    traceClass = known(classOf(entry));
    isLateItem = slots !== null && slot !== frameSlot && place >= 0 && isBehind(table!, place, tick, within, waitMs);
  }

  /** What was marked before a reload may be configured no longer. */
  function known(found: number): number {
    return classes[found] === null || classes[found] === undefined ? BASE : found;
  }

  function decide(ofClass: number, inSlot: number): boolean {
    if (!isPossible[ofClass]) return false;
    if (slots === null || !readSlot(slots, inSlot, ofClass, threshold)) {
      threshold.high = configured[ofClass]!.high;
      threshold.low = configured[ofClass]!.low;
    }
    return atLeast(random, threshold);
  }

  /** What the decision about its trace makes of an item; a late one only as far as there is room where it came, by the higher threshold of the two. */
  function decideItem(ofClass: number): boolean {
    if (!decide(ofClass, slot)) return false;
    if (!isLateItem) return true;
    ofTrace.high = threshold.high;
    ofTrace.low = threshold.low;
    if (!decide(ofClass, frameSlot)) return false;
    if (atLeast(threshold, ofTrace)) return true;
    threshold.high = ofTrace.high;
    threshold.low = ofTrace.low;
    return true;
  }

  const marked = markedOf(views);

  /** By what is configured: a budget only takes from that. */
  function mayKeep(ofClass: number): boolean {
    return isPossible[ofClass]! && atLeast(random, configured[ofClass]!);
  }

  const outlook: Outlook = {
    trace(idAt) {
      readRandomness(bytes, idAt, random);
      const now = known(marked.classOf(view.getInt32(idAt + 8, true), view.getInt32(idAt + 12, true)));
      return mayKeep(now) ? now : SAMPLED_OUT;
    },
    isOut(idAt) {
      lookUp(idAt - 8);
      readRandomness(bytes, idAt - 8, random);
      return !isLate(entry, BASE) && !decideItem(traceClass);
    },
    touch: (idAt) => (table === null ? 0 : touchTrace(table, view.getInt32(idAt, true), view.getInt32(idAt + 4, true))),
  };

  /**
   * A late item counts by its own class, also where its trace was kept: there it would count for those of dropped traces, which count for
   * themselves. Of the two thresholds the lower one holds, because it is kept by either.
   */
  function decideLate(own: number): number {
    const isKnown = decide(traceClass, slot);
    const isWhole = isKnown && decideItem(traceClass);
    ofTrace.high = threshold.high;
    ofTrace.low = threshold.low;
    if (decide(own, frameSlot) && (!isWhole || atLeast(ofTrace, threshold))) return isKnown ? own : PARTIAL + own;
    threshold.high = ofTrace.high;
    threshold.low = ofTrace.low;
    return isWhole ? traceClass : SAMPLED_OUT;
  }

  /** Whether the trace looked up last had been dropped when this came. */
  function wasDropped(): boolean {
    // No trace has an id of zeros: an empty place has.
    const place = table === null || (lastLow | lastHigh) === 0 ? -1 : placeOf(table, lastLow >>> 0, lastHigh >>> 0);
    return place >= 0 && isBehind(table!, place, tick, within, waitMs) && !decide(traceClass, slot);
  }

  /** What an item is by itself; read only when its trace had late marks. */
  function lateClass(at: number, end: number, envelope: Envelope): number {
    readSpan(reader, at, end, span);
    envelope.load();
    if (isLate(entry, SLOW)) {
      contracts.enterResource(envelope);
      contracts.mark(span, envelope);
    }
    itemClass.enterResource();
    const operation = itemClass.asksForOperations ? itemClass.operationOf(span, envelope) : 0;
    return itemClass.ofSpan(span, envelope, operation);
  }

  return {
    additions,
    threshold,
    ...((classes[BASE]?.share ?? 0) > MOST_OUTLOOK_SHARE ? {} : { outlook }),
    get randomness() {
      return isOwn ? random : null;
    },
    begin(withTraceState, receivedMs) {
      // What it counts is not asked for: only whether a span is slow.
      contracts.reset();
      itemClass.begin();
      hasTraceState = withTraceState;
      // As the table has it: what came long before the start is of its first slot. A small integer, or each new trace would box it.
      frameSlot = Math.max(0, Math.floor((receivedMs - startMs) / SLOT_MS)) | 0;
      if (handle !== null) {
        tick = ticksOf(handle, receivedMs) | 0;
        within = beyondTick(handle, receivedMs);
      }
      // The table may have changed since the last frame.
      lastLow = 0;
      lastHigh = 0;
      entry = 0;
      traceClass = BASE;
      slot = frameSlot;
      isLateItem = false;
    },
    span(at, end, envelope) {
      const traceIdAt = findTraceId(reader, at, end);
      if (traceIdAt < 0) return NO_OPINION;
      lookUp(traceIdAt);
      readRandomness(bytes, traceIdAt, random);
      if (hasTraceState) {
        readSpan(reader, at, end, span);
        readOtState(bytes, span.traceStateAt, span.traceStateTagAt < 0 ? span.traceStateAt : span.traceStateEnd, ot);
        if (ot.hasRandomness) {
          random.high = ot.randomness.high;
          random.low = ot.randomness.low;
        }
      }
      if (isLate(entry, BASE)) {
        const own = lateClass(at, end, envelope);
        if (own >= SLOW && own > traceClass && isLate(entry, own)) return decideLate(own);
      }
      return decideItem(traceClass) ? traceClass : SAMPLED_OUT;
    },
    log(at, end, envelope) {
      readLogRecord(reader, at, end, log);
      if (itemClass.hasLogRules) {
        envelope.load();
        itemClass.enterResource();
      }
      const own = itemClass.ofLog(log, envelope);
      isOwn = logRandomness(reader, log, random);
      if (log.traceIdAt < 0) return decide(own, frameSlot) ? own : SAMPLED_OUT;
      lookUp(log.traceIdAt);
      if (own > traceClass && wasDropped()) return decideItem(own) ? PARTIAL + own : SAMPLED_OUT;
      const found = Math.max(own, traceClass);
      return decideItem(found) ? found : SAMPLED_OUT;
    },
  };
}
