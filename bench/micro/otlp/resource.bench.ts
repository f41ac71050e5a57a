/** Walking envelopes: down to the items, which are passed over. */
import { visitItems } from '../frames.ts';
import type { Bench } from '../harness.ts';
import { createWorld } from '../world.ts';

export function benches(): Bench[] {
  const world = createWorld({ processors: [] });
  let resources = 0;
  const visitor = {
    enterResource: () => {
      resources++;
    },
    item: () => undefined,
  };
  visitItems(world, visitor);
  const perSpan = { unit: 'span', items: world.items, mostHeapBytes: 8 };
  return [
    { name: 'otlp/resource: frame the spans', ...perSpan, run: () => visitItems(world, visitor) },
    {
      name: 'otlp/resource: the same, by resource',
      unit: 'resource',
      items: resources,
      run: () => visitItems(world, visitor),
    },
  ];
}
