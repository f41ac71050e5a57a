/** Writing a flush of summaries: 2,500 operations of 16 services, each a counter and a histogram. */
import type { Attributes, HistogramValue, Metric } from '../../../src/core/otel.ts';
import { writeMetrics } from '../../../src/otlp/writeMetrics.ts';
import { createRandom } from '../../random.ts';
import type { Bench } from '../harness.ts';

const SERVICES = 16;
const OPERATIONS = 156;
const END_MS = 1_700_000_010_000;

export function benches(): Bench[] {
  const random = createRandom(5);
  const words = { unit: 'ms', description: 'Duration of spans' };
  const resources = Array.from({ length: SERVICES }, (_, service) => {
    const points = Array.from({ length: OPERATIONS }, (_, i) => ({
      attributes: {
        'span.name': `GET /things/${i}`,
        'span.kind': 'SPAN_KIND_SERVER',
        'status.code': 'STATUS_CODE_UNSET',
      },
      value: histogram(() => random.below(50)),
    }));
    const metrics: Metric[] = [
      { kind: 'sum', name: 'calls', ...words, points: points.map((point) => ({ ...point, value: point.value.count })) },
      { kind: 'histogram', name: 'duration', ...words, points },
    ];
    return { attributes: { 'service.name': `service-${service}` } satisfies Attributes, metrics };
  });
  return [
    {
      name: 'otlp/writeMetrics: a flush',
      unit: 'operation',
      items: SERVICES * OPERATIONS,
      run() {
        writeMetrics(resources, END_MS - 10_000, END_MS);
      },
    },
  ];
}

function histogram(next: () => number): HistogramValue {
  const counts = Array.from({ length: 100 }, next);
  const count = counts.reduce((sum, one) => sum + one, 0);
  return { count, sum: count * 3, min: 0.2, max: 900, scale: 4, zeroCount: 0, offset: -20, counts };
}
