/** What a worker counts for contracts: spans of 16 services under three contracts of three signals; data points, each under one signal. */
import type { ContractSource } from '../../../src/contracts/contract.ts';
import type { ContractPlan } from '../../../src/contracts/plan.ts';
import { planContract } from '../../../src/contracts/planner.ts';
import { nextPoint, readMetric } from '../../../src/otlp/metrics.ts';
import { readSpan } from '../../../src/otlp/traces.ts';
import { SERVICES, serviceName } from '../../shapes.ts';
import { visitItems } from '../frames.ts';
import type { Bench } from '../harness.ts';
import { createWorld, NOW_MS, PROCESSORS } from '../world.ts';

/** Half of the points are of counters, whose rate is measured, half of histograms, which are asked for what is slow. */
function overMetrics(service: string): ContractPlan {
  const named = (name: string) => Array.from({ length: 64 }, (_, i) => `${name}.${i}`);
  const source = {
    contract: 'v1',
    service,
    signals: [
      { name: 'rate', metric: named('app.requests'), rate: true, breached: 'below 1/s' },
      { name: 'slow', metric: named('http.server.request.duration'), slower_than: '300ms', breached: 'above 5%' },
    ],
    window: '1m',
    for: '10s',
    recover_after: '1m',
    no_data: 'freeze',
    late_after: '7d',
    on_breach: { keep: '100%', look_back: '2m', budget: '20MiB/min' },
  };
  // What the schema's defaults would make of it.
  return planContract(source as unknown as ContractSource).plan;
}

export function benches(): Bench[] {
  const world = createWorld({ processors: [PROCESSORS.detect] });
  const { views, measurers } = world.parts;
  const measurer = measurers[0]!.measurer;
  const contracts = Array.from({ length: SERVICES }, (_, i) => overMetrics(serviceName(i)));
  const metrics = createWorld({ processors: [PROCESSORS.detect], workload: 'W-metrics', contracts });
  const ofMetrics = metrics.parts.measurers[0]!.measurer;
  const { metric, point } = metrics.parts.views;
  return [
    {
      name: 'contracts/measure: read and count',
      unit: 'span',
      items: world.items,
      mostHeapBytes: 8,
      run() {
        measurer.reset(NOW_MS);
        visitItems(world, {
          enterResource: (envelope) => measurer.enterResource?.(envelope),
          item: (reader, at, end, envelope) => {
            readSpan(reader, at, end, views.span);
            measurer.span?.(views.span, envelope);
          },
        });
      },
    },
    {
      name: 'contracts/measure: read and count points',
      unit: 'point',
      items: metrics.items,
      run() {
        ofMetrics.reset(NOW_MS);
        visitItems(metrics, {
          enterResource: (envelope) => ofMetrics.enterResource?.(envelope),
          item: (reader, at, end, envelope) => {
            readMetric(reader, at, end, metric);
            ofMetrics.metric?.(metric, envelope);
            while (nextPoint(reader, metric, point)) ofMetrics.point?.(point, metric, envelope);
          },
        });
      },
    },
  ];
}
