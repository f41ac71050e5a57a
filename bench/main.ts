/**
 * `npm run bench`: what the agent costs, level by level, beside the null receiver in the same run (docs: performance).
 *
 *   node bench/main.ts [--levels F0,F3,F4] [--workload W-std] [--rounds 6] [--seconds 10] [--warmup 4] [--connections 8] [--batch 512] [--rate 20000]
 *                      [--workers auto] [--dist] [--retain 4GiB] [--profile DIR] [--out FILE] [--quick] [--smoke]
 *
 * Exit status 1 when a sink does not have what was acknowledged.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { CAN_PIN } from './child.ts';
import { DEFAULT_BATCH, WORKLOADS } from './payloads.ts';
import { LEVELS, type Level, NODE_FLAGS, RSS_EVERY_S, runSlot, type Slot, type SlotOptions } from './slot.ts';
import { interval, median, slope } from './statistics.ts';

/** A slot so long is a soak: it says how memory went. */
const SOAK_S = 300;
/** Slots in which the machine was this much off the run's median are left out. */
const MOST_DRIFT = 0.05;

const { values } = parseArgs({
  options: {
    levels: { type: 'string', default: 'F0,F3,F4' },
    workload: { type: 'string', default: 'W-std' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    warmup: { type: 'string' },
    connections: { type: 'string', default: '8' },
    batch: { type: 'string' },
    rate: { type: 'string', default: '0' },
    workers: { type: 'string', default: 'auto' },
    dist: { type: 'boolean', default: false },
    retain: { type: 'string', default: 'none' },
    profile: { type: 'string' },
    out: { type: 'string' },
    quick: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
  },
});

const effort = values.smoke
  ? { rounds: 1, seconds: 1, warmup: 0.5 }
  : values.quick
    ? { rounds: 2, seconds: 3, warmup: 2 }
    : { rounds: 6, seconds: 10, warmup: 4 };
const levels = values.levels.split(',').map((name) => known(name, LEVELS, 'level'));
const workload = known(values.workload, WORKLOADS, 'workload');
const options: Omit<SlotOptions, 'level'> = {
  workload,
  seconds: Number(values.seconds ?? effort.seconds),
  warmup: Number(values.warmup ?? effort.warmup),
  connections: Number(values.connections),
  batch: values.batch === undefined ? null : Number(values.batch),
  rate: Number(values.rate),
  workers: values.workers === 'auto' ? 'auto' : Number(values.workers),
  dist: values.dist,
  retain: values.retain,
  profile: values.profile ?? null,
};
const rounds = Number(values.rounds ?? effort.rounds);

const machine = {
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryMb: Math.round(totalmem() / 1e6),
  kernel: release(),
  node: process.version,
  flags: NODE_FLAGS,
  pinned: CAN_PIN,
};
console.log(`${machine.cpu} x ${machine.cores}, Linux ${machine.kernel}, Node ${machine.node} ${NODE_FLAGS.join(' ')}`);
console.log(
  `${workload}, ${options.batch ?? DEFAULT_BATCH[workload]} a request, ${options.connections} connections, ${options.rate === 0 ? 'closed loop' : `${options.rate} items/s`}, ${rounds} rounds of ${options.seconds} s after ${options.warmup} s\n`,
);
if (!CAN_PIN) console.log('taskset is missing: server and generator share their cores, the figures are not comparable');

const slots: Slot[] = [];
for (let round = 0; round < rounds; round++) {
  // A B C, C B A, ...: a drift of the machine then falls on all alike.
  const order = round % 2 === 0 ? levels : levels.toReversed();
  for (const level of order) {
    const slot = await runSlot({ ...options, level });
    slots.push(slot);
    console.log(slotLine(round, slot));
    if (options.seconds >= SOAK_S) console.log(memoryLine(slot));
    for (const fault of slot.faults) console.log(`      FAULT: ${fault}`);
  }
}

const calibration = median(slots.map(({ calibrationMs }) => calibrationMs));
const steady = slots.filter(({ calibrationMs }) => Math.abs(calibrationMs / calibration - 1) <= MOST_DRIFT);
// With so few slots that a level would vanish, drift is told and nothing left out.
const isComplete = levels.every((level) => steady.some((slot) => slot.level === level));
const counted = isComplete ? steady : slots;
const drift = `${slots.length - steady.length} of ${slots.length} slots drifted by more than ${MOST_DRIFT * 100} %`;
console.log(`\n${drift}${isComplete ? ', left out' : ', kept: too few are left without'}`);
const base = median(counted.filter(({ level }) => level === 'F0').map(({ mbPerCpuS }) => mbPerCpuS));
const summary = levels.map((level) =>
  summarise(
    level,
    counted.filter((slot) => slot.level === level),
  ),
);
printTable();
if (values.out !== undefined) {
  mkdirSync(dirname(values.out), { recursive: true });
  writeFileSync(
    values.out,
    `${JSON.stringify({ at: new Date().toISOString(), machine, options, rounds, drift, summary, slots }, null, 2)}\n`,
  );
}
process.exitCode = slots.some(({ faults }) => faults.length > 0) ? 1 : 0;

function known<Name extends string>(name: string, names: readonly Name[], what: string): Name {
  const found = names.find((one) => one === name);
  if (found === undefined) throw new Error(`unknown ${what} "${name}": one of ${names.join(', ')}`);
  return found;
}

function slotLine(round: number, slot: Slot): string {
  const { level, cpuSPerMillion, utilisation, itemsPerS, load } = slot;
  const rate = `${(itemsPerS / 1000).toFixed(0)} k items/s`;
  return `${round + 1}  ${level.padEnd(4)} ${cpuSPerMillion.toFixed(3)} CPU-s per M, ${rate} at ${(utilisation * 100).toFixed(0)} % of a core, p99 ${load.latencyMs.p99} ms, calibration ${slot.calibrationMs.toFixed(0)} ms`;
}

/** The second half of the slot alone: the first is for what has to fill. */
function memoryLine({ rssMb }: Slot): string {
  const later = rssMb.slice(rssMb.length >> 1);
  const perHour = (slope(later) * 3600) / RSS_EVERY_S;
  const quarters = [0, 1, 2, 3].map((q) => median(rssMb.slice((rssMb.length * q) >> 2, (rssMb.length * (q + 1)) >> 2)));
  return `      memory: ${quarters.map((mb) => mb.toFixed(0)).join(', ')} MB, median of each quarter; second half ${perHour.toFixed(1)} MB an hour, ${Math.min(...later).toFixed(0)} to ${Math.max(...later).toFixed(0)} MB`;
}

interface Summary {
  level: Level;
  slots: number;
  cpuSPerMillion: { median: number; low: number; high: number; min: number; max: number };
  drainedCpuSPerMillion: number;
  mbPerCpuS: number;
  /** Bytes per CPU-second, of F0's; null without F0. */
  ofNull: number | null;
  itemsPerS: number;
  rssPeakMb: number;
  p50Ms: number;
  p99Ms: number;
  sampledShare: number | null;
}

function summarise(level: Level, of: readonly Slot[]): Summary {
  const costs = of.map(({ cpuSPerMillion }) => cpuSPerMillion);
  const [low, high] = interval(costs);
  const middle = (value: (slot: Slot) => number) => median(of.map(value));
  const mbPerCpuS = middle((slot) => slot.mbPerCpuS);
  const shares = of.flatMap(({ sampledShare }) => sampledShare ?? []);
  return {
    level,
    slots: of.length,
    cpuSPerMillion: { median: median(costs), low, high, min: Math.min(...costs), max: Math.max(...costs) },
    drainedCpuSPerMillion: middle((slot) => slot.drainedCpuSPerMillion),
    mbPerCpuS,
    ofNull: Number.isNaN(base) ? null : mbPerCpuS / base,
    itemsPerS: middle((slot) => slot.itemsPerS),
    rssPeakMb: Math.max(...of.map((slot) => slot.rssPeakMb)),
    p50Ms: middle((slot) => slot.load.latencyMs.p50),
    p99Ms: middle((slot) => slot.load.latencyMs.p99),
    sampledShare: shares.length === 0 ? null : median(shares),
  };
}

function printTable(): void {
  const head = [
    'level',
    'CPU-s per M',
    '95 % interval',
    'min - max',
    'drained',
    'MB/CPU-s',
    'of F0',
    'k items/s',
    'RSS MB',
    'p50 ms',
    'p99 ms',
    'sampled',
    'slots',
  ];
  const percent = (share: number | null) => (share === null ? '-' : `${(share * 100).toFixed(1)} %`);
  const rows = summary.map(({ cpuSPerMillion: cost, ...one }) => [
    one.level,
    cost.median.toFixed(3),
    `${cost.low.toFixed(3)} - ${cost.high.toFixed(3)}`,
    `${cost.min.toFixed(3)} - ${cost.max.toFixed(3)}`,
    one.drainedCpuSPerMillion.toFixed(3),
    one.mbPerCpuS.toFixed(0),
    percent(one.ofNull),
    (one.itemsPerS / 1000).toFixed(0),
    one.rssPeakMb.toFixed(0),
    one.p50Ms.toFixed(2),
    one.p99Ms.toFixed(2),
    percent(one.sampledShare),
    String(one.slots),
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)));
  for (const row of [head, ...rows]) console.log(row.map((cell, i) => cell.padStart(widths[i] ?? 0)).join('  '));
}
