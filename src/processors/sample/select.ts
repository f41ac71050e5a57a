// HOT: once per span. Bench: bench/micro/processors/sample/select.bench.ts
/**
 * `sample` after the journal: keeps whole local traces by the class they had `wait` after their first item, each class with its own
 * probability, by consistent probability sampling: keep iff R >= T.
 * https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
 */
import { ContractMeasure } from '../../contracts/measure.ts';
import { readLogRecord, SEVERITY_ERROR } from '../../otlp/logs.ts';
import { HASH_SEED, hashBytes, readFixed32 } from '../../otlp/protobuf.ts';
import type { Envelope } from '../../otlp/resource.ts';
import { findTraceId, readSpan, STATUS_ERROR } from '../../otlp/traces.ts';
import { atLeast, type Bits56, OtState, readOtState, readRandomness } from '../../otlp/tracestate.ts';
import { type Addition, NO_OPINION, SAMPLED_OUT, type Selector, type Views } from '../processor.ts';
import { ABSENT, BASE, CLASSES, ERROR, findTrace, isLate, SLOW } from './traceTable.ts';

/** Index of the addition for a late item of a dropped trace: those stand behind the classes' own. */
export const PARTIAL = CLASSES.length;

export function createSelector(additions: readonly Addition[], views: Views): Selector {
  const { reader, span, log } = views;
  const bytes = views.pool.bytes;
  const table = views.traces === null ? null : new Uint32Array(views.traces.memory);
  const contracts = new ContractMeasure(views.contracts, reader, span, log, views.point);
  const random: Bits56 = { high: 0, low: 0 };
  const ot = new OtState();
  let hasTraceState = false;
  // Signed, as the bit operations give them: a uint32 in a closure would be boxed for each new trace.
  let lastLow = 0;
  let lastHigh = 0;
  let lastEntry = ABSENT;

  /** Runs of one trace are looked up once. */
  function entryOf(traceIdAt: number): number {
    const low = readFixed32(bytes, traceIdAt + 8) | 0;
    const high = readFixed32(bytes, traceIdAt + 12) | 0;
    if (low === lastLow && high === lastHigh) return lastEntry;
    lastLow = low;
    lastHigh = high;
    lastEntry = table === null ? ABSENT : findTrace(table, low >>> 0, high >>> 0);
    return lastEntry;
  }

  /** What an item is by itself; read only when its trace was dropped and had late marks. */
  function lateClass(at: number, end: number, envelope: Envelope, entry: number): number {
    readSpan(reader, at, end, span);
    if (span.status === STATUS_ERROR) return ERROR;
    if (!isLate(entry, SLOW)) return BASE;
    envelope.load();
    contracts.enterResource(envelope);
    contracts.mark(span, envelope);
    return span.slow ? SLOW : BASE;
  }

  function kept(traceClass: number): boolean {
    return atLeast(random, additions[traceClass]!.threshold.bits);
  }

  return {
    additions,
    begin(withTraceState) {
      // What it counts is not asked for: only whether a span is slow.
      contracts.reset();
      hasTraceState = withTraceState;
      // The table may have changed since the last frame.
      lastLow = 0;
      lastHigh = 0;
      lastEntry = ABSENT;
    },
    span(at, end, envelope) {
      const traceIdAt = findTraceId(reader, at, end);
      if (traceIdAt < 0) return NO_OPINION;
      const entry = entryOf(traceIdAt);
      const traceClass = entry === ABSENT ? BASE : entry & 0xff;
      readRandomness(bytes, traceIdAt, random);
      if (hasTraceState) {
        readSpan(reader, at, end, span);
        readOtState(bytes, span.traceStateAt, span.traceStateTagAt < 0 ? span.traceStateAt : span.traceStateEnd, ot);
        if (ot.hasRandomness) {
          random.high = ot.randomness.high;
          random.low = ot.randomness.low;
        }
      }
      if (kept(traceClass)) return traceClass;
      if (entry === ABSENT || entry >>> 8 === 0) return SAMPLED_OUT;
      const own = lateClass(at, end, envelope, entry);
      return own > traceClass && kept(own) ? PARTIAL + own : SAMPLED_OUT;
    },
    log(at, end) {
      readLogRecord(reader, at, end, log);
      let traceClass: number = log.severity >= SEVERITY_ERROR ? ERROR : BASE;
      if (log.traceIdAt >= 0) {
        readRandomness(bytes, log.traceIdAt, random);
        const entry = entryOf(log.traceIdAt);
        if (entry !== ABSENT) traceClass = Math.max(traceClass, entry & 0xff);
      } else recordRandomness(at, end);
      return kept(traceClass) ? traceClass : SAMPLED_OUT;
    },
  };

  /** Unlinked records: R from time and body, so that a repeated record is decided alike. */
  function recordRandomness(at: number, end: number): void {
    const from = log.bodyAt < 0 ? at : log.bodyAt;
    const length = (log.bodyAt < 0 ? end : log.bodyEnd) - from;
    const first = mix(hashBytes(bytes, from, length, (HASH_SEED ^ log.timeLow) >>> 0) ^ log.timeHigh);
    random.high = first >>> 4;
    random.low = mix(first ^ log.timeLow) >>> 4;
  }
}

/** MurmurHash3's finaliser: FNV alone leaves the high bits uneven. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
