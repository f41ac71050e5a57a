/** `sample` before the journal: marking the traces of spans, beside reading them alone, plain and with eight rules. */
import { readSpan } from '../../../../src/otlp/traces.ts';
import { itemsOf } from '../../frames.ts';
import type { Bench } from '../../harness.ts';
import { createWorld, NOW_MS, PROCESSORS } from '../../world.ts';
import { SAMPLE_WITH_RULES } from './select.bench.ts';

export function benches(): Bench[] {
  return [
    marking('sample/mark: read alone', []),
    marking('sample/mark: read and mark', [PROCESSORS.sample]),
    marking('sample/mark: read and mark, with eight rules', [SAMPLE_WITH_RULES]),
  ];
}

function marking(name: string, processors: readonly { type: string; config: unknown }[]): Bench {
  const world = createWorld({ processors });
  const { views, measurers } = world.parts;
  const measurer = measurers[0]?.measurer;
  const places = itemsOf(world);
  return {
    name,
    unit: 'span',
    items: world.items,
    mostHeapBytes: 8,
    run() {
      measurer?.reset(NOW_MS);
      for (let i = 0; i < places.length; i += 2) {
        readSpan(views.reader, places[i]!, places[i + 1]!, views.span);
        measurer?.span?.(views.span, views.envelope);
      }
    },
  };
}
