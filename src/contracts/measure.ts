// HOT: once per item. Bench: bench/micro/contracts/measure.bench.ts
/** Counts, in a worker, the items and the bad items of every contract signal; what it counts is mergeable and leaves with the task. */
import type { Value } from '../otlp/attributes.ts';
import type { LogView } from '../otlp/logs.ts';
import { HASH_SEED, hashBytes, type Reader, sameBytes } from '../otlp/protobuf.ts';
import type { Envelope } from '../otlp/resource.ts';
import type { SpanView } from '../otlp/traces.ts';
import { adjustedCount, OtState, readOtState } from '../otlp/tracestate.ts';
import type { ContractPlan, SignalPlan } from './contract.ts';
import { type Condition, compileConditions, type Intrinsic, type Item, matchesAll } from './match.ts';

interface Signal {
  index: number;
  ofLogs: boolean;
  where: Condition[][];
  bad: Condition[][];
  slowerThanNs: number;
}

interface Service {
  name: Buffer;
  contracts: Contract[];
}

interface Contract {
  lateAfterMs: number;
  signals: Signal[];
}

class SpanItem implements Item {
  attributes;
  span: SpanView;
  constructor(span: SpanView) {
    this.span = span;
    this.attributes = span.attributes;
  }
  intrinsic(key: Intrinsic, value: Value): void {
    if (key === 'span.name') {
      value.kind = 'string';
      value.at = this.span.nameAt;
      value.end = this.span.nameAt + this.span.nameLength;
    } else if (key === 'span.kind' || key === 'status') {
      value.kind = 'int';
      value.number = key === 'status' ? this.span.status : this.span.kind;
    }
  }
}

class LogItem implements Item {
  attributes;
  log: LogView;
  reader: Reader;
  constructor(log: LogView, reader: Reader) {
    this.log = log;
    this.attributes = log.attributes;
    this.reader = reader;
  }
  intrinsic(key: Intrinsic, value: Value): void {
    if (key === 'severity') {
      value.kind = 'int';
      value.number = this.log.severity;
    } else if (key === 'body' && this.log.bodyAt >= 0 && this.reader.bytes[this.log.bodyAt] === 10) {
      value.kind = 'string';
      value.end = this.log.bodyEnd;
      // A string body is tag, length, text to the end.
      let at = this.log.bodyAt + 1;
      while ((this.reader.bytes[at] as number) > 0x7f) at++;
      value.at = at + 1;
    }
  }
}

/** Spans and log records as conditions see them; the views are refilled, the items stay. */
export function createItems(span: SpanView, log: LogView, reader: Reader): { spanItem: Item; logItem: Item } {
  return { spanItem: new SpanItem(span), logItem: new LogItem(log, reader) };
}

/** Bytes of one row: signal key u32, zero u32, items f64, bad f64. */
export const MEASURE_ROW_BYTES = 24;

export class ContractMeasure {
  /** Keys of all signals, by index. */
  readonly #keys: number[] = [];
  /** By the hash of the name; services that share one are told apart by their bytes. */
  readonly #byService = new Map<number, Service[]>();
  readonly #items: Float64Array;
  readonly #bad: Float64Array;
  #active: Contract[] = NONE;
  readonly #span: Item;
  readonly #log: Item;
  readonly #reader: Reader;
  readonly #ot = new OtState();

  constructor(plans: readonly ContractPlan[], reader: Reader, span: SpanView, log: LogView) {
    this.#reader = reader;
    const { spanItem, logItem } = createItems(span, log, reader);
    this.#span = spanItem;
    this.#log = logItem;
    for (const plan of plans) {
      const service = Buffer.from(plan.service);
      const contract = {
        lateAfterMs: plan.lateAfterMs,
        signals: plan.signals.map((signal) => this.#compile(signal)),
      };
      const hash = hashBytes(service, 0, service.length, HASH_SEED);
      const sharing = this.#byService.get(hash) ?? [];
      const known = sharing.find((one) => one.name.equals(service));
      if (known === undefined) sharing.push({ name: service, contracts: [contract] });
      else known.contracts.push(contract);
      this.#byService.set(hash, sharing);
    }
    this.#items = new Float64Array(this.#keys.length);
    this.#bad = new Float64Array(this.#keys.length);
  }

  #compile(plan: SignalPlan): Signal {
    const index = this.#keys.push(plan.key) - 1;
    return {
      index,
      ofLogs: plan.of === 'logs',
      where: plan.where.map(compileConditions),
      bad: plan.bad.map(compileConditions),
      slowerThanNs: plan.slowerThanNs,
    };
  }

