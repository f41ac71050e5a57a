// HOT: once per item of a look-back. Bench: bench/micro/worker/seen.bench.ts
/**
 * A look-back's tasks in a worker: notes what the derived journal has, weighs what a service sent, and cuts out of the intake journal what of it
 * was dropped.
 *
 * What the selection has decided already is added with the reason `look_back` and counts 0, since the base share of that time stands for it. What
 * it has not is decided now and for good: the base share with its threshold, all else as `look_back`.
 */
import { Field, FRAME_HEADER_BYTES, payloadLength, readU64, SIGNALS } from '../core/block.ts';
import { encodePlain } from '../otlp/json.ts';
import { readLogRecord } from '../otlp/logs.ts';
import type { Reader } from '../otlp/protobuf.ts';
import { logRandomness } from '../otlp/randomness.ts';
import { type Chooser, DROP } from '../otlp/reslice.ts';
import { type Envelope, walkItems } from '../otlp/resource.ts';
import { readSpan } from '../otlp/traces.ts';
import { atLeast, type Bits56, OtState, readOtState, readRandomness } from '../otlp/tracestate.ts';
import { FILTERED, NO_OPINION } from '../processors/processor.ts';
import { ItemChooser } from './choose.ts';
import type { Parts } from './parts.ts';
import { Seen } from './seen.ts';
import { ServiceItems } from './serviceItems.ts';
import { type Tail, tailOf } from './tails.ts';
import type { NoteTask, RecallTask, Selected, SelectResult } from './tasks.ts';

const METRICS = SIGNALS.indexOf('metrics');
const LOGS = SIGNALS.indexOf('logs');
const CERTAIN: Bits56 = { high: 0, low: 0 };
/** What being kept adds to an item, about. */
const GROWTH_BYTES = 46;

function reason(kept: string, bits: Bits56): Tail {
  return tailOf(
    { attributes: [encodePlain('KeyValue', { key: 'plumbline.kept', value: { stringValue: kept } })] },
    bits,
  );
}

/** Remembers all items of frames of the stream `sampled`. */
export function note(parts: Parts, task: NoteTask): SelectResult {
  const { pool, reader, envelope, span, log } = parts.views;
  const seen = new Seen(task.seen, pool.bytes);
  for (const at of task.frames) {
    const signal = pool.bytes[at + Field.signal]!;
    if (signal === METRICS) continue;
    const from = at + FRAME_HEADER_BYTES;
    walkItems(reader, from, from + payloadLength(pool, at), envelope, {
      enterResource() {},
      item(inner, start, end) {
        if (signal === LOGS) {
          readLogRecord(inner, start, end, log);
          seen.addLog(log);
        } else {
          readSpan(inner, start, end, span);
          if (span.traceIdAt >= 0 && span.spanIdAt >= 0) seen.addSpan(span);
        }
      },
    });
  }
  return { block: -1, selected: [], filtered: [0, 0, 0], sampledOut: [0, 0, 0] };
}

/** `sampledOut`: what is cut out, negative, because it was counted before or will be; with `weighs` the bytes, of which nothing is cut out. */
export function recall(parts: Parts, task: RecallTask): SelectResult {
  const { pool, reader, envelope } = parts.views;
  const chooser = new RecallChooser(parts, task);
  const none = { filtered: [0, 0, 0], sampledOut: [0, 0, 0] };
  let bound = 8;
  for (const at of task.frames)
    bound += payloadLength(pool, at) + pool.words[(at + Field.items) >>> 2]! * chooser.mostGain;
  let to = task.weighs ? 0 : parts.output.allocate(bound);
  const selected: Selected[] = [];
  const sampledOut = [0, 0, 0];
  for (const [signal, name] of SIGNALS.entries()) {
    if (signal === METRICS) continue;
    const result: Selected = { signal: name, at: to, length: 0, items: 0 };
    for (const at of task.frames) {
      if (pool.bytes[at + Field.signal] !== signal) continue;
      const receivedMs = readU64(pool, at + Field.receivedMs);
      const from = at + FRAME_HEADER_BYTES;
      const end = from + payloadLength(pool, at);
      chooser.begin(signal === LOGS, readU64(pool, at + Field.sequence) >= task.undecidedFrom, receivedMs);
      if (parts.reslicer.plan(reader, from, end, envelope, chooser) === 0 || task.weighs) continue;
      result.items += parts.reslicer.kept;
      to = parts.reslicer.write(pool.bytes, to, chooser);
    }
    result.length = to - result.at;
    sampledOut[signal] = -result.items;
    if (result.length > 0) selected.push(result);
  }
  if (task.weighs) return { block: -1, selected: [], ...none, sampledOut: [chooser.weight, 0, 0] };
  return { block: parts.output.take().blocks[0]!, selected, ...none, sampledOut };
}

