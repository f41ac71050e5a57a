// HOT: once per span. Bench: bench/micro/processors/sample/mark.bench.ts
/**
 * `sample` before the journal: one row for each run of spans of one trace and service, with the worst class among them. With a budget also
 * what was in the task: bytes, log records and envelopes.
 *
 *   | envelopes | their bytes | runs | words of sources | row | row | ... | source | source | ...
 *   row:     | id low | id high | class, 0x100 for a log record | its source | bytes | operation that main was not told of in this second, or 0 |
 *   source:  | hash of the service's name | contracts of the resource | their scopes ... |      named by its first word's index
 */

import { ServiceTable, scopeOf } from '../../contracts/service.ts';
import type { LogView } from '../../otlp/logs.ts';
import { Reader } from '../../otlp/protobuf.ts';
import type { Envelope } from '../../otlp/resource.ts';
import type { Measurer, Views } from '../processor.ts';
import { BASE, ERROR } from './classes.ts';
import type { SampleConfig } from './config.ts';
import { ItemClass } from './itemClass.ts';
import { markedOf } from './marked.ts';
import { Sighted } from './sighted.ts';

const STEP = 6;
export const MARK_ROW_BYTES = STEP * 4;
export const MARK_HEADER_BYTES = 16;
export const LOG_ROW = 0x100;

/** Tag and length of an item, and what being kept adds to it: reason and threshold. */
const GROWTH_BYTES = 46;
/** Tags and lengths of a resource and a scope, and the scope itself: about what SDKs write. */
const ENVELOPE_BYTES = 48;

