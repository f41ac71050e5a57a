// HOT: once per span, on main. Bench: bench/micro/processors/summarize/merge.bench.ts
/** `summarize` on main: merges what the workers measured into one histogram per group, and turns them into metrics every flush. */

import { cutLength } from '../../core/boundedText.ts';
import { AttributeTable, emptyValue, readValue } from '../../otlp/attributes.ts';
import { Reader } from '../../otlp/protobuf.ts';
import { readResource } from '../../otlp/resource.ts';
import { type Observer, type ObserverContext, type OperationDurations, SET_BACK_MS } from '../processor.ts';
import { Flush } from './flush.ts';
import { type Group, Identity } from './group.ts';
import { GroupTable, keyOf, OVERFLOW } from './groupTable.ts';
import { Histograms } from './histograms.ts';
import { HEADER_BYTES, LOG_ROW, MOST_ATTRIBUTES, ROW_BYTES, Row, WEIGHTED, ZERO_BUCKET } from './measure.ts';

/** Strings of groups that a flush has ended are kept for the next, up to so many for each group there may be. */
const IDENTITIES_PER_GROUP = 2;
/** Characters in all groups: with them, written up to twice in UTF-8, a summary still fits the usual segment. */
const MOST_TEXT_LENGTH = 8 << 20;

interface Saved {
  startMs: number;
  groups: Uint8Array;
  /** In the same order. */
  histograms: Uint8Array;
}

