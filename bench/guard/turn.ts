/**
 * A checkout's micro benches for the guard, which has two of these processes measure in turns, some milliseconds each: what the machine does
 * meanwhile falls on both alike.
 *
 *   node bench/guard/turn.ts DIRECTORY     stdin: `ID names FILE`, `ID warm INDEX`, `ID time INDEX`; stdout: `ID` and the answer as JSON
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Bench, slowedRun } from '../micro/harness.ts';

const SLOT_MS = 15;
/** Warmed up in stretches until one is hardly faster than the best before it: some compile at once, some flush now and then. */
const WARM_MS = 50;
const LEAST_WARM = 3;
const MOST_WARM = 12;
const FASTER = 0.97;

const [directory = '.'] = process.argv.slice(2);
let benches: Bench[] = [];

for await (const line of createInterface({ input: process.stdin })) {
  const [id = '', what, argument = ''] = line.split(' ');
  console.log(`${id} ${JSON.stringify(await answer(what, argument))}`);
}

async function answer(what: string | undefined, argument: string): Promise<unknown> {
  if (what === 'names') {
    const file = join(directory, 'bench/micro', argument);
    // Every file named *.bench.ts exports this.
    benches = existsSync(file) ? ((await import(file)) as { benches(): Bench[] }).benches() : [];
    return benches.map(({ name }) => name);
  }
  const bench = benches[Number(argument)] as Bench;
  return what === 'warm' ? warm(bench) : timeFor(bench, SLOT_MS);
}

function warm(bench: Bench): number {
  let best = Infinity;
  for (let done = 1; ; done++) {
    const ns = timeFor(bench, WARM_MS);
    if (done >= MOST_WARM || (done >= LEAST_WARM && ns > best * FASTER)) return ns;
    best = Math.min(best, ns);
  }
}

/** Nanoseconds an item over about `ms`, by the clock: the kernel counts a thread's CPU time in larger steps than these. */
function timeFor(bench: Bench, ms: number): number {
  const begun = performance.now();
  let runs = 0;
  let elapsed = 0;
  do {
    slowedRun(bench);
    runs++;
    elapsed = performance.now() - begun;
  } while (elapsed < ms);
  return (elapsed * 1e6) / (runs * bench.items);
}
