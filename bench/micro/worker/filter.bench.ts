/** Filter as a task: a route of 50 is dropped from raw, and a condition that no span meets. */
import { ItemChooser } from '../../../src/worker/choose.ts';
import { filter } from '../../../src/worker/filter.ts';
import type { Bench } from '../harness.ts';
import { createWorld } from '../world.ts';

export function benches(): Bench[] {
  return [
    filtering('worker/filter: W-std, one operation of 50', 'GET /api/v1/users/{id}/op-07'),
    filtering('worker/filter: W-std, nothing', 'none'),
  ];
}

function filtering(name: string, operation: string): Bench {
  const drop = [{ of: 'spans', where: { 'span.name': operation } }];
  const { parts, pool, frames, items } = createWorld({
    processors: [{ type: 'filter', config: { drop, streams: ['raw'] } }],
  });
  const chooser = new ItemChooser(parts.views, parts.rawSelectors);
  return {
    name,
    unit: 'item',
    items,
    run() {
      for (const block of filter(parts, chooser, { kind: 'filter', frames }).blocks) pool.discard(block);
    },
    mostHeapBytes: 8,
  };
}
