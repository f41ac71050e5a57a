/**
 * `npm run bench:compare`: the job of level F4 by this agent and by an OpenTelemetry Collector, in alternating slots: the same requests,
 * connections, acks and compression; CPU, memory and loss side by side.
 *
 *   OTELCOL=/path/to/otelcol node bench/compare/main.ts [--rounds 6] [--seconds 10] [--warmup 4] [--connections 8] [--batch 512]
 *
 * The Collector needs the otlp receiver, probabilistic_sampler, batch, the connectors spanmetrics and forward, and the exporters kafka and
 * file. Without OTELCOL nothing is compared. It answers from memory, where the agent answers from its journal.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { countFile, newArchive } from '../archive.ts';
import { type Child, startNode, startProcess } from '../child.ts';
import type { Totals } from '../lightKafka.ts';
import {
  LOAD_CORE,
  loadArguments,
  measureLoad,
  pathOf,
  runSlot,
  SERVER_CORE,
  type SlotOptions,
  STOP_MS,
} from '../slot.ts';
import { interval, median } from '../statistics.ts';
import { writeCollectorConfig } from './collector.ts';

const START_MS = 30_000;
const SUBJECTS = ['agent', 'collector', 'collector, GOGC=400'] as const;
type Subject = (typeof SUBJECTS)[number];

interface Result {
  subject: Subject;
  cpuSPerMillion: number;
  rssPeakMb: number;
  p99Ms: number;
  /** Items answered 200 and not in the archive. */
  missing: number;
  /** What reached Kafka: sampled spans and summaries. */
  kafkaBytes: number;
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '6' },
    seconds: { type: 'string', default: '10' },
    warmup: { type: 'string', default: '4' },
    connections: { type: 'string', default: '8' },
    batch: { type: 'string', default: '512' },
  },
});
const options: Omit<SlotOptions, 'level'> = {
  workload: 'W-std',
  seconds: Number(values.seconds),
  warmup: Number(values.warmup),
  connections: Number(values.connections),
  batch: Number(values.batch),
  workers: 'auto',
  dist: false,
  retain: 'none',
  profile: null,
  rate: 0,
};

async function runAgent(): Promise<Result> {
  const { cpuSPerMillion, rssPeakMb, load, archivedItems, faults, kafka } = await runSlot({ ...options, level: 'F4' });
  for (const fault of faults) console.log(`      FAULT: ${fault}`);
  const missing = load.total.items - (archivedItems ?? 0);
  return {
    subject: 'agent',
    cpuSPerMillion,
    rssPeakMb,
    p99Ms: load.latencyMs.p99,
    missing,
    kafkaBytes: kafka?.bytes ?? 0,
  };
}

async function runCollector(binary: string, subject: Subject): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), 'plumbline-compare-'));
  const children: Child[] = [];
  try {
    const kafka = startNode(LOAD_CORE, [pathOf('lightKafka.ts')]);
    children.push(kafka);
    const [, broker = ''] = await kafka.line(/^ready (\S+)/);
    const port = await freePort();
    const config = writeCollectorConfig({ directory, kafka: broker, port });
    const env = { ...process.env, GOMAXPROCS: '1', ...(subject === 'collector' ? {} : { GOGC: '400' }) };
    const server = startProcess(SERVER_CORE, [binary, '--config', config], 'otelcol', env);
    children.push(server);
    const url = `http://127.0.0.1:${port}`;
    await answers(url);
    const load = startNode(LOAD_CORE, loadArguments(options, url));
    children.push(load);
    const { report, cpuS, rssPeakMb } = await measureLoad(server, load);
    await server.stop(STOP_MS);
    await kafka.stop(STOP_MS);
    // lightKafka.ts prints Totals when it ends.
    const { bytes: kafkaBytes } = JSON.parse(kafka.lines.at(-1) ?? '{}') as Totals;
    const archive = newArchive();
    countFile(join(directory, 'archive.binpb'), 'traces', archive);
    return {
      subject,
      cpuSPerMillion: (cpuS * 1e6) / report.measured.items,
      rssPeakMb,
      p99Ms: report.latencyMs.p99,
      missing: report.total.items - archive.items.traces,
      kafkaBytes,
    };
  } finally {
    for (const child of children) await child.stop(0);
    rmSync(directory, { recursive: true, force: true });
  }
}

async function answers(url: string): Promise<void> {
  for (const endMs = Date.now() + START_MS; Date.now() < endMs; await sleep(100)) {
    const isUp = await fetch(url).then(
      () => true,
      () => false,
    );
    if (isUp) return;
  }
  throw new Error(`the Collector does not answer on ${url} within ${START_MS / 1000} s`);
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

async function compare(binary: string): Promise<void> {
  const results: Result[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const subject of round % 2 === 0 ? SUBJECTS : SUBJECTS.toReversed()) {
      const result = subject === 'agent' ? await runAgent() : await runCollector(binary, subject);
      results.push(result);
      const { cpuSPerMillion, rssPeakMb, p99Ms, missing, kafkaBytes } = result;
      console.log(
        `${round + 1}  ${subject.padEnd(20)} ${cpuSPerMillion.toFixed(2)} CPU-s per M, ${rssPeakMb.toFixed(0)} MB, p99 ${p99Ms} ms, ${missing} missing, ${(kafkaBytes / 1e6).toFixed(1)} MB to Kafka`,
      );
    }
  }
  const of = (subject: Subject) => results.filter((result) => result.subject === subject);
  const own = median(of('agent').map(({ cpuSPerMillion }) => cpuSPerMillion));
  console.log();
  for (const subject of SUBJECTS) {
    const costs = of(subject).map(({ cpuSPerMillion }) => cpuSPerMillion);
    const [low, high] = interval(costs);
    const middle = median(costs);
    const rss = Math.max(...of(subject).map(({ rssPeakMb }) => rssPeakMb));
    console.log(
      `${subject.padEnd(20)} ${middle.toFixed(2)} CPU-s per M (${low.toFixed(2)} to ${high.toFixed(2)}), ${(middle / own).toFixed(2)} times the agent, at most ${rss.toFixed(0)} MB`,
    );
  }
}

const binary = process.env.OTELCOL;
if (binary === undefined || !existsSync(binary)) console.log('skipped: OTELCOL names no Collector to compare with');
else await compare(binary);
