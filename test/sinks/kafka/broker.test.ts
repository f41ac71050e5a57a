/** Holds the kafka sink against a real broker: what arrives, what is refused, and that outages lose nothing. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { kafka } from '../../../src/sinks/kafka/index.ts';
import { administer } from '../../support/kafka/admin.ts';
import { type Broker, startBroker, unavailable } from '../../support/kafka/broker.ts';
import { AGENT, bytesOfRequest, createHarness, namesIn, resource, spans, temporaryFolder, within } from '../harness.ts';
import { recordsOf } from './records.ts';

const TRACES = { stream: 'sampled', signal: 'traces' } as const;
const METRICS = { stream: 'summaries', signal: 'metrics' } as const;

let broker: Broker;

function section(changes = {}) {
  return { type: 'kafka', brokers: [broker.address], subscribe: { sampled: 't' }, ...changes };
}

describe('with a broker', { skip: unavailable() ?? false }, () => {
  before(async () => {
    broker = await startBroker();
  });
  after(() => broker?.stop());

  for (const compression of ['zstd', 'gzip', 'none']) {
    test(`a record is the request, byte for byte, with ${compression}`, async () => {
      await broker.createTopics([`spans_${compression}`], 3);
      const subscribe = { sampled: `{signal}_${compression}` };
      const { source, delivery, cursor } = createHarness(kafka, section({ subscribe, compression }));
      const payloads = Array.from({ length: 40 }, (_, i) => spans(i, i + 1, 'checkout', 20_000));
      for (const payload of payloads) source.append('sampled', 'traces', payload, 1);
      delivery.start();
      await within(20_000, () => cursor(TRACES).next === 40);
      await delivery.close(Date.now() + 5000);
      const records = await recordsOf(broker, `spans_${compression}`, 40);
      assert.equal(records.length, 40);
      assert.ok(new Set(records.map(({ partition }) => partition)).size > 1, 'records without a key are spread');
      for (const { headers, value, key } of records) {
        const sequence = Number(headers['plumbline.sequence']);
        assert.deepEqual(headers, {
          'plumbline.agent': AGENT,
          'plumbline.stream': 'sampled',
          'plumbline.signal': 'traces',
          'plumbline.sequence': `${sequence}`,
        });
        assert.ok(value.equals(payloads[sequence] as Buffer), `record ${sequence} differs`);
        assert.equal(key, null);
      }
      assert.equal(source.lent, 0);
    });
  }

  test('summaries are cut by service and keyed by it', async () => {
    await broker.createTopics(['summaries'], 4);
    const { source, delivery, cursor } = createHarness(kafka, section({ subscribe: { summaries: 'summaries' } }));
    const services = ['cart', 'checkout', 'cart', 'payments'];
    const resourceMetrics = services.map((service, i) => ({
      resource: resource(service),
      scopeMetrics: [{ metrics: [{ name: `m${i}`, gauge: { dataPoints: [{ asInt: i }] } }] }],
    }));
    source.append('summaries', 'metrics', bytesOfRequest('metrics', { resourceMetrics }), 4);
    source.append('summaries', 'metrics', bytesOfRequest('metrics', { resourceMetrics: [resourceMetrics[1]] }), 1);
    delivery.start();
    await within(20_000, () => cursor(METRICS).next === 2);
    await delivery.close(Date.now() + 5000);
    const records = await recordsOf(broker, 'summaries', 4);
    const found = records.map(({ key, headers }) => [headers['plumbline.sequence'], key]).sort();
    assert.deepEqual(found, [
      ['0/1', 'cart'],
      ['0/2', 'checkout'],
      ['0/3', 'payments'],
      ['1', 'checkout'],
    ]);
    const checkout = records.filter(({ key }) => key === 'checkout').map(({ partition }) => partition);
    assert.equal(new Set(checkout).size, 1, 'one key is in one partition');
  });

  test('a request above max_message_bytes is cut, and nothing of it is missing', async () => {
    await broker.createTopics(['cut']);
    const config = section({ subscribe: { sampled: 'cut' }, max_message_bytes: 50_000 });
    const { source, delivery, cursor } = createHarness(kafka, config);
    source.append('sampled', 'traces', spans(0, 1000, 'checkout', 2000), 1000);
    delivery.start();
    await within(20_000, () => cursor(TRACES).next === 1);
    await delivery.close(Date.now() + 5000);
    assert.equal(cursor(TRACES).delivered, 1000);
    const records = await recordsOf(broker, 'cut', 42);
    for (const { value } of records) assert.ok(value.length <= 50_000, `${value.length} bytes`);
    const numbers = records.map(({ headers }) => headers['plumbline.sequence']);
    assert.deepEqual(
      numbers,
      Array.from({ length: records.length }, (_, i) => `0/${i + 1}`),
    );
    const names = records.flatMap(({ value }) => namesIn(value));
    assert.deepEqual(
      names,
      Array.from({ length: 1000 }, (_, i) => `${i}`),
    );
  });

  test('what is too large for the broker is found, set aside and counted; the rest arrives', async (t) => {
    await broker.createTopics(['refused']);
    const deadLetter = temporaryFolder(t);
    const config = section({ subscribe: { sampled: 'refused' }, max_message_bytes: 4_000_000, compression: 'none' });
    const { source, delivery, cursor } = createHarness(kafka, config, { deadLetter });
    source.append('sampled', 'traces', spans(0, 1), 1);
    source.append('sampled', 'traces', spans(1, 2, 'checkout', 1_500_000), 1);
    source.append('sampled', 'traces', spans(2, 3), 1);
    delivery.start();
    await within(20_000, () => cursor(TRACES).next === 3);
    await delivery.close(Date.now() + 5000);
    assert.deepEqual([cursor(TRACES).delivered, cursor(TRACES).deadLettered], [2, 1]);
    assert.deepEqual(readdirSync(deadLetter).length, 2);
    const records = await recordsOf(broker, 'refused', 2);
    assert.deepEqual(records.flatMap(({ value }) => namesIn(value)).sort(), ['0', '2']);
  });

  test('a topic that is missing is said at once and found when it is created', async () => {
    const config = section({ subscribe: { sampled: 'late' } });
    const { source, delivery, cursor } = createHarness(kafka, config, { retry: { initialMs: 100, maxMs: 500 } });
    source.append('sampled', 'traces', spans(0, 1), 1);
    delivery.start();
    await within(5000, () => delivery.state().state === 'retrying');
    assert.equal(delivery.state().error, 'topic late does not exist: create it, or set create_topics: true');
    await broker.createTopics(['late']);
    await within(10_000, () => cursor(TRACES).next === 1);
    assert.equal(delivery.state().state, 'ok');
    await delivery.close(Date.now() + 5000);
  });

  for (const [metadata_max_age, partitions] of [
    ['1h', [0]],
    ['100ms', [0, 1]],
  ] as const) {
    test(`with metadata_max_age ${metadata_max_age} a partition that a topic gets is ${partitions.length > 1 ? '' : 'not '}used at once`, async () => {
      const topic = `grows-${metadata_max_age}`;
      await broker.createTopics([topic]);
      const config = section({ subscribe: { sampled: topic }, metadata_max_age });
      const { source, delivery, cursor } = createHarness(kafka, config);
      const send = async (from: number, to: number) => {
        for (let i = from; i < to; i++) source.append('sampled', 'traces', spans(i, i + 1), 1);
        await within(10_000, () => cursor(TRACES).next === to);
      };
      delivery.start();
      await send(0, 1);
      await administer([broker.address], (admin) => admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }));
      await wait(500);
      // Sixteen sequences in a row go to one partition.
      await send(1, 64);
      await delivery.close(Date.now() + 5000);
      const used = new Set((await recordsOf(broker, topic, 64)).map(({ partition }) => partition));
      assert.deepEqual([...used].sort(), partitions);
    });
  }

  test('create_topics creates the topic', async () => {
    const config = section({ subscribe: { sampled: 'made' }, create_topics: true });
    const { source, delivery, cursor } = createHarness(kafka, config);
    source.append('sampled', 'traces', spans(0, 1), 1);
    delivery.start();
    await within(15_000, () => cursor(TRACES).next === 1);
    await delivery.close(Date.now() + 5000);
    assert.equal((await recordsOf(broker, 'made', 1)).length, 1);
  });

  test('a topic that cannot be created is said with the reason and the way out', async () => {
    const config = section({ subscribe: { sampled: 'wide' }, create_topics: { replication_factor: 3 } });
    const { source, delivery, cursor } = createHarness(kafka, config, { retry: { initialMs: 100, maxMs: 500 } });
    source.append('sampled', 'traces', spans(0, 1), 1);
    delivery.start();
    await within(15_000, () => delivery.state().state === 'retrying');
    assert.match(
      String(delivery.state().error),
      /^topic wide cannot be created: Replication-factor is invalid: create it, or mend create_topics$/,
    );
    await broker.createTopics(['wide']);
    await within(10_000, () => cursor(TRACES).next === 1);
    await delivery.close(Date.now() + 5000);
  });

  test('an idle client costs no CPU', async () => {
    await broker.createTopics(['idle']);
    const { source, delivery, cursor } = createHarness(kafka, section({ subscribe: { sampled: 'idle' } }));
    source.append('sampled', 'traces', spans(0, 1), 1);
    delivery.start();
    await within(20_000, () => cursor(TRACES).next === 1);
    await wait(500);
    // The thread's share is in the process's: with the client unmended it is 4.7 % of a core.
    const from = process.cpuUsage();
    await wait(2000);
    const { user, system } = process.cpuUsage(from);
    await delivery.close(Date.now() + 5000);
    const share = (user + system) / 2_000_000;
    assert.ok(share < 0.02, `${(share * 100).toFixed(1)} % of a core`);
  });

  test('kill -9, restarts and a frozen broker lose nothing that was counted, and what comes twice has the same sequence', async () => {
    await broker.createTopics(['outage']);
    const config = section({ subscribe: { sampled: 'outage' }, timeout: '3s' });
    const { source, delivery, cursor } = createHarness(kafka, config, { retry: { initialMs: 100, maxMs: 1000 } });
    delivery.start();
    const payloads: Buffer[] = [];
    const feed = (count: number) => {
      for (let i = 0; i < count; i++) {
        const payload = Buffer.concat([spans(payloads.length, payloads.length + 1), unknownField(randomBytes(4000))]);
        payloads.push(payload);
        source.append('sampled', 'traces', payload, 1);
      }
    };
    feed(200);
    await within(20_000, () => cursor(TRACES).next === 200);
    feed(500);
    await broker.kill();
    feed(500);
    await within(5000, () => delivery.state().state === 'retrying');
    await broker.restart();
    feed(200);
    await within(20_000, () => cursor(TRACES).next === 1400);
    assert.equal(delivery.state().state, 'ok');
    broker.freeze();
    feed(500);
    await within(6000, () => delivery.state().state === 'retrying');
    assert.match(String(delivery.state().error), /no answer in 3s/);
    broker.thaw();
    await within(20_000, () => cursor(TRACES).next === 1900);
    await delivery.close(Date.now() + 5000);
    assert.equal(source.lent, 0);
    const records = await recordsOf(broker, 'outage', 1900);
    assert.equal(records.length, 1900);
    for (const { headers, value } of records) {
      const sequence = Number(headers['plumbline.sequence']);
      assert.ok(value.equals(payloads[sequence] as Buffer), `record ${sequence} differs`);
    }
  });

  test('a broker that is away at the start is said at once, and everything arrives when it comes', async () => {
    await broker.createTopics(['away']);
    await broker.halt();
    const config = section({ subscribe: { sampled: 'away' } });
    const { source, delivery, cursor } = createHarness(kafka, config, { retry: { initialMs: 100, maxMs: 1000 } });
    for (let i = 0; i < 50; i++) source.append('sampled', 'traces', spans(i, i + 1), 1);
    delivery.start();
    await within(5000, () => delivery.state().state === 'retrying');
    assert.match(String(delivery.state().error), /ECONNREFUSED/);
    await broker.restart();
    await within(20_000, () => cursor(TRACES).next === 50);
    await delivery.close(Date.now() + 5000);
    assert.equal((await recordsOf(broker, 'away', 50)).length, 50);
  });
});

/** Field 100, bytes: passes through unchanged. */
function unknownField(bytes: Buffer): Buffer {
  const length = Buffer.from([(bytes.length & 0x7f) | 0x80, bytes.length >> 7]);
  return Buffer.concat([Buffer.from([0xa2, 0x06]), length, bytes]);
}
