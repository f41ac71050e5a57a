/** The storage sink's pure half: whether a frame leaves as it lies, and a block as lines of JSON. */
import { createEncoder } from '../../../../src/sinks/storage/encode.ts';
import type { Bench } from '../../harness.ts';
import { createWorld } from '../../world.ts';

export function benches(): Bench[] {
  const world = createWorld();
  const direct = createEncoder({ format: 'otlp_proto' });
  const json = createEncoder({ format: 'otlp_json' });
  const { output } = world.parts;
  return [
    {
      name: 'storage/encode: direct',
      unit: 'frame',
      items: world.frames.length,
      run() {
        for (let i = 0; i < world.frames.length; i++) direct.direct(world.pool, world.frames[i]!);
      },
    },
    {
      name: 'storage/encode: json',
      unit: 'span',
      items: world.items,
      run() {
        json.encode(world.pool, world.frames, 'raw', 'traces', output);
        output.discard();
      },
    },
  ];
}
