/** `flag` in the worker: what it adds to a walk, as the walk with it; and writing what it measured. */
import { readSpan } from '../../../../src/otlp/traces.ts';
import { visitItems } from '../../frames.ts';
import type { Bench } from '../../harness.ts';
import { createWorld, NOW_MS } from '../../world.ts';

const FLAG = { type: 'flag', config: { metrics: ['queue.depth'] } } as const;

export function benches(): Bench[] {
  const world = createWorld({ processors: [FLAG] });
  const { views, measurers } = world.parts;
  const measurer = measurers[0]!.measurer;
  const visit = () =>
    visitItems(world, {
      enterResource: (envelope) => measurer.enterResource?.(envelope),
      item: (reader, at, end, envelope) => {
        readSpan(reader, at, end, views.span);
        measurer.span?.(views.span, envelope);
      },
    });
  const out = new DataView(world.pool.handle.memory);
  const to = world.scratch(1 << 20);
  measurer.reset(NOW_MS);
  visit();
  return [
    { name: 'flag/measure: write', unit: 'span', items: world.items, run: () => measurer.write(out, to) },
    {
      name: 'flag/measure: read and measure',
      unit: 'span',
      items: world.items,
      mostHeapBytes: 8,
      run() {
        measurer.reset(NOW_MS);
        visit();
      },
    },
  ];
}
