/** One slot: a level's server started fresh, warmed up, loaded for some seconds, drained, and held against what the sinks have. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SIGNALS, type Signal } from '../src/core/block.ts';
import { type AgentLevel, ARCHIVED, writeAgentConfig } from './agentConfig.ts';
import { countArchive } from './archive.ts';
import { type Child, cpuSecondsOf, cpuSecondsOfEnded, peakRssBytes, rssBytes, startNode } from './child.ts';
import type { Totals } from './lightKafka.ts';
import type { Report } from './load.ts';
import type { Workload } from './payloads.ts';
import { KINDS, OPERATIONS, SERVICES, SPANS_PER_TRACE } from './shapes.ts';

export const LEVELS = ['F0', 'F1', 'F2', 'F3', 'F4', 'F4n', 'F4z', 'naive'] as const;
export type Level = (typeof LEVELS)[number];

const GLOBAL_LIMIT = '--external-memory-accounted-in-global-limit';
/** The old generation is collected once it has 20 MB, then at 1.4 times what was left: V8 by itself lets main's grow threefold first. */
const HEAP_FLAGS = ['--initial-old-space-size=20', '--heap-growing-percent=40'];
/** What the hot loops call is inlined although it is long. */
export const INLINING_FLAGS = ['--max-inlined-bytecode-size=1000', '--max-inlined-bytecode-size-cumulative=3000'];
/** The flags the agent is started with (package.json). */
export const NODE_FLAGS = ['--max-semi-space-size=4', ...HEAP_FLAGS, GLOBAL_LIMIT, ...INLINING_FLAGS];
/** Those of the null receiver and the naive stack: their bodies are garbage, with which they do better in more room. */
const NULL_FLAGS = ['--max-semi-space-size=16', GLOBAL_LIMIT];
/** As the command and the image have it. */
export const SERVER_ENV = { ...process.env, MALLOC_ARENA_MAX: '1' };
export const SERVER_CORE = 0;
export const LOAD_CORE = 1;
export const STOP_MS = 90_000;
/** Seconds between two readings of the server's memory. */
export const RSS_EVERY_S = 5;
/** Levels whose Kafka must have every item, once. */
const FORWARDING: readonly Level[] = ['F1', 'F2'];
/** Sampled spans of the others: 10 % base, and the 2 % of traces that hold errors. */
const LEAST_SAMPLED = 0.08;
const MOST_SAMPLED = 0.18;
/** The first of each operation and kind in a minute is rare, and its trace kept: of a short slot on a slow machine that is much. */
const RARE_SPANS = SERVICES * OPERATIONS * KINDS * SPANS_PER_TRACE;
/** Below this the shares say nothing. */
const LEAST_SPANS = 50_000;

export interface SlotOptions {
  level: Level;
  workload: Workload;
  seconds: number;
  warmup: number;
  connections: number;
  batch: number | null;
  /** Items a second in an open loop; 0: a closed one. */
  rate: number;
  workers: 'auto' | number;
  /** Start the agent from dist/. */
  dist: boolean;
  /** How much the archive keeps, or none: all, which is then counted. */
  retain: string;
  /** Directory for CPU profiles, or null. */
  profile: string | null;
}

export interface Slot {
  level: Level;
  /** CPU milliseconds of the calibration loop before the slot. */
  calibrationMs: number;
  /** CPU of the server's process tree over the measured seconds. */
  cpuS: number;
  cpuSPerMillion: number;
  mbPerCpuS: number;
  /** The same from the beginning of the measured seconds to the process's end: with what it owed the sinks, and its shutdown. */
  drainedCpuSPerMillion: number;
  /** How many cores it used: near 1 it was saturated. */
  utilisation: number;
  itemsPerS: number;
  rssPeakMb: number;
  /** Resident memory over the measured seconds, every RSS_EVERY_S. */
  rssMb: number[];
  load: Report;
  /** p99 of what held up the main thread's event loop, in an open loop. */
  loopDelayMs: number | null;
  kafka: Totals | null;
  archivedItems: number | null;
  /** Items in Kafka that came in: the sample, or everything. */
  forwarded: Record<Signal, number> | null;
  sampledShare: number | null;
  faults: string[];
}

