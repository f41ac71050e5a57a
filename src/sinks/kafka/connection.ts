/** One connected producer of kafkajs with its sockets in hand, so that it can be thrown away whole. */
import { readFileSync } from 'node:fs';
import { connect, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { KafkaConfig as ClientConfig, Message, SASLOptions } from 'kafkajs';
import type { KafkaConfig } from './index.ts';
import { loadKafkajs } from './kafkajs.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_MS = 60_000;
const ACKS = { all: -1, 1: 1, 0: 0 } as const;

export interface Connection {
  /** Rejects when no broker could be reached or it let us not in; then the connection is of no use. */
  readonly ready: Promise<void>;
  produce(topic: string, messages: Message[]): Promise<void>;
  createTopic(topic: string): Promise<void>;
  /** Ends it in order: what is written is sent. */
  disconnect(): Promise<void>;
  /** Ends it at once, ready or not; what is in flight is rejected. */
  destroy(): void;
}

/** Begins to connect to one of the brokers, another one with each `rotation`. */
export function openConnection(config: KafkaConfig, deadlineMs: number, rotation: number): Connection {
  const { CompressionTypes, Kafka, logLevel, Partitioners } = loadKafkajs();
  const sockets = new Set<Socket>();
  const destroy = () => {
    for (const socket of sockets) socket.destroy(new Error('given up'));
  };
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
    createPartitioner: Partitioners.JavaCompatiblePartitioner,
    // With it, acknowledged records were lost when one of several sends timed out: docs/adr/0002-kafkajs.md
    idempotent: false,
    allowAutoTopicCreation: config.create_topics,
    retry: { retries: 0 },
  });
  const compression = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, zstd: CompressionTypes.ZSTD };
  return {
    ready: producer.connect(),
    async produce(topic, messages) {
      await producer.sendBatch({
        acks: ACKS[config.acks],
        timeout: Math.round(deadlineMs),
        compression: compression[config.compression],
        topicMessages: [{ topic, messages }],
      });
    },
    async createTopic(topic) {
      const admin = kafka.admin({ retry: { retries: 5 } });
      await admin.connect();
      try {
        await admin.createTopics({ topics: [{ topic }], waitForLeaders: true });
      } finally {
        await admin.disconnect();
      }
    },
    disconnect: () => producer.disconnect(),
    destroy,
  };
}

function clientConfig(config: KafkaConfig, rotation: number): ClientConfig {
  const first = rotation % config.brokers.length;
  const { sasl } = config;
  return {
    clientId: config.client_id,
    brokers: [...config.brokers.slice(first), ...config.brokers.slice(0, first)],
    connectionTimeout: CONNECT_TIMEOUT_MS,
    // Our own deadline destroys the sockets; kafkajs would look at the clock ten times a second.
    enforceRequestTimeout: false,
    retry: { retries: 0 },
    ssl: sslOf(config),
    // The mechanism is one of three literals and decides which of the union's branches this is.
    ...(sasl === undefined ? {} : { sasl: { ...sasl } as SASLOptions }),
  };
}

function sslOf({ tls }: KafkaConfig): ConnectionOptions | boolean {
  if (typeof tls === 'boolean') return tls;
  return {
    ...(tls.ca_file === undefined ? {} : { ca: readFileSync(tls.ca_file) }),
    ...(tls.cert_file === undefined ? {} : { cert: readFileSync(tls.cert_file) }),
    ...(tls.key_file === undefined ? {} : { key: readFileSync(tls.key_file) }),
  };
}

/** `ssl` is undefined or false for plain connections, whatever the types say. */
function openSocket(host: string, port: number, ssl: ConnectionOptions | undefined, onConnect: () => void): Socket {
  const servername = isIP(host) === 0 ? { servername: host } : {};
  const socket = ssl
    ? connectTls({ host, port, ...servername, ...ssl }, onConnect)
    : connect({ host, port }, onConnect);
  return socket.setKeepAlive(true, KEEP_ALIVE_MS);
}
