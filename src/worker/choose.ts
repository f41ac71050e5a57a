// HOT: once per item. Bench: bench/micro/worker/choose.bench.ts
/** Asks the selectors about each item and adds to what is kept: the threshold in the tracestate, the reason as attributes. */
import { readLogRecord } from '../otlp/logs.ts';
import { copyRange, type Reader, varintBytes, writeVarint } from '../otlp/protobuf.ts';
import { type Chooser, DROP } from '../otlp/reslice.ts';
import type { Envelope } from '../otlp/resource.ts';
import { readSpan } from '../otlp/traces.ts';
import { atLeast, type Bits56, fitsOt, OtState, readOtState, readRandomness } from '../otlp/tracestate.ts';
import { FILTERED, NO_OPINION, type Selector, type Views } from '../processors/processor.ts';
import { LogTail } from './logTail.ts';
import { Marks } from './marks.ts';
import { SPAN_ATTRIBUTES, SPAN_TRACE_STATE, type Tail, Tails } from './tails.ts';

/** Longer tracestates stay as they are: W3C has at most 32 members, each of a key, "=" and a value of 256 bytes at most, and a comma. */
const MOST_STATE_BYTES = 32 * 514;

/** Threshold and randomness of a log record, with tags, lengths and the growth of lengths around them. */
const MOST_THRESHOLD_BYTES = 104;

interface Decided {
  begin(): void;
  has(envelope: Envelope): boolean;
}

/** Chooses among one frame's items; counts what it drops. */
export class ItemChooser implements Chooser {
  filtered = 0;
  sampledOut = 0;
  /** Bytes that a kept item can grow by at most. */
  readonly mostGain: number;
  readonly #views: Views;
  readonly #selectors: readonly Selector[];
  readonly #tails: Tails;
  readonly #logTail: LogTail;
  #isLogs = false;
  #hasTraceState = false;
  #decided: Decided | null = null;
  /** Tail of each kept item, in order; a count of its own, because setting the length would drop the array's memory. */
  readonly #chosen: (Tail | null)[] = [];
  /** Of each kept log record whose randomness was made from it: high and low half, else -1. */
  readonly #randomness: number[] = [];
  #chosenCount = 0;
  readonly #ot = new OtState();
  readonly #random: Bits56 = { high: 0, low: 0 };
  readonly #state = Buffer.alloc(MOST_STATE_BYTES + MOST_THRESHOLD_BYTES);
  readonly #marks = new Marks();

  constructor(views: Views, selectors: readonly Selector[]) {
    this.#views = views;
    this.#selectors = selectors;
    this.#tails = new Tails(selectors);
    this.#logTail = new LogTail(views.log, views.pool.bytes);
    this.mostGain = MOST_THRESHOLD_BYTES + mostReasonBytes(selectors);
  }

