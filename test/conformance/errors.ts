/** Rows D: refusals, limits, and what breaks off. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { SIGNALS } from '../../src/core/block.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import { startIngest } from '../../src/ingest/server.ts';
import { type Reply, raw, send, wire } from './client.ts';
import { sized } from './messages.ts';
import { type Case, post, type Row, refused, succeeded, valid } from './row.ts';

const WITH_TOKENS = 'ingest: { http: { auth: { bearer_token_file: tokens } } }';
const GZIP = { 'content-encoding': 'gzip' };
/** Of the agent under test; for another receiver `--limit BYTES` says it. */
const LIMIT = Number(process.env.CONFORMANCE_LIMIT ?? 20 << 20);

/** A message of exactly this many bytes: nothing but an unknown field, or white space. */
function ofSize(c: Case, bytes: number): Buffer {
  if (c.isJson) return Buffer.concat([Buffer.from('{'), Buffer.alloc(bytes - 2, ' '), Buffer.from('}')]);
  // Tag and a length of four bytes come before the content.
  const content = sized(1000, Buffer.alloc(bytes - 6));
  assert.equal(content.length, bytes);
  return content;
}

function retryable(c: Case, reply: Reply, status: number): void {
  refused(c, reply, status);
  const after = Number(reply.headers['retry-after']);
  assert.ok(Number.isInteger(after) && after >= 1, `Retry-After: ${reply.headers['retry-after']}`);
}

/** Sends the head and half of the body, leaves, and resolves when the connection is closed. */
function leaveMidBody(c: Case, body: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(c.url);
    const socket = connect(Number(port), hostname, () => {
      socket.write(
        wire(
          'POST',
          c.path,
          { 'Content-Type': c.type, 'Content-Length': body.length },
          body.subarray(0, body.length >> 1),
        ),
      );
      setTimeout(() => socket.destroy(), 50);
    });
    socket.on('close', () => resolve());
    socket.on('error', reject);
  });
}

let made: Buffer[] = [];
/** Zeros, twice and fifty times the limit; made once. */
function bombs(): Buffer[] {
  if (made.length === 0) made = [2, 50].map((times) => gzipSync(Buffer.alloc(LIMIT * times), { level: 1 }));
  return made;
}

