/**
 * What the Kafka sink costs, against a real broker; ends with status 1 when a bound is missed.
 *
 *   node bench/kafka.ts cpu [--rounds 9] [--mb 200]     CPU of its client at records of 1 MB, beside the compression alone; alternating
 *   node bench/kafka.ts idle [--seconds 60]             CPU of an idle agent with a Kafka sink that was used, beside one without
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { BlockPool } from '../src/core/block.ts';
import { Client } from '../src/sinks/kafka/client.ts';
import { kafka } from '../src/sinks/kafka/index.ts';
import type { WireRecord } from '../src/sinks/kafka/messages.ts';
import { validated } from '../test/sinks/harness.ts';
import { eventually, startAgentProcess } from '../test/support/agent.ts';
import { type Broker, startBroker } from '../test/support/kafka/broker.ts';
import { cpuSecondsOf } from './child.ts';
import { createPayloads } from './payloads.ts';
import { interval, median } from './statistics.ts';

const RECORD_BYTES = 1_000_000 - 512;
const MOST_TIMES_COMPRESSION = 2.5;
const MOST_IDLE_PERCENT = 0.5;
/** Records in flight, as a sink's rows have them. */
const IN_FLIGHT = 4;

const { values, positionals } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    mb: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '60' },
    compression: { type: 'string', default: 'zstd' },
  },
  allowPositionals: true,
});

/** W-std requests laid end to end, which is one request again, up to a record's size. */
function makeRecords(count: number): Buffer[] {
  const payloads = createPayloads({ workload: 'W-std', seed: 1, count: 16 });
  return Array.from({ length: count }, (_, i) => {
    const chosen: Buffer[] = [];
    for (let bytes = 0, j = i; bytes < RECORD_BYTES; j++) {
      const { bytes: one } = payloads[j % payloads.length] as (typeof payloads)[number];
      if (bytes + one.length > RECORD_BYTES) break;
      chosen.push(one);
      bytes += one.length;
    }
    return Buffer.concat(chosen);
  });
}

async function cpu(broker: Broker): Promise<boolean> {
  await broker.createTopics(['bench']);
  // Disks are small, and what is read here is CPU.
  await broker.configureTopic('bench', { 'retention.bytes': '50000000', 'segment.bytes': '20000000' });
  const pool = BlockPool.create(64 << 20);
  const section = {
    type: 'kafka',
    brokers: [broker.address],
    subscribe: { raw: 'bench' },
    compression: values.compression,
  };
  // Validated against the sink's own schema.
  const config = validated(kafka, section) as ConstructorParameters<typeof Client>[0]['config'];
  const client = new Client({ pool: pool.handle, config, deadlineMs: 30_000 });
  const payloads = makeRecords(8);
  const records = payloads.map((bytes, i): WireRecord => {
    const at = pool.allocate(bytes.length);
    pool.bytes.set(bytes, at);
    const headers = {
      'plumbline.agent': 'bench-01234567',
      'plumbline.stream': 'raw',
      'plumbline.signal': 'traces',
      'plumbline.sequence': `${i}`,
    };
    return { topic: 'bench', at, length: bytes.length, items: 1, key: null, headers };
  });
  const runs = Math.ceil((Number(values.mb) * 1e6) / RECORD_BYTES);
  const compress = () => {
    for (let i = 0; i < runs; i++) compressOnly(payloads[i % payloads.length] as Buffer);
  };
  const send = async () => {
    let next = 0;
    const lane = async () => {
      while (next < runs) {
        const { result } = await client.send([records[next++ % records.length] as WireRecord]);
        if (result.kind !== 'delivered') throw new Error(JSON.stringify(result));
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  };
  await measured(compress);
  await measured(send);
  const times: number[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const alone = await measured(compress);
    const whole = await measured(send);
    times.push(whole / alone);
    const perGb = (seconds: number) => (seconds / (runs * RECORD_BYTES)) * 1e9;
    console.log(`compression ${perGb(alone).toFixed(2)} CPU-s/GB, sink ${perGb(whole).toFixed(2)} CPU-s/GB`);
  }
  await client.close();
  const [low, high] = interval(times);
  const figure = median(times);
  console.log(
    `sink: ${figure.toFixed(2)} times ${values.compression} alone (${low.toFixed(2)} to ${high.toFixed(2)}), at most ${MOST_TIMES_COMPRESSION}`,
  );
  return figure <= MOST_TIMES_COMPRESSION;
}

function compressOnly(bytes: Buffer): void {
  if (values.compression === 'gzip') gzipSync(bytes, { level: 1 });
  else zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
}

/** CPU seconds of this process: all threads, garbage collection included. */
async function measured(run: () => void | Promise<void>): Promise<number> {
  const from = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1e6;
}

async function idle(broker: Broker): Promise<boolean> {
  await broker.createTopics(['idle']);
  const none = await idlePercent('  - { type: console, subscribe: [events] }', false);
  const sink = `  - { type: kafka, brokers: ["${broker.address}"], subscribe: { raw: idle } }`;
  const figure = await idlePercent(sink, true);
  console.log(
    `idle agent: ${none.toFixed(2)} % of a core without, ${figure.toFixed(2)} % with a Kafka sink, at most ${MOST_IDLE_PERCENT} %`,
  );
  return figure <= MOST_IDLE_PERCENT;
}

async function idlePercent(sinks: string, isUsed: boolean): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'plumbline-idle-'));
  const yaml = [
    'admin: { endpoint: "127.0.0.1:0" }',
    'ingest: { http: { endpoint: "127.0.0.1:0" } }',
    `sinks:\n${sinks}\n`,
  ];
  const agent = await startAgentProcess(directory, yaml.join('\n'));
  try {
    const [payload] = createPayloads({ workload: 'W-small', seed: 1, count: 1 });
    const headers = { 'content-type': 'application/x-protobuf' };
    await fetch(`${agent.ingest}/v1/traces`, { method: 'POST', headers, body: new Uint8Array(payload?.bytes ?? []) });
    if (isUsed) {
      await eventually('the sink delivers', 20_000, async () =>
        (await agent.status()).sinks.kafka?.streams.raw?.traces?.delivered ? true : undefined,
      );
    }
    await wait(5000);
    const seconds = Number(values.seconds);
    const from = cpuSecondsOf(agent.pid);
    await wait(seconds * 1000);
    return ((cpuSecondsOf(agent.pid) - from) / seconds) * 100;
  } finally {
    await agent.end('SIGTERM');
    rmSync(directory, { recursive: true, force: true });
  }
}

const MODES: Record<string, (broker: Broker) => Promise<boolean>> = { cpu, idle };
const mode = MODES[positionals[0] ?? ''];
if (mode === undefined) {
  console.error(`node bench/kafka.ts ${Object.keys(MODES).join('|')}`);
  process.exit(2);
}
const broker = await startBroker();
try {
  console.log(`Node ${process.version}, ${process.arch}, Kafka 4.4.0`);
  if (!(await mode(broker))) process.exitCode = 1;
} finally {
  await broker.stop();
}
