/** Collects every record of some topics from their beginning, with kafkajs as the consumer and zlib's own codecs. */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { loadKafkajs } from '../../../src/sinks/kafka/kafkajs.ts';

export interface ReadRecord {
  topic: string;
  partition: number;
  key: string | null;
  value: Buffer;
  headers: Record<string, string>;
}

export interface Reader {
  /** Grows while the reader is open. */
  readonly records: readonly ReadRecord[];
  close(): Promise<void>;
}

export async function openReader(address: string | readonly string[], topics: readonly string[]): Promise<Reader> {
  const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = loadKafkajs();
  const readable = (type: keyof typeof CompressionCodecs, decompress: (bytes: Buffer) => Buffer) => {
    CompressionCodecs[type] = () => ({
      compress: () => Promise.reject(new Error('this client only reads')),
      decompress: async (bytes: Buffer) => decompress(bytes),
    });
  };
  readable(CompressionTypes.ZSTD, (bytes) => zstdDecompressSync(bytes));
  readable(CompressionTypes.GZIP, (bytes) => gunzipSync(bytes));
  const kafka = new Kafka({ brokers: [address].flat(), logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({
    groupId: `reader-${process.pid}-${Math.random()}`,
    maxWaitTimeInMs: 100,
    retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 1000 },
  });
  const records: ReadRecord[] = [];
  await consumer.connect();
  await consumer.subscribe({ topics: [...topics], fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ topic, partition, message }) => {
      const { key, value, headers } = message;
      records.push({
        topic,
        partition,
        key: key?.toString() ?? null,
        value: value ?? Buffer.alloc(0),
        headers: Object.fromEntries(Object.entries(headers ?? {}).map(([name, text]) => [name, String(text)])),
      });
    },
  });
  return { records, close: () => consumer.disconnect() };
}