  reset(): void {
    this.#items.fill(0);
    this.#bad.fill(0);
  }

  /** Contracts are matched by service first: most items meet none. */
  enterResource(envelope: Envelope): void {
    this.#active = NONE;
    const sharing = this.#byService.get(envelope.serviceHash);
    if (sharing === undefined) return;
    for (let i = 0; i < sharing.length; i++) {
      const { name, contracts } = sharing[i]!;
      if (name.length !== envelope.serviceLength) continue;
      if (sameBytes(envelope.bytes, envelope.serviceAt, name, 0, name.length)) this.#active = contracts;
    }
  }

  /** Counts the span and sets `span.slow`. */
  span(span: SpanView, envelope: Envelope, receivedMs: number): void {
    for (let c = 0; c < this.#active.length; c++) {
      const contract = this.#active[c]!;
      const judged = receivedMs - span.endMs() <= contract.lateAfterMs;
      for (let s = 0; s < contract.signals.length; s++) {
        const signal = contract.signals[s]!;
        if (signal.ofLogs || !this.#matches(signal, this.#span, envelope)) continue;
        const slow = span.durationNs() > signal.slowerThanNs;
        if (slow) span.slow = true;
        if (judged) this.#count(signal, slow || this.#isBad(signal, this.#span, envelope), this.#weight(span));
      }
    }
  }

  log(log: LogView, envelope: Envelope, receivedMs: number): void {
    for (let c = 0; c < this.#active.length; c++) {
      const contract = this.#active[c]!;
      const timeMs = log.timeMs();
      if (timeMs > 0 && receivedMs - timeMs > contract.lateAfterMs) continue;
      for (let s = 0; s < contract.signals.length; s++) {
        const signal = contract.signals[s]!;
        if (signal.ofLogs && this.#matches(signal, this.#log, envelope))
          this.#count(signal, this.#isBad(signal, this.#log, envelope), 1);
      }
    }
  }

  #matches(signal: Signal, item: Item, envelope: Envelope): boolean {
    for (let i = 0; i < signal.where.length; i++)
      if (!matchesAll(signal.where[i]!, item, envelope, this.#reader)) return false;
    return true;
  }

  #isBad(signal: Signal, item: Item, envelope: Envelope): boolean {
    for (let i = 0; i < signal.bad.length; i++)
      if (matchesAll(signal.bad[i]!, item, envelope, this.#reader)) return true;
    return false;
  }

  /** Items sampled upstream count by their threshold. */
  #weight(span: SpanView): number {
    if (span.traceStateTagAt < 0) return 1;
    readOtState(this.#reader.bytes, span.traceStateAt, span.traceStateEnd, this.#ot);
    return this.#ot.hasThreshold ? adjustedCount(this.#ot.threshold) : 1;
  }

  #count(signal: Signal, bad: boolean, weight: number): void {
    this.#items[signal.index] = this.#items[signal.index]! + weight;
    if (bad) this.#bad[signal.index] = this.#bad[signal.index]! + weight;
  }

  /** Bytes that `write` needs at most. */
  size(): number {
    return this.#keys.length * MEASURE_ROW_BYTES;
  }

  /** Writes a row for each signal that saw items; returns the address after them. */
  write(out: DataView, at: number): number {
    let to = at;
    for (let i = 0; i < this.#keys.length; i++) {
      if (this.#items[i] === 0) continue;
      out.setUint32(to, this.#keys[i]!, true);
      out.setUint32(to + 4, 0, true);
      out.setFloat64(to + 8, this.#items[i]!, true);
      out.setFloat64(to + 16, this.#bad[i]!, true);
      to += MEASURE_ROW_BYTES;
    }
    return to;
  }
}

const NONE: Contract[] = [];
