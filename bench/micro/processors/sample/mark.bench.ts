/** `sample` before the journal: marking the traces of spans that have been read. */
import { readSpan } from '../../../../src/otlp/traces.ts';
import { itemsOf } from '../../frames.ts';
import type { Bench } from '../../harness.ts';
import { createWorld, NOW_MS, PROCESSORS } from '../../world.ts';

export function benches(): Bench[] {
  const world = createWorld({ processors: [PROCESSORS.sample] });
  const { views, measurers } = world.parts;
  const measurer = measurers[0]!.measurer;
  const places = itemsOf(world);
  return [
    {
      name: 'sample/mark: read and mark',
      unit: 'span',
      items: world.items,
      mostHeapBytes: 8,
      run() {
        measurer.reset(NOW_MS);
        for (let i = 0; i < places.length; i += 2) {
          readSpan(views.reader, places[i]!, places[i + 1]!, views.span);
          measurer.span!(views.span, views.envelope);
        }
      },
    },
  ];
}
