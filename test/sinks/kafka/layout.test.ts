/** Holds where records lie: topics, partitions, order, and that a consumer which shares no code with us reads them. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { kafka } from '../../../src/sinks/kafka/index.ts';
import { type Broker, startBroker, unavailable } from '../../support/kafka/broker.ts';
import { openReader } from '../../support/kafka/reader.ts';
import { bytesOfRequest, createHarness, namesIn, resource, spans, within } from '../harness.ts';
import { recordsOf } from './records.ts';

const TRACES = { stream: 'raw', signal: 'traces' } as const;
const noKcat =
  spawnSync('kcat', ['-V']).error === undefined ? false : 'kcat is not installed (Debian: apt install kcat)';

let broker: Broker;

function section(topic: string, changes = {}) {
  return { type: 'kafka', brokers: [broker.address], subscribe: { raw: topic }, ...changes };
}

describe('with a broker', { skip: unavailable() ?? false }, () => {
  before(async () => {
    broker = await startBroker();
  });
  after(() => broker?.stop());

  for (const compression of ['none', 'gzip', 'zstd']) {
    test(`kcat reads what was written with ${compression}, byte for byte`, { skip: noKcat }, async () => {
      const topic = `kcat_${compression}`;
      await broker.createTopics([topic]);
      const { source, delivery, cursor } = createHarness(kafka, section(topic, { compression, key: 'service' }));
      const payloads = Array.from({ length: 20 }, (_, i) => spans(i, i + 1, 'checkout', i * 5000));
      for (const payload of payloads) source.append('raw', 'traces', payload, 1);
      delivery.start();
      await within(20_000, () => cursor(TRACES).next === 20);
      await delivery.close(Date.now() + 5000);
      // %R: length of the value, 4 bytes big-endian.
      const args = ['-C', '-q', '-b', broker.address, '-t', topic, '-o', 'beginning', '-e', '-f', '%k %h\\n%R%s'];
      const bytes = execFileSync('kcat', args, { maxBuffer: 64 << 20, timeout: 20_000 });
      let read = 0;
      for (let at = 0; at < bytes.length; read++) {
        const line = bytes.indexOf('\n', at);
        const [key, headers = ''] = bytes.toString('utf8', at, line).split(' ');
        const sequence = Number(/plumbline\.sequence=(\d+)/.exec(headers)?.[1]);
        const length = bytes.readUInt32BE(line + 1);
        assert.equal(key, 'checkout');
        assert.ok(
          bytes.subarray(line + 5, line + 5 + length).equals(payloads[sequence] as Buffer),
          `record ${sequence}`,
        );
        at = line + 5 + length;
      }
      assert.equal(read, 20);
    });
  }

  test('an attribute in the topic: with create_topics only listed values and `other` come to be', async () => {
    const topic = 'by_{resource.service.name}_{signal}';
    const changes = { topic_values: { 'service.name': ['cart', 'checkout'] }, create_topics: { partitions: 3 } };
    const { source, delivery, cursor } = createHarness(kafka, section(topic, changes));
    const services = ['cart', 'checkout', '../../x', 'cart\n', '', 'y'.repeat(400), 'cart'];
    const resourceSpans = services.map((service, i) => ({
      resource: resource(service),
      scopeSpans: [{ spans: [{ name: `${i}` }] }],
    }));
    source.append('raw', 'traces', bytesOfRequest('traces', { resourceSpans }), services.length);
    delivery.start();
    await within(20_000, () => cursor(TRACES).next === 1);
    await delivery.close(Date.now() + 5000);
    const topics = await broker.administer((admin) => admin.listTopics());
    const made = topics.filter((name) => !name.startsWith('kcat') && !name.startsWith('__')).sort();
    assert.deepEqual(made, ['by_cart_spans', 'by_checkout_spans', 'by_other_spans']);
    const found = [];
    for (const name of made)
      found.push((await recordsOf(broker, name, 1)).flatMap(({ value }) => namesIn(value)).join());
    assert.deepEqual(found, ['0,6', '1', '2,3,4,5']);
    const { topics: described } = await broker.administer((admin) => admin.fetchTopicMetadata({ topics: made }));
    assert.deepEqual(
      described.map(({ partitions }) => partitions.length),
      [3, 3, 3],
    );
  });

  test('with concurrency 1 records of a partition are in order, over a kill of the broker', async (t) => {
    await broker.createTopics(['order']);
    const retry = { initialMs: 50, maxMs: 200 };
    const { source, delivery, cursor } = createHarness(kafka, section('order', { concurrency: 1 }), { retry });
    t.after(() => delivery.close(Date.now() + 1000));
    const feed = (from: number, to: number) => {
      for (let i = from; i < to; i++) source.append('raw', 'traces', spans(i, i + 1, 'checkout', 20_000), 1);
    };
    delivery.start();
    feed(0, 300);
    await within(20_000, () => cursor(TRACES).next > 50);
    await broker.kill();
    feed(300, 400);
    await broker.restart();
    await within(20_000, () => cursor(TRACES).next === 400);
    const reader = await openReader(broker.address, ['order']);
    try {
      await within(20_000, () => reader.records.some(({ headers }) => headers['plumbline.sequence'] === '399'));
      const first = new Map<number, number>();
      for (const [i, { headers }] of reader.records.entries()) {
        const sequence = Number(headers['plumbline.sequence']);
        if (!first.has(sequence)) first.set(sequence, i);
      }
      const order = [...first.keys()];
      assert.deepEqual(
        order,
        Array.from({ length: 400 }, (_, i) => i),
      );
    } finally {
      await reader.close();
    }
  });

  test('a record that comes again goes to the partition of its first copy', async () => {
    await broker.createTopics(['again'], 5);
    const write = async () => {
      const { source, delivery, cursor } = createHarness(kafka, section('again'));
      for (let i = 0; i < 100; i++) source.append('raw', 'traces', spans(i, i + 1), 1);
      delivery.start();
      await within(20_000, () => cursor(TRACES).next === 100);
      await delivery.close(Date.now() + 5000);
    };
    await write();
    await write();
    const reader = await openReader(broker.address, ['again']);
    try {
      await within(20_000, () => reader.records.length === 200);
      const homes = reader.records.map(({ headers, partition }) => `${headers['plumbline.sequence']} ${partition}`);
      assert.equal(new Set(homes).size, 100);
      assert.equal(new Set(reader.records.map(({ partition }) => partition)).size, 5);
    } finally {
      await reader.close();
    }
  });
});