export const ERRORS: Row[] = [
  {
    id: 'D1',
    strength: 'M',
    request: 'one error of each kind',
    expected: 'a google.rpc.Status in the encoding of the request',
    async run(c) {
      const bad = Buffer.from([0xff]);
      refused(c, await post(c, bad), 400);
      refused(c, await post({ ...c, path: '/nowhere' }, bad), 404);
      refused(c, await send(c.url + c.path, { method: 'PUT', headers: { 'content-type': c.type }, body: bad }), 405);
      refused(c, await post(c, bad, { 'content-encoding': 'br' }), 415);
      const head = wire(
        'POST',
        c.path,
        { 'Content-Type': c.type, 'Content-Length': LIMIT + 1, Connection: 'close' },
        Buffer.alloc(0),
      );
      refused(c, (await raw(c.url, head, { replies: 1 })).replies[0] as Reply, 413);
    },
  },
  {
    id: 'D2',
    strength: 'S',
    request: 'as D1, with secrets and control characters in what is sent',
    expected: 'a message, but no stack, path, setting or token',
    async run(c) {
      const secret = 'SECRET0token';
      const cases = [
        await post({ ...c, path: '/x%0d%0aInjected: 1' }, Buffer.alloc(0), { authorization: `Bearer ${secret}` }),
        await post(c, Buffer.from([0xff]), { authorization: `Bearer ${secret}` }),
        await post(c, Buffer.from('{"a":'.repeat(200)), { authorization: `Bearer ${secret}` }),
      ];
      for (const reply of cases) {
        const { message } = refused(c, reply, 400, 404);
        assert.ok(!message.includes(secret) && message.length < 2000, message.slice(0, 200));
        // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what it looks for.
        assert.doesNotMatch(message, /[\x00-\x1f]/);
      }
    },
  },
  {
    id: 'D3',
    strength: 'M',
    request: 'undecodable body',
    expected: '400, details with BadRequest',
    async run(c) {
      const bodies = c.isJson ? ['[]', '"x"', '{"', 'nonsense', '{} {}'] : ['\xff', '\x0a\x05\x01', '\x00\x01', '\x0b'];
      for (const body of bodies) {
        const { details } = refused(c, await post(c, Buffer.from(body, 'latin1')), 400);
        assert.deepEqual(
          details.map(({ name }) => name),
          ['type.googleapis.com/google.rpc.BadRequest'],
          body,
        );
      }
    },
  },
  {
    id: 'D4',
    strength: 'M',
    request: 'Content-Length over the limit',
    expected: '413 before the body',
    async run(c) {
      const head = wire('POST', c.path, { 'Content-Type': c.type, 'Content-Length': LIMIT + 1 }, Buffer.alloc(0));
      const { replies } = await raw(c.url, head, { replies: 1 });
      refused(c, replies[0] as Reply, 413);
    },
  },
  {
    id: 'D5',
    strength: 'M',
    request: 'chunked body over the limit',
    expected: '413 when it is passed',
    async run(c) {
      const piece = Buffer.concat([
        Buffer.from('100000\r\n'),
        Buffer.alloc(1 << 20, c.isJson ? ' ' : 0),
        Buffer.from('\r\n'),
      ]);
      const head = wire('POST', c.path, { 'Content-Type': c.type, 'Transfer-Encoding': 'chunked' }, Buffer.alloc(0));
      const { replies } = await raw(c.url, head, { drip: piece.toString('latin1'), everyMs: 5, replies: 1 });
      refused(c, replies[0] as Reply, 413);
    },
  },
  {
    id: 'D6',
    strength: 'M',
    request: 'gzip that inflates over the limit, to twice and fifty times as much',
    expected: '413',
    async run(c) {
      for (const bomb of bombs()) refused(c, await post(c, bomb, GZIP), 413);
      const member = gzipSync(Buffer.alloc(LIMIT >> 1), { level: 1 });
      refused(c, await post(c, Buffer.concat([member, member, member]), GZIP), 413);
      succeeded(c, await post(c, valid(c)));
    },
  },
  {
    id: 'D7',
    strength: 'M',
    request: 'exactly the limit, and one byte more; plain, chunked, gzip',
    expected: '200; 413',
    async run(c) {
      const [exact, over] = [ofSize(c, LIMIT), ofSize(c, LIMIT + 1)];
      succeeded(c, await post(c, exact));
      refused(c, await post(c, over), 413);
      succeeded(c, await post(c, [exact.subarray(0, 100), exact.subarray(100)]));
      refused(c, await post(c, [over.subarray(0, 100), over.subarray(100)]), 413);
      succeeded(c, await post(c, gzipSync(exact, { level: 1 }), GZIP));
      refused(c, await post(c, gzipSync(over, { level: 1 }), GZIP), 413);
    },
  },
  {
    id: 'D8',
    strength: 'S',
    request: "this client's quota is used up",
    expected: '429 with Retry-After',
    own: true,
    async run(c) {
      // Each case has a token and so a quota of its own.
      const token = `${c.signal}-${c.isJson}`;
      const tokens = SIGNALS.flatMap((signal) => [true, false].map((json) => `${signal}-${json} quota=1KB/s\n`)).join(
        '',
      );
      const agent = await c.own(WITH_TOKENS, { files: { tokens: `${tokens}other\n` } });
      const at = { ...c, url: agent.url };
      succeeded(c, await post(at, valid(c, 100), { authorization: `Bearer ${token}` }));
      retryable(c, await post(at, valid(c), { authorization: `Bearer ${token}` }), 429);
      succeeded(c, await post(at, valid(c), { authorization: 'Bearer other' }));
    },
  },
  {
    id: 'D9',
    strength: 'S',
    request: 'no room; shutting down',
    expected: '503 with Retry-After; while it drains, answers that close the connection',
    encodings: ['protobuf'],
    own: true,
    async run(c) {
      const admission = '{ in_flight: 1MiB, waiting: 1KiB }';
      const agent = await c.own(`agent: { shutdown: { serve_on: 3s } }\ningest: { admission: ${admission} }`, {
        isAlone: true,
      });
      const at = { ...c, url: agent.url };
      const { hostname, port } = new URL(agent.url);
      const holder = connect(Number(port), hostname);
      holder.on('error', () => {});
      holder.write(wire('POST', c.path, { 'Content-Type': c.type, 'Content-Length': 1 << 20 }, Buffer.alloc(10)));
      await sleep(200);
      retryable(c, await post(at, valid(c, 40)), 503);
      holder.destroy();
      await sleep(200);
      succeeded(c, await post(at, valid(c)));
      process.kill(agent.pid, 'SIGTERM');
      await sleep(300);
      const last = await post(at, valid(c), { connection: 'keep-alive' });
      assert.equal(last.headers.connection, 'close');
      if (last.status === 200) succeeded(c, last);
      else retryable(c, last, 503);
      await agent.stop();
    },
  },
  {
    id: 'D10',
    strength: 'S',
    request: 'every sink is down',
    expected: 'never 500: accepted, and kept for them',
    encodings: ['protobuf'],
    own: true,
    async run(c) {
      const agent = await c.own(
        'sinks: [{ type: kafka, brokers: ["127.0.0.1:9"], subscribe: { raw: "otlp_{signal}" } }]',
      );
      for (let i = 0; i < 5; i++) succeeded(c, await post({ ...c, url: agent.url }, valid(c)));
    },
  },
  {
    id: 'D11',
    strength: 'M',
    request: 'data that will never be right',
    expected: '400 or 413, never 503',
    async run(c) {
      for (let i = 0; i < 5; i++) {
        refused(c, await post(c, Buffer.from('\x0a\xff', 'latin1')), 400);
        refused(c, await post(c, bombs()[0] as Buffer, GZIP), 413);
      }
    },
  },
  {
    id: 'D12',
    strength: 'H',
    request: 'no token, or a wrong one',
    expected: '401 with WWW-Authenticate, the body is not read',
    own: true,
    async run(c) {
      const agent = await c.own(WITH_TOKENS, { files: { tokens: 'abc\n' } });
      const at = { ...c, url: agent.url };
      for (const authorization of [undefined, 'Bearer ab', 'Bearer abcd', 'Basic abc', 'Bearer']) {
        const headers = authorization === undefined ? {} : { authorization };
        // If it were inflated the answer would be 413.
        const reply = await post(at, bombs()[0] as Buffer, { ...GZIP, ...headers });
        refused(c, reply, 401);
        assert.match(String(reply.headers['www-authenticate']), /^Bearer/);
      }
      const head = wire(
        'POST',
        c.path,
        { 'Content-Type': c.type, 'Content-Length': 1e6, Expect: '100-continue' },
        Buffer.alloc(0),
      );
      refused(c, (await raw(agent.url, head, { replies: 1 })).replies[0] as Reply, 401);
      succeeded(c, await post(at, valid(c), { authorization: 'Bearer abc' }));
    },
  },
  {
    id: 'D13',
    strength: 'H',
    request: 'a token that may send another signal',
    expected: '403',
    own: true,
    async run(c) {
      const others = ['traces', 'metrics', 'logs'].filter((signal) => signal !== c.signal);
      const tokens = `abc signals=${others.join(',')}\ndef signals=${c.signal}\n`;
      const agent = await c.own(WITH_TOKENS, { files: { tokens } });
      refused(c, await post({ ...c, url: agent.url }, valid(c), { authorization: 'Bearer abc' }), 403);
      succeeded(c, await post({ ...c, url: agent.url }, valid(c), { authorization: 'Bearer def' }));
    },
  },
  {
    id: 'D14',
    strength: 'H',
    request: 'headers over 16 KiB; slow headers; slow and dripping bodies',
    expected: '431; 408; 408, and closed',
    signals: ['traces'],
    slow: true,
    async run(c) {
      const long = wire('POST', c.path, { 'Content-Type': c.type, 'X-Long': 'x'.repeat(17_000) }, Buffer.alloc(0));
      const head = wire('POST', c.path, { 'Content-Type': c.type, 'Transfer-Encoding': 'chunked' }, Buffer.alloc(0));
      const half = wire('POST', c.path, { 'Content-Type': c.type, 'Content-Length': 100 }, Buffer.from('half'));
      const cases = await Promise.all([
        raw(c.url, long),
        raw(c.url, `POST ${c.path} HTTP/1.1\r\nHost: x\r\n`, { drip: 'X-A: b\r\n', everyMs: 900 }),
        raw(c.url, half),
        raw(c.url, head, { drip: '1\r\nx\r\n', everyMs: 900 }),
      ]);
      assert.deepEqual(
        cases.map(({ replies }) => replies.at(-1)?.status),
        [431, 408, 408, 408],
      );
      for (const { closed } of cases) assert.equal(closed, true);
      refused(c, cases[2]?.replies[0] as Reply, 408);
    },
  },
  {
    id: 'D15',
    strength: 'O',
    request: 'the decoder throws what nobody expected',
    expected: '500 with a Status, the process lives, it is counted',
    own: true,
    async run(c) {
      const telemetry = createTelemetry();
      let faults = 0;
      const server = await startIngest({
        endpoint: '127.0.0.1:0',
        paths: { traces: '/v1/traces', metrics: '/v1/metrics', logs: '/v1/logs' },
        maxBodyBytes: 1e6,
        inFlightBytes: 1e6,
        waitingBytes: 0,
        pressure: () => null,
        cors: { allowedOrigins: [], allowedHeaders: [], maxAgeS: 0 },
        tls: null,
        tokenFile: null,
        fastPath: c.fastPath,
        onNoFastPath: () => assert.fail('no fast path'),
        onReload: () => {},
        onFault: () => faults++,
        submit: async () => {
          throw new RangeError('on purpose, at /secret/place.ts:1');
        },
        telemetry,
        now: () => 0,
      });
      try {
        for (let i = 1; i <= 3; i++) {
          refused(c, await post({ ...c, url: server.url }, valid(c)), 500);
          assert.equal(faults, i);
        }
        assert.match(
          await telemetry.registry.metrics(),
          new RegExp(`requests_total{signal="${c.signal}",code="500"} 3`),
        );
        assert.equal(server.admission.used, 0);
      } finally {
        await server.close(5000);
      }
    },
  },
  {
    id: 'D16',
    strength: 'O',
    request: 'the client leaves in the middle of a body',
    expected: 'nothing stored, the next request is served',
    async run(c) {
      const body = valid(c, 100);
      await Promise.all(Array.from({ length: 20 }, () => leaveMidBody(c, body)));
      succeeded(c, await post(c, valid(c)));
      c.atSink((items) => assert.equal(items.length, 1));
    },
  },
  {
    id: 'D17',
    strength: 'O',
    request: 'the client leaves after the body, before the reply',
    expected: 'the data is kept',
    async run(c) {
      const body = valid(c, 7);
      const { hostname, port } = new URL(c.url);
      await new Promise<void>((resolve, reject) => {
        const socket = connect(Number(port), hostname, () => {
          // `end` sends the whole before the connection goes.
          socket.end(wire('POST', c.path, { 'Content-Type': c.type, 'Content-Length': body.length }, body));
        });
        socket.on('finish', () => resolve());
        socket.on('error', reject);
        socket.resume();
      });
      c.atSink((items) => assert.equal(items.length, 7));
      await sleep(50);
      succeeded(c, await post({ ...c, service: `${c.service} again` }, valid({ ...c, service: `${c.service} again` })));
    },
  },
];