/** A file of bench/. */
export const pathOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export async function runSlot(options: SlotOptions): Promise<Slot> {
  const directory = mkdtempSync(join(tmpdir(), 'plumbline-bench-'));
  const children: Child[] = [];
  try {
    const calibrationMs = await calibrate();
    const kafka = options.level === 'F0' ? null : startNode(LOAD_CORE, [pathOf('lightKafka.ts'), '--verify']);
    if (kafka !== null) children.push(kafka);
    const server = await startServer(options, directory, kafka);
    children.push(server);
    const [, url = ''] = await server.line(/^ready ingest=(\S+)/);
    const load = startNode(LOAD_CORE, loadArguments(options, url));
    children.push(load);
    return await measureSlot(options, { directory, server, load, kafka, calibrationMs });
  } finally {
    for (const child of children) await child.stop(0);
    rmSync(directory, { recursive: true, force: true });
  }
}

async function calibrate(): Promise<number> {
  const child = startNode(SERVER_CORE, [pathOf('calibrate.ts')]);
  await child.exited;
  return Number(child.lines[0]);
}

async function startServer(options: SlotOptions, directory: string, kafka: Child | null): Promise<Child> {
  const profile =
    options.profile === null ? [] : ['--cpu-prof', '--cpu-prof-dir', join(options.profile, options.level)];
  if (options.level === 'F0') return startNode(SERVER_CORE, [...NULL_FLAGS, ...profile, pathOf('null.ts')], SERVER_ENV);
  const [, broker = ''] = (await kafka?.line(/^ready (\S+)/)) ?? [];
  if (options.level === 'naive') {
    return startNode(SERVER_CORE, [...NULL_FLAGS, ...profile, pathOf('naive.ts'), '--kafka', broker], SERVER_ENV);
  }
  // Every other level is the agent's.
  const config = writeAgentConfig({
    level: options.level as AgentLevel,
    directory,
    kafka: broker,
    workers: options.workers,
    retain: options.retain,
  });
  const watch = watchesLoop(options) ? ['--import', pathOf('loopDelay.mjs')] : [];
  const main = pathOf(options.dist ? '../dist/main.js' : '../src/main.ts');
  if (!existsSync(main)) throw new Error(`${main} does not exist${options.dist ? ': npm run build' : ''}`);
  return startNode(SERVER_CORE, [...NODE_FLAGS, ...profile, ...watch, main, 'run', '--config', config], SERVER_ENV);
}

/** Where latency is what is asked for: looking a hundred times a second has a price of its own. */
function watchesLoop({ level, rate }: SlotOptions): boolean {
  return rate > 0 && level !== 'F0' && level !== 'naive';
}

export function loadArguments(options: Omit<SlotOptions, 'level'>, url: string): string[] {
  const { workload, connections, seconds, warmup, batch, rate } = options;
  const given = { url, workload, connections, seconds, warmup, rate, ...(batch === null ? {} : { batch }) };
  return [
    pathOf('load.ts'),
    '--events',
    ...Object.entries(given).flatMap(([name, value]) => [`--${name}`, String(value)]),
  ];
}

