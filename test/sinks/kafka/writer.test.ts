/** Holds src/sinks/kafka/writer.ts: the death of the client's thread costs a retry, nothing else. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { SinkDefinition } from '../../../src/core/component.ts';
import type { KafkaConfig } from '../../../src/sinks/kafka/config.ts';
import { kafka } from '../../../src/sinks/kafka/index.ts';
import { createKafkaWriter } from '../../../src/sinks/kafka/writer.ts';
import { createHarness, spans, within } from '../harness.ts';

const ROW = { stream: 'raw', signal: 'traces' } as const;
const SECTION = { type: 'kafka', brokers: ['127.0.0.1:1'], subscribe: { raw: 't' } };

test('a thread that dies is started again and its batches come again', async () => {
  const definition: SinkDefinition = {
    ...kafka,
    open: async (config, context) =>
      createKafkaWriter(config as KafkaConfig, context, new URL('./mortal_thread.ts', import.meta.url)),
  };
  const { source, delivery, cursor } = createHarness(definition, SECTION, { retry: { initialMs: 50, maxMs: 50 } });
  for (let i = 0; i < 10; i++) source.append('raw', 'traces', spans(i, i + 1), 1);
  delivery.start();
  await within(5000, () => delivery.state().error === 'the Kafka client thread died: out of memory');
  await within(5000, () => cursor(ROW).next === 10);
  assert.equal(delivery.state().state, 'ok');
  await delivery.close(Date.now() + 5000);
  assert.equal(source.lent, 0);
});

test('no broker: said at once, closed at once', async () => {
  const { source, delivery, cursor } = createHarness(kafka, SECTION);
  source.append('raw', 'traces', spans(0, 1), 1);
  delivery.start();
  await within(5000, () => delivery.state().state === 'retrying');
  assert.match(String(delivery.state().error), /ECONNREFUSED 127\.0\.0\.1:1/);
  await delivery.close(Date.now() + 5000);
  assert.deepEqual([cursor(ROW).next, source.lent], [0, 0]);
});

for (const address of ['[127.0.0.1]', '[::1]'])
  test(`a broker may be an address in brackets: ${address}`, async (t) => {
    const host = address.slice(1, -1);
    const server = createServer((socket) => socket.destroy());
    server.listen(0, host);
    const isThere = await Promise.race([
      once(server, 'listening').then(() => true),
      once(server, 'error').then(() => false),
    ]);
    if (!isThere) return t.skip(`this machine has no ${host}`);
    t.after(() => server.close());
    const came = once(server, 'connection');
    const { port } = server.address() as AddressInfo;
    const { source, delivery } = createHarness(kafka, { ...SECTION, brokers: [`${address}:${port}`] });
    source.append('raw', 'traces', spans(0, 1), 1);
    delivery.start();
    t.after(() => delivery.close(Date.now() + 1000));
    await within(10_000, () => delivery.state().error !== null);
    assert.ok(String(delivery.state().error).startsWith(`${address}:${port}: `), String(delivery.state().error));
    await came;
  });

test('a broker that accepts and never answers is given up, said, and leaves no socket behind', async (t) => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)));
    socket.resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  const section = { ...SECTION, brokers: [`127.0.0.1:${port}`], timeout: '1s' };
  const { source, delivery } = createHarness(kafka, section, { retry: { initialMs: 20, maxMs: 20 } });
  source.append('raw', 'traces', spans(0, 1), 1);
  delivery.start();
  // Whatever fails below, the client's thread must not keep this process alive.
  t.after(() => delivery.close(Date.now() + 1000));
  // On a busy machine the delivery's own deadline may come first, once.
  await within(10_000, () => /127\.0\.0\.1:\d+: no answer in 900ms/.test(String(delivery.state().error)));
  let most = 0;
  for (let i = 0; i < 80; i++) {
    most = Math.max(most, sockets.size);
    await wait(50);
  }
  assert.ok(most <= 2, `${most} sockets at once`);
  await delivery.close(Date.now() + 5000);
  await within(5000, () => sockets.size === 0);
  assert.equal(source.lent, 0);
});
