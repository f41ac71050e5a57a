/** `flag` on main: merges what the workers counted, judges every few seconds, tells flags, and marks the services for sampling. */
import { cutLength } from '../../core/boundedText.ts';
import { AttributeTable, emptyValue, readAttributes, readValue } from '../../otlp/attributes.ts';
import { Reader } from '../../otlp/protobuf.ts';
import { hashOfService } from '../../otlp/resource.ts';
import { emitEvents } from '../events.ts';
import type { Emission, Observer, ObserverContext } from '../processor.ts';
import { describeFlag, type Named } from './describe.ts';
import { HEADER_BYTES, POINT_BYTES, Point, Reading, SERVICE_BYTES, Service } from './measure.ts';
import { type SavedTraffic, Traffic } from './traffic.ts';
import { type Rules, type SavedWatch, type Side, Watch } from './watch.ts';

interface FlagOptions extends Rules {
  everyMs: number;
  maxSeries: number;
}

/** One series and what it is of. */
interface Series extends Named {
  key: string;
  serviceHash: number;
  watch: Watch;
  /** Of a metric: what came since the last judgement, and the last total. NaN: nothing yet. */
  sum: number;
  count: number;
  total: number;
  totalMs: number;
  seenMs: number;
}

interface ServiceTraffic {
  name: string;
  traffic: Traffic;
  seenMs: number;
}

export interface SavedFlags {
  judged: number;
  /** Missing of former versions, as the next. */
  everyMs?: number;
  isPartial?: boolean;
  services: [hash: number, name: string, seenMs: number, traffic: SavedTraffic][];
  series: (Omit<Series, 'watch'> & { watch: SavedWatch })[];
}

/** A series or service without a point for so long makes room when the bound is reached. */
const IDLE_MS = 24 * 3600 * 1000;
/** Longer pauses than this many judgements (the agent was down) say nothing of rates. */
const MOST_MISSED = 2;
/** A clock that goes back by more than this part of the time between two judgements was set. */
const SET_BACK_SHARE = 0.2;
const POINT_ATTRIBUTES_TAG = 58;
/** What is remembered of a series' attributes. */
const MOST_ATTRIBUTES = 16;

/** Of a service's traffic: which side matters, and what is too small to matter. */
const TRAFFIC: {
  signal: string;
  of: 'rate' | 'errors' | 'p50' | 'p95';
  unit: Named['unit'];
  side: Side;
  least: number;
}[] = [
  { signal: 'rate', of: 'rate', unit: 'spans/s', side: 'both', least: 1 },
  { signal: 'errors', of: 'errors', unit: 'share', side: 'above', least: 0.01 },
  { signal: 'latency.p50', of: 'p50', unit: 'ms', side: 'above', least: 1 },
  { signal: 'latency.p95', of: 'p95', unit: 'ms', side: 'above', least: 1 },
];

