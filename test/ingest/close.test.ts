/** Holds the end of the receiver to its deadline, whatever clients do, with the fast path and without. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Side, startSide } from './sides.ts';

const head = (type: string, bytes: number) =>
  `POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nContent-Length: ${bytes}\r\n\r\n`;
const PROTOBUF = 'application/x-protobuf';
const TIMEOUTS = { headersMs: 60_000, requestMs: 60_000, keepAliveMs: 60_000, checkMs: 50 };

function open(t: TestContext, side: Side, text: string) {
  const socket = connect({ port: Number(new URL(side.url).port), host: '127.0.0.1', allowHalfOpen: true });
  let got = '';
  socket.on('data', (bytes) => {
    got += bytes.toString('latin1');
  });
  socket.on('error', () => {});
  socket.write(text);
  t.after(() => socket.destroy());
  return { socket, statuses: () => [...got.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => Number(match[1])) };
}

async function took(work: Promise<void>): Promise<number> {
  const startMs = performance.now();
  await work;
  return performance.now() - startMs;
}

for (const fast of [true, false]) {
  const path = fast ? 'fast path' : 'node:http';
  for (const [name, text] of [
    ['a body that stalls', `${head(PROTOBUF, 1000)}abc`],
    ['half a head', 'POST /v1/traces HTTP/1.1\r\nHost: a\r\n'],
    ['a refused body that stalls', `${head('text/plain', 1000)}abc`],
  ] as const) {
    test(`${path}: ${name} does not keep the receiver beyond its deadline`, async (t) => {
      const side = await startSide(t, fast, { timeouts: TIMEOUTS });
      const client = open(t, side, text);
      await sleep(100);
      side.startDraining();
      const ms = await took(side.close(500));
      assert.ok(ms > 400 && ms < 5000, `${ms} ms`);
      assert.equal(side.bodies.length, 0);
      while (!client.socket.closed && !client.socket.readableEnded) await sleep(10);
    });
  }

  test(`${path}: a slow request is answered when it is whole before the deadline, and the close waits no longer`, async (t) => {
    const side = await startSide(t, fast, { timeouts: TIMEOUTS });
    const client = open(t, side, `${head(PROTOBUF, 6)}abc`);
    await sleep(100);
    side.startDraining();
    const closed = took(side.close(20_000));
    await sleep(100);
    client.socket.write('def');
    assert.ok((await closed) < 10_000);
    while (!client.socket.readableEnded) await sleep(10);
    assert.deepEqual(client.statuses(), [200]);
    assert.match(side.bodies.join(), /abcdef/);
  });

  test(`${path}: who was refused unread before the close and then sends the rest is not waited for`, async (t) => {
    const side = await startSide(t, fast, { timeouts: TIMEOUTS });
    const client = open(t, side, `${head('text/plain', 6)}abc`);
    await sleep(100);
    const closed = took(side.close(20_000));
    await sleep(100);
    client.socket.write('def');
    assert.ok((await closed) < 10_000);
    while (!client.socket.readableEnded) await sleep(10);
    assert.deepEqual(client.statuses(), [415]);
  });
}

test('who was refused unread and then ends its side, or is too slow, gets one answer', async (t) => {
  const side = await startSide(t, true, { timeouts: { ...TIMEOUTS, headersMs: 300, requestMs: 300 } });
  const ending = open(t, side, `${head('text/plain', 1000)}abc`);
  const slow = open(t, side, `${head('text/plain', 1000)}abc`);
  await sleep(100);
  ending.socket.end();
  while (side.fastConnections() > 0) await sleep(10);
  await sleep(50);
  assert.deepEqual([ending.statuses(), slow.statuses()], [[415], [415]]);
});
