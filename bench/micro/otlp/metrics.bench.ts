/** Reading metrics of W-mixed: sums and histograms, eight points each. */
import { nextPoint, readMetric } from '../../../src/otlp/metrics.ts';
import { itemsOf } from '../frames.ts';
import type { Bench } from '../harness.ts';
import { createWorld } from '../world.ts';

export function benches(): Bench[] {
  const world = createWorld({ processors: [], workload: 'W-mixed', only: 'metrics' });
  const { reader, metric, point } = world.parts.views;
  const places = itemsOf(world);
  return [
    {
      name: 'otlp/metrics: readMetric and its points',
      unit: 'point',
      items: world.items,
      mostHeapBytes: 8,
      run() {
        for (let i = 0; i < places.length; i += 2) {
          readMetric(reader, places[i]!, places[i + 1]!, metric);
          while (nextPoint(reader, metric, point));
        }
      },
    },
  ];
}
