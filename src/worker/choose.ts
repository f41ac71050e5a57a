// HOT: once per span and log record. Bench: bench/micro/worker/choose.bench.ts
/** Asks the selectors about an item and writes what the kept ones get: the threshold in the tracestate, the reason as attributes. */
import { copyRange, type Reader, varintBytes, writeVarint } from '../otlp/protobuf.ts';
import { type Chooser, DROP } from '../otlp/reslice.ts';
import type { Envelope } from '../otlp/resource.ts';
import { readSpan } from '../otlp/traces.ts';
import { atLeast, fitsOt, OtState, readOtState } from '../otlp/tracestate.ts';
import { type Addition, FILTERED, NO_OPINION, type Selector, type Views } from '../processors/processor.ts';

const SPAN_TRACE_STATE = 26;
const SPAN_ATTRIBUTES = 74;
const LOG_ATTRIBUTES = 50;

/** An addition as the bytes it appends: to a span without a tracestate, to one that has one, to a log record. */
interface Tail {
  addition: Addition;
  span: Buffer;
  attributes: Buffer;
  log: Buffer;
}

function field(tag: number, content: Buffer): Buffer {
  const head = Buffer.alloc(6);
  head[0] = tag;
  return Buffer.concat([head.subarray(0, writeVarint(head, 1, content.length)), content]);
}

function keyValue(key: string, text: string): Buffer {
  return Buffer.concat([field(10, Buffer.from(key)), field(18, field(10, Buffer.from(text)))]);
}

function tailOf(addition: Addition): Tail {
  const { text } = addition.threshold;
  const attributes = Buffer.concat(addition.attributes.map((content) => field(SPAN_ATTRIBUTES, content)));
  // At 100 % nothing is added to the tracestate, as the specification says.
  const state = text === '0' ? Buffer.alloc(0) : field(SPAN_TRACE_STATE, Buffer.from(`ot=th:${text}`));
  const sampling = text === '0' ? [] : [keyValue('sampling.threshold', text)];
  const log = Buffer.concat([...addition.attributes, ...sampling].map((content) => field(LOG_ATTRIBUTES, content)));
  return { addition, span: Buffer.concat([state, attributes]), attributes, log };
}

/** Chooses among one frame's items; counts what it drops. */
export class ItemChooser implements Chooser {
  filtered = 0;
  sampledOut = 0;
  readonly #views: Views;
  readonly #selectors: readonly Selector[];
  readonly #tails: Tail[][];
  #isLogs = false;
  #hasTraceState = false;
  /** Tail of each kept item, in order; a count of its own, because setting the length would drop the array's memory. */
  readonly #chosen: (Tail | null)[] = [];
  #chosenCount = 0;
  readonly #ot = new OtState();
  readonly #state = Buffer.alloc(1024);

  constructor(views: Views, selectors: readonly Selector[]) {
    this.#views = views;
    this.#selectors = selectors;
    this.#tails = selectors.map((selector) => selector.additions.map(tailOf));
  }

  begin(isLogs: boolean, hasTraceState: boolean): void {
    this.#isLogs = isLogs;
    this.#hasTraceState = hasTraceState;
    this.#chosenCount = 0;
    for (const selector of this.#selectors) selector.begin(hasTraceState);
  }

  choose(_reader: Reader, at: number, end: number, envelope: Envelope): number {
    for (let s = 0; s < this.#selectors.length; s++) {
      const selector = this.#selectors[s]!;
      const verdict = this.#isLogs ? selector.log(at, end, envelope) : selector.span(at, end, envelope);
      if (verdict >= 0) return this.#keep(this.#tails[s]![verdict]!, at, end);
      if (verdict === NO_OPINION) continue;
      if (verdict === FILTERED) this.filtered++;
      else this.sampledOut++;
      return DROP;
    }
    this.#chosen[this.#chosenCount++] = null;
    return 0;
  }

  #keep(tail: Tail, at: number, end: number): number {
    this.#chosen[this.#chosenCount++] = tail;
    if (this.#isLogs) return tail.log.length;
    if (!this.#hasTraceState) return tail.span.length;
    const length = this.#newState(tail, at, end);
    if (length < 0) return tail.attributes.length;
    const { span } = this.#views;
    const old = span.traceStateTagAt < 0 ? 0 : span.traceStateEnd - span.traceStateTagAt;
    return tail.attributes.length + 1 + varintBytes(length) + length - old;
  }

  /** Writes the item's new tracestate to #state and returns its length; -1 when the old one stays: at 100 % nothing is written, th never falls, `ot` stays short. */
  #newState(tail: Tail, at: number, end: number): number {
    const { span, reader } = this.#views;
    const { text, bits } = tail.addition.threshold;
    if (text === '0') return -1;
    readSpan(reader, at, end, span);
    const from = span.traceStateAt;
    const to = span.traceStateTagAt < 0 ? from : span.traceStateEnd;
    const ot = this.#ot;
    readOtState(reader.bytes, from, to, ot);
    if ((ot.hasThreshold && atLeast(ot.threshold, bits)) || !fitsOt(ot, text.length) || to - from > 900) return -1;
    const out = this.#state;
    const source = this.#views.pool.bytes;
    let length = 0;
    const copy = (start: number, stop: number) => {
      for (let i = start; i < stop; i++) out[length++] = source[i]!;
    };
    const write = (words: string) => {
      length += out.write(words, length, 'latin1');
    };
    if (ot.memberAt < 0) {
      write(`ot=th:${text}`);
      if (to > from) write(',');
      copy(from, to);
    } else if (ot.thresholdAt < 0) {
      copy(from, ot.memberAt + 3);
      write(ot.memberEnd > ot.memberAt + 3 ? `th:${text};` : `th:${text}`);
      copy(ot.memberAt + 3, to);
    } else {
      copy(from, ot.thresholdAt);
      write(`th:${text}`);
      copy(ot.thresholdEnd, to);
    }
    return length;
  }

  copy(bytes: Buffer, at: number, end: number, index: number, to: number): number {
    const tail = this.#chosen[index]!;
    if (tail === null) return copyRange(bytes, at, end, to);
    if (this.#isLogs) return append(bytes, tail.log, copyRange(bytes, at, end, to));
    if (!this.#hasTraceState) return append(bytes, tail.span, copyRange(bytes, at, end, to));
    const length = this.#newState(tail, at, end);
    if (length < 0) return append(bytes, tail.attributes, copyRange(bytes, at, end, to));
    const { span } = this.#views;
    let out = to;
    if (span.traceStateTagAt < 0) out = copyRange(bytes, at, end, out);
    else {
      out = copyRange(bytes, at, span.traceStateTagAt, out);
      out = copyRange(bytes, span.traceStateEnd, end, out);
    }
    bytes[out] = SPAN_TRACE_STATE;
    out = writeVarint(bytes, out + 1, length);
    out = append(bytes, this.#state.subarray(0, length), out);
    return append(bytes, tail.attributes, out);
  }
}

function append(bytes: Buffer, tail: Buffer, to: number): number {
  for (let i = 0; i < tail.length; i++) bytes[to + i] = tail[i]!;
  return to + tail.length;
}
