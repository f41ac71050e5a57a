/** The light Kafka sink counts what a kafkajs producer sends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startLightKafka } from '../../bench/lightKafka.ts';
import { createPayloads, type Payload } from '../../bench/payloads.ts';
import { loadKafkajs } from '../../src/sinks/kafka/kafkajs.ts';

for (const codec of ['None', 'GZIP', 'ZSTD'] as const) {
  test(`records sent with compression ${codec} are counted with their items, and twice sent ones told`, async () => {
    const kafka = await startLightKafka({ port: 0, partitions: 2, verify: true });
    const { Kafka, CompressionTypes, Partitioners, logLevel } = loadKafkajs();
    const client = new Kafka({ brokers: [kafka.address], logLevel: logLevel.NOTHING });
    const producer = client.producer({ createPartitioner: Partitioners.JavaCompatiblePartitioner, idempotent: false });
    const payloads = createPayloads({ workload: 'W-mixed', seed: 3, batch: 20 });
    await producer.connect();
    try {
      for (const i of [...payloads.keys(), 0]) {
        const { signal, bytes } = payloads[i] as Payload;
        const headers = {
          'plumbline.agent': 'a',
          'plumbline.stream': 'raw',
          'plumbline.signal': signal,
          'plumbline.sequence': String(i),
        };
        await producer.send({
          topic: `otlp_${signal}`,
          compression: CompressionTypes[codec],
          acks: -1,
          messages: [{ value: bytes, headers }],
        });
      }
    } finally {
      await producer.disconnect();
      await kafka.close();
    }
    const { totals } = kafka;
    assert.equal(totals.error, null);
    assert.equal(totals.batches, 11);
    assert.equal(totals.records, 11);
    assert.equal(totals.duplicates, 1);
    assert.deepEqual(Object.keys(totals.topics).sort(), ['otlp_logs', 'otlp_metrics', 'otlp_traces']);
    assert.equal(totals.streams['raw/traces']?.items, 7 * 20);
    assert.equal(totals.streams['raw/logs']?.items, 3 * 20);
    assert.equal(totals.streams['raw/metrics']?.items, 20);
  });
}
