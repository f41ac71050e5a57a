// HOT: once per span and log record. Bench: bench/micro/contracts/measure.bench.ts
/**
 * Counts, in a worker, what the contracts' signals are about: spans and log records here, data points in points.ts. All of it is
 * mergeable and leaves with the task.
 */
import { emptyValue, readValue } from '../otlp/attributes.ts';
import type { LogView } from '../otlp/logs.ts';
import type { MetricView } from '../otlp/metrics.ts';
import type { PointView } from '../otlp/points.ts';
import { HASH_SEED, hashBytes, mixHash, Reader } from '../otlp/protobuf.ts';
import type { Envelope } from '../otlp/resource.ts';
import type { SpanView } from '../otlp/traces.ts';
import { adjustedCount, OtState, readOtState, readThreshold } from '../otlp/tracestate.ts';
import { Cells } from './cells.ts';
import { type Contract, compileContract, type Signal } from './compile.ts';
import { createItems } from './items.ts';
import { type Item, Sight } from './lookup.ts';
import { matchesAll } from './match.ts';
import type { ContractPlan } from './plan.ts';
import { PointMeasure } from './points.ts';
import { bucketOf } from './rows.ts';
import { ServiceTable } from './service.ts';

const VERSION = Buffer.from('service.version');
const SAMPLING_THRESHOLD = Buffer.from('sampling.threshold');

export class ContractMeasure {
  readonly #services: ServiceTable<Contract>;
  readonly #contracts: Contract[];
  readonly #cells = new Cells();
  readonly #points: PointMeasure;
  readonly #span: Item;
  readonly #log: Item;
  readonly #reader: Reader;
  /** For looking around without moving the walk. */
  readonly #aside: Reader;
  readonly #sight = new Sight();
  readonly #value = emptyValue();
  readonly #ot = new OtState();
  /** Contracts of the resource, and their first cells. */
  readonly #active: Contract[] = [];
  readonly #bases: number[] = [];
  #activeCount = 0;
  #versionAt = 0;
  #versionLength = 0;
  #versionHash = HASH_SEED;