/** Waits for the whole load and says what the server took for its measured seconds; `onEdge` is called when they begin and when they end. */
export async function measureLoad(server: Child, load: Child, onEdge = () => {}) {
  await load.line(/"event":"begin"/);
  onEdge();
  const beginS = cpuSecondsOf(server.pid);
  const rssMb: number[] = [];
  const watch = setInterval(() => rssMb.push(rssBytes(server.pid) / 1e6), RSS_EVERY_S * 1000);
  await load.line(/"event":"end"/);
  onEdge();
  clearInterval(watch);
  const endS = cpuSecondsOf(server.pid);
  const [reportLine] = await load.line(/^\{"workload".*/);
  await load.exited;
  // load.ts prints a Report.
  const report = JSON.parse(reportLine) as Report;
  return { report, beginS, cpuS: endS - beginS, rssPeakMb: peakRssBytes(server.pid) / 1e6, rssMb };
}

interface Running {
  directory: string;
  server: Child;
  load: Child;
  kafka: Child | null;
  calibrationMs: number;
}

async function measureSlot(
  options: SlotOptions,
  { directory, server, load, kafka, calibrationMs }: Running,
): Promise<Slot> {
  const isWatched = watchesLoop(options);
  const tellLoop = () => void process.kill(server.pid, 'SIGUSR2');
  const { report, beginS, cpuS, rssPeakMb, rssMb } = await measureLoad(server, load, isWatched ? tellLoop : undefined);
  const loop = isWatched ? await server.line(/^loop_delay 2 (\S+)/) : null;
  const endedBefore = cpuSecondsOfEnded();
  const status = await server.stop(STOP_MS);
  const drainedS = cpuSecondsOfEnded() - endedBefore - beginS;
  const totals = kafka === null ? null : await totalsOf(kafka);
  const archived = existsSync(join(directory, 'archive')) ? countArchive(join(directory, 'archive')) : null;
  const { measured, total, seconds } = report;
  const forwarded = totals === null ? null : itemsIn(totals, options.level === 'F1' ? 'raw' : 'sampled');
  const slot: Slot = {
    level: options.level,
    calibrationMs,
    cpuS,
    cpuSPerMillion: (cpuS * 1e6) / measured.items,
    mbPerCpuS: measured.plainBytes / 1e6 / cpuS,
    drainedCpuSPerMillion: (drainedS * 1e6) / (total.items - report.warm.items),
    utilisation: cpuS / seconds,
    itemsPerS: measured.items / seconds,
    rssPeakMb,
    rssMb,
    load: report,
    loopDelayMs: loop === null ? null : Number(loop[1]),
    kafka: totals,
    archivedItems: archived === null ? null : archived.items.traces + archived.items.metrics + archived.items.logs,
    forwarded,
    sampledShare: forwarded === null || total.traces === 0 ? null : forwarded.traces / total.traces,
    faults: [],
  };
  slot.faults = faultsOf(slot, options, status, archived?.unfinished ?? 0);
  return slot;
}

function itemsIn(totals: Totals, stream: 'raw' | 'sampled'): Record<Signal, number> {
  const itemsOf = (signal: Signal) => totals.streams[`${stream}/${signal}`]?.items ?? 0;
  return { traces: itemsOf('traces'), metrics: itemsOf('metrics'), logs: itemsOf('logs') };
}

async function totalsOf(kafka: Child): Promise<Totals> {
  await kafka.stop(STOP_MS);
  // lightKafka.ts prints Totals when it ends.
  return JSON.parse(kafka.lines.at(-1) ?? '{}') as Totals;
}

/** What is wrong between what was acknowledged and what the sinks have. */
function faultsOf(
  slot: Slot,
  { level, retain, warmup, seconds }: SlotOptions,
  status: number | null,
  unfinished: number,
): string[] {
  const { load, kafka, archivedItems, forwarded, sampledShare } = slot;
  const faults: string[] = [];
  if (status !== 0) faults.push(`the server ended with ${status}`);
  if (load.broken > 0) faults.push(`${load.broken} connections broke`);
  for (const [code, count] of Object.entries(load.total.other)) faults.push(`${count} answers ${code}`);
  if (ARCHIVED.includes(level) && retain === 'none') {
    if (archivedItems !== load.total.items)
      faults.push(`${load.total.items} items acknowledged, ${archivedItems} archived`);
    if (unfinished > 0) faults.push(`${unfinished} files of the archive unfinished`);
  }
  if (kafka === null) return faults;
  if (kafka.unreadable > 0) faults.push(`${kafka.unreadable} Kafka records unreadable: ${kafka.error}`);
  if (kafka.duplicates > 0) faults.push(`${kafka.duplicates} Kafka records came twice`);
  if (FORWARDING.includes(level)) {
    for (const signal of SIGNALS) {
      const [sent, came] = [load.total[signal], forwarded?.[signal]];
      if (sent !== came) faults.push(`${sent} ${signal} acknowledged, ${came} in Kafka`);
    }
  } else if (load.total.traces >= LEAST_SPANS && sampledShare !== null) {
    const rare = (RARE_SPANS * Math.ceil((warmup + seconds) / 60)) / load.total.traces;
    const [least, most] = [LEAST_SAMPLED, MOST_SAMPLED + rare];
    const percent = (share: number) => (share * 100).toFixed(1);
    if (sampledShare < least || sampledShare > most)
      faults.push(`${percent(sampledShare)} % of the spans sampled, expected ${percent(least)} to ${percent(most)} %`);
  }
  return faults;
}
