/** Hashes of the names of spans: W-std and W-small. */
import { NameHash } from '../../../src/otlp/spanName.ts';
import { readSpan } from '../../../src/otlp/traces.ts';
import { itemsOf } from '../frames.ts';
import type { Bench } from '../harness.ts';
import { createWorld } from '../world.ts';

export function benches(): Bench[] {
  return (['W-std', 'W-small'] as const).map((workload) => {
    const world = createWorld({ processors: [], workload });
    const { reader, span } = world.parts.views;
    const names: number[] = [];
    const places = itemsOf(world);
    for (let i = 0; i < places.length; i += 2) {
      readSpan(reader, places[i]!, places[i + 1]!, span);
      names.push(span.nameAt, span.nameLength);
    }
    const hash = new NameHash();
    return {
      name: `otlp/spanName: hash, ${workload}`,
      unit: 'span',
      items: names.length / 2,
      mostHeapBytes: 8,
      run() {
        for (let i = 0; i < names.length; i += 2) hash.read(reader.view, reader.bytes, names[i]!, names[i + 1]!);
      },
    };
  });
}
