/**
 * Runs the micro benches, all or those whose path contains one of the arguments.
 *
 * --where says which functions allocated, --bounded runs only those with a bound on their allocation.
 *
 *   node --expose-gc bench/micro/run.ts [--json] [--quick] [--bounded] [--where] [worker/walk otlp/ ...]
 */
import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Bench, type Effort, formatMeasurement, measure, USUAL } from './harness.ts';
import { findAllocations } from './where.ts';

const QUICK: Effort = { rounds: 3, roundMs: 60, heapItems: 100_000 };

const { values, positionals } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    bounded: { type: 'boolean', default: false },
    where: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const here = fileURLToPath(new URL('.', import.meta.url));
const files = globSync('**/*.bench.ts', { cwd: here })
  .sort()
  .filter((file) => positionals.length === 0 || positionals.some((part) => file.includes(part)));
if (files.length === 0) throw new Error(`no micro bench matches ${positionals.join(', ')}`);
if (globalThis.gc === undefined) console.error('without --expose-gc no allocation is measured');

for (const file of files) {
  // Every file named *.bench.ts exports this; a missing one fails here, with its name in the stack.
  const { benches } = (await import(`./${file}`)) as { benches: () => Bench[] };
  for (const bench of benches()) {
    if (values.bounded && bench.mostHeapBytes === undefined) continue;
    const measurement = measure(bench, values.quick ? QUICK : USUAL);
    console.log(
      values.json
        ? JSON.stringify({ ...measurement, mostHeapBytes: bench.mostHeapBytes ?? null })
        : formatMeasurement(measurement),
    );
    if (values.where) for (const line of await findAllocations(bench)) console.log(line);
  }
}
