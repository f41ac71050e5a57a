/**
 * `summarize` on main: merging what one block measured, again and again; and what many blocks of thousands of groups did, so that each span
 * meets a histogram that other work has pushed out of the near caches.
 */
import type { BlockPool } from '../../../../src/core/block.ts';
import { createObserver } from '../../../../src/processors/summarize/merge.ts';
import { contextOf } from '../../../../test/worker/world.ts';
import { createPayloads } from '../../../payloads.ts';
import type { Bench } from '../../harness.ts';
import { createWorld, layOut, NOW_MS, PROCESSORS } from '../../world.ts';

const EVERY_MS = 10_000;
const MAX_GROUPS = 5000;
const BLOCKS = 24;
/** Blocks between two flushes: 600,000 spans, as many as ten seconds may bring. */
const BLOCKS_A_FLUSH = 380;

interface Measured {
  at: number;
  end: number;
}

export function benches(): Bench[] {
  const warm = (['W-std', 'W-small'] as const).map((workload) => {
    const world = createWorld({ processors: [PROCESSORS.summarize], workload });
    const measurer = world.parts.measurers[0]!.measurer;
    world.observe();
    const at = world.scratch(1 << 20);
    const out = new DataView(world.pool.handle.memory);
    const end = measurer.write(out, at);
    const observer = createObserver(EVERY_MS, MAX_GROUPS, contextOf(world.pool), null);
    return {
      name: `summarize/merge: ${workload}`,
      unit: 'span',
      items: world.items,
      run: () => observer.merge(out, at, end, NOW_MS),
    };
  });
  const { pool, blocks, items } = measureBlocks(BLOCKS);
  const out = new DataView(pool.handle.memory);
  const observer = createObserver(EVERY_MS, MAX_GROUPS, contextOf(pool), null);
  let merged = 0;
  return [
    ...warm,
    {
      name: `summarize/merge: W-std, ${BLOCKS} blocks in turns, flushed`,
      unit: 'span',
      items,
      run() {
        for (const { at, end } of blocks) observer.merge(out, at, end, NOW_MS);
        merged += BLOCKS;
        if (merged < BLOCKS_A_FLUSH) return;
        merged = 0;
        observer.tick(NOW_MS + EVERY_MS, false);
      },
    },
  ];
}

/** What the measurer made of `count` different blocks of the standard workload. */
function measureBlocks(count: number): { pool: BlockPool; blocks: Measured[]; items: number } {
  const world = createWorld({ processors: [PROCESSORS.summarize] });
  const { pool, parts, observeTask } = world;
  const out = new DataView(pool.handle.memory);
  let items = 0;
  const blocks = Array.from({ length: count }, (_, i) => {
    const laid = layOut(pool, createPayloads({ workload: 'W-std', seed: i, count: 4 }));
    items += laid.items;
    observeTask.frames = laid.frames;
    world.observe();
    const at = world.scratch(1 << 18);
    return { at, end: parts.measurers[0]!.measurer.write(out, at) };
  });
  return { pool, blocks, items };
}
