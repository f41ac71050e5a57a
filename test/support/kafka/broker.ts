/** A real single-node Apache Kafka 4.4.0 on loopback: starts, stops, can be killed, frozen and restarted with its data. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { loadKafkajs } from '../../../src/sinks/kafka/kafkajs.ts';
import { fetchJars } from './jars.ts';

export { unavailable } from './jars.ts';

const JVM = [
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-XX:-UsePerfData',
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
];
const START_TIMEOUT_MS = 60_000;
const LOG_BYTES = 64 << 10;

export interface BrokerOptions {
  topics?: readonly string[];
  /** Partitions of each of them; default 1. */
  partitions?: number;
  /** Default: any free one. */
  port?: number;
  /** More lines for server.properties. */
  properties?: readonly string[];
}

export interface Broker {
  /** `127.0.0.1:PORT`; the same after a restart. */
  address: string;
  createTopics(topics: readonly string[], partitions?: number): Promise<void>;
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

export async function startBroker(options: BrokerOptions = {}): Promise<Broker> {
  const libs = await fetchJars();
  const folder = await mkdtemp(join(tmpdir(), 'plumbline-kafka-'));
  const port = options.port || (await freePort());
  const address = `127.0.0.1:${port}`;
  const properties = join(folder, 'server.properties');
  await writeFile(properties, serverProperties(folder, port, await freePort(), options.properties ?? []));
  const classes = ['-cp', `${libs}/*`];
  const format = ['format', '--standalone', '-t', 'AAAAAAAAAAAAAAAAAAAAAA', '-c', properties];
  await promisify(execFile)('java', ['-Xmx128m', ...JVM, ...classes, 'kafka.tools.StorageTool', ...format]);
  const command = ['-Xms64m', '-Xmx256m', ...JVM, ...classes, 'kafka.Kafka', properties];
  let child: ChildProcess;

  async function restart(): Promise<void> {
    child = spawn('java', command, { stdio: ['ignore', 'pipe', 'pipe'] });
    await ready(child, address);
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGCONT');
    child.kill(signal);
    await once(child, 'exit');
  }

  const broker: Broker = {
    address,
    createTopics: (topics, partitions = 1) => createTopics(address, topics, partitions),
    halt: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    restart,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    async stop() {
      // Its data go anyway, so it need not put them in order.
      await end('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await restart();
    await broker.createTopics(options.topics ?? [], options.partitions);
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return broker;
}

function serverProperties(folder: string, port: number, controller: number, more: readonly string[]): string {
  return [
    'process.roles=broker,controller',
    'node.id=1',
    `controller.quorum.bootstrap.servers=127.0.0.1:${controller}`,
    'controller.listener.names=CONTROLLER',
    `listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${port}`,
    'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    `log.dirs=${join(folder, 'data')}`,
    'auto.create.topics.enable=false',
    'num.partitions=1',
    'offsets.topic.num.partitions=1',
    'offsets.topic.replication.factor=1',
    'transaction.state.log.num.partitions=1',
    'transaction.state.log.replication.factor=1',
    'transaction.state.log.min.isr=1',
    'share.coordinator.state.topic.replication.factor=1',
    'share.coordinator.state.topic.min.isr=1',
    'group.initial.rebalance.delay.ms=0',
    'log.cleaner.enable=false',
    // Back 3 s after a kill -9 rather than 13 s.
    'broker.session.timeout.ms=1000',
    'broker.heartbeat.interval.ms=250',
    ...more,
    '',
  ].join('\n');
}

/** Resolves when it answers for itself; rejects with its last words when it ends before. */
async function ready(child: ChildProcess, address: string): Promise<void> {
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      log = (log + chunk).slice(-LOG_BYTES);
    });
  }
  const untilMs = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < untilMs) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the broker ended:\n${log}`);
    if (await answers(address)) return;
    await wait(150);
  }
  child.kill('SIGKILL');
  throw new Error(`no broker after ${START_TIMEOUT_MS} ms:\n${log}`);
}

function client(address: string) {
  const { Kafka, logLevel } = loadKafkajs();
  return new Kafka({ brokers: [address], logLevel: logLevel.NOTHING, connectionTimeout: 1000, retry: { retries: 0 } });
}

async function answers(address: string): Promise<boolean> {
  const admin = client(address).admin();
  try {
    await admin.connect();
    // A broker that is still fenced after a restart is not in its own answer.
    return (await admin.describeCluster()).brokers.length > 0;
  } catch {
    // Not yet: the caller asks again.
    return false;
  } finally {
    await admin.disconnect();
  }
}

async function createTopics(address: string, topics: readonly string[], partitions: number): Promise<void> {
  if (topics.length === 0) return;
  const admin = client(address).admin({ retry: { retries: 10 } });
  await admin.connect();
  try {
    await admin.createTopics({ topics: topics.map((topic) => ({ topic, numPartitions: partitions })) });
  } finally {
    await admin.disconnect();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
