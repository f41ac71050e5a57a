/** The trace table: marks of new traces at a rising load, and lookups. */
import { createTraceTable, findTrace, TraceTable } from '../../../../src/processors/sample/traceTable.ts';
import type { Bench } from '../../harness.ts';
import { NOW_MS } from '../../world.ts';

const TRACES = 262_144;
const TIMES = 10_000;

export function benches(): Bench[] {
  const handle = createTraceTable(TRACES, 1000, NOW_MS);
  const table = new TraceTable(handle);
  const words = new Uint32Array(handle.memory);
  let next = 1;
  const low = (i: number) => Math.imul(i, 0x9e37_79b1) >>> 0;
  return [
    {
      name: 'sample/traceTable: mark new traces',
      unit: 'trace',
      items: TIMES,
      run() {
        // Time goes on from task to task, so that old traces make room as they do in an agent.
        for (let i = 0; i < TIMES; i++, next++) table.mark(low(next), next, NOW_MS + Math.floor(next / 1000) * 10, 0);
      },
    },
    {
      name: 'sample/traceTable: find',
      unit: 'trace',
      items: TIMES,
      run() {
        for (let i = next - TIMES; i < next; i++) findTrace(words, low(i), i);
      },
    },
  ];
}
