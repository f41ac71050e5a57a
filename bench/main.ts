/**
 * `npm run bench`: what the agent costs, level by level or input by input, side by side in one run (docs: performance).
 *
 *   node bench/main.ts [--levels F0,F3,F4] [--workload W-std] [--batch 512] [--rate 20000] [--dist]
 *                      [--scenario levels|inputs|latency|node] [--rounds 6] [--seconds 10] [--warmup 4] [--connections 8]
 *                      [--workers auto] [--retain 4GiB] [--profile DIR] [--out bench/results.json] [--quick] [--smoke]
 *
 * Prints a table and writes everything as JSON. Exit status 1 when a sink does not have what was acknowledged.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { type Case, casesOf } from './cases.ts';
import { CAN_PIN } from './child.ts';
import { DEFAULT_BATCH } from './payloads.ts';
import { NODE_FLAGS, pathOf, RSS_EVERY_S, runSlot, type Slot } from './slot.ts';
import { interval, median, slope } from './statistics.ts';

/** A slot so long is a soak: it says how memory went. */
const SOAK_S = 300;
/** Slots in which the machine was this much off the run's median are left out. */
const MOST_DRIFT = 0.05;

const { values } = parseArgs({
  options: {
    scenario: { type: 'string' },
    levels: { type: 'string' },
    workload: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    warmup: { type: 'string' },
    connections: { type: 'string', default: '8' },
    batch: { type: 'string' },
    rate: { type: 'string' },
    workers: { type: 'string', default: 'auto' },
    dist: { type: 'boolean' },
    retain: { type: 'string', default: 'none' },
    profile: { type: 'string' },
    out: { type: 'string', default: pathOf('results.json') },
    quick: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
  },
});

const effort = values.smoke
  ? { rounds: 1, seconds: 1, warmup: 0.5 }
  : values.quick
    ? { rounds: 2, seconds: 3, warmup: 2 }
    : { rounds: 6, seconds: 10, warmup: 4 };
const { scenario, levels, workload, batch, rate, dist } = values;
const cases = casesOf({ scenario, levels, workload, batch, rate, dist });
const [first] = cases as [Case];
const options = {
  seconds: Number(values.seconds ?? effort.seconds),
  warmup: Number(values.warmup ?? effort.warmup),
  connections: Number(values.connections),
  workers: values.workers === 'auto' ? ('auto' as const) : Number(values.workers),
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
  `${[...new Set(cases.map(describe))].join('; ')}; ${options.connections} connections, ${rounds} rounds of ${options.seconds} s after ${options.warmup} s\n`,
);
if (!CAN_PIN) console.log('taskset is missing: server and generator share their cores, the figures are not comparable');

interface Taken extends Slot {
  name: string;
}

const slots: Taken[] = [];
for (let round = 0; round < rounds; round++) {
  // A B C, C B A, ...: a drift of the machine then falls on all alike. What depends on the first comes after it.
  const isForward = round % 2 === 0 || cases.some(({ rate }) => typeof rate !== 'number');
  for (const one of isForward ? cases : cases.toReversed()) {
    const slot = { ...(await runSlot({ ...options, ...one, rate: rateOf(one) })), name: one.name };
    slots.push(slot);
    console.log(slotLine(round, slot));
    if (options.seconds >= SOAK_S) console.log(memoryLine(slot));
    for (const fault of slot.faults) console.log(`      FAULT: ${fault}`);
  }
}

const calibration = median(slots.map(({ calibrationMs }) => calibrationMs));
const steady = slots.filter(({ calibrationMs }) => Math.abs(calibrationMs / calibration - 1) <= MOST_DRIFT);
// With so few slots that a case would vanish, drift is told and nothing left out.
const isComplete = cases.every(({ name }) => steady.some((slot) => slot.name === name));
const counted = isComplete ? steady : slots;
const drift = `${slots.length - steady.length} of ${slots.length} slots drifted by more than ${MOST_DRIFT * 100} %`;
console.log(`\n${drift}${isComplete ? ', left out' : ', kept: too few are left without'}`);
const base = median(counted.filter(({ name }) => name === first.name).map(({ mbPerCpuS }) => mbPerCpuS));
const summary = cases.map(({ name }) =>
  summarise(
    name,
    counted.filter((slot) => slot.name === name),
  ),
);
printTable();
mkdirSync(dirname(values.out), { recursive: true });
const report = { at: new Date().toISOString(), machine, cases, options, rounds, drift, summary, slots };
writeFileSync(values.out, `${JSON.stringify(report, null, 2)}\n`);
console.log(`\nall of it: ${values.out}`);
process.exitCode = slots.some(({ faults }) => faults.length > 0) ? 1 : 0;