  constructor(plans: readonly ContractPlan[], reader: Reader, span: SpanView, log: LogView, point: PointView) {
    this.#reader = reader;
    this.#aside = new Reader(reader.bytes);
    const { spanItem, logItem } = createItems(span, log, reader);
    this.#span = spanItem;
    this.#log = logItem;
    this.#contracts = plans.map((plan) => compileContract(plan, this.#sight));
    this.#services = new ServiceTable(this.#aside);
    for (const contract of this.#contracts) this.#services.add(contract.plan, contract);
    this.#points = new PointMeasure(this.#contracts, this.#cells, this.#sight, reader, point);
  }

  reset(): void {
    this.#cells.reset();
    this.#activeCount = 0;
    for (let i = 0; i < this.#contracts.length; i++) {
      const contract = this.#contracts[i]!;
      if (contract.groups.length === 0) continue;
      contract.groups.length = 0;
      contract.bases.length = 0;
    }
  }

  /** Contracts are matched by service first: most resources meet none. */
  enterResource(envelope: Envelope): void {
    this.#activeCount = this.#services.find(envelope, this.#active);
    this.#sight.resource.begin();
    if (this.#activeCount === 0) return;
    for (let i = 0; i < this.#activeCount; i++) this.#bases[i] = this.#baseOf(this.#active[i]!, envelope);
    this.#versionHash = mixHash(this.#readText(envelope, VERSION));
    this.#versionAt = this.#value.at;
    this.#versionLength = this.#value.end - this.#value.at;
    this.#points.enterResource(this.#active, this.#bases, this.#activeCount);
  }

  /** The first cell of the contract for this resource's instance. */
  #baseOf(contract: Contract, envelope: Envelope): number {
    const { per, groups, bases, plan } = contract;
    const hash = per === null ? 0 : this.#readText(envelope, per);
    for (let i = 0; i < groups.length; i++) if (groups[i] === hash) return bases[i]!;
    const { at, end } = this.#value;
    const length = per === null ? 0 : end - at;
    let base = -1;
    for (let s = 0; s < plan.signals.length; s++) {
      const cell = this.#cells.open(plan.signals[s]!.key, hash, at, length);
      if (s === 0) base = cell;
    }
    groups.push(hash);
    bases.push(base);
    return base;
  }

  /** Reads a resource attribute into `#value`, empty when it is missing or no text; returns its hash. */
  #readText(envelope: Envelope, key: Buffer): number {
    const found = envelope.resource.find(envelope.bytes, key);
    const value = this.#value;
    if (found >= 0) readValue(this.#aside, envelope.resource.valueAt(found), envelope.resource.valueEnd(found), value);
    if (found < 0 || value.kind !== 'string') {
      value.at = 0;
      value.end = 0;
    }
    return hashBytes(envelope.bytes, value.at, value.end - value.at, HASH_SEED);
  }

  /** Counts the span, unless a look-back has added it, and sets `span.slow` and `span.isLimited`. */
  span(span: SpanView, envelope: Envelope, receivedMs: number): void {
    if (this.#activeCount === 0) return;
    let operation = UNKNOWN;
    this.#sight.item.begin();
    // These two are written out: a method that gives a fraction, or a large number, would box it for each span.
    const durationNs = Math.max(0, (span.endHigh - span.startHigh) * 0x1_0000_0000 + (span.endLow - span.startLow));
    const endMs = (span.endHigh * 0x1_0000_0000 + span.endLow) / 1e6;
    for (let c = 0; c < this.#activeCount; c++) {
      const contract = this.#active[c]!;
      if (contract.spans.length === 0 || !matchesAll(contract.where, this.#span, envelope, this.#reader)) continue;
      const isLate = receivedMs - endMs > contract.plan.lateAfterMs;
      const weight = this.#weightOf(span, contract.plan.upstreamWeight);
      for (let s = 0; s < contract.spans.length; s++) {
        const signal = contract.spans[s]!;
        if (!matchesAll(signal.where, this.#span, envelope, this.#reader)) continue;
        const cell = this.#bases[c]! + signal.index;
        const isSlow = durationNs > signal.slowerThanNs;
        if (isSlow) span.slow = true;
        if (signal.slowerThanNs !== Infinity) span.isLimited = true;
        if (span.isAdded) continue;
        if (isLate) this.#cells.late(cell);
        else if (signal.takes) this.#take(signal, cell, weight, durationNs / 1e6, this.#span, envelope, span.traceIdAt);
        else {
          const isBad = isSlow || this.#isBad(signal, this.#span, envelope);
          if (operation === UNKNOWN) operation = this.#operationOf(span);
          this.#cells.count(cell, weight, isBad);
          this.#cells.tally(cell, operation, weight, isBad);
          if (isBad) this.#cells.trace(cell, span.traceIdAt);
        }
      }
    }
  }

  /** Sets `span.slow` and `span.isLimited` and counts nothing: what sampling asks after the journal. */
  mark(span: SpanView, envelope: Envelope): void {
    if (this.#activeCount === 0) return;
    this.#sight.item.begin();
    const durationNs = span.durationNs();
    for (let c = 0; c < this.#activeCount && !span.slow; c++) {
      const { spans, where } = this.#active[c]!;
      if (spans.length === 0 || !matchesAll(where, this.#span, envelope, this.#reader)) continue;
      for (let s = 0; s < spans.length; s++) {
        const signal = spans[s]!;
        if (signal.slowerThanNs === Infinity || !matchesAll(signal.where, this.#span, envelope, this.#reader)) continue;
        span.isLimited = true;
        if (durationNs > signal.slowerThanNs) span.slow = true;
      }
    }
  }

  log(log: LogView, envelope: Envelope, receivedMs: number): void {
    if (this.#activeCount === 0 || log.isAdded) return;
    this.#sight.item.begin();
    for (let c = 0; c < this.#activeCount; c++) {
      const contract = this.#active[c]!;
      if (contract.logs.length === 0) continue;
      const timeMs = log.timeMs();
      const isLate = timeMs > 0 && receivedMs - timeMs > contract.plan.lateAfterMs;
      const weight = this.#weightOfLog(log);
      for (let s = 0; s < contract.logs.length; s++) {
        const signal = contract.logs[s]!;
        if (!matchesAll(signal.where, this.#log, envelope, this.#reader)) continue;
        const cell = this.#bases[c]! + signal.index;
        if (isLate) this.#cells.late(cell);
        else if (signal.takes) this.#take(signal, cell, weight, 0, this.#log, envelope, log.traceIdAt);
        else {
          const isBad = this.#isBad(signal, this.#log, envelope);
          this.#cells.count(cell, weight, isBad);
          if (isBad && log.traceIdAt >= 0) this.#cells.trace(cell, log.traceIdAt);
        }
      }
    }
  }

  metric(metric: MetricView): void {
    if (this.#activeCount > 0) this.#points.metric(metric);
  }

  point(point: PointView, metric: MetricView, envelope: Envelope, receivedMs: number): void {
    if (this.#activeCount > 0) this.#points.point(point, metric, envelope, receivedMs);
  }

  #isBad(signal: Signal, item: Item, envelope: Envelope): boolean {
    for (let i = 0; i < signal.bad.length; i++)
      if (matchesAll(signal.bad[i]!, item, envelope, this.#reader)) return true;
    return false;
  }

  /** Takes the signal's value of an item, if it has one that is a number. */
  #take(
    signal: Signal,
    cell: number,
    weight: number,
    durationMs: number,
    item: Item,
    envelope: Envelope,
    traceIdAt: number,
  ): void {
    let number = durationMs;
    if (!signal.ofDuration) {
      const value = signal.value!.read(item, envelope, this.#reader);
      if (value.kind === 'none') return;
      if ((value.kind !== 'int' && value.kind !== 'double') || !Number.isFinite(value.number)) {
        this.#cells.odd(cell);
        return;
      }
      number = value.number;
    }
    if (signal.spreads) this.#cells.bucket(cell, bucketOf(number), weight);
    if (this.#cells.take(cell, weight, number) && traceIdAt >= 0) this.#cells.trace(cell, traceIdAt);
  }

  #operationOf(span: SpanView): number {
    const name = span.nameHash(this.#reader);
    const hash = mixHash(name.first ^ this.#versionHash) >>> 0;
    return this.#cells.operation(hash, span.nameAt, name.length, this.#versionAt, this.#versionLength);
  }

  /** Items sampled upstream count by their threshold, else as the contract says. */
  #weightOf(span: SpanView, upstreamWeight: number): number {
    if (span.traceStateTagAt < 0) return upstreamWeight;
    readOtState(this.#reader.bytes, span.traceStateAt, span.traceStateEnd, this.#ot);
    return this.#ot.hasThreshold ? adjustedCount(this.#ot.threshold) : upstreamWeight;
  }

  /** Samplers of log records write their threshold as an attribute. */
  #weightOfLog(log: LogView): number {
    const found = log.attributes.find(this.#reader.bytes, SAMPLING_THRESHOLD);
    if (found < 0) return 1;
    readValue(this.#aside, log.attributes.valueAt(found), log.attributes.valueEnd(found), this.#value);
    const { kind, at, end } = this.#value;
    const isRead = kind === 'string' && readThreshold(this.#aside.bytes, at, end, this.#ot.threshold);
    return isRead ? adjustedCount(this.#ot.threshold) : 1;
  }

  size(): number {
    return this.#cells.size();
  }

  write(out: DataView, at: number): number {
    return this.#cells.write(out, at);
  }
}

const UNKNOWN = -2;
