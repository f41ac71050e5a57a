/** One process of a real Apache Kafka: formats its folder, starts it, ends it with any signal, starts it again with its data. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { fetchJars } from './jars.ts';

const JVM = [
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-XX:-UsePerfData',
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
];
const START_TIMEOUT_MS = 60_000;
const LOG_BYTES = 64 << 10;
/** What every broker of the tests has. */
const COMMON = [
  'process.roles=broker,controller',
  'controller.listener.names=CONTROLLER',
  'auto.create.topics.enable=false',
  'num.partitions=1',
  'offsets.topic.num.partitions=1',
  'transaction.state.log.num.partitions=1',
  'share.coordinator.state.topic.replication.factor=1',
  'share.coordinator.state.topic.min.isr=1',
  'group.initial.rebalance.delay.ms=0',
  'log.cleaner.enable=false',
  // Back 3 s after a kill -9 rather than 13 s.
  'broker.session.timeout.ms=1000',
  'broker.heartbeat.interval.ms=250',
];

export interface NodeOptions {
  /** Lines for server.properties beside those that every broker has. */
  properties(folder: string): readonly string[];
  /** Arguments of `kafka-storage format`. */
  format: readonly string[];
  /** True when it answers for itself. */
  answers(): Promise<boolean>;
}

export interface Node {
  /** SIGTERM; keeps the data. */
  halt(): Promise<void>;
  /** SIGKILL; keeps the data. */
  kill(): Promise<void>;
  /** Starts it again after `halt` or `kill`, on the same port with the same data. */
  restart(): Promise<void>;
  /** Freezes (SIGSTOP) and thaws (SIGCONT): connections stay and nothing answers. */
  freeze(): void;
  thaw(): void;
  /** Stops it and removes its data. */
  stop(): Promise<void>;
}

/** Formats a folder; the process starts with `restart`. */
export async function createNode(options: NodeOptions): Promise<Node> {
  const libs = await fetchJars();
  const folder = await mkdtemp(join(tmpdir(), 'plumbline-kafka-'));
  const file = join(folder, 'server.properties');
  const lines = [...COMMON, `log.dirs=${join(folder, 'data')}`, ...options.properties(folder), ''];
  await writeFile(file, lines.join('\n'));
  const classes = ['-cp', `${libs}/*`];
  let child: ChildProcess | null = null;

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGCONT');
    child.kill(signal);
    await once(child, 'exit');
  }

  const cluster = ['-t', 'AAAAAAAAAAAAAAAAAAAAAA', '-c', file];
  const format = ['kafka.tools.StorageTool', 'format', ...cluster, ...options.format];
  await promisify(execFile)('java', ['-Xmx128m', ...JVM, ...classes, ...format]);
  return {
    halt: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    async restart() {
      const command = ['-Xms64m', '-Xmx256m', ...JVM, ...classes, 'kafka.Kafka', file];
      child = spawn('java', command, { stdio: ['ignore', 'pipe', 'pipe'] });
      await ready(child, options.answers);
    },
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async stop() {
      // Its data go anyway, so it need not put them in order.
      await end('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Resolves when it answers for itself; rejects with its last words when it ends before. */
async function ready(child: ChildProcess, answers: () => Promise<boolean>): Promise<void> {
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      log = (log + chunk).slice(-LOG_BYTES);
    });
  }
  const untilMs = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < untilMs) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the broker ended:\n${log}`);
    if (await answers()) return;
    await wait(150);
  }
  child.kill('SIGKILL');
  throw new Error(`no broker after ${START_TIMEOUT_MS} ms:\n${log}`);
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
