/** A look-back asks of each item whether the derived journal has it. */
import { readSpan } from '../../../src/otlp/traces.ts';
import { createSeen, Seen } from '../../../src/worker/seen.ts';
import { itemsOf } from '../frames.ts';
import type { Bench } from '../harness.ts';
import { createWorld } from '../world.ts';

export function benches(): Bench[] {
  const world = createWorld();
  const { reader, span, pool } = world.parts.views;
  const places = itemsOf(world);
  const seen = new Seen(createSeen(world.items), pool.bytes);
  for (let i = 0; i < places.length; i += 20) {
    readSpan(reader, places[i]!, places[i + 1]!, span);
    seen.addSpan(span);
  }
  return [
    {
      name: 'worker/seen: read a span and ask',
      unit: 'span',
      items: world.items,
      run() {
        for (let i = 0; i < places.length; i += 2) {
          readSpan(reader, places[i]!, places[i + 1]!, span);
          seen.hasSpan(span);
        }
      },
    },
  ];
}