export function createObserver(everyMs: number, maxGroups: number, context: ObserverContext, saved: unknown): Observer {
  const { pool } = context;
  const restored = saved as Saved | null;
  let groups = restored === null ? new GroupTable() : GroupTable.restore(restored.groups);
  /** By the groups' numbers. */
  const histograms = new Histograms();
  if (restored !== null) histograms.restore(restored.histograms);
  let startMs = restored?.startMs ?? 0;
  /** A start goes over what came before `startMs` again, until it comes to what it has not merged. */
  let isPast = startMs > 0;
  let tickedMs = 0;
  /** Groups of the rows of the task being merged; used again. */
  const rowGroups: number[] = [];
  const numbers = new Float64Array(pool.handle.memory);
  const reader = new Reader(pool.bytes);
  const attributes = new AttributeTable();
  const value = emptyValue();
  const identities = new Map<number, Identity>();
  /** Items beyond `maxGroups` of the task being merged. */
  let overflowed = 0;

  /** The number of the group of the row at byte `at`; strings are made once per group and survive a flush. */
  function groupOf(at: number): number {
    const words = pool.words;
    const word = at >>> 2;
    const hash = words[word]!;
    // 53 of 64 bits of hash: with 2,000 groups two meet once in 10^9 flushes.
    const rest = words[word + 1]! & 0x1f_ffff;
    const known = groups.find(hash, rest);
    if (known >= 0) return known;
    if (groups.size >= maxGroups || groups.textLength >= MOST_TEXT_LENGTH)
      return overflowOf(words[word + Row.status / 4] === LOG_ROW ? LOG_ROW : 0, at);
    groups.add(hash, rest, identityOf(keyOf(hash, rest), word));
    return histograms.add();
  }

  function identityOf(key: number, word: number): Identity {
    const known = identities.get(key);
    if (known !== undefined) return known;
    if (identities.size >= maxGroups * IDENTITIES_PER_GROUP) identities.clear();
    const words = pool.words;
    const nameAt = words[word + Row.nameAt / 4]!;
    const identity = new Identity(
      resourceOf(words[word + Row.fromAt / 4]!, words[word + Row.fromEnd / 4]!),
      pool.bytes.toString('utf8', nameAt, nameAt + words[word + Row.nameLength / 4]!),
      words[word + Row.kind / 4]!,
      words[word + Row.status / 4]!,
    );
    identities.set(key, identity);
    return identity;
  }

  function overflowOf(status: number, at: number): number {
    overflowed += numbers[(at + Row.count) >>> 3]!;
    const known = groups.find(status, OVERFLOW);
    if (known >= 0) return known;
    groups.add(status, OVERFLOW, Identity.overflow(status));
    return histograms.add();
  }

  /** From bytes, as they are: what a worker has let pass must not throw here, whatever else the resource holds. */
  function resourceOf(at: number, end: number): Record<string, string> {
    const identity: Record<string, string> = Object.create(null);
    readResource(reader, at, end, attributes);
    let told = 0;
    for (let i = 0; i < attributes.count && told < MOST_ATTRIBUTES; i++) {
      const key = textOf(attributes.keyAt(i), attributes.keyLength(i));
      readValue(reader, attributes.valueAt(i), attributes.valueEnd(i), value);
      if (!key.startsWith('service.') || value.kind !== 'string') continue;
      told++;
      identity[key] = textOf(value.at, value.end - value.at);
    }
    return identity;
  }

  function textOf(at: number, length: number): string {
    return pool.bytes.toString('utf8', at, at + cutLength(pool.bytes, at, length));
  }

  return {
    merge(out, at, end, receivedMs) {
      if (end === at) return;
      if (startMs === 0) startMs = receivedMs;
      const rowCount = out.getUint32(at, true);
      const entryCount = out.getUint32(at + 4, true);
      const rowsAt = at + HEADER_BYTES;
      const words = pool.words;
      // What lies in memory is touched first, in loops that do nothing else: many fetches are then under way at once.
      let touched = 0;
      for (let row = 0; row < rowCount; row++) touched += groups.touch(words[(rowsAt + row * ROW_BYTES) >>> 2]!);
      for (let row = 0; row < rowCount; row++) rowGroups[row] = groupOf(rowsAt + row * ROW_BYTES);
      for (let row = 0; row < rowCount; row++) touched += histograms.touch(rowGroups[row]!);
      // Never so; a sum that nobody asks for would not be computed, and nothing fetched.
      if (touched < 0) return;
      for (let row = 0; row < rowCount; row++)
        histograms.addTotals(rowGroups[row]!, numbers, (rowsAt + row * ROW_BYTES + Row.count) >>> 3);
      const first = (rowsAt + rowCount * ROW_BYTES) >>> 2;
      for (let i = first; i < first + entryCount; i++) {
        const entry = words[i]!;
        const weight = (entry & WEIGHTED) === 0 ? 1 : words[++i]!;
        histograms.addBucket(rowGroups[entry >>> 12]!, entry & ZERO_BUCKET, weight);
      }
      if (overflowed === 0) return;
      context.telemetry.summaryOverflow.inc(overflowed);
      overflowed = 0;
    },
    tick(nowMs, final) {
      // Aligned to the clock, so that agents' summaries line up.
      const due = Math.floor(nowMs / everyMs) > Math.floor(startMs / everyMs);
      if (nowMs >= startMs) isPast = false;
      const newestMs = Math.max(startMs, tickedMs);
      const isSetBack = !isPast && nowMs < newestMs - SET_BACK_MS;
      const endMs = isSetBack ? newestMs : nowMs;
      tickedMs = nowMs;
      if (startMs === 0 || !(due || isSetBack || final)) return [];
      const flushed = groups.identities.map((identity, i) => ({ identity, histogram: histograms.read(i) }));
      const from = startMs;
      groups = new GroupTable();
      histograms.clear();
      startMs = 0;
      context.operations.flushed = operationsOf(flushed);
      return flushed.length === 0 ? [] : [new Flush(flushed, from, endMs, context.agent)];
    },
    save() {
      return { startMs, groups: groups.save(), histograms: histograms.save() } satisfies Saved;
    },
  };
}

function operationsOf(groups: readonly Group[]): OperationDurations[] {
  const operations: OperationDurations[] = [];
  for (const { identity, histogram } of groups) {
    const { resource, name, kind, status } = identity;
    if (status === LOG_ROW || identity.isOverflow) continue;
    operations.push({ service: resource['service.name'] ?? '', name, kind, durations: histogram });
  }
  return operations;
}
