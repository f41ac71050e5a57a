/** `summarize`'s groups as OTLP metrics, named as the Collector's span metrics connector names them. */
import type { HistogramValue, Metric, Point } from '../../core/otel.ts';
import { MetricWriter } from '../../otlp/writeMetrics.ts';
import type { Emission } from '../processor.ts';
import type { Group } from './group.ts';
import { LOG_ROW } from './measure.ts';

/** Groups that are written at once, and by one ResourceMetrics; those of a resource that has more stand in several. */
const PART_GROUPS = 250;

/** One request for all groups, in one frame, so that a crash keeps or loses a flush as a whole. */
export class Flush implements Emission {
  readonly stream = 'summaries';
  readonly signal = 'metrics';
  readonly ends = true;
  readonly timeMs: number;
  readonly items: number;
  readonly #agent: string;
  readonly #writer: MetricWriter;
  readonly #parts: Group[][];

  constructor(groups: readonly Group[], startMs: number, endMs: number, agent: string) {
    this.timeMs = endMs;
    this.items = groups.reduce((items, { identity }) => items + (identity.status === LOG_ROW ? 1 : 2), 0);
    this.#agent = agent;
    this.#writer = new MetricWriter(startMs, endMs);
    this.#parts = partsOf(groups);
  }

  prepare(): boolean {
    const part = this.#parts.pop();
    if (part === undefined) return false;
    const attributes = { ...part[0]?.identity.resource, 'plumbline.agent': this.#agent };
    this.#writer.resource(attributes, metricsOf(part));
    return true;
  }

  get bytes(): Uint8Array {
    while (this.prepare());
    return this.#writer.take();
  }
}

/** By resource. */
function partsOf(groups: readonly Group[]): Group[][] {
  const parts: Group[][] = [];
  const open = new Map<string, Group[]>();
  for (const group of groups) {
    const key = group.identity.resourceKey;
    const part = open.get(key);
    if (part !== undefined && part.length < PART_GROUPS) part.push(group);
    else {
      const begun = [group];
      open.set(key, begun);
      parts.push(begun);
    }
  }
  return parts;
}

function metricsOf(groups: Group[]): Metric[] {
  const calls: Point<number>[] = [];
  const durations: Point<HistogramValue>[] = [];
  const records: Point<number>[] = [];
  for (const { identity, histogram } of groups) {
    const { attributes } = identity;
    if (identity.status === LOG_ROW) {
      records.push({ attributes, value: histogram.count });
      continue;
    }
    calls.push({ attributes, value: histogram.count });
    durations.push({ attributes, value: histogram });
  }
  const all: Metric[] = [
    {
      kind: 'sum',
      name: 'traces.span.metrics.calls',
      unit: '{call}',
      description: 'Spans by operation',
      points: calls,
    },
    {
      kind: 'histogram',
      name: 'traces.span.metrics.duration',
      unit: 'ms',
      description: 'Duration of spans',
      points: durations,
    },
    {
      kind: 'sum',
      name: 'plumbline.log.records',
      unit: '{record}',
      description: 'Log records by severity',
      points: records,
    },
  ];
  return all.filter(({ points }) => points.length > 0);
}
