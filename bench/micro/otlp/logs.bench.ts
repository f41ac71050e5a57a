/** Reading log records of W-mixed. */
import { readLogRecord } from '../../../src/otlp/logs.ts';
import { itemsOf } from '../frames.ts';
import type { Bench } from '../harness.ts';
import { createWorld } from '../world.ts';

export function benches(): Bench[] {
  const world = createWorld({ processors: [], workload: 'W-mixed', only: 'logs' });
  const { reader, log } = world.parts.views;
  const places = itemsOf(world);
  return [
    {
      name: 'otlp/logs: readLogRecord',
      unit: 'record',
      items: places.length / 2,
      mostHeapBytes: 8,
      run() {
        for (let i = 0; i < places.length; i += 2) readLogRecord(reader, places[i]!, places[i + 1]!, log);
      },
    },
  ];
}