export function createMarker(given: SampleConfig, views: Views): Measurer {
  const { bytes, view } = views.reader;
  const itemClass = new ItemClass(given, views);
  const hasBudget = given.budget !== 'none';
  const wantsRare = given.keep.rare !== '0%';
  const wantsOperation = wantsRare || itemClass.asksForOperations;
  const sighted = new Sighted();
  const marked = markedOf(views);
  const services = new ServiceTable<number>(new Reader(bytes));
  const scopes = new Map(views.contracts.map((plan) => [scopeOf(plan), plan]));
  for (const [scope, plan] of scopes) services.add(plan, scope);
  /** Scopes of the resource's contracts. */
  const active: number[] = [];
  let sources = new Int32Array(64);
  let sourceWords = 0;
  let source = 0;
  // Signed, as all that is compared with it: a uint32 that crosses a call would be boxed for each span.
  let rows = new Int32Array(STEP * 1024);
  let count = 0;
  let envelopes = 0;
  let envelopeBytes = 0;
  let runs = 0;
  /** Of the last row's run something may be kept. */
  let isRunCounted = false;
  /** A resource has begun, of which no item was seen yet (those of metrics are not counted), and none that counts. */
  let isNew = false;
  let isUncounted = false;
  /** What they drop takes nothing of a budget. */
  const droppers = hasBudget ? views.droppers : [];

  function enter(envelope: Envelope): void {
    isNew = false;
    enterSource(envelope);
  }

  /** An item that may be kept. */
  function countEnvelope(envelope: Envelope): void {
    isUncounted = false;
    envelopes++;
    envelopeBytes += envelope.resourceEnd - envelope.resourceAt + ENVELOPE_BYTES;
  }

  function isSpanDropped(envelope: Envelope): boolean {
    for (let i = 0; i < droppers.length; i++) if (droppers[i]!.span(envelope)) return true;
    return false;
  }

  function isLogDropped(envelope: Envelope): boolean {
    for (let i = 0; i < droppers.length; i++) if (droppers[i]!.log(envelope)) return true;
    return false;
  }

  /** Notes where the resource's items come from, unless it is where the last ones came from. */
  function enterSource(envelope: Envelope): void {
    const count = services.find(envelope, active);
    const service = envelope.serviceHash | 0;
    if (sourceWords > 0 && sources[source] === service && sources[source + 1] === count) {
      let same = 0;
      while (same < count && sources[source + 2 + same] === active[same]) same++;
      if (same === count) return;
    }
    if (sourceWords + 2 + count > sources.length) {
      const grown = new Int32Array(sources.length * 2 + count);
      grown.set(sources);
      sources = grown;
    }
    source = sourceWords;
    sources[source] = service;
    sources[source + 1] = count;
    for (let i = 0; i < count; i++) sources[source + 2 + i] = active[i]!;
    sourceWords += 2 + count;
  }

  function add(low: number, high: number, kind: number, from: number, size: number, operation: number): void {
    const at = count * STEP;
    if (at + STEP > rows.length) {
      const grown = new Int32Array(rows.length * 2);
      grown.set(rows);
      rows = grown;
    }
    rows[at] = low;
    rows[at + 1] = high;
    rows[at + 2] = kind;
    rows[at + 3] = from;
    rows[at + 4] = size;
    rows[at + 5] = operation;
    count++;
  }

  return {
    reset(receivedMs) {
      count = 0;
      envelopes = 0;
      envelopeBytes = 0;
      runs = 0;
      sourceWords = 0;
      source = 0;
      sighted.begin(receivedMs);
      marked.clear();
      itemClass.begin();
    },
    enterResource() {
      itemClass.enterResource();
      isNew = true;
      isUncounted = true;
    },
    span(span, envelope) {
      if (span.traceIdAt < 0) return;
      if (isNew) enter(envelope);
      const low = view.getInt32(span.traceIdAt + 8, true);
      const high = view.getInt32(span.traceIdAt + 12, true);
      const hash = wantsOperation ? itemClass.operationOf(span, envelope) : 0;
      const traceClass = itemClass.ofSpan(span, envelope, hash);
      if (traceClass !== BASE) marked.add(low, high, traceClass);
      const isDropped = droppers.length > 0 && isSpanDropped(envelope);
      if (isUncounted && !isDropped) countEnvelope(envelope);
      const size = isDropped ? 0 : span.end - span.at + GROWTH_BYTES;
      const operation = wantsRare && sighted.isNew(hash) ? hash : 0;
      const last = (count - 1) * STEP;
      if (count > 0 && rows[last] === low && rows[last + 1] === high && rows[last + 3] === source) {
        if (traceClass > rows[last + 2]!) rows[last + 2] = traceClass;
        rows[last + 4] = rows[last + 4]! + size;
        if (!isRunCounted && !isDropped) {
          runs++;
          isRunCounted = true;
        }
        if (operation === 0 || rows[last + 5] === 0) {
          rows[last + 5] = rows[last + 5]! | operation;
          return;
        }
        add(low, high, traceClass, source, 0, operation);
        return;
      }
      isRunCounted = !isDropped;
      if (isRunCounted) runs++;
      add(low, high, traceClass, source, size, operation);
    },
    ...(hasBudget
      ? {
          log(log: LogView, envelope: Envelope) {
            if (droppers.length > 0 && isLogDropped(envelope)) return;
            if (isNew) enter(envelope);
            if (isUncounted) countEnvelope(envelope);
            const traceClass = itemClass.ofLog(log, envelope);
            const low = log.traceIdAt < 0 ? 0 : view.getInt32(log.traceIdAt + 8, true);
            const high = log.traceIdAt < 0 ? 0 : view.getInt32(log.traceIdAt + 12, true);
            const size = log.end - log.at + GROWTH_BYTES;
            const last = (count - 1) * STEP;
            const isAlone = traceClass === BASE || traceClass === ERROR;
            runs++;
            if (
              isAlone &&
              count > 0 &&
              rows[last] === low &&
              rows[last + 1] === high &&
              rows[last + 2] === (LOG_ROW | traceClass)
            )
              rows[last + 4] = rows[last + 4]! + size;
            else add(low, high, LOG_ROW | traceClass, source, size, 0);
          },
        }
      : {}),
    size: () => (count === 0 ? 0 : MARK_HEADER_BYTES + count * MARK_ROW_BYTES + sourceWords * 4),
    write(out, at) {
      sighted.handedOver();
      if (count === 0) return at;
      const header = new Int32Array(out.buffer, out.byteOffset + at, 4);
      header[0] = envelopes;
      header[1] = envelopeBytes;
      header[2] = runs;
      header[3] = sourceWords;
      new Int32Array(out.buffer, out.byteOffset + at + MARK_HEADER_BYTES, count * STEP).set(
        rows.subarray(0, count * STEP),
      );
      const sourcesAt = at + MARK_HEADER_BYTES + count * MARK_ROW_BYTES;
      new Int32Array(out.buffer, out.byteOffset + sourcesAt, sourceWords).set(sources.subarray(0, sourceWords));
      return sourcesAt + sourceWords * 4;
    },
  } satisfies Measurer;
}
