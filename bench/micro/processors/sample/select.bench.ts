/** `sample` after the journal: the decision about each span, its trace looked up in a filled table, beside the bare walk that finds the spans. */
import { FRAME_HEADER_BYTES, payloadLength } from '../../../../src/core/block.ts';
import { type Chooser, DROP } from '../../../../src/otlp/reslice.ts';
import { itemsOf } from '../../frames.ts';
import type { Bench } from '../../harness.ts';
import { createWorld, NOW_MS, PROCESSORS, type World } from '../../world.ts';

/** Shares that every span is held against; on spans they are matched before the journal, on log records here. */
const RULES = Array.from({ length: 8 }, (_, i) => ({
  name: `rule ${i}`,
  of: 'spans' as const,
  where: { 'http.route': `/nothing/${i}` },
  keep: '50%',
}));

export function benches(): Bench[] {
  const plain = createWorld();
  const ruled = createWorld({ sample: { rules: RULES } });
  const budgeted = createWorld({ sample: { budget: '1GiB/min' } });
  return [
    walking('sample/select: bare walk that frames the spans', plain),
    deciding('sample/select: decide', plain),
    deciding('sample/select: decide, with eight rules', ruled),
    deciding('sample/select: decide, with a budget', budgeted),
  ];
}

function walking(name: string, { parts, pool, frames, items }: World): Bench {
  const { reader, envelope } = parts.views;
  const nothing: Chooser = { choose: () => DROP, copy: (_bytes, _at, _end, _index, to) => to };
  return {
    name,
    unit: 'span',
    items,
    mostHeapBytes: 8,
    run() {
      for (let i = 0; i < frames.length; i++) {
        const from = frames[i]! + FRAME_HEADER_BYTES;
        parts.reslicer.plan(reader, from, from + payloadLength(pool, frames[i]!), envelope, nothing);
      }
    },
  };
}

function deciding(name: string, world: World): Bench {
  const { selectors, views } = world.parts;
  const selector = selectors[0]!;
  const places = itemsOf(world);
  return {
    name,
    unit: 'span',
    items: world.items,
    mostHeapBytes: 8,
    run() {
      selector.begin(false, NOW_MS);
      for (let i = 0; i < places.length; i += 2) selector.span(places[i]!, places[i + 1]!, views.envelope);
    },
  };
}

export const SAMPLE_WITH_RULES = { ...PROCESSORS.sample, config: { ...PROCESSORS.sample.config, rules: RULES } };
