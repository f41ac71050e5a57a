/** Choosing among the items of a frame, without writing what is kept. */
import { FRAME_HEADER_BYTES, payloadLength } from '../../../src/core/block.ts';
import type { Bench } from '../harness.ts';
import { createWorld, NOW_MS } from '../world.ts';

export function benches(): Bench[] {
  const world = createWorld();
  const { parts, chooser, frames, pool } = world;
  const { reader, envelope } = parts.views;
  return [
    {
      name: 'worker/choose: plan of W-std',
      unit: 'span',
      items: world.items,
      mostHeapBytes: 8,
      run() {
        for (let i = 0; i < frames.length; i++) {
          const from = frames[i]! + FRAME_HEADER_BYTES;
          chooser.begin(false, false, NOW_MS);
          parts.reslicer.plan(reader, from, from + payloadLength(pool, frames[i]!), envelope, chooser);
        }
      },
    },
  ];
}