function describe({ workload, batch, rate, dist }: Case): string {
  const pace =
    typeof rate === 'number' ? (rate === 0 ? 'closed loop' : `${rate} items/s`) : `${rate.share} of the first`;
  return `${workload}, ${batch ?? DEFAULT_BATCH[workload]} a request, ${pace}${dist ? ', from dist/' : ''}`;
}

/** Items a second; a share is one of what the first case has reached. */
function rateOf({ rate }: Case): number {
  if (typeof rate === 'number') return rate;
  return Math.round(rate.share * median(slots.filter(({ name }) => name === first.name).map((slot) => slot.itemsPerS)));
}

function slotLine(round: number, slot: Taken): string {
  const { name, cpuSPerMillion, utilisation, itemsPerS, load } = slot;
  const rate = `${(itemsPerS / 1000).toFixed(0)} k items/s`;
  return `${round + 1}  ${name.padEnd(4)} ${cpuSPerMillion.toFixed(3)} CPU-s per M, ${rate} at ${(utilisation * 100).toFixed(0)} % of a core, p99 ${load.latencyMs.p99} ms, calibration ${slot.calibrationMs.toFixed(0)} ms`;
}

/** The second half of the slot alone: the first is for what has to fill. */
function memoryLine({ rssMb }: Slot): string {
  const later = rssMb.slice(rssMb.length >> 1);
  const perHour = (slope(later) * 3600) / RSS_EVERY_S;
  const quarters = [0, 1, 2, 3].map((q) => median(rssMb.slice((rssMb.length * q) >> 2, (rssMb.length * (q + 1)) >> 2)));
  return `      memory: ${quarters.map((mb) => mb.toFixed(0)).join(', ')} MB, median of each quarter; second half ${perHour.toFixed(1)} MB an hour, ${Math.min(...later).toFixed(0)} to ${Math.max(...later).toFixed(0)} MB`;
}

interface Summary {
  name: string;
  slots: number;
  cpuSPerMillion: { median: number; low: number; high: number; min: number; max: number };
  drainedCpuSPerMillion: number;
  mbPerCpuS: number;
  /** Bytes per CPU-second, of the first case's. */
  ofFirst: number;
  itemsPerS: number;
  rssPeakMb: number;
  p50Ms: number;
  p99Ms: number;
  loopP99Ms: number | null;
  sampledShare: number | null;
}

function summarise(name: string, of: readonly Slot[]): Summary {
  const costs = of.map(({ cpuSPerMillion }) => cpuSPerMillion);
  const [low, high] = interval(costs);
  const middle = (value: (slot: Slot) => number) => median(of.map(value));
  const mbPerCpuS = middle((slot) => slot.mbPerCpuS);
  const delays = of.flatMap(({ loopDelayMs }) => loopDelayMs ?? []);
  const shares = of.flatMap(({ sampledShare }) => sampledShare ?? []);
  return {
    name,
    slots: of.length,
    cpuSPerMillion: { median: median(costs), low, high, min: Math.min(...costs), max: Math.max(...costs) },
    drainedCpuSPerMillion: middle((slot) => slot.drainedCpuSPerMillion),
    mbPerCpuS,
    ofFirst: mbPerCpuS / base,
    itemsPerS: middle((slot) => slot.itemsPerS),
    rssPeakMb: Math.max(...of.map((slot) => slot.rssPeakMb)),
    p50Ms: middle((slot) => slot.load.latencyMs.p50),
    p99Ms: middle((slot) => slot.load.latencyMs.p99),
    loopP99Ms: delays.length === 0 ? null : median(delays),
    sampledShare: shares.length === 0 ? null : median(shares),
  };
}

function printTable(): void {
  const head = [
    'case',
    'CPU-s per M',
    '95 % interval',
    'min - max',
    'drained',
    'MB/CPU-s',
    `of ${first.name}`,
    'k items/s',
    'RSS MB',
    'p50 ms',
    'p99 ms',
    'loop p99',
    'sampled',
    'slots',
  ];
  const percent = (share: number | null) => (share === null ? '-' : `${(share * 100).toFixed(1)} %`);
  const rows = summary.map(({ cpuSPerMillion: cost, ...one }) => [
    one.name,
    cost.median.toFixed(3),
    `${cost.low.toFixed(3)} - ${cost.high.toFixed(3)}`,
    `${cost.min.toFixed(3)} - ${cost.max.toFixed(3)}`,
    one.drainedCpuSPerMillion.toFixed(3),
    one.mbPerCpuS.toFixed(0),
    percent(one.ofFirst),
    (one.itemsPerS / 1000).toFixed(0),
    one.rssPeakMb.toFixed(0),
    one.p50Ms.toFixed(2),
    one.p99Ms.toFixed(2),
    one.loopP99Ms?.toFixed(2) ?? '-',
    percent(one.sampledShare),
    String(one.slots),
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)));
  for (const row of [head, ...rows]) console.log(row.map((cell, i) => cell.padStart(widths[i] ?? 0)).join('  '));
}
