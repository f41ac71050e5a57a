/** Three contracts of three signals over spans of 16 services, read and counted. */
import { readSpan } from '../../../src/otlp/traces.ts';
import { visitItems } from '../frames.ts';
import type { Bench } from '../harness.ts';
import { createWorld, NOW_MS, PROCESSORS } from '../world.ts';

export function benches(): Bench[] {
  const world = createWorld({ processors: [PROCESSORS.detect] });
  const { views, measurers } = world.parts;
  const measurer = measurers[0]!.measurer;
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
  ];
}
