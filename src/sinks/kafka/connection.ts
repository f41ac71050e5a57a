/** One connected producer of kafkajs with its sockets in hand, so that it can be thrown away whole. */
import { connect, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { KafkaConfig as ClientConfig, Kafka, Message } from 'kafkajs';
import { AgentError, messageOf } from '../../core/errors.ts';
import { parseDurationMs } from '../../core/units.ts';
import { changesOf } from '../fileChanges.ts';
import type { KafkaConfig } from './config.ts';
import { loadKafkajs } from './kafkajs.ts';
import { createPartitioner } from './partitioner.ts';
import { filesOf, saslOf, sslOf } from './security.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_MS = 60_000;
const ACKS = { all: -1, 1: 1, 0: 0 } as const;
const UNKNOWN_TOPIC = 'UNKNOWN_TOPIC_OR_PARTITION';
/** Answers about one topic that kafkajs may go on asking for, and then fails the metadata of every topic. */
const SPOILING = new Set([UNKNOWN_TOPIC, 'TOPIC_AUTHORIZATION_FAILED', 'INVALID_TOPIC_EXCEPTION']);

export interface Connection {
  /** Rejects when no broker could be reached or it let us not in; then the connection is of no use. */
  readonly ready: Promise<void>;
  produce(topic: string, messages: Message[]): Promise<void>;
  /** `max.message.bytes` of the topic; null when the broker does not tell. */
  readLimit(topic: string): Promise<number | null>;
  /** A new connection should take its place: its certificates or password changed, or it was refused a topic. */
  isOutdated(): boolean;
  /** Ends it in order: what is written is sent. */
  disconnect(): Promise<void>;
  /** Ends it at once, ready or not; what is in flight is rejected. */
  destroy(): void;
}

/** Begins to connect to one of the brokers, another one with each `rotation`. */
export function openConnection(config: KafkaConfig, deadlineMs: number, rotation: number): Connection {
  const { CompressionTypes, Kafka, logLevel } = loadKafkajs();
  const sockets = new Set<Socket>();
  const files = changesOf(filesOf(config), parseDurationMs(config.reload_interval) ?? 0, () => performance.now());
  const kafka = new Kafka({
    ...clientConfig(config, rotation),
    logLevel: logLevel.NOTHING,
    socketFactory: ({ host, port, ssl, onConnect }) => {
      const socket = openSocket(host, port, ssl, onConnect);
      sockets.add(socket);
      return socket.once('close', () => sockets.delete(socket));
    },
  });
  const producer = kafka.producer({
    createPartitioner,
    // With it, acknowledged records were lost when one of several sends timed out: docs/adr/0002-kafkajs.md
    idempotent: false,
    allowAutoTopicCreation: config.create_topics !== false,
    metadataMaxAge: parseDurationMs(config.metadata_max_age) ?? 0,
    retry: { retries: 0 },
  });
  const compression = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, zstd: CompressionTypes.ZSTD };
  let isSpoiled = false;

  async function send(topic: string, messages: Message[], canCreate: boolean): Promise<void> {
    try {
      await producer.sendBatch({
        acks: ACKS[config.acks],
        timeout: Math.round(deadlineMs),
        compression: compression[config.compression],
        topicMessages: [{ topic, messages }],
      });
    } catch (error) {
      const type = typeOf(error);
      // Even if nothing was ever sent to it from here: a broker that has not heard of its deletion lets it in.
      if (SPOILING.has(type)) isSpoiled = true;
      if (type !== UNKNOWN_TOPIC || !canCreate) throw error;
      await createTopic(kafka, topic, config.create_topics);
      await send(topic, messages, false);
    }
  }

  return {
    ready: producer.connect(),
    produce: (topic, messages) => send(topic, messages, config.create_topics !== false),
    readLimit: (topic) => readLimit(kafka, topic),
    isOutdated: () => isSpoiled || files.haveChanged(),
    disconnect: () => producer.disconnect(),
    destroy: () => {
      for (const socket of sockets) socket.destroy(new Error('given up with another batch that got no answer'));
    },
  };
}

/** The broker's error name, wherever kafkajs has wrapped it; empty when no broker said it. */
export function typeOf(error: unknown): string {
  for (let one = error; one instanceof Error; one = one.cause) {
    if ('type' in one && typeof one.type === 'string') return one.type;
  }
  return '';
}

async function createTopic(kafka: Kafka, topic: string, how: KafkaConfig['create_topics']): Promise<void> {
  const { partitions, replication_factor: replicationFactor } = typeof how === 'boolean' ? {} : how;
  const admin = kafka.admin({ retry: { retries: 5 } });
  await admin.connect();
  try {
    const settings = {
      ...(partitions === undefined ? {} : { numPartitions: partitions }),
      ...(replicationFactor === undefined ? {} : { replicationFactor }),
    };
    await admin.createTopics({ topics: [{ topic, ...settings }], waitForLeaders: true });
  } catch (error) {
    // kafkajs has one error for each topic, of which there is one, and around them one that says nothing.
    const cause = error instanceof Error && 'errors' in error && Array.isArray(error.errors) ? error.errors[0] : error;
    const message = `topic ${topic} cannot be created: ${messageOf(cause)}: create it, or mend create_topics`;
    throw new AgentError('SINK_RETRY', message, { retryable: true, cause });
  } finally {
    await admin.disconnect();
  }
}

async function readLimit(kafka: Kafka, topic: string): Promise<number | null> {
  const { ConfigResourceTypes } = loadKafkajs();
  const admin = kafka.admin({ retry: { retries: 0 } });
  try {
    await admin.connect();
    const { resources } = await admin.describeConfigs({
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['max.message.bytes'] }],
      includeSynonyms: false,
    });
    return Number(resources[0]?.configEntries[0]?.configValue) || null;
  } catch {
    // Not ours to describe: the limit is found by cutting.
    return null;
  } finally {
    await admin.disconnect();
  }
}

/** Looks at the files no more often than asked, and only when somebody sends: an idle connection costs nothing. */
function clientConfig(config: KafkaConfig, rotation: number): ClientConfig {
  const first = rotation % config.brokers.length;
  const sasl = saslOf(config);
  const brokers = config.brokers.map(withoutColons);
  return {
    clientId: config.client_id,
    brokers: [...brokers.slice(first), ...brokers.slice(0, first)],
    connectionTimeout: CONNECT_TIMEOUT_MS,
    // Our own deadline destroys the sockets; kafkajs would look at the clock ten times a second.
    enforceRequestTimeout: false,
    retry: { retries: 0 },
    ssl: sslOf(config),
    ...(sasl === undefined ? {} : { sasl }),
  };
}

/** kafkajs takes an address apart at its colons, of which one in brackets has more. No name has brackets. */
function withoutColons(broker: string): string {
  return broker.replace(/^\[.*\]/, (host) => host.replaceAll(':', '_'));
}

/** A broker as the configuration, or the cluster, calls it. */
export function withColons(broker: string): string {
  return broker.replace(/^\[.*\]/, (host) => host.replaceAll('_', ':'));
}

/** `ssl` is undefined or false for plain connections, whatever the types say. */
function openSocket(name: string, port: number, ssl: ConnectionOptions | undefined, onConnect: () => void): Socket {
  const host = withColons(name).replace(/^\[(.*)\]$/, '$1');
  const servername = isIP(host) === 0 ? { servername: host } : {};
  const socket = ssl
    ? connectTls({ host, port, ...servername, ...ssl }, onConnect)
    : connect({ host, port }, onConnect);
  return socket.setKeepAlive(true, KEEP_ALIVE_MS);
}
