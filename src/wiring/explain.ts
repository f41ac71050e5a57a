/** Why a trace was kept or dropped: from the trace table, the slots, the contracts, and what both journals still hold of it. */
import { type BlockPool, Field, FRAME_HEADER_BYTES, payloadLength, readU64, SIGNALS, STREAMS } from '../core/block.ts';
import type { FrameRun } from '../core/component.ts';
import { requestType } from '../otlp/schema.ts';
import { atLeast, type Bits56, hexOf, readRandomness, thresholdOf, thresholdText } from '../otlp/tracestate.ts';
import type { TraceTableHandle } from '../processors/processor.ts';
import { BASE, classesOf } from '../processors/sample/classes.ts';
import { Limits, operationOf } from '../processors/sample/limits.ts';
import { readSlot } from '../processors/sample/slots.ts';
import { classOf, firstMs, isDecidedEarly, placeOf, slotOfTicks } from '../processors/sample/traceTable.ts';
import type { Explained, FoundItem } from '../status/explained.ts';
import { type Ground, sampleOf } from './ground.ts';
import type { Store } from './store.ts';
import { itemsOfTrace, KINDS } from './traceItems.ts';

/** So much of a journal is searched at most; a GB takes about a second. */
const MOST_SEARCHED_BYTES = 512 << 20;
const READ_BYTES = 1 << 20;
const MOST_ITEMS = 1000;

/** What is asked of other parts. */
interface ExplainSources {
  ground: Ground;
  store: Store;
  traces: TraceTableHandle | null;
  contractPlans(): Parameters<typeof classesOf>[1];
  contracts(): readonly { service: string; state: string; why: string }[];
}

interface Decision {
  kept: string;
  rule: string | null;
  threshold: Bits56;
  firstMs: number | null;
  isEarly: boolean;
}

/** `id`: 32 lowercase hex digits. */
export async function explainTrace(sources: ExplainSources, id: string): Promise<Explained> {
  const { store, ground, traces } = sources;
  const bytes = Buffer.from(id, 'hex');
  const random: Bits56 = { high: 0, low: 0 };
  readRandomness(bytes, 0, random);
  const decision = decisionOf(sources, bytes);
  const fromMs = decision?.firstMs ?? null;
  const since = fromMs === null ? null : store.memory.history.since(fromMs);
  const received = await search(ground.pool, store.intake, since?.intake ?? null, bytes);
  const kept = await search(ground.pool, store.derived, since?.derived ?? null, bytes);
  const explicit = received.items.find(({ randomness }) => randomness !== null)?.randomness ?? null;
  if (explicit !== null) {
    random.high = Number.parseInt(explicit.slice(0, 7), 16);
    random.low = Number.parseInt(explicit.slice(7), 16);
  }
  const firstReceived = received.items[0]?.received_at ?? null;
  const first = fromMs === null ? firstReceived : new Date(fromMs).toISOString();
  const lag = traces === null ? 0 : traces.waitMs + traces.lagMs;
  const dueAt = first === null ? null : new Date(Date.parse(first) + lag).toISOString();
  const isPast = dueAt !== null && Date.parse(dueAt) <= ground.now();
  const isDue = isPast || decision?.isEarly === true;
  const isKept = kept.items.length > 0 || (decision !== null && isDue && atLeast(random, decision.threshold));
  const known = kept.items[0];
  const found = decision !== null || received.items.length > 0 || kept.items.length > 0;
  const answer: Explained = {
    trace_id: id,
    decision: !found ? 'unknown' : isKept ? 'kept' : isDue ? 'dropped' : 'undecided',
    why: '',
    class: known?.kept ?? decision?.kept ?? null,
    rule: known?.rule ?? decision?.rule ?? null,
    threshold: decision === null ? null : thresholdText(decision.threshold),
    probability: decision === null ? null : probabilityOf(decision.threshold),
    randomness: hexOf(random),
    first_seen: first,
    // When the agent that decided it early stopped is not known.
    decided_at: isDue && !isPast ? null : dueAt,
    contracts: contractsOf(sources, received.items),
    journal: {
      intake: received.sequences,
      derived: kept.sequences,
      searched_all: received.isWhole && kept.isWhole,
    },
    received: received.items,
    kept: kept.items,
  };
  return {
    ...answer,
    why: sentence(answer, decision) + (answer.class === 'slow' ? slowness(sources, received.items) : ''),
  };
}

/** By what the table knows; a trace that it does not know is decided as base. Null without `sample`. */
function decisionOf({ ground, traces, contractPlans }: ExplainSources, id: Buffer): Decision | null {
  const sample = sampleOf(ground.config);
  if (sample === undefined || traces === null) return null;
  const classes = classesOf(sample, contractPlans());
  const words = new Uint32Array(traces.memory);
  const place = placeOf(words, id.readUInt32LE(8), id.readUInt32LE(12));
  if (place < 0) return null;
  const entry = words[place + 3] as number;
  const traceClass = classes[classOf(entry)] === null ? BASE : classOf(entry);
  const one = classes[traceClass];
  const threshold = thresholdOf(one?.share ?? 0).bits;
  if (traces.lagMs > 0) {
    const slot = slotOfTicks(words[place + 2] as number);
    readSlot(new Uint32Array(traces.slots), slot, traceClass, threshold);
  }
  return {
    kept: one?.kept ?? 'base',
    rule: one?.rule ?? null,
    threshold,
    firstMs: firstMs(traces, words, place),
    isEarly: isDecidedEarly(entry),
  };
}

