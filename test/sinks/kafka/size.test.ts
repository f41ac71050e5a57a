/** Holds how the kafka sink meets a broker's limits: requests are cut down to single items, and only an item too large itself is set aside. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { kafka } from '../../../src/sinks/kafka/index.ts';
import { type Broker, startBroker, unavailable } from '../../support/kafka/broker.ts';
import type { ReadRecord } from '../../support/kafka/reader.ts';
import { bytesOfRequest, createHarness, namesIn, resource, temporaryFolder, within } from '../harness.ts';
import { recordsOf } from './records.ts';

const TRACES = { stream: 'raw', signal: 'traces' } as const;
/** The broker's default for a topic. */
const LIMIT = 1_048_588;

let broker: Broker;

function section(topic: string, changes = {}) {
  return { type: 'kafka', brokers: [broker.address], subscribe: { raw: topic }, ...changes };
}

/** A traces request; each span has so many bytes that no codec makes fewer. */
function request(sizes: readonly number[], from = 0): Buffer {
  const spans = sizes.map((size, i) => ({
    name: `${from + i}`,
    attributes: [{ key: 'noise', value: { bytesValue: randomBytes(size) } }],
  }));
  return bytesOfRequest('traces', { resourceSpans: [{ resource: resource('checkout'), scopeSpans: [{ spans }] }] });
}

function spansIn({ value }: ReadRecord): number {
  return namesIn(value).length;
}

function names(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `${from + i}`);
}

describe('with a broker', { skip: unavailable() ?? false }, () => {
  before(async () => {
    broker = await startBroker();
  });
  after(() => broker?.stop());

  test('a request of 20 MiB in spans of 900 KB arrives whole; a span of 3 MB is set aside, said, and blocks nothing', async (t) => {
    await broker.createTopics(['large'], 3);
    const deadLetter = temporaryFolder(t);
    const { source, delivery, cursor } = createHarness(kafka, section('large'), { deadLetter });
    const large = request(Array.from({ length: 23 }, () => 900_000));
    assert.ok(large.length > 20e6);
    source.append('raw', 'traces', large, 23);
    source.append('raw', 'traces', request([1000, 3_000_000, 1000], 23), 3);
    source.append('raw', 'traces', request([1000], 26), 1);
    delivery.start();
    await within(60_000, () => cursor(TRACES).next === 3);
    await delivery.close(Date.now() + 5000);
    assert.deepEqual([cursor(TRACES).delivered, cursor(TRACES).deadLettered], [26, 1]);
    const records = await recordsOf(broker, 'large', 26, spansIn);
    const found = records.flatMap(({ value }) => namesIn(value)).sort((a, b) => Number(a) - Number(b));
    assert.deepEqual(found, [...names(0, 24), '25', '26']);
    const [file, words] = readdirSync(deadLetter).sort();
    assert.deepEqual(namesIn(readFileSync(join(deadLetter, String(file))).subarray(4)), ['24']);
    const { reason, items, sequence } = JSON.parse(readFileSync(join(deadLetter, String(words)), 'utf8'));
    assert.deepEqual([items, sequence], [1, '1/2']);
    assert.match(reason, new RegExp(`^too large for topic large, which takes ${LIMIT} bytes: a record of 30000`));
    assert.equal(source.lent, 0);
  });

  test('a limit that is lowered while records are sent costs nothing but smaller records', async (t) => {
    await broker.createTopics(['lowered']);
    const deadLetter = temporaryFolder(t);
    const { source, delivery, cursor } = createHarness(kafka, section('lowered'), { deadLetter });
    const feed = (from: number) => source.append('raw', 'traces', request(Array(40).fill(20_000), from), 40);
    delivery.start();
    feed(0);
    await within(20_000, () => cursor(TRACES).next === 1);
    await broker.configureTopic('lowered', { 'max.message.bytes': '100000' });
    feed(40);
    feed(80);
    source.append('raw', 'traces', request([1000, 150_000, 1000], 120), 3);
    await within(20_000, () => cursor(TRACES).next === 4);
    await broker.configureTopic('lowered', { 'max.message.bytes': '50000' });
    feed(123);
    await within(20_000, () => cursor(TRACES).next === 5);
    await delivery.close(Date.now() + 5000);
    assert.deepEqual([cursor(TRACES).delivered, cursor(TRACES).deadLettered], [162, 1]);
    const records = await recordsOf(broker, 'lowered', 162, spansIn);
    const found = records.flatMap(({ value }) => namesIn(value)).sort((a, b) => Number(a) - Number(b));
    assert.deepEqual(
      found,
      names(0, 163).filter((name) => name !== '121'),
    );
    for (const { value, headers } of records) {
      const sequence = String(headers['plumbline.sequence']);
      if (!sequence.startsWith('0')) assert.ok(value.length <= 100_000, `${sequence}: ${value.length} bytes`);
      if (sequence.startsWith('4')) assert.ok(value.length <= 50_000, `${sequence}: ${value.length} bytes`);
    }
    assert.equal(new Set(records.map(({ headers }) => headers['plumbline.sequence'])).size, records.length);
    assert.equal(readdirSync(deadLetter).length, 2);
  });
});
