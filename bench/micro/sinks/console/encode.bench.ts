/** The console sink's pure half: log records of W-mixed as lines. */
import { createEncoder } from '../../../../src/sinks/console/encode.ts';
import type { Bench } from '../../harness.ts';
import { createWorld } from '../../world.ts';

export function benches(): Bench[] {
  const world = createWorld({ workload: 'W-mixed', only: 'logs', batch: 50 });
  const encoder = createEncoder();
  const { output } = world.parts;
  return [
    {
      name: 'console/encode: lines',
      unit: 'record',
      items: world.items,
      run() {
        encoder.encode(world.pool, world.frames, 'events', 'logs', output);
        output.discard();
      },
    },
  ];
}
