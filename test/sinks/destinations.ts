/** Every sink with a destination that is real, or where none fails on request a fake: how to break it, and what has arrived there. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import type { SinkDefinition } from '../../src/core/component.ts';
import { console as consoleSink } from '../../src/sinks/console/index.ts';
import { createConsoleWriter } from '../../src/sinks/console/writer.ts';
import { kafka } from '../../src/sinks/kafka/index.ts';
import { otlp } from '../../src/sinks/otlp/index.ts';
import { storage } from '../../src/sinks/storage/index.ts';
import { type Broker, unavailable as noBroker, startBroker } from '../support/kafka/broker.ts';
import { openReader } from '../support/kafka/reader.ts';
import { CREDENTIALS, unavailable as noS3, startS3 } from '../support/s3/server.ts';
import { readStored } from '../support/storage.ts';
import { bodiesIn, requestsIn } from './events.ts';
import { temporaryFolder } from './harness.ts';
import { reply, startReceiver } from './otlp/receiver.ts';

/** A way to fail, begun and ended by a test; or why this destination cannot fail so. */
export type Fault = { begin(): unknown; end(): unknown } | string;

export interface Destination {
  definition: SinkDefinition;
  /** The sink's section. */
  section: object;
  refusesForNow: Fault;
  /** Begun, it refuses every item of `padding` bytes. */
  refusesForGood: Fault;
  padding?: number;
  hangs: Fault;
  isSlow: Fault;
  goesAway: Fault;
  /** Bodies of the events that arrived, doubles included. */
  arrived(): Promise<string[]> | string[];
}

interface Entry {
  name: string;
  /** Why it cannot be tried here, or null. */
  unavailable: string | null;
  start(t: TestContext): Promise<Destination>;
  /** Ends what the starts have shared. */
  stop?(): Promise<void>;
}

const QUICKLY = { subscribe: ['events'], retry: { initial: '20ms', max: '100ms' }, timeout: '1s' };

export const destinations: readonly Entry[] = [
  { name: 'console', unavailable: null, start: startConsole },
  { name: 'kafka', unavailable: noBroker(), ...kafkaEntry() },
  { name: 'otlp', unavailable: null, start: startOtlp },
  { name: 'storage', unavailable: null, start: startDirectory },
  { name: 'storage, s3', unavailable: noS3(), start: startBucket },
];

async function startConsole(): Promise<Destination> {
  const lines: string[] = [];
  let delayMs = 0;
  let stuck: (() => void)[] | null = null;
  const out = new Writable({
    write(chunk, _encoding, done) {
      const take = () => {
        lines.push(...[...String(chunk).matchAll(/<(\d+)>/g)].map(([, body]) => body ?? ''));
        done();
      };
      if (stuck !== null) stuck.push(take);
      else setTimeout(take, delayMs);
    },
  });
  const hang = {
    begin: () => {
      stuck = [];
    },
    end: () => {
      const waiting = stuck ?? [];
      stuck = null;
      for (const take of waiting) take();
    },
  };
  const slow = {
    begin: () => {
      delayMs = 50;
    },
    end: () => {
      delayMs = 0;
    },
  };
  return {
    definition: { ...consoleSink, open: async (_config, context) => createConsoleWriter(out, context) },
    section: { type: 'console', ...QUICKLY },
    refusesForNow: 'a stream takes what it is given',
    refusesForGood: 'a stream takes what it is given',
    hangs: hang,
    isSlow: slow,
    goesAway: 'a stream that closed is never back: nobody reads it any more',
    arrived: () => lines,
  };
}

/** One broker for all, a topic for each. */
function kafkaEntry(): Pick<Entry, 'start' | 'stop'> {
  let broker: Broker | null = null;
  let topics = 0;
  return {
    async start() {
      broker ??= await startBroker();
      const topic = `events_${topics++}`;
      await broker.createTopics([topic]);
      return kafkaTopic(broker, topic);
    },
    stop: async () => broker?.stop(),
  };
}

