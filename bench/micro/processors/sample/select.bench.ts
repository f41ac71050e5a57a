/** `sample` after the journal: the decision about each span, its trace looked up in a filled table. */
import { itemsOf } from '../../frames.ts';
import type { Bench } from '../../harness.ts';
import { createWorld, NOW_MS } from '../../world.ts';

export function benches(): Bench[] {
  const world = createWorld();
  const { selectors, views } = world.parts;
  const selector = selectors[0]!;
  const places = itemsOf(world);
  return [
    {
      name: 'sample/select: decide',
      unit: 'span',
      items: world.items,
      mostHeapBytes: 8,
      run() {
        selector.begin(false, NOW_MS);
        for (let i = 0; i < places.length; i += 2) selector.span(places[i]!, places[i + 1]!, views.envelope);
      },
    },
  ];
}