export function createObserver(options: FlagOptions, context: ObserverContext, saved: SavedFlags | null): Observer {
  const { pool, telemetry } = context;
  const { everyMs, maxSeries } = options;
  const reader = new Reader(pool.bytes);
  const table = new AttributeTable();
  const value = emptyValue();
  const services = new Map<number, ServiceTraffic>();
  const all = new Map<string, Series>();
  /** Services of the rows of the task being merged; used again. */
  const rows: ServiceTraffic[] = [];
  const judgedMs = (saved?.judged ?? 0) * (saved?.everyMs ?? everyMs);
  let judged = Math.floor(judgedMs / everyMs);
  /** Something of the time may not have been seen: until the next judgement there are no rates. */
  let isPartial = saved?.isPartial === true || judgedMs % everyMs !== 0;
  let tickedMs = Number.NEGATIVE_INFINITY;
  for (const [hash, name, seenMs, traffic] of saved?.services ?? [])
    services.set(hash, { name, seenMs, traffic: new Traffic(traffic) });
  for (const { watch, ...series } of saved?.series ?? [])
    all.set(series.key, { ...series, watch: watchOf(series.signal, watch) });
  // What came while a flag was up that is over may have to be marked again.
  publishMarks(0);

  function watchOf(signal: string, from: SavedWatch | null): Watch {
    const known = TRAFFIC.find((one) => one.signal === signal);
    return new Watch(options, known?.side ?? 'both', known?.least ?? 0, from);
  }

  /** The series under this key, new when there is room; null, and counted, when there is none. */
  function seriesOf(key: string, serviceHash: number, nowMs: number, named: () => Named): Series | null {
    let series = all.get(key);
    if (series === undefined) {
      if (all.size >= maxSeries) {
        telemetry.anomalySeriesOverflow.inc();
        return null;
      }
      const of = named();
      const empty = { sum: 0, count: 0, total: Number.NaN, totalMs: 0, seenMs: nowMs };
      series = { ...of, key, serviceHash, watch: watchOf(of.signal, null), ...empty };
      all.set(key, series);
    }
    series.seenMs = nowMs;
    return series;
  }

  function text(at: number, length: number): string {
    return pool.bytes.toString('utf8', at, at + cutLength(pool.bytes, at, length));
  }

  function mergeService(at: number, nowMs: number): ServiceTraffic {
    const word = at >>> 2;
    const hash = pool.words[word + Service.hash / 4]!;
    let service = services.get(hash);
    if (service === undefined) {
      const name = text(pool.words[word + Service.nameAt / 4]!, pool.words[word + Service.nameLength / 4]!);
      service = { name, seenMs: nowMs, traffic: new Traffic(null) };
      // Beyond the bound it is counted for this task and forgotten: it has no series either.
      if (services.size < maxSeries) services.set(hash, service);
    }
    service.seenMs = nowMs;
    const isNext = nowMs >= (judged + 1) * everyMs;
    service.traffic.add(pool.words[word + Service.count / 4]!, pool.words[word + Service.errors / 4]!, isNext);
    return service;
  }

  function mergePoint(out: DataView, at: number, nowMs: number): void {
    const number = (offset: number) => out.getUint32(at + offset, true);
    const serviceHash = number(Point.service);
    const key = `${serviceHash}/${out.getFloat64(at + Point.series, true)}`;
    const series = seriesOf(key, serviceHash, nowMs, () => ({
      service: text(number(Point.nameAt), number(Point.nameLength)),
      signal: `metric.${text(number(Point.metricAt), number(Point.metricLength))}`,
      unit: '',
      attributes: attributesOf(number(Point.at), number(Point.end)),
    }));
    if (series === null) return;
    const came = out.getFloat64(at + Point.value, true);
    if (number(Point.kind) !== Reading.total) addValue(series, came);
    else addTotal(series, came, out.getFloat64(at + Point.timeMs, true), nowMs);
  }

  function attributesOf(at: number, end: number): Record<string, string> {
    const attributes: Record<string, string> = Object.create(null);
    table.count = 0;
    readAttributes(reader, at, end, POINT_ATTRIBUTES_TAG, table);
    for (let i = 0; i < table.count && i < MOST_ATTRIBUTES; i++) {
      if (table.valueAt(i) < 0) continue;
      readValue(reader, table.valueAt(i), table.valueEnd(i), value);
      if (value.kind === 'string')
        attributes[text(table.keyAt(i), table.keyLength(i))] = text(value.at, value.end - value.at);
    }
    return attributes;
  }

  function judge(nowMs: number, slots: number): Emission[] {
    if (all.size >= maxSeries || services.size >= maxSeries) forgetIdle(nowMs);
    const events = [...judgeTraffic(nowMs, slots), ...judgeContracts(nowMs), ...judgeMetrics(nowMs)];
    isPartial = false;
    publishMarks(nowMs);
    return events.length === 0 ? [] : [emitEvents(events, nowMs)];
  }

  function see(series: Series, nowMs: number, came: number) {
    const finding = series.watch.see(nowMs, came);
    if (finding === null) return [];
    telemetry.anomalies.inc({ service: series.service, signal: series.signal });
    return [describeFlag(series, finding, nowMs, context.agent)];
  }

  function judgeTraffic(nowMs: number, slots: number) {
    return [...services].flatMap(([hash, { name, traffic }]) => {
      const values = traffic.take(slots, everyMs / 1000);
      if (isPartial) values.rate = Number.NaN;
      return TRAFFIC.flatMap(({ signal, of, unit }) => {
        if (Number.isNaN(values[of])) return [];
        const named = () => ({ service: name, signal, unit, attributes: {} });
        const series = seriesOf(`${hash}/${signal}`, hash, nowMs, named);
        return series === null ? [] : see(series, nowMs, values[of]);
      });
    });
  }

  function judgeContracts(nowMs: number) {
    return context.contractValues().flatMap(({ service, resource = {}, signal, value: came }) => {
      const named = (): Named => ({ service, resource, signal: `contract.${signal}`, unit: '', attributes: {} });
      const of = Object.entries(resource).flat();
      const key = `${service}/contract.${signal}${of.length === 0 ? '' : `/${JSON.stringify(of)}`}`;
      const series = seriesOf(key, hashOfService(service), nowMs, named);
      return series === null ? [] : see(series, nowMs, came);
    });
  }

  function judgeMetrics(nowMs: number) {
    return [...all.values()].flatMap((series) => {
      if (series.count === 0) return [];
      const mean = series.sum / series.count;
      series.sum = 0;
      series.count = 0;
      return see(series, nowMs, mean);
    });
  }

  /** What sampling follows: when a service's traces are unusual. Flags that were over at `nowMs` are left out. */
  function publishMarks(nowMs: number): void {
    context.flagged.clear();
    for (const { serviceHash, watch } of all.values()) {
      const { flaggedSinceMs: sinceMs, flaggedUntilMs: untilMs } = watch;
      if (untilMs <= nowMs) continue;
      const known = context.flagged.get(serviceHash);
      if (known === undefined) context.flagged.set(serviceHash, [{ sinceMs, untilMs }]);
      else known.push({ sinceMs, untilMs });
    }
  }

  function forgetIdle(nowMs: number): void {
    for (const [hash, { seenMs }] of services) if (nowMs - seenMs > IDLE_MS) services.delete(hash);
    for (const [key, { seenMs }] of all) if (nowMs - seenMs > IDLE_MS) all.delete(key);
  }

  return {
    merge(out, at, end, receivedMs) {
      if (end === at) return;
      const serviceCount = out.getUint32(at, true);
      const entryCount = out.getUint32(at + 4, true);
      const pointCount = out.getUint32(at + 8, true);
      let next = at + HEADER_BYTES;
      for (let i = 0; i < serviceCount; i++, next += SERVICE_BYTES) rows[i] = mergeService(next, receivedMs);
      for (let i = 0; i < pointCount; i++, next += POINT_BYTES) mergePoint(out, next, receivedMs);
      const first = next >>> 2;
      for (let i = first; i < first + entryCount; i++) {
        const entry = pool.words[i]!;
        rows[entry >>> 12]!.traffic.addDuration(entry & 0xfff);
      }
    },
    tick(nowMs) {
      const slot = Math.floor(nowMs / everyMs);
      const missed = slot - judged;
      // A start goes over what was judged before again.
      const isSetBack = tickedMs >= judged * everyMs && nowMs < tickedMs - SET_BACK_SHARE * everyMs;
      tickedMs = nowMs;
      if (missed <= 0 && !isSetBack) return [];
      const known = judged > 0 && missed <= MOST_MISSED && !isSetBack;
      judged = slot;
      if (known) return judge(slot * everyMs, missed);
      isPartial = true;
      for (const { traffic } of services.values()) traffic.forget();
      return [];
    },
    resume() {
      isPartial = true;
    },
    save: () =>
      ({
        judged,
        everyMs,
        isPartial,
        services: [...services].map(([hash, { name, seenMs, traffic }]) => [hash, name, seenMs, traffic.save()]),
        series: [...all.values()].map((series) => ({ ...series, watch: series.watch.save() })),
      }) satisfies SavedFlags,
  };
}

function addValue(series: Series, came: number): void {
  if (!Number.isFinite(came)) return;
  series.sum += came;
  series.count++;
}

/**
 * A total that fell began anew: the first after that has no rate. A sender that tells no time, or one to come, is taken by the time of arrival:
 * what followed would be late until then.
 */
function addTotal(series: Series, total: number, pointMs: number, receivedMs: number): void {
  const timeMs = pointMs > 0 && pointMs < receivedMs ? pointMs : receivedMs;
  // The clock was set back.
  if (series.totalMs > receivedMs) series.total = Number.NaN;
  const seconds = (timeMs - series.totalMs) / 1000;
  if (seconds <= 0 && !Number.isNaN(series.total)) return;
  if (total >= series.total) addValue(series, (total - series.total) / seconds);
  series.total = total;
  series.totalMs = timeMs;
}
