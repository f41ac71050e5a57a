/** Observe as a task: one block of frames, with and without editors. */
import { Field } from '../../../src/core/block.ts';
import type { Bench } from '../harness.ts';
import { createWorld, PROCESSORS, type World } from '../world.ts';

export function benches(): Bench[] {
  const { summarize, detect, sample, enrich } = PROCESSORS;
  return [
    observing('worker/observe: F4 on W-std', createWorld()),
    observing('worker/observe: F4 on W-std, 100 a request', createWorld({ batch: 100 })),
    observing('worker/observe: F4 on W-small', createWorld({ workload: 'W-small' })),
    observing('worker/observe: F4 on W-mixed', createWorld({ workload: 'W-mixed' })),
    observing('worker/observe: F4 with enrich', createWorld({ processors: [enrich, summarize, detect, sample] })),
  ];
}

function observing(name: string, world: World): Bench {
  const run = () => {
    world.observe();
    // Editors leave a void where they took a frame from.
    if (world.parts.edits !== null) for (const at of world.frames) world.pool.bytes[at + Field.flags] = 0;
  };
  return { name, unit: 'item', items: world.items, run };
}
