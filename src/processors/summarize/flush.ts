/** `summarize`'s groups as OTLP metrics, named as the Collector's span metrics connector names them. */
import type { HistogramValue, Metric, Point } from '../../core/otel.ts';
import { writeMetrics } from '../../otlp/writeMetrics.ts';
import type { Emission } from '../processor.ts';
import type { Group } from './group.ts';
import { LOG_ROW } from './measure.ts';

/** One request for all groups, in one frame, so that a crash keeps or loses a flush as a whole. */
export function flushSummaries(groups: Group[], startMs: number, endMs: number, agent: string): Emission[] {
  if (groups.length === 0) return [];
  const byResource = new Map<string, Group[]>();
  for (const group of groups) {
    const key = group.identity.resourceKey;
    const list = byResource.get(key);
    if (list === undefined) byResource.set(key, [group]);
    else list.push(group);
  }
  let items = 0;
  const resources = [...byResource.values()].map((list) => {
    const metrics = metricsOf(list);
    for (const { points } of metrics) items += points.length;
    return { attributes: { ...list[0]?.identity.resource, 'plumbline.agent': agent }, metrics };
  });
  return [
    {
      stream: 'summaries',
      signal: 'metrics',
      bytes: writeMetrics(resources, startMs, endMs),
      items,
      timeMs: endMs,
      ends: true,
    },
  ];
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
