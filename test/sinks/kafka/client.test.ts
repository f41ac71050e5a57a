/** Holds src/sinks/kafka/client.ts over a connection that a test answers: who is sent when, and whose end ends what. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { BlockPool, UNIT_BYTES } from '../../../src/core/block.ts';
import { Client } from '../../../src/sinks/kafka/client.ts';
import type { KafkaConfig } from '../../../src/sinks/kafka/config.ts';
import { kafka } from '../../../src/sinks/kafka/index.ts';
import type { WireRecord } from '../../../src/sinks/kafka/messages.ts';
import { validated } from '../harness.ts';

const DEADLINE_MS = 27_000;
const MIB = 1 << 20;

function bench(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const config = validated(kafka, { type: 'kafka', brokers: ['b:1'], subscribe: { raw: 't' } }) as KafkaConfig;
  const pool = BlockPool.create(UNIT_BYTES);
  const asked: { topic: string; answer(error?: Error): void }[] = [];
  const connections: { isDestroyed: boolean }[] = [];
  const client = new Client({ pool: pool.handle, config, deadlineMs: DEADLINE_MS }, () => {
    const state = { isDestroyed: false };
    connections.push(state);
    return {
      ready: Promise.resolve(),
      produce: (topic) =>
        new Promise((resolve, reject) =>
          asked.push({ topic, answer: (error) => (error === undefined ? resolve() : reject(error)) }),
        ),
      readLimit: async () => null,
      isOutdated: () => false,
      disconnect: async () => {},
      destroy: () => {
        state.isDestroyed = true;
      },
    };
  });
  /** One record for each topic; their bytes are never looked at. */
  const sendTo = (topics: readonly string[], length: number) => {
    const headers = { 'plumbline.agent': '', 'plumbline.stream': '', 'plumbline.signal': '', 'plumbline.sequence': '' };
    return client.send(topics.map((topic): WireRecord => ({ topic, at: 0, length, items: 1, key: null, headers })));
  };
  return { asked, connections, sendTo, send: (topic: string, length: number) => sendTo([topic], length) };
}

test('a batch for which there is no room goes before those that come later, however small they are', async (t) => {
  const { asked, send } = bench(t);
  const first = send('first', MIB);
  void send('large', 17 * MIB);
  void send('small', MIB);
  await turn();
  assert.deepEqual(
    asked.map(({ topic }) => topic),
    ['first'],
  );
  asked[0]?.answer();
  assert.equal((await first).result.kind, 'delivered');
  await turn();
  asked[1]?.answer();
  await turn();
  assert.deepEqual(
    asked.map(({ topic }) => topic),
    ['first', 'large', 'small'],
  );
});

test('a batch that was given up while it waited for room is not sent, and ends nobody’s connection', async (t) => {
  const { asked, connections, send } = bench(t);
  const first = send('first', 10 * MIB);
  const waiting = send('waiting', 10 * MIB);
  await turn();
  t.mock.timers.tick(10_000);
  const late = send('late', MIB);
  await turn();
  t.mock.timers.tick(DEADLINE_MS - 10_000);
  for (const given of [first, waiting]) assert.equal((await given).result.kind, 'retry');
  asked[0]?.answer(new Error('given up'));
  await turn();
  asked[1]?.answer();
  assert.equal((await late).result.kind, 'delivered');
  assert.deepEqual(
    asked.map(({ topic }) => topic),
    ['first', 'late'],
  );
  assert.deepEqual(
    connections.map(({ isDestroyed }) => isDestroyed),
    [true, false],
  );
});

test('of several topics the one that the broker refuses is said alone, and goes last from then on', async (t) => {
  const { asked, sendTo } = bench(t);
  const missing = Object.assign(new Error('unknown'), { type: 'UNKNOWN_TOPIC_OR_PARTITION' });
  const first = sendTo(['missing', 'there'], 100);
  await turn();
  asked[0]?.answer(missing);
  const error = 'topic missing does not exist: create it, or set create_topics: true';
  assert.deepEqual(await first, { result: { kind: 'retry', error }, delivered: [] });
  const second = sendTo(['missing', 'there'], 100);
  await turn();
  asked[1]?.answer();
  await turn();
  asked[2]?.answer(missing);
  assert.deepEqual(await second, { result: { kind: 'retry', error }, delivered: [1] });
  const third = sendTo(['missing'], 100);
  await turn();
  asked[3]?.answer();
  assert.equal((await third).result.kind, 'delivered');
  void sendTo(['missing', 'there'], 100);
  await turn();
  assert.deepEqual(
    asked.map(({ topic }) => topic),
    ['missing', 'there', 'missing', 'missing', 'missing'],
  );
});
