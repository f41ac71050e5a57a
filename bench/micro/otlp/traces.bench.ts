/** Reading spans: W-std and W-small. */
import { readSpan } from '../../../src/otlp/traces.ts';
import { itemsOf } from '../frames.ts';
import type { Bench } from '../harness.ts';
import { createWorld } from '../world.ts';

export function benches(): Bench[] {
  return (['W-std', 'W-small'] as const).map((workload) => {
    const world = createWorld({ processors: [], workload });
    const { reader, span } = world.parts.views;
    const places = itemsOf(world);
    return {
      name: `otlp/traces: readSpan, ${workload}`,
      unit: 'span',
      items: places.length / 2,
      mostHeapBytes: 8,
      run() {
        for (let i = 0; i < places.length; i += 2) readSpan(reader, places[i]!, places[i + 1]!, span);
      },
    };
  });
}
