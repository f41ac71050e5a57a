/** Decisions by shortlists, as bench/micro/worker/select.bench.ts has them by whole frames. */
import { UNIT_BYTES } from '../../../src/core/block.ts';
import { selectShort } from '../../../src/worker/selectShort.ts';
import type { Bench } from '../harness.ts';
import { createWorld, type World } from '../world.ts';

export function benches(): Bench[] {
  return [
    selecting('worker/selectShort: W-std', createWorld()),
    selecting('worker/selectShort: W-std, 100 a request', createWorld({ batch: 100 })),
    selecting('worker/selectShort: W-small', createWorld({ workload: 'W-small' })),
  ];
}

function selecting(name: string, world: World): Bench {
  const { parts, pool, chooser, selectTask } = world;
  const bytes = 4 * UNIT_BYTES;
  const at = world.scratch(bytes);
  world.observe();
  parts.shortlister.begin({ at, end: at + bytes }, world.frames.length);
  world.frames.forEach((frame, i) => {
    parts.shortlister.add(frame, i);
  });
  const task = { ...selectTask, frames: parts.shortlister.take()?.frames ?? [], isShort: true };
  return {
    name,
    unit: 'item',
    items: world.items,
    run() {
      const { block, unsure } = selectShort(parts, chooser, task);
      if (unsure?.length !== 0) throw new Error('nothing else is known of the traces');
      pool.discard(block);
    },
    mostHeapBytes: 8,
  };
}
