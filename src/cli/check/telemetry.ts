/** The telemetry of a contract's example, from a few words to OTLP requests, each with the moment it arrives. */

import { ENUM_NAMES } from '../../contracts/contract.ts';
import { type Example, METRIC_EVERY, SPREAD_OVER } from '../../contracts/example.ts';
import { type ContractPlan, resourceOf } from '../../contracts/plan.ts';
import type { Signal } from '../../core/block.ts';
import { millisecondsOf, shareOf } from '../../core/units.ts';
import { requestType } from '../../otlp/schema.ts';

interface Arrival {
  signal: Signal;
  bytes: Uint8Array;
  receivedMs: number;
}

type Scalar = string | number | boolean;
type Values = Record<string, Scalar>;
type Metric = Extract<NonNullable<Example['metrics']>, { name: string }>;
type Spread = { count?: number; over?: string; set?: Values; vary?: Record<string, Values> };

const COUNT = 100;
const DURATION = '10ms';

/** Bounds that semantic conventions ask for in seconds; for other units the SDK's. */
const SECOND_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const OTHER_BOUNDS = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000];

/** In the order of arrival. `startMs` is a whole second. */
export function arrivalsOf(example: Example, plan: ContractPlan, startMs: number): Arrival[] {
  const arrivals = [
    ...[example.spans ?? []].flat().flatMap((spans) => spansOf(spans, plan, startMs)),
    ...[example.logs ?? []].flat().flatMap((logs) => logsOf(logs, plan, startMs)),
    ...[example.metrics ?? []].flat().flatMap((metric) => pointsOf(metric, plan, startMs)),
  ];
  return arrivals.sort((a, b) => a.receivedMs - b.receivedMs);
}

/** How long the longest part of an example goes on. */
export function lengthOf(example: Example): number {
  const parts = [example.spans ?? [], example.logs ?? [], example.metrics ?? []].flat();
  return Math.max(1000, ...parts.map(({ over }) => millisecondsOf(over ?? SPREAD_OVER)));
}

/** Each of `count` items with its time and what is set for it; shares of `vary` are spread evenly. */
function itemsOf(
  { count = COUNT, over = SPREAD_OVER, set = {}, vary = {} }: Spread,
  startMs: number,
): { ms: number; values: Values }[] {
  const overMs = millisecondsOf(over);
  const variations = Object.entries(vary).map(([share, values]) => ({
    share: shareOf(share),
    values,
    owed: 0,
  }));
  return Array.from({ length: count }, (_, i) => {
    for (const one of variations) one.owed += one.share;
    // Half an item early, so that 50% of one is one.
    const due = variations.find(({ owed }) => owed >= 0.5);
    if (due !== undefined) due.owed -= 1;
    return { ms: startMs + Math.floor((i * overMs) / Math.max(1, count)), values: { ...set, ...due?.values } };
  });
}

function spansOf(spans: Spread & { duration?: string }, plan: ContractPlan, startMs: number): Arrival[] {
  return itemsOf(spans, startMs).map(({ ms, values }, i) => {
    const {
      duration = spans.duration ?? DURATION,
      'span.name': name = 'example',
      'span.kind': kind = 0,
      status = 0,
      ...rest
    } = values;
    const durationMs = millisecondsOf(String(duration));
    const span = {
      traceId: idOf(i, 16),
      spanId: idOf(i, 8),
      name: String(name),
      kind: numberOf('span.kind', kind),
      status: { code: numberOf('status', status) },
      startTimeUnixNano: nanoseconds(ms - durationMs),
      endTimeUnixNano: nanoseconds(ms),
      attributes: attributesOf(rest, 'item'),
    };
    const resourceSpans = [{ resource: exampleResource(plan, values), scopeSpans: [{ spans: [span] }] }];
    return { signal: 'traces' as const, bytes: encode('traces', { resourceSpans }), receivedMs: ms };
  });
}

function logsOf(logs: Spread, plan: ContractPlan, startMs: number): Arrival[] {
  return itemsOf(logs, startMs).map(({ ms, values }) => {
    const { severity = 9, body, ...rest } = values;
    const record = {
      timeUnixNano: nanoseconds(ms),
      severityNumber: Number(severity),
      ...(body === undefined ? {} : { body: { stringValue: String(body) } }),
      attributes: attributesOf(rest, 'item'),
    };
    const resourceLogs = [{ resource: exampleResource(plan, values), scopeLogs: [{ logRecords: [record] }] }];
    return { signal: 'logs' as const, bytes: encode('logs', { resourceLogs }), receivedMs: ms };
  });
}

