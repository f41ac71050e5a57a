/** Holds the receiver on a Unix socket: on the fast path and without it, what becomes of the socket's file, and who is one client. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gauge, protobufOf, requestOf } from '../conformance/messages.ts';
import { startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { startSide } from './sides.ts';

const PROTOBUF = 'application/x-protobuf';

function socketIn(t: TestContext): string {
  return join(temporaryDirectory(t, 'unix'), 'otlp.sock');
}

interface Sent {
  agent?: Agent;
  token?: string;
  chunked?: boolean;
}

/** Status of an export of `bytes`, and how the connection goes on. */
async function post(socketPath: string, bytes: Uint8Array, { agent, token, chunked }: Sent = {}) {
  const length = chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': bytes.length };
  const headers = { host: 'localhost', 'content-type': PROTOBUF, ...length };
  const call = request({
    socketPath,
    method: 'POST',
    path: '/v1/traces',
    ...(agent === undefined ? { agent: false as const } : { agent }),
    headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
  });
  call.end(bytes);
  const [reply] = (await once(call, 'response')) as [IncomingMessage];
  reply.resume();
  await once(reply, 'end');
  return { status: reply.statusCode, reused: call.reusedSocket };
}

test('requests by node:http over a socket are taken, on the fast path and without it; its mode is 0660; it goes with the server', async (t) => {
  for (const fastPath of [true, false]) {
    const path = socketIn(t);
    const side = await startSide(t, fastPath, { endpoint: `unix:${path}` });
    assert.equal(side.url, `unix:${path}`);
    assert.equal(statSync(path).mode & 0o777, 0o660);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const large = Buffer.alloc(300_000, 'x');
    assert.deepEqual(await post(path, Buffer.from('one'), { agent }), { status: 200, reused: false });
    assert.deepEqual(await post(path, large, { agent }), { status: 200, reused: true });
    assert.equal(side.fastConnections(), fastPath ? 1 : 0);
    // Chunks are node:http's, on the same connection.
    assert.deepEqual(await post(path, Buffer.from('two'), { agent, chunked: true }), { status: 200, reused: true });
    assert.equal(side.fastConnections(), 0);
    assert.deepEqual(side.bodies, ['traces 0 one', `traces 0 ${large}`, 'traces 0 two']);
    agent.destroy();
    await side.close(5000);
    assert.equal(existsSync(path), false);
  }
});

/** A socket's file whose server is gone, as after kill -9. */
async function leaveStale(path: string): Promise<void> {
  const server = createServer().listen(`${path}.old`);
  await once(server, 'listening');
  renameSync(`${path}.old`, path);
  server.close();
  await once(server, 'close');
  assert.ok(statSync(path).isSocket());
}

test('a socket that nobody answers on is replaced; one that somebody answers on, and any other file, is left alone', async (t) => {
  const path = socketIn(t);
  await leaveStale(path);
  const side = await startSide(t, true, { endpoint: `unix:${path}` });
  assert.equal((await post(path, Buffer.from('one'))).status, 200);
  await assert.rejects(startSide(t, true, { endpoint: `unix:${path}` }), { code: 'ADDRESS_IN_USE' });
  assert.equal((await post(path, Buffer.from('two'))).status, 200);
  assert.equal(side.bodies.length, 2);
  const file = join(temporaryDirectory(t, 'unix'), 'precious');
  writeFileSync(file, 'kept');
  await assert.rejects(startSide(t, true, { endpoint: `unix:${file}` }), { code: 'ADDRESS_IN_USE' });
  assert.ok(statSync(file).isFile());
  const lost = join(temporaryDirectory(t, 'unix'), 'gone/otlp.sock');
  const told = { code: 'CONFIG_INVALID', message: /there is no directory .*gone: make it$/ };
  await assert.rejects(startSide(t, true, { endpoint: `unix:${lost}` }), told);
  await assert.rejects(startSide(t, true, { endpoint: 'unix:relative' }), { code: 'CONFIG_INVALID' });
  await assert.rejects(startSide(t, true, { endpoint: `unix:/${'x'.repeat(107)}` }), { code: 'CONFIG_INVALID' });
});

test('all who send over a socket share one part of what is free; tokens make them several', async (t) => {
  for (const [tokens, second] of [
    [null, 503],
    ['a name=a\nb name=b\n', 200],
  ] as const) {
    const path = socketIn(t);
    const tokenFile = tokens === null ? null : `${path}.tokens`;
    if (tokenFile !== null && tokens !== null) writeFileSync(tokenFile, tokens);
    const held = Promise.withResolvers<() => void>();
    const side = await startSide(t, true, {
      endpoint: `unix:${path}`,
      tokenFile,
      inFlightBytes: 10_000,
      submit: ({ bytes }) =>
        new Promise((resolve) => {
          const answer = () => resolve({ kind: 'accepted', items: 1, rejected: 0, warned: 0 });
          if (bytes === 7000) held.resolve(answer);
          else answer();
        }),
    });
    const first = post(path, Buffer.alloc(7000), { token: 'a' });
    const release = await held.promise;
    // A client that has 7000 of 10,000 may have no 2000 more, a new one may.
    assert.equal((await post(path, Buffer.alloc(2000), { token: 'b' })).status, second);
    release();
    assert.equal((await first).status, 200);
    assert.equal(side.admission.used, 0);
  }
});

test('an agent on a socket needs no `insecure`, stores what came, and takes its socket with it', async (t) => {
  const directory = temporaryDirectory(t, 'unix-agent');
  const path = join(directory, 'otlp.sock');
  const yaml = `
agent: { data_dir: ./data, shutdown: { serve_on: 0s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "unix:${path}" } }
sinks: []
`;
  const first = await startAgentProcess(directory, yaml);
  assert.equal(first.ingest, `unix:${path}`);
  const body = protobufOf('metrics', requestOf('metrics', 'shop', [gauge()]));
  const call = request({
    socketPath: path,
    method: 'POST',
    path: '/v1/metrics',
    headers: { 'content-type': PROTOBUF, 'content-length': body.length },
  });
  call.end(body);
  const [reply] = (await once(call, 'response')) as [IncomingMessage];
  reply.resume();
  assert.equal(reply.statusCode, 200);
  assert.equal((await first.status()).ledger.metrics?.journalled, 1);
  await first.end('SIGKILL');
  assert.ok(existsSync(path), 'nobody was there to remove it');
  const second = await startAgentProcess(directory, yaml);
  assert.equal((await second.status()).ledger.metrics?.journalled, 1);
  assert.equal(await second.end('SIGTERM'), 0);
  assert.equal(existsSync(path), false);
});
