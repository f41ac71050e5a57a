/** Walking a block of W-std frames: validation alone, and with what F4 measures. */
import { walkFrame } from '../../../src/worker/walk.ts';
import type { Bench } from '../harness.ts';
import { createWorld, PROCESSORS, type World } from '../world.ts';

export function benches(): Bench[] {
  return [
    walking('worker/walk: validate', createWorld({ processors: [] })),
    walking('worker/walk: summarize', createWorld({ processors: [PROCESSORS.summarize] })),
    walking('worker/walk: detect', createWorld({ processors: [PROCESSORS.detect] })),
    walking('worker/walk: sample', createWorld({ processors: [PROCESSORS.sample] })),
    walking('worker/walk: summarize, detect, sample', createWorld()),
  ];
}

function walking(name: string, world: World): Bench {
  const { parts, walk, frames, observeTask } = world;
  return {
    name,
    unit: 'span',
    items: world.items,
    mostHeapBytes: 8,
    run() {
      for (let i = 0; i < parts.measurers.length; i++) parts.measurers[i]!.measurer.reset(observeTask.receivedMs);
      for (let i = 0; i < frames.length; i++) walkFrame(parts, walk, frames[i]!);
    },
  };
}
