// HOT: once per data point. Bench: bench/micro/contracts/measure.bench.ts
/** Reads, in a worker, what contracts measure of data points; which of it is new since the point before is main's to say (series.ts). */
import { emptyValue, readValue } from '../otlp/attributes.ts';
import { MetricKind, type MetricView, Temporality } from '../otlp/metrics.ts';
import type { PointView } from '../otlp/points.ts';
import { Reader, sameBytes } from '../otlp/protobuf.ts';
import type { Envelope } from '../otlp/resource.ts';
import { SeriesKey } from '../otlp/seriesKey.ts';
import type { Cells } from './cells.ts';
import type { Contract } from './compile.ts';
import { createPointItem } from './items.ts';
import type { Item, Sight } from './lookup.ts';
import { type Condition, compileConditions, matchesAll } from './match.ts';
import type { SignalPlan } from './plan.ts';
import { PointBuckets } from './pointBuckets.ts';
import { Point } from './series.ts';

/** A signal over metrics, compiled. */
interface Signal {
  index: number;
  plan: SignalPlan;
  names: Buffer[];
  where: Condition[];
  bad: Condition[][];
  /** Limits or values are durations: the metric's unit has to be one of time. */
  inMs: boolean;
  /** What it looks at of a histogram or a summary. */
  reads: 'count' | 'sum' | 'buckets';
}

const INSTANCE = Buffer.from('service.instance.id');
/** UCUM's names, as semantic conventions use them, and what people write. */
const UNITS_MS: readonly (readonly [name: Buffer, ms: number])[] = Object.entries({
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  seconds: 1000,
  milliseconds: 1,
}).map(([name, ms]) => [Buffer.from(name), ms]);

export class PointMeasure {
  readonly #signals = new Map<Contract, Signal[]>();
  readonly #cells: Cells;
  readonly #sight: Sight;
  readonly #reader: Reader;
  readonly #point: PointView;
  readonly #item: Item;
  readonly #buckets: PointBuckets;
  readonly #key: SeriesKey;
  /** Signals of the resource, then of the metric, with their cells and the contract's patience with late points. */
  #ofResource: { signal: Signal; cell: number; lateAfterMs: number }[] = [];
  #ofMetric: { signal: Signal; cell: number; lateAfterMs: number }[] = [];
  /** Milliseconds of the metric's unit; NaN when it is none of time. */
  #unitMs = Number.NaN;
  #flags = 0;
  #kind = 0;
  /** It only rises. */
  #isCounter = false;
  /** The resource's instance; -1: not yet read. */
  #instanceAt = -1;
  #instanceLength = 0;
  readonly #aside: Reader;
  readonly #value = emptyValue();

  constructor(contracts: readonly Contract[], cells: Cells, sight: Sight, reader: Reader, point: PointView) {
    this.#sight = sight;
    this.#cells = cells;
    this.#reader = reader;
    this.#aside = new Reader(reader.bytes);
    this.#point = point;
    this.#item = createPointItem(point);
    this.#key = new SeriesKey(reader.bytes);
    this.#buckets = new PointBuckets(reader, point, cells);
    for (const contract of contracts) {
      const signals = contract.plan.signals.flatMap((plan, index) =>
        plan.of === 'metrics' ? [compileSignal(plan, index, sight)] : [],
      );
      if (signals.length > 0) this.#signals.set(contract, signals);
    }
  }

