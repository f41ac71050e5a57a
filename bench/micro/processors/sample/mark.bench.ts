/** `sample` before the journal: marking the traces of spans, beside reading them alone, plain, with learned limits, and with eight rules. */
import { readSpan } from '../../../../src/otlp/traces.ts';
import { hashOfOperation, MOST_LIMITS, publishLimits } from '../../../../src/processors/sample/limits.ts';
import { itemsOf } from '../../frames.ts';
import type { Bench } from '../../harness.ts';
import { createWorld, NOW_MS, PROCESSORS, type World } from '../../world.ts';
import { SAMPLE_WITH_RULES } from './select.bench.ts';

export function benches(): Bench[] {
  return [
    marking('sample/mark: read alone', []),
    marking('sample/mark: read and mark', [PROCESSORS.sample]),
    marking('sample/mark: read and mark, with learned limits', [PROCESSORS.sample], learn),
    marking('sample/mark: read and mark, with eight rules', [SAMPLE_WITH_RULES]),
  ];
}

/** A limit for every operation of the spans, which none is over, and for as many others as there may be. */
function learn({ parts }: World, places: Int32Array): void {
  const { reader, span, envelope, traces } = parts.views;
  const limits = new Map<number, number>();
  for (let i = 0; i < places.length; i += 2) {
    readSpan(reader, places[i]!, places[i + 1]!, span);
    limits.set(hashOfOperation(span.nameHash(reader), span.kind, envelope.serviceMix), 1e6);
  }
  for (let i = 1; limits.size < MOST_LIMITS; i++) limits.set(Math.imul(i, 0x9e37_79b1), 10);
  publishLimits(traces!.limits, limits);
}

function marking(
  name: string,
  processors: readonly { type: string; config: unknown }[],
  prepare: (world: World, places: Int32Array) => void = () => undefined,
): Bench {
  const world = createWorld({ processors });
  const { views, measurers } = world.parts;
  const measurer = measurers[0]?.measurer;
  const places = itemsOf(world);
  prepare(world, places);
  const out = new DataView(world.pool.handle.memory);
  const to = world.scratch(1 << 18);
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
      measurer?.write(out, to);
    },
  };
}
