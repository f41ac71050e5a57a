/** Rows A: how requests reach the receiver. */
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { raw, send, wire } from './client.ts';
import { CannotRun, type Case, post, type Row, refused, succeeded, valid } from './row.ts';

const TRACES = ['traces'] as const;

async function isTaken(c: Case): Promise<void> {
  succeeded(c, await post(c, valid(c)));
  c.atSink((items) => assert.equal(items.length, 1));
}

/** Many requests by one keep-alive agent; resolves with the number of connections it took. */
async function reuse(c: Case, times: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const sockets = new Set<unknown>();
  for (let i = 0; i < times; i++) {
    await new Promise<void>((resolve, reject) => {
      const call = request(c.url + c.path, { method: 'POST', agent, headers: { 'content-type': c.type } }, (reply) => {
        sockets.add(reply.socket);
        reply
          .resume()
          .on('end', () => (reply.statusCode === 200 ? resolve() : reject(new Error(`${reply.statusCode}`))));
      });
      call.on('error', reject);
      call.end(valid(c));
    });
  }
  agent.destroy();
  return sockets.size;
}

function isOpen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

export const TRANSPORT: Row[] = [
  {
    id: 'A1',
    strength: 'M',
    request: 'POST /v1/traces, valid body',
    expected: '200, ExportTraceServiceResponse',
    signals: TRACES,
    run: isTaken,
  },
  {
    id: 'A2',
    strength: 'M',
    request: 'POST /v1/metrics, valid body',
    expected: '200, ExportMetricsServiceResponse',
    signals: ['metrics'],
    run: isTaken,
  },
  {
    id: 'A3',
    strength: 'M',
    request: 'POST /v1/logs, valid body',
    expected: '200, ExportLogsServiceResponse',
    signals: ['logs'],
    run: isTaken,
  },
  {
    id: 'A4',
    strength: 'H',
    request: 'POST /v1development/profiles',
    expected: '404 with a Status, or taken',
    signals: TRACES,
    async run(c) {
      const reply = await send(`${c.url}/v1development/profiles`, {
        headers: { 'content-type': c.type },
        body: Buffer.alloc(0),
      });
      if (reply.status !== 200) refused(c, reply, 404);
      await isTaken(c);
    },
  },
  {
    id: 'A5',
    strength: 'M',
    request: 'no address configured',
    expected: 'bound to 127.0.0.1:4318 alone',
    signals: TRACES,
    encodings: ['protobuf'],
    own: true,
    async run(c) {
      if (await isOpen('127.0.0.1', 4318)) throw new CannotRun('port 4318 is taken by another program');
      const agent = await c.own('', { isBare: true, isAlone: true });
      assert.equal(agent.url, 'http://127.0.0.1:4318');
      succeeded(c, await post({ ...c, url: agent.url }, valid(c)));
      const others = Object.values(networkInterfaces()).flatMap((list) =>
        (list ?? []).filter(({ internal }) => !internal),
      );
      for (const { address, scopeid } of others)
        if (!scopeid) assert.equal(await isOpen(address, 4318), false, `it listens on ${address}`);
      await agent.stop();
    },
  },
  {
    id: 'A6',
    strength: 'Y',
    request: 'path reconfigured',
    expected: 'new path 200, old path 404',
    encodings: ['protobuf'],
    own: true,
    async run(c) {
      const agent = await c.own(`ingest: { http: { ${c.signal}_url_path: /otlp/${c.signal} } }`);
      const at = { ...c, url: agent.url };
      succeeded(c, await post({ ...at, path: `/otlp/${c.signal}` }, valid(c)));
      refused(c, await post(at, valid(c)), 404);
    },
  },
  {
    id: 'A7',
    strength: 'M',
    request: 'GET, PUT, PATCH, DELETE, HEAD',
    expected: '405, Allow: POST, Status',
    async run(c) {
      for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'HEAD']) {
        const reply = await send(c.url + c.path, {
          method,
          headers: { 'content-type': c.type },
          body: Buffer.alloc(0),
        });
        assert.equal(reply.headers.allow, 'POST', method);
        if (method === 'HEAD') assert.equal(reply.status, 405);
        else refused(c, reply, 405);
      }
    },
  },
  {
    id: 'A8',
    strength: 'M',
    request: 'unknown path',
    expected: '404 with a Status',
    async run(c) {
      for (const path of ['/', '/v1', `${c.path}/`, `${c.path}x`, '/v2/traces', '/%ff', '/v1/../etc/passwd'])
        refused(c, await post({ ...c, path }, valid(c)), 404);
    },
  },
  {
    id: 'A9',
    strength: 'H',
    request: 'path with a query',
    expected: '200, the query is ignored',
    async run(c) {
      succeeded(c, await post({ ...c, path: `${c.path}?x=1&__proto__=2` }, valid(c)));
    },
  },
  {
    id: 'A10',
    strength: 'S',
    request: '1,000 requests one after the other',
    expected: 'all 200 on one connection',
    encodings: ['protobuf'],
    async run(c) {
      assert.equal(await reuse(c, 1000), 1);
    },
  },
  {
    id: 'A11',
    strength: 'S',
    request: '256 connections at once; eight requests pipelined',
    expected: 'each its own answer, in order',
    async run(c) {
      const replies = await Promise.all(Array.from({ length: 256 }, () => post(c, valid(c))));
      for (const reply of replies) succeeded(c, reply);
      const good = wire('POST', c.path, { 'Content-Type': c.type, 'Content-Length': valid(c).length }, valid(c));
      const bad = wire('POST', '/nowhere', { 'Content-Type': c.type, 'Content-Length': 0 }, Buffer.alloc(0));
      const piped = await raw(c.url, Buffer.concat([good, bad, good, good, bad, bad, good, good]), { replies: 8 });
      assert.deepEqual(
        piped.replies.map(({ status }) => status),
        [200, 404, 200, 200, 404, 404, 200, 200],
      );
    },
  },
  {
    id: 'A12',
    strength: 'H',
    request: 'HTTP/1.0; Connection: close',
    expected: 'answered, then closed',
    async run(c) {
      const body = valid(c);
      const headers = { 'Content-Type': c.type, 'Content-Length': body.length };
      const old = Buffer.from(
        wire('POST', c.path, headers, body).toString('latin1').replace('HTTP/1.1', 'HTTP/1.0'),
        'latin1',
      );
      for (const bytes of [old, wire('POST', c.path, { ...headers, Connection: 'close' }, body)]) {
        const { replies, closed } = await raw(c.url, bytes);
        assert.deepEqual([replies.length, closed], [1, true]);
        assert.equal(replies[0]?.status, 200);
      }
    },
  },
  {
    id: 'A13',
    strength: 'H',
    request: 'chunked body without Content-Length',
    expected: '200',
    async run(c) {
      const body = valid(c, 3);
      succeeded(
        c,
        await post(
          c,
          Array.from(body, (_, i) => body.subarray(i, i + 1)),
        ),
      );
      c.atSink((items) => assert.equal(items.length, 3));
    },
  },
  {
    id: 'A14',
    strength: 'H',
    request: 'Expect: 100-continue',
    expected: '100, then 200; over the limit 413 at once',
    async run(c) {
      const body = valid(c);
      const headers = { 'Content-Type': c.type, Expect: '100-continue', Connection: 'close' };
      const first = wire('POST', c.path, { ...headers, 'Content-Length': body.length }, Buffer.alloc(0));
      const { replies } = await raw(c.url, first, { next: body });
      assert.deepEqual(
        replies.map(({ status }) => status),
        [100, 200],
      );
      const large = await raw(c.url, wire('POST', c.path, { ...headers, 'Content-Length': 1e9 }, Buffer.alloc(0)));
      assert.deepEqual(
        large.replies.map(({ status }) => status),
        [413],
      );
    },
  },
  {
    id: 'A15',
    strength: 'H',
    request: 'Content-Length together with Transfer-Encoding',
    expected: '400 and close',
    async run(c) {
      const headers = { 'Content-Type': c.type, 'Content-Length': 3, 'Transfer-Encoding': 'chunked' };
      const { replies, closed } = await raw(c.url, wire('POST', c.path, headers, Buffer.from('0\r\n\r\n')));
      assert.deepEqual([replies.map(({ status }) => status), closed], [[400], true]);
    },
  },
  {
    id: 'A16',
    strength: 'O',
    request: 'OPTIONS preflight, CORS off and on',
    expected: '405; 204 with exactly the configured origins',
    encodings: ['json'],
    own: true,
    async run(c) {
      const headers = {
        origin: 'https://shop.example',
        'access-control-request-method': 'POST',
        'content-type': c.type,
      };
      const ask = (url: string, origin: string) =>
        send(url + c.path, { method: 'OPTIONS', headers: { ...headers, origin }, body: Buffer.alloc(0) });
      refused(c, await ask(c.url, headers.origin), 405);
      const agent = await c.own('ingest: { http: { cors: { allowed_origins: ["https://shop.example"] } } }');
      const allowed = await ask(agent.url, headers.origin);
      assert.deepEqual([allowed.status, allowed.headers['access-control-allow-origin']], [204, headers.origin]);
      for (const origin of ['https://shop.example.evil', 'http://shop.example', 'null', '*'])
        assert.equal((await ask(agent.url, origin)).headers['access-control-allow-origin'], undefined, origin);
    },
  },
  {
    id: 'A17',
    strength: 'H',
    request: '4xx whose body was read',
    expected: 'the connection stays usable',
    async run(c) {
      const bad = Buffer.from(c.isJson ? '{"' : '\xff\xff\xff', 'latin1');
      const first = wire('POST', c.path, { 'Content-Type': c.type, 'Content-Length': bad.length }, bad);
      const body = valid(c);
      const second = wire('POST', c.path, { 'Content-Type': c.type, 'Content-Length': body.length }, body);
      const { replies } = await raw(c.url, first, { next: second, replies: 2 });
      assert.deepEqual(
        replies.map(({ status }) => status),
        [400, 200],
      );
    },
  },
];