  enterResource(active: readonly Contract[], bases: readonly number[], count: number): void {
    if (this.#signals.size === 0) return;
    this.#ofResource = [];
    this.#ofMetric = [];
    this.#key.begin();
    this.#instanceAt = -1;
    for (let c = 0; c < count; c++) {
      const { lateAfterMs } = active[c]!.plan;
      for (const signal of this.#signals.get(active[c]!) ?? [])
        this.#ofResource.push({ signal, cell: bases[c]! + signal.index, lateAfterMs });
    }
  }

  metric(metric: MetricView): void {
    this.#ofMetric = this.#ofResource.filter(({ signal }) => this.#isNamed(metric, signal.names));
    if (this.#ofMetric.length === 0) return;
    this.#flags = flagsOf(metric);
    this.#kind = metric.kind;
    this.#isCounter = metric.kind === MetricKind.sum && metric.monotonic;
    this.#unitMs = Number.NaN;
    for (const [name, ms] of UNITS_MS) if (this.#isText(metric.unitAt, metric.unitLength, name)) this.#unitMs = ms;
  }

  #isNamed({ nameAt, nameLength }: MetricView, names: readonly Buffer[]): boolean {
    for (let i = 0; i < names.length; i++) if (this.#isText(nameAt, nameLength, names[i]!)) return true;
    return false;
  }

  #isText(at: number, length: number, text: Buffer): boolean {
    return length === text.length && sameBytes(this.#reader.bytes, at, text, 0, length);
  }

  point(point: PointView, metric: MetricView, envelope: Envelope, receivedMs: number): void {
    if (this.#ofMetric.length === 0) return;
    this.#sight.item.begin();
    for (let i = 0; i < this.#ofMetric.length; i++) {
      const { signal, cell, lateAfterMs } = this.#ofMetric[i]!;
      if (!matchesAll(signal.where, this.#item, envelope, this.#reader)) continue;
      const timeMs = point.timeMs();
      if (receivedMs - timeMs > lateAfterMs && timeMs > 0) this.#cells.late(cell);
      else this.#measure(signal, cell, metric, envelope, timeMs > 0 ? timeMs : receivedMs);
    }
  }

  #measure(signal: Signal, cell: number, metric: MetricView, envelope: Envelope, timeMs: number): void {
    const point = this.#point;
    const isNumber = metric.kind === MetricKind.gauge || metric.kind === MetricKind.sum;
    const series = this.#key.of(metric, point, envelope);
    const startMs = (point.startHigh * 0x1_0000_0000 + point.startLow) / 1e6;
    if (point.noRecordedValue) {
      this.#note(envelope, 1, this.#cells.point(cell, this.#flags | Point.noValue, series, startMs, timeMs, 0, 0));
      return;
    }
    if (this.#isOdd(signal, isNumber)) {
      this.#cells.odd(cell);
      return;
    }
    if (signal.plan.measured === 'share' || signal.plan.measured === 'burn')
      this.#share(signal, cell, isNumber, series, startMs, timeMs, envelope);
    else this.#take(signal, cell, isNumber, series, startMs, timeMs, envelope);
  }

  /** The point does not say what the signal measures. */
  #isOdd({ plan, inMs, reads }: Signal, isNumber: boolean): boolean {
    const point = this.#point;
    if (inMs && Number.isNaN(this.#unitMs)) return true;
    // What a counter adds up to is no duration of anything.
    if (isNumber && plan.slowerThanMs !== null && (this.#flags & Point.value) === 0) return true;
    if (isNumber && plan.measured === 'rate' && !this.#isCounter) return true;
    if (isNumber) return !point.hasValue || !Number.isFinite(point.value);
    if (!Number.isFinite(point.sum) || (reads === 'sum' && !point.hasSum && point.count > 0)) return true;
    return reads === 'buckets' && !this.#buckets.tell(plan.take, (this.#flags & Point.cumulative) !== 0);
  }

  /** Sums weigh by their value, histograms by their count, points of gauges are one each. */
  #share(
    signal: Signal,
    cell: number,
    isNumber: boolean,
    series: number,
    startMs: number,
    timeMs: number,
    envelope: Envelope,
  ): void {
    const point = this.#point;
    const isGauge = (this.#flags & Point.value) !== 0;
    const items = isGauge ? 1 : isNumber ? point.value : point.count;
    let bad = 0;
    if (signal.plan.slowerThanMs === null) bad = this.#isBad(signal, envelope) ? items : 0;
    else if (isGauge) bad = point.value * this.#unitMs > signal.plan.slowerThanMs ? 1 : 0;
    // Each point of a gauge is an item of its own: nothing is subtracted.
    const flags = isGauge ? Point.gauge : this.#flags;
    const unit = signal.plan.slowerThanMs === null ? 1 : this.#unitMs;
    const row = this.#cells.point(cell, flags, series, startMs, timeMs, items, bad);
    this.#note(envelope, unit, row);
    // How many are slow is read from what the buckets rose by (memory.ts).
    if (!isNumber && signal.reads === 'buckets') this.#buckets.write(row, unit);
  }

  /** Notes where the point of a row lies: main reads it again when somebody has to be told what it is about. */
  #note(envelope: Envelope, unit: number, row: number): void {
    if (this.#instanceAt < 0) this.#readInstance(envelope);
    this.#cells.pointSource(row, this.#kind, this.#point, this.#instanceAt, this.#instanceLength, unit);
  }

  #readInstance({ bytes, resource }: Envelope): void {
    const found = resource.find(bytes, INSTANCE);
    const value = this.#value;
    if (found >= 0) readValue(this.#aside, resource.valueAt(found), resource.valueEnd(found), value);
    const isText = found >= 0 && value.kind === 'string';
    this.#instanceAt = isText ? value.at : 0;
    this.#instanceLength = isText ? value.end - value.at : 0;
  }

  #take(
    signal: Signal,
    cell: number,
    isNumber: boolean,
    series: number,
    startMs: number,
    timeMs: number,
    envelope: Envelope,
  ): void {
    const point = this.#point;
    const unit = signal.inMs ? this.#unitMs : 1;
    const a = isNumber ? point.value * unit : point.count;
    const row = this.#cells.point(cell, this.#flags, series, startMs, timeMs, a, point.sum * unit);
    this.#note(envelope, unit, row);
    if (!isNumber && signal.reads === 'buckets') this.#buckets.write(row, unit);
  }

  #isBad(signal: Signal, envelope: Envelope): boolean {
    for (let i = 0; i < signal.bad.length; i++)
      if (matchesAll(signal.bad[i]!, this.#item, envelope, this.#reader)) return true;
    return false;
  }
}

function flagsOf({ kind, temporality, monotonic }: MetricView): number {
  if (kind === MetricKind.gauge) return Point.gauge | Point.value;
  const isDelta = temporality === Temporality.delta;
  if (kind !== MetricKind.sum) return Point.distribution | (isDelta ? 0 : Point.cumulative);
  // What goes up and down says how it stands; as a delta it says by how much it changed.
  if (!monotonic) return isDelta ? 0 : Point.value;
  return isDelta ? 0 : Point.cumulative;
}

function compileSignal(plan: SignalPlan, index: number, sight: Sight): Signal {
  return {
    index,
    plan,
    names: plan.metrics.map((name) => Buffer.from(name)),
    where: plan.where === null ? [] : compileConditions(plan.where, sight),
    bad: plan.bad.map((map) => compileConditions(map, sight)),
    inMs: plan.slowerThanMs !== null || plan.unit === 'ms',
    reads: partOf(plan),
  };
}

function partOf({ measured, slowerThanMs, take, value }: SignalPlan): Signal['reads'] {
  if (slowerThanMs !== null) return 'buckets';
  if (measured === 'take') return take === 'mean' || take === 'sum' ? 'sum' : 'buckets';
  return value === 'sum' ? 'sum' : 'count';
}
