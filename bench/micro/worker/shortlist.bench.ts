/** Shortlists of observed frames: 10 % base, and the traces that observe has marked. */
import { UNIT_BYTES } from '../../../src/core/block.ts';
import { NO_SHORTLIST } from '../../../src/worker/shortlist.ts';
import type { Bench } from '../harness.ts';
import { createWorld, type World } from '../world.ts';

export function benches(): Bench[] {
  return [
    listing('worker/shortlist: W-std', createWorld()),
    listing('worker/shortlist: W-std, 100 a request', createWorld({ batch: 100 })),
    listing('worker/shortlist: W-small', createWorld({ workload: 'W-small' })),
  ];
}

function listing(name: string, world: World): Bench {
  const { parts, frames } = world;
  const bytes = 4 * UNIT_BYTES;
  const at = world.scratch(bytes);
  world.observe();
  return {
    name,
    unit: 'item',
    items: world.items,
    run() {
      parts.shortlister.begin({ at, end: at + bytes }, frames.length);
      for (let i = 0; i < frames.length; i++) parts.shortlister.add(frames[i]!, i);
      if (parts.shortlister.take()?.frames.includes(NO_SHORTLIST) !== false) throw new Error('no shortlist');
    },
    mostHeapBytes: 8,
  };
}