class RecallChooser implements Chooser {
  weight = 0;
  readonly mostGain: number;
  readonly #parts: Parts;
  readonly #task: RecallTask;
  readonly #of: ServiceItems;
  readonly #seen: Seen | null;
  readonly #lookBack = reason('look_back', CERTAIN);
  readonly #base: Tail;
  readonly #inner: ItemChooser;
  readonly #ot = new OtState();
  readonly #random: Bits56 = { high: 0, low: 0 };
  #isLogs = false;
  #isUndecided = false;

  constructor(parts: Parts, task: RecallTask) {
    const { pool } = parts.views;
    this.#parts = parts;
    this.#task = task;
    this.#of = new ServiceItems([task.whose], pool.bytes);
    this.#seen = task.seen === null ? null : new Seen(task.seen, pool.bytes);
    this.#base = reason('base', task.base);
    this.#inner = new ItemChooser(parts.views, []);
    this.mostGain = this.#inner.mostGain + 64;
  }

  begin(isLogs: boolean, isUndecided: boolean, receivedMs: number): void {
    this.#isLogs = isLogs;
    this.#isUndecided = isUndecided;
    this.#of.begin();
    // Every span may have a tracestate: this is no path that has to be fast.
    this.#inner.begin(isLogs, true, receivedMs);
    for (const selector of this.#parts.selectors) selector.begin(true, receivedMs);
  }

  choose(reader: Reader, at: number, end: number, envelope: Envelope): number {
    const { span, log } = this.#parts.views;
    if (!this.#of.has(envelope)) return DROP;
    const verdict = this.#ask(at, end, envelope);
    if (verdict === FILTERED) return DROP;
    if (this.#task.weighs) {
      this.weight += end - at + GROWTH_BYTES;
      return DROP;
    }
    if (this.#isLogs) {
      readLogRecord(reader, at, end, log);
      if (this.#seen?.hasLog(log) === true) return DROP;
      logRandomness(reader, log, this.#random);
    } else {
      readSpan(reader, at, end, span);
      if (span.traceIdAt < 0 || span.spanIdAt < 0 || this.#seen?.hasSpan(span) === true) return DROP;
      this.#readSpanRandomness();
    }
    const isBase = this.#isUndecided && atLeast(this.#random, this.#task.base);
    if (isBase)
      return this.#inner.keep(this.#base, this.#isLogs && log.traceIdAt < 0 ? this.#random : null, reader, at, end);
    const isTelling = this.#isUndecided && verdict > 0;
    if (!isTelling && !atLeast(this.#random, this.#task.threshold)) return DROP;
    return this.#inner.keep(this.#lookBack, null, reader, at, end);
  }

  /** What the configured selectors say of it now: whether it is filtered, and its trace's class. */
  #ask(at: number, end: number, envelope: Envelope): number {
    for (const selector of this.#parts.selectors) {
      const verdict = this.#isLogs ? selector.log(at, end, envelope) : selector.span(at, end, envelope);
      if (verdict !== NO_OPINION) return verdict;
    }
    return NO_OPINION;
  }

  #readSpanRandomness(): void {
    const { span, pool } = this.#parts.views;
    readRandomness(pool.bytes, span.traceIdAt, this.#random);
    if (span.traceStateTagAt < 0) return;
    readOtState(pool.bytes, span.traceStateAt, span.traceStateEnd, this.#ot);
    if (!this.#ot.hasRandomness) return;
    this.#random.high = this.#ot.randomness.high;
    this.#random.low = this.#ot.randomness.low;
  }

  copy(bytes: Buffer, at: number, end: number, index: number, to: number): number {
    return this.#inner.copy(bytes, at, end, index, to);
  }
}
