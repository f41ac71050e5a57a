// HOT: once per span, on main. Bench: bench/micro/processors/summarize/merge.bench.ts
/** `summarize` on main: merges what the workers measured into one histogram per group, and turns them into metrics every flush. */
import { AttributeTable, emptyValue, readAttributes, readValue } from '../../otlp/attributes.ts';
import { Reader } from '../../otlp/protobuf.ts';
import type { Observer, ObserverContext, OperationDurations } from '../processor.ts';
import { flushSummaries } from './flush.ts';
import { type Group, type Identity, OVERFLOW_NAME } from './group.ts';
import { GroupTable, halvesOf, keyOf } from './groupTable.ts';
import { ExponentialHistogram } from './histogram.ts';
import { BUCKET_BIAS, HEADER_BYTES, LOG_ROW, ROW_BYTES, Row, SCALE, WEIGHTED, ZERO_BUCKET } from './measure.ts';

const RESOURCE_ATTRIBUTES = 10;
/** Strings of groups that a flush has ended are kept for the next, up to so many for each group there may be. */
const IDENTITIES_PER_GROUP = 2;

interface Saved {
  startMs: number;
  /** Keys are the 53 bits of hash; -1 - status for what is beyond the bound. */
  groups: [key: number, group: Omit<Group, 'histogram'>, histogram: unknown[]][];
}

export function createObserver(everyMs: number, maxGroups: number, context: ObserverContext, saved: unknown): Observer {
  const { pool } = context;
  const restored = saved as Saved | null;
  let groups = new GroupTable();
  /** What is beyond `maxGroups`, by the status of its rows: that of spans, or LOG_ROW. */
  let overflow = new Map<number, Group>();
  for (const [key, group, histogram] of restored?.groups ?? []) {
    const whole = { ...group, histogram: ExponentialHistogram.restore(histogram) };
    if (key < 0) overflow.set(-1 - key, whole);
    else groups.add(...halvesOf(key), whole);
  }
  let startMs = restored?.startMs ?? 0;
  /** Histograms of the rows of the task being merged; used again. */
  const rowHistograms: ExponentialHistogram[] = [];
  const reader = new Reader(pool.bytes);
  const attributes = new AttributeTable();
  const value = emptyValue();
  const identities = new Map<number, Identity>();

  /** The group of the row at byte `at`; strings are made once per group and survive a flush. */
  function groupOf(at: number): Group {
    const words = pool.words;
    const word = at >>> 2;
    const hash = words[word]!;
    // 53 of 64 bits of hash: with 2,000 groups two meet once in 10^9 flushes.
    const rest = words[word + 1]! & 0x1f_ffff;
    const known = groups.find(hash, rest);
    if (known !== undefined) return known;
    if (groups.size >= maxGroups) return overflowOf(words[word + Row.status / 4] === LOG_ROW ? LOG_ROW : 0, at);
    const group = { ...identityOf(keyOf(hash, rest), word), histogram: new ExponentialHistogram(SCALE) };
    groups.add(hash, rest, group);
    return group;
  }

  function identityOf(key: number, word: number): Identity {
    const known = identities.get(key);
    if (known !== undefined) return known;
    if (identities.size >= maxGroups * IDENTITIES_PER_GROUP) identities.clear();
    const words = pool.words;
    const nameAt = words[word + Row.nameAt / 4]!;
    const identity = {
      resource: readResource(words[word + Row.resourceAt / 4]!, words[word + Row.resourceEnd / 4]!),
      name: pool.bytes.toString('utf8', nameAt, nameAt + words[word + Row.nameLength / 4]!),
      kind: words[word + Row.kind / 4]!,
      status: words[word + Row.status / 4]!,
    };
    identities.set(key, identity);
    return identity;
  }

  function overflowOf(status: number, at: number): Group {
    context.telemetry.summaryOverflow.inc(rowNumber(at, Row.count));
    const known = overflow.get(status);
    if (known !== undefined) return known;
    const group = { resource: {}, name: OVERFLOW_NAME, kind: 0, status, histogram: new ExponentialHistogram(SCALE) };
    overflow.set(status, group);
    return group;
  }

  function rowNumber(at: number, offset: number): number {
    return view.getFloat64(at + offset, true);
  }
  const view = new DataView(pool.handle.memory);

  /** From bytes, as they are: what a worker has let pass must not throw here, whatever else the resource holds. */
  function readResource(at: number, end: number): Record<string, string> {
    const identity: Record<string, string> = Object.create(null);
    attributes.count = 0;
    readAttributes(reader, at, end, RESOURCE_ATTRIBUTES, attributes);
    for (let i = 0; i < attributes.count; i++) {
      const keyAt = attributes.keyAt(i);
      const key = pool.bytes.toString('utf8', keyAt, keyAt + attributes.keyLength(i));
      readValue(reader, attributes.valueAt(i), attributes.valueEnd(i), value);
      if (key.startsWith('service.') && value.kind === 'string')
        identity[key] = pool.bytes.toString('utf8', value.at, value.end);
    }
    return identity;
  }

  return {
    merge(out, at, end, receivedMs) {
      if (end === at) return;
      if (startMs === 0) startMs = receivedMs;
      const rowCount = out.getUint32(at, true);
      const entryCount = out.getUint32(at + 4, true);
      const rowsAt = at + HEADER_BYTES;
      for (let row = 0; row < rowCount; row++) {
        const rowAt = rowsAt + row * ROW_BYTES;
        const { histogram } = groupOf(rowAt);
        rowHistograms[row] = histogram;
        histogram.count += rowNumber(rowAt, Row.count);
        histogram.sum += rowNumber(rowAt, Row.sum);
        histogram.min = Math.min(histogram.min, rowNumber(rowAt, Row.min));
        histogram.max = Math.max(histogram.max, rowNumber(rowAt, Row.max));
      }
      const words = pool.words;
      const first = (rowsAt + rowCount * ROW_BYTES) >>> 2;
      for (let i = first; i < first + entryCount; i++) {
        const entry = words[i]!;
        const histogram = rowHistograms[entry >>> 12]!;
        const bucket = entry & ZERO_BUCKET;
        const weight = (entry & WEIGHTED) === 0 ? 1 : words[++i]!;
        if (bucket === ZERO_BUCKET) histogram.zeroCount += weight;
        else histogram.add(bucket - BUCKET_BIAS, SCALE, weight);
      }
    },
    tick(nowMs, final) {
      // Aligned to the clock, so that agents' summaries line up.
      const due = Math.floor(nowMs / everyMs) > Math.floor(startMs / everyMs);
      if (startMs === 0 || !(due || final)) return [];
      const flushed = [...groups.entries().map(([, group]) => group), ...overflow.values()];
      const from = startMs;
      groups = new GroupTable();
      overflow = new Map();
      startMs = 0;
      context.operations.flushed = operationsOf(flushed);
      return flushSummaries(flushed, from, nowMs, context.agent);
    },
    save() {
      const all = [...groups.entries(), ...[...overflow].map(([status, group]) => [-1 - status, group] as const)];
      const plain: Saved['groups'] = all.map(([key, { histogram, ...group }]) => [key, group, histogram.save()]);
      return { startMs, groups: plain } satisfies Saved;
    },
  };
}

function operationsOf(groups: readonly Group[]): OperationDurations[] {
  const operations: OperationDurations[] = [];
  for (const { resource, name, kind, status, histogram } of groups) {
    if (status === LOG_ROW || name === OVERFLOW_NAME) continue;
    operations.push({ service: resource['service.name'] ?? '', name, kind, durations: histogram });
  }
  return operations;
}
