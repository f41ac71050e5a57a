/** The otlp sink's pure half: frames as they lie, and requests that are too large. */
import { createEncoder } from '../../../../src/sinks/otlp/encode.ts';
import type { Bench } from '../../harness.ts';
import { createWorld } from '../../world.ts';

export function benches(): Bench[] {
  const world = createWorld();
  const whole = createEncoder({ max_request_body_size: '4MiB' });
  const split = createEncoder({ max_request_body_size: '16KiB' });
  const { output } = world.parts;
  return [
    {
      name: 'otlp/encode: direct',
      unit: 'frame',
      items: world.frames.length,
      run() {
        for (let i = 0; i < world.frames.length; i++) whole.direct(world.pool, world.frames[i]!);
      },
    },
    {
      name: 'otlp/encode: split by size',
      unit: 'span',
      items: world.items,
      run() {
        split.encode(world.pool, world.frames, 'raw', 'traces', output);
        output.discard();
      },
    },
  ];
}
