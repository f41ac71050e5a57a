/** Encode as a task: the storage sink's pure half on one block. */
import { encode } from '../../../src/worker/encode.ts';
import type { EncodeTask } from '../../../src/worker/tasks.ts';
import type { Bench } from '../harness.ts';
import { createWorld, type World } from '../world.ts';

export function benches(): Bench[] {
  const world = createWorld({ sinks: [{ type: 'storage', config: { format: 'otlp_json', compression: 'none' } }] });
  return [encoding('worker/encode: storage, json', world)];
}

export function encoding(name: string, world: World): Bench {
  const task: EncodeTask = { kind: 'encode', sink: 0, frames: world.frames, stream: 'raw', signal: 'traces' };
  return {
    name,
    unit: 'span',
    items: world.items,
    run() {
      for (const block of encode(world.parts, task).blocks) world.pool.discard(block);
    },
  };
}