/** Cumulative series, one for what is set and one for each variation, exported every `every`. */
function pointsOf(metric: Metric, plan: ContractPlan, startMs: number): Arrival[] {
  const everyMs = Math.max(1000, millisecondsOf(metric.every ?? METRIC_EVERY));
  const exports = Math.max(1, Math.floor(millisecondsOf(metric.over ?? SPREAD_OVER) / everyMs));
  const variations = Object.entries(metric.vary ?? {}).map(([share, values]) => ({
    share: shareOf(share),
    values,
  }));
  const rest = 1 - variations.reduce((sum, { share }) => sum + share, 0);
  const series = [{ share: rest, values: {} as Values }, ...variations].filter(({ share }) => share > 0);
  return Array.from({ length: exports }, (_, i) => {
    // Just before the second ends, so that the last export is within the example.
    const ms = startMs + (i + 1) * everyMs - 1;
    const dataPoints = series.map(({ share, values }) => {
      const { value: own, ...set } = { ...metric.set, ...values };
      const given = own === undefined ? metric.value : Number(own);
      return {
        ...pointOf(metric, given, share, i, exports),
        ...times(startMs, ms),
        attributes: attributesOf(set, 'item'),
      };
    });
    const data =
      metric.type === 'gauge'
        ? { gauge: { dataPoints } }
        : { [metric.type]: { dataPoints, aggregationTemporality: 2, isMonotonic: true } };
    const metrics = [{ name: metric.name, unit: metric.unit ?? '', ...data }];
    const resourceMetrics = [{ resource: exampleResource(plan, metric.set ?? {}), scopeMetrics: [{ metrics }] }];
    return { signal: 'metrics' as const, bytes: encode('metrics', { resourceMetrics }), receivedMs: ms };
  });
}

function pointOf(
  metric: Metric,
  given: number | number[] | undefined,
  share: number,
  i: number,
  exports: number,
): object {
  const values = [given ?? []].flat();
  const value = (at: number) => values[at % values.length] ?? 0;
  switch (metric.type) {
    case 'gauge':
      return { asDouble: value(i) };
    case 'sum': {
      const each = (metric.count ?? COUNT) / exports;
      let sum = 0;
      for (let at = 0; at <= i; at++) sum += (values.length > 0 ? value(at) : each) * share;
      return { asDouble: sum };
    }
    default: {
      const explicitBounds = metric.unit === 's' ? SECOND_BOUNDS : OTHER_BOUNDS;
      const bucketCounts = new Array<number>(explicitBounds.length + 1).fill(0);
      const count = Math.round(((metric.count ?? COUNT) * share * (i + 1)) / exports);
      let sum = 0;
      for (let at = 0; at < count; at++) {
        const bound = explicitBounds.findIndex((one) => value(at) <= one);
        const bucket = bound < 0 ? explicitBounds.length : bound;
        bucketCounts[bucket] = (bucketCounts[bucket] ?? 0) + 1;
        sum += value(at);
      }
      return { count, sum, bucketCounts, explicitBounds };
    }
  }
}

function times(startMs: number, ms: number) {
  return { startTimeUnixNano: nanoseconds(startMs), timeUnixNano: nanoseconds(ms) };
}

/** What the contract asks of the resource, and what the example sets with `resource.`. */
function exampleResource(plan: ContractPlan, values: Values): object {
  const attributes: Values = { ...resourceOf(plan), ...(plan.per === null ? {} : { [plan.per]: 'example' }) };
  for (const [key, value] of Object.entries(values))
    if (key.startsWith('resource.')) attributes[key.slice('resource.'.length)] = value;
  return { attributes: attributesOf(attributes, 'resource') };
}

function attributesOf(values: Values, of: 'item' | 'resource'): object[] {
  return Object.entries(values)
    .filter(([key]) => of === 'resource' || !key.startsWith('resource.'))
    .map(([key, value]) => ({ key: of === 'item' ? key.replace(/^attr\./, '') : key, value: anyValue(value) }));
}

function anyValue(value: Scalar): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  return Number.isInteger(value) ? { intValue: value } : { doubleValue: value };
}

/** `server` or 2. */
function numberOf(key: string, value: Scalar): number {
  return typeof value === 'string'
    ? Math.max(0, ENUM_NAMES.get(key)?.indexOf(value.toLowerCase()) ?? 0)
    : Number(value);
}

function nanoseconds(ms: number): string {
  return `${Math.round(ms * 1000)}000`;
}

function idOf(i: number, bytes: number): Buffer {
  const id = Buffer.alloc(bytes, 1);
  id.writeUInt32BE(i, bytes - 4);
  return id;
}

function encode(signal: Signal, request: object): Uint8Array {
  const type = requestType(signal);
  return type.encode(type.fromObject(request)).finish();
}
