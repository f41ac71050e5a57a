/**
 * Fuzzes until the time or the number of inputs is up; what is found is written to test/fuzz/corpus, where a test replays it for ever.
 *
 *   npm run fuzz -- --minutes 10 [--inputs 10000000] [--target wire|json|http]... [--seed 1]
 *
 * Prints for each target: seed, inputs, how many were taken, the longest single input (http: the longest turn of the event loop, by the CPU
 * time of the thread, for what others on the machine take is no fault of an input), and the growth of memory after the warm-up.
 */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createRandom, type Random } from '../../bench/random.ts';
import { startHttpTarget } from './http.ts';
import { httpSeeds, type Input, jsonSeeds, mutate, protobufSeeds } from './mutate.ts';
import { MOST_STALL_MS, TARGETS } from './targets.ts';

const NAMES = ['wire', 'json', 'http'] as const;
type Name = (typeof NAMES)[number];
const SEEDS = { wire: protobufSeeds, json: jsonSeeds, http: httpSeeds };
const SEED_COUNT = 300;
const WARM_UP_INPUTS = 20_000;
const SOCKETS = 64;
const MOST_FINDS = 10;
/** Grown by more than this is a find: caches fill, a leak goes on. */
const MOST_GROWTH_BYTES = 32 << 20;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    inputs: { type: 'string', default: 'Infinity' },
    target: { type: 'string', multiple: true, default: [...NAMES] },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
  },
});
const seed = Number(values.seed);
let finds = 0;
setFlagsFromString('--expose-gc');
// The only way to it without a flag on the command line.
const collect = runInNewContext('gc') as () => void;

interface Report {
  inputs: number;
  taken: number;
  longestMs: number;
  grownBytes: number;
}

for (const name of NAMES.filter((one) => values.target.includes(one))) {
  const random = createRandom(seed);
  const inputs = SEEDS[name](random, SEED_COUNT);
  const limits = { untilMs: Date.now() + Number(values.minutes) * 60_000, inputs: Number(values.inputs) };
  const {
    inputs: count,
    taken,
    longestMs,
    grownBytes,
  } = await (name === 'http' ? fuzzHttp(random, inputs, limits) : fuzz(name, random, inputs, limits));
  const grown = (grownBytes / 2 ** 20).toFixed(1);
  console.log(
    `${name}: seed ${seed}, ${count} inputs, ${taken} taken, longest stall ${longestMs.toFixed(1)} ms, memory grew by ${grown} MiB`,
  );
  if (longestMs > MOST_STALL_MS || grownBytes > MOST_GROWTH_BYTES) process.exitCode = 1;
}

interface Limits {
  untilMs: number;
  inputs: number;
}

async function fuzz(
  name: 'wire' | 'json',
  random: Random,
  seeds: Input[],
  { untilMs, inputs }: Limits,
): Promise<Report> {
  const target = TARGETS[name]();
  const report: Report = { inputs: 0, taken: 0, longestMs: 0, grownBytes: 0 };
  let heldBytes = 0;
  while (report.inputs < inputs && (report.inputs % 256 !== 0 || Date.now() < untilMs)) {
    const from = random.pick(seeds);
    const input = { signal: from.signal, bytes: mutate(random, from.bytes, seeds) };
    const startMs = performance.now();
    try {
      if (target(input) === 'taken') report.taken++;
    } catch (error) {
      keep(name, input, error);
    }
    const tookMs = performance.now() - startMs;
    report.inputs++;
    if (report.inputs === WARM_UP_INPUTS) heldBytes = held();
    // The warm-up compiles, which is not the input's fault.
    if (report.inputs <= WARM_UP_INPUTS || tookMs <= report.longestMs) continue;
    report.longestMs = tookMs > MOST_STALL_MS ? Math.max(report.longestMs, confirm(name, target, input)) : tookMs;
  }
  report.grownBytes = report.inputs < WARM_UP_INPUTS ? 0 : held() - heldBytes;
  return report;
}

/** On a busy machine the scheduler stalls us, too: an input is slow when it is slow again. */
function confirm(name: Name, target: (input: Input) => unknown, input: Input): number {
  const times = Array.from({ length: 5 }, () => {
    const startMs = performance.now();
    target(input);
    return performance.now() - startMs;
  });
  const fastest = Math.min(...times);
  if (fastest > MOST_STALL_MS) keep(name, input, new Error(`it takes ${fastest.toFixed(1)} ms`));
  return fastest;
}

async function fuzzHttp(random: Random, seeds: Input[], { untilMs, inputs }: Limits): Promise<Report> {
  const { server, run } = await startHttpTarget();
  const report: Report = { inputs: 0, taken: 0, longestMs: 0, grownBytes: 0 };
  const work = async (share: number) => {
    let left = share;
    while (left-- > 0 && Date.now() < untilMs) {
      const from = random.pick(seeds);
      const input = { signal: from.signal, bytes: mutate(random, from.bytes, seeds) };
      report.inputs++;
      await run(input).then(
        () => report.taken++,
        (error: unknown) => keep('http', input, error),
      );
    }
  };
  await Promise.all(Array.from({ length: SOCKETS }, () => work(50)));
  const heldBytes = held();
  const longest = watchTurns();
  await Promise.all(Array.from({ length: SOCKETS }, () => work(inputs / SOCKETS)));
  report.longestMs = longest();
  await server.close(5000);
  report.grownBytes = held() - heldBytes;
  return report;
}

/** From now until it is asked: the longest turn of the event loop, CPU milliseconds. */
function watchTurns(): () => number {
  let longestMs = 0;
  let before = process.threadCpuUsage();
  const timer = setInterval(() => {
    const { user, system } = process.threadCpuUsage(before);
    longestMs = Math.max(longestMs, (user + system) / 1000);
    before = process.threadCpuUsage();
  }, 1);
  return () => {
    clearInterval(timer);
    return longestMs;
  };
}

function held(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function keep(name: Name, { signal, bytes }: Input, error: unknown): void {
  const id = createHash('sha256').update(bytes).digest('hex').slice(0, 12);
  const file = join(import.meta.dirname, 'corpus', `${name}-${signal}-${id}.bin`);
  writeFileSync(file, bytes);
  console.error(`${file}: ${error instanceof Error ? error.stack : String(error)}`);
  process.exitCode = 1;
  if (++finds === MOST_FINDS) throw new Error(`${MOST_FINDS} finds: mend them first`);
}
