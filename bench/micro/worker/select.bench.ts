/** Select as a task: the trace table is filled with what observe marked, 10 % base, errors and slow traces kept. */
import type { Bench } from '../harness.ts';
import { createWorld, type World } from '../world.ts';

export function benches(): Bench[] {
  return [
    selecting('worker/select: W-std', createWorld(), 8),
    selecting('worker/select: W-std, 100 a request', createWorld({ batch: 100 }), 8),
    selecting('worker/select: W-small', createWorld({ workload: 'W-small' }), 8),
    selecting('worker/select: W-mixed', createWorld({ workload: 'W-mixed' })),
  ];
}

function selecting(name: string, world: World, mostHeapBytes?: number): Bench {
  return {
    name,
    unit: 'item',
    items: world.items,
    run: world.select,
    ...(mostHeapBytes === undefined ? {} : { mostHeapBytes }),
  };
}
