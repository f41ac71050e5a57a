/** The storage sink's pure half: whether a frame leaves as it lies, and a block compressed. */
import { createEncoder } from '../../../../src/sinks/storage/encode.ts';
import type { Bench } from '../../harness.ts';
import { createWorld } from '../../world.ts';

export function benches(): Bench[] {
  const world = createWorld();
  const direct = createEncoder({ format: 'otlp_proto', compression: 'none' });
  const squeezing = (['gzip', 'zstd'] as const).map((compression): Bench => {
    const encoder = createEncoder({ format: 'otlp_proto', compression });
    const { output } = world.parts;
    return {
      name: `storage/encode: ${compression}`,
      unit: 'span',
      items: world.items,
      run() {
        encoder.encode(world.pool, world.frames, 'raw', 'traces', output);
        output.discard();
      },
    };
  });
  return [
    {
      name: 'storage/encode: direct',
      unit: 'frame',
      items: world.frames.length,
      run() {
        for (let i = 0; i < world.frames.length; i++) direct.direct(world.pool, world.frames[i]!);
      },
    },
    ...squeezing,
  ];
}