  /** `decided`: services of which a look-back has decided this frame already. */
  begin(isLogs: boolean, hasTraceState: boolean, receivedMs: number, decided: Decided | null = null): void {
    this.#decided = decided;
    decided?.begin();
    this.#isLogs = isLogs;
    this.#hasTraceState = hasTraceState;
    this.#chosenCount = 0;
    for (const selector of this.#selectors) selector.begin(hasTraceState, receivedMs);
  }

  choose(reader: Reader, at: number, end: number, envelope: Envelope): number {
    let isAsked = false;
    for (let s = 0; s < this.#selectors.length; s++) {
      const selector = this.#selectors[s]!;
      const verdict = this.#isLogs ? selector.log(at, end, envelope) : selector.span(at, end, envelope);
      if (verdict === NO_OPINION) continue;
      if (verdict === FILTERED) {
        this.filtered++;
        return DROP;
      }
      isAsked = true;
      if (verdict < 0 || this.#decided?.has(envelope) === true) break;
      return this.keep(this.#tails.of(s, verdict, selector.threshold), selector.randomness, reader, at, end);
    }
    if (!isAsked) {
      this.#chosen[this.#chosenCount++] = null;
      return 0;
    }
    this.sampledOut++;
    return DROP;
  }

  /** Notes what the item between `at` and `end` gets; returns what it grows by. A log record has been read by then. */
  keep(tail: Tail, randomness: Bits56 | null, reader: Reader, at: number, end: number): number {
    return this.#isLogs ? this.#keepLog(tail, randomness) : this.#keepSpan(tail, reader, at, end);
  }

  #keepLog(tail: Tail, randomness: Bits56 | null): number {
    const index = this.#chosenCount++;
    this.#chosen[index] = tail;
    this.#randomness[index * 2] = randomness === null ? -1 : randomness.high;
    this.#randomness[index * 2 + 1] = randomness === null ? -1 : randomness.low;
    return this.#logTail.growth(tail, randomness);
  }

  #keepSpan(tail: Tail, reader: Reader, at: number, end: number): number {
    this.#chosen[this.#chosenCount++] = tail;
    if (!this.#hasTraceState) return tail.span.length;
    const length = this.#newState(tail, reader, at, end);
    const { span } = this.#views;
    const marks = this.#marks;
    marks.read(reader, at, end, SPAN_ATTRIBUTES, span.attributes);
    const growth = (marks.isLookBack ? 0 : tail.attributes.length) - marks.bytes;
    if (length < 0) return growth;
    const old = span.traceStateTagAt < 0 ? 0 : span.traceStateEnd - span.traceStateTagAt;
    return growth - old + (length === 0 ? 0 : 1 + varintBytes(length) + length);
  }

  /**
   * Writes the item's new tracestate to #state and returns its length; -1 when the old one stays: at 100 % nothing is written, th never
   * falls, `ot` stays short. A threshold that the item's randomness does not reach is a fault of somebody before, and is erased.
   */
  #newState(tail: Tail, reader: Reader, at: number, end: number): number {
    const { span, pool } = this.#views;
    const { text, bits } = tail;
    readSpan(reader, at, end, span);
    const from = span.traceStateAt;
    const to = span.traceStateTagAt < 0 ? from : span.traceStateEnd;
    const ot = this.#ot;
    readOtState(reader.bytes, from, to, ot);
    const isFalse = ot.thresholdAt >= 0 && ot.hasThreshold && !this.#reaches();
    if (to - from > MOST_STATE_BYTES) return -1;
    if (text === '0') return isFalse ? this.#erase(from, to) : -1;
    if ((ot.hasThreshold && !isFalse && atLeast(ot.threshold, bits)) || !fitsOt(ot, text.length)) return -1;
    const source = pool.bytes;
    const state = this.#state;
    if (ot.memberAt < 0) {
      let length = state.write(`ot=th:${text}`, 0, 'latin1');
      if (to > from) length += state.write(',', length, 'latin1');
      return length + source.copy(state, length, from, to);
    }
    const replaced = ot.thresholdAt < 0 ? ot.memberAt + 3 : ot.thresholdAt;
    const after = ot.thresholdAt < 0 ? replaced : ot.thresholdEnd;
    let length = source.copy(state, 0, from, replaced);
    length += state.write(`th:${text}`, length, 'latin1');
    if (ot.thresholdAt < 0 && ot.memberEnd > replaced) length += state.write(';', length, 'latin1');
    return length + source.copy(state, length, after, to);
  }

  /** Whether the randomness of the span read last is at least its own threshold. */
  #reaches(): boolean {
    const ot = this.#ot;
    if (ot.hasRandomness) return atLeast(ot.randomness, ot.threshold);
    readRandomness(this.#views.pool.bytes, this.#views.span.traceIdAt, this.#random);
    return atLeast(this.#random, ot.threshold);
  }

  /** The tracestate without `th`; without `ot` when nothing else was in it. */
  #erase(from: number, to: number): number {
    const ot = this.#ot;
    const source = this.#views.pool.bytes;
    const isAll = ot.thresholdAt === ot.memberAt + 3 && ot.thresholdEnd === ot.memberEnd;
    let start = isAll ? ot.memberAt : ot.thresholdAt;
    let stop = isAll ? ot.memberEnd : ot.thresholdEnd;
    // The separator goes along: the one behind, or, for what stands last, the one before.
    if (stop < (isAll ? to : ot.memberEnd)) stop++;
    else if (start > (isAll ? from : ot.memberAt + 3)) start--;
    const length = source.copy(this.#state, 0, from, start);
    return length + source.copy(this.#state, length, stop, to);
  }

  copy(bytes: Buffer, at: number, end: number, index: number, to: number): number {
    const tail = this.#chosen[index]!;
    if (tail === null) return copyRange(bytes, at, end, to);
    if (this.#isLogs) return this.#copyLog(bytes, tail, at, end, index, to);
    if (!this.#hasTraceState) return append(bytes, tail.span, copyRange(bytes, at, end, to));
    const { span, reader } = this.#views;
    const pos = reader.pos;
    const length = this.#newState(tail, reader, at, end);
    const marks = this.#marks;
    marks.read(reader, at, end, SPAN_ATTRIBUTES, span.attributes);
    reader.pos = pos;
    const isReplaced = length >= 0 && span.traceStateTagAt >= 0;
    const [from, stop] = isReplaced ? [span.traceStateTagAt, span.traceStateEnd] : [-1, -1];
    let out = marks.copy(bytes, at, end, from, stop, to);
    if (length > 0) {
      bytes[out] = SPAN_TRACE_STATE;
      out = writeVarint(bytes, out + 1, length);
      out = append(bytes, this.#state.subarray(0, length), out);
    }
    return marks.isLookBack ? out : append(bytes, tail.attributes, out);
  }

  #copyLog(bytes: Buffer, tail: Tail, at: number, end: number, index: number, to: number): number {
    const { log, reader } = this.#views;
    const pos = reader.pos;
    readLogRecord(reader, at, end, log);
    reader.pos = pos;
    this.#random.high = this.#randomness[index * 2]!;
    this.#random.low = this.#randomness[index * 2 + 1]!;
    return this.#logTail.write(bytes, tail, this.#random.high < 0 ? null : this.#random, to);
  }
}

function append(bytes: Buffer, tail: Uint8Array, to: number): number {
  for (let i = 0; i < tail.length; i++) bytes[to + i] = tail[i]!;
  return to + tail.length;
}

function mostReasonBytes(selectors: readonly Selector[]): number {
  const sizes = selectors.flatMap(({ additions }) =>
    additions.map(({ attributes }) => attributes.reduce((bytes, one) => bytes + one.length + 4, 0)),
  );
  return Math.max(0, ...sizes);
}