function kafkaTopic(broker: Broker, topic: string): Destination {
  return {
    definition: kafka,
    section: {
      type: 'kafka',
      ...QUICKLY,
      brokers: [broker.address],
      subscribe: { events: topic },
      timeout: '3s',
      max_message_bytes: 4_000_000,
      compression: 'none',
    },
    refusesForNow: 'a broker that takes nothing now is one that is away, or has not the topic: kafka/broker.test.ts',
    refusesForGood: { begin: () => {}, end: () => {} },
    padding: 1_500_000,
    hangs: { begin: () => broker.freeze(), end: () => broker.thaw() },
    isSlow: 'a broker is not slow on request',
    goesAway: { begin: () => broker.kill(), end: () => broker.restart() },
    async arrived() {
      const reader = await openReader(broker.address, [topic]);
      try {
        // Read to where the reader has nothing more: the suite asks until it has all.
        await new Promise((resolve) => setTimeout(resolve, 1500));
        return reader.records.flatMap(({ value }) => bodiesIn(value));
      } finally {
        await reader.close();
      }
    },
  };
}

async function startOtlp(t: TestContext): Promise<Destination> {
  const receiver = await startReceiver(t);
  const taken: string[] = [];
  const taking = (response: ServerResponse, { body }: { body: Buffer }) => {
    taken.push(...bodiesIn(body));
    reply(response, 200);
  };
  receiver.answer = taking;
  const answering = (answer: typeof receiver.answer): Fault => ({
    begin: () => {
      receiver.answer = answer;
    },
    end: () => {
      receiver.answer = taking;
    },
  });
  return {
    definition: otlp,
    section: { type: 'otlp', ...QUICKLY, endpoint: receiver.url },
    refusesForNow: answering((response) => reply(response, 503)),
    refusesForGood: answering((response) => reply(response, 400)),
    hangs: answering(() => {}),
    isSlow: answering((response, request) => {
      setTimeout(() => taking(response, request), 100);
    }),
    goesAway: { begin: () => receiver.down(), end: () => receiver.listen() },
    arrived: () => taken,
  };
}

async function startDirectory(t: TestContext): Promise<Destination> {
  const root = temporaryFolder(t);
  const [directory, aside] = [join(root, 'storage'), join(root, 'aside')];
  const section = { type: 'storage', ...QUICKLY, directory, rotate: { every: '50ms' } };
  const gone = {
    begin: () => {
      mkdirSync(directory, { recursive: true });
      renameSync(directory, aside);
      writeFileSync(directory, 'a file where the directory should be');
    },
    end: () => {
      rmSync(directory);
      renameSync(aside, directory);
    },
  };
  return {
    definition: storage,
    section,
    refusesForNow: gone,
    refusesForGood: 'a directory refuses nothing for good',
    hangs: 'a disk that hangs takes the journal with it',
    isSlow: 'a disk is not slow on request',
    goesAway: gone,
    arrived: () => (existsSync(directory) ? filesBelow(directory) : []).flatMap(bodiesInFile),
  };
}

async function startBucket(t: TestContext): Promise<Destination> {
  Object.assign(process.env, CREDENTIALS, { AWS_EC2_METADATA_DISABLED: 'true' });
  const s3 = await startS3(t);
  const bucket = { bucket: s3.bucket, endpoint: s3.url, force_path_style: true };
  return {
    definition: storage,
    section: { type: 'storage', ...QUICKLY, s3: bucket, rotate: { every: '50ms' } },
    refusesForNow: 'a server that takes nothing now is one that is away, or says no: storage/s3.test.ts',
    refusesForGood: 'what a bucket refuses is never about the data',
    hangs: { begin: () => s3.freeze(), end: () => s3.thaw() },
    isSlow: 'a server is not slow on request',
    goesAway: { begin: () => s3.halt(), end: () => s3.restart() },
    arrived: () =>
      s3
        .keys()
        .map((key) => s3.path(key))
        .flatMap(bodiesInFile),
  };
}

function filesBelow(directory: string): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.binpb.zst')).map((name) => join(directory, name));
}

function bodiesInFile(path: string): string[] {
  return readStored(path, 'logs').flatMap((request) => requestsIn(request));
}

/** The bytes of the dead letters in a directory, as bodies. */
export function buriedBodies(directory: string): string[] {
  const names = readdirSync(directory).filter((name) => name.endsWith('.binpb'));
  return names.flatMap((name) => bodiesIn(readFileSync(join(directory, name)).subarray(4)));
}