function probabilityOf({ high, low }: Bits56): number {
  return 1 - (high * 2 ** 28 + low) / 2 ** 56;
}

function contractsOf({ contracts }: ExplainSources, items: readonly FoundItem[]) {
  const services = new Set(items.map(({ service }) => service));
  return contracts()
    .filter(({ service }) => services.has(service))
    .map(({ service, state, why }) => ({ service, state, why }));
}

function sentence(
  { decision, class: name, randomness, threshold, decided_at, kept }: Explained,
  from: Decision | null,
): string {
  const share =
    from === null ? '' : ` (${Number((probabilityOf(from.threshold) * 100).toPrecision(3))} % of its class)`;
  const against = threshold === null ? '' : `: R ${randomness} against the threshold ${threshold}${share}`;
  switch (decision) {
    case 'unknown':
      return 'no item of it is in the journal or the trace table: it was never here, or it is too long ago';
    case 'undecided':
      return `it is decided at ${decided_at}, by what is known of it by then`;
    case 'kept':
      return name === 'look_back'
        ? 'it had been dropped, and a look-back after a breach kept it'
        : `it is of class ${name}${against}${kept.some(({ partial }) => partial) ? '; items that came late are kept alone' : ''}`;
    case 'dropped':
      return `it is of class ${name ?? 'base'}${against}`;
    default:
      return decision satisfies never;
  }
}

/** Where the limit comes from that a span of a slow trace is over: what is learned of its operation now, else a contract. */
function slowness({ ground, traces }: ExplainSources, items: readonly FoundItem[]): string {
  const quantile = sampleOf(ground.config)?.slower_than ?? 'none';
  if (traces === null || quantile === 'none') return "; slower than a contract's slower_than";
  const limits = new Limits(traces.limits);
  for (const { service, name, kind, duration_ms } of items) {
    const limitMs = limits.of(operationOf(service, name, KINDS.indexOf(kind)));
    if (duration_ms !== null && duration_ms > limitMs)
      return `; ${name} of ${service} took ${duration_ms} ms, and ${quantile} of this operation is ${Number(limitMs.toPrecision(3))} ms`;
  }
  return "; slower than a contract's slower_than, or than what was learned of an operation by then";
}

interface Searched {
  readonly first: number;
  readonly head: number;
  bytesFrom(sequence: number): number;
  readAll(from: number, maxBytes: number): Promise<FrameRun | null>;
}

/** Frames that hold the id, and the trace's items in them. `from`: null searches what was appended last. */
async function search(pool: BlockPool, journal: Searched, from: number | null, id: Buffer) {
  const start = Math.max(journal.first, from ?? journal.first);
  let next = recent(journal, start);
  const isWhole = next === start;
  const sequences: number[] = [];
  const items: FoundItem[] = [];
  for (;;) {
    const run = await journal.readAll(next, READ_BYTES);
    if (run === null || items.length >= MOST_ITEMS) {
      run?.release();
      return { sequences, items, isWhole };
    }
    try {
      for (const at of run.frames) {
        const payload = payloadOf(pool, at, id);
        if (payload === null) continue;
        const sequence = readU64(pool, at + Field.sequence);
        const receivedMs = readU64(pool, at + Field.receivedMs);
        const signal = SIGNALS[pool.bytes[at + Field.signal] as number] ?? 'traces';
        const found = itemsOfTrace(signal, requestType(signal).decode(payload), id, sequence, receivedMs);
        if (found.length > 0) sequences.push(sequence);
        items.push(...found);
      }
      next = run.next;
    } finally {
      run.release();
    }
  }
}

/** The payload of a frame of spans or log records that has these bytes somewhere; copied, since the decoder keeps views. */
function payloadOf(pool: BlockPool, at: number, id: Buffer): Buffer | null {
  const stream = STREAMS[pool.bytes[at + Field.stream] as number];
  if ((stream !== 'raw' && stream !== 'sampled') || pool.bytes[at + Field.signal] === SIGNALS.indexOf('metrics'))
    return null;
  const from = at + FRAME_HEADER_BYTES;
  const payload = pool.bytes.subarray(from, from + payloadLength(pool, at));
  return payload.indexOf(id) < 0 ? null : Buffer.from(payload);
}

/** Where to begin so that no more than the bound is read. */
function recent(journal: Searched, start: number): number {
  let low = start;
  let high = journal.head;
  if (journal.bytesFrom(low) <= MOST_SEARCHED_BYTES) return low;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (journal.bytesFrom(middle) <= MOST_SEARCHED_BYTES) high = middle;
    else low = middle + 1;
  }
  return low;
}
