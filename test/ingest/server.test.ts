/** Holds src/ingest/server.ts over real HTTP and a submit of the test's own: every status with its body, and what is refused unread. */
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { test as nodeTest, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Encoding } from '../../src/core/block.ts';
import type { ErrorCode } from '../../src/core/errors.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import type { Outcome, Submit } from '../../src/ingest/accept.ts';
import { httpStatusOf } from '../../src/ingest/replies.ts';
import { type IngestOptions, startIngest } from '../../src/ingest/server.ts';
import { messageType } from '../../src/otlp/schema.ts';

const PROTOBUF = 'application/x-protobuf';
const JSON_TYPE = 'application/json';
const ACCEPTED: Outcome = { kind: 'accepted', items: 1, rejected: 0, warned: 0 };

const BY_NODE = ', by node:http';

/** Every test runs with the fast path and without. */
function test(name: string, run: (t: TestContext) => Promise<void>): void {
  nodeTest(name, run);
  nodeTest(name + BY_NODE, run);
}

async function start(t: TestContext, changes: Partial<IngestOptions> = {}) {
  const bodies: { signal: string; encoding: number; text: string }[] = [];
  const submit: Submit = async ({ signal, encoding, chunks }) => {
    bodies.push({ signal, encoding, text: Buffer.concat(chunks).toString('latin1') });
    return ACCEPTED;
  };
  const server = await startIngest({
    endpoint: '127.0.0.1:0',
    paths: { traces: '/v1/traces', metrics: '/v1/metrics', logs: '/v1/logs' },
    maxBodyBytes: 1000,
    inFlightBytes: 10_000,
    waitingBytes: 0,
    pressure: () => null,
    cors: { allowedOrigins: [], allowedHeaders: [], maxAgeS: 7200 },
    tls: null,
    tokenFile: null,
    fastPath: !t.name.endsWith(BY_NODE),
    onNoFastPath: () => assert.fail('no fast path'),
    onReload: () => {},
    onFault: () => {},
    submit,
    telemetry: createTelemetry(),
    now: () => 0,
    ...changes,
  });
  t.after(() => server.close(5000));
  return { ...server, bodies };
}

interface Reply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

/** By node:http, which sends what it is told; `chunks` go without Content-Length. */
function send(
  url: string,
  headers: Record<string, string>,
  body: Uint8Array | Uint8Array[],
  method = 'POST',
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const call = httpRequest(url, { method, headers, agent: false }, (reply) => {
      const parts: Buffer[] = [];
      reply.on('data', (part: Buffer) => parts.push(part));
      reply.on('end', () =>
        resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body: Buffer.concat(parts) }),
      );
    });
    call.on('error', reject);
    if (Array.isArray(body)) for (const chunk of body) call.write(chunk);
    else if (body.length > 0) call.setHeader('content-length', body.length);
    call.end(Array.isArray(body) ? undefined : body);
  });
}

/** The message of a google.rpc.Status in the encoding that was asked for. */
function statusOf({ headers, body }: Reply, type: string): string {
  assert.equal(headers['content-type'], type);
  const status = messageType('Status');
  const { message, code } = type === PROTOBUF ? status.toObject(status.decode(body)) : JSON.parse(body.toString());
  assert.equal(typeof message, 'string');
  assert.ok(message.length > 0 && !/ {4}at |node_modules|\.ts:/.test(message), message);
  assert.ok(code === undefined || typeof code === 'number');
  return message;
}

const ONE = Buffer.from('{}');

test('a body is handed on as it came, with its signal and encoding, and answered in its encoding', async (t) => {
  const { url, bodies } = await start(t);
  const cases: [path: string, type: string, coding: string | null, reply: string, encoding: number][] = [
    ['/v1/traces', PROTOBUF, null, PROTOBUF, Encoding.protobuf],
    ['/v1/metrics', JSON_TYPE, null, JSON_TYPE, Encoding.json],
    ['/v1/logs', 'application/json; charset=utf-8', 'gzip', JSON_TYPE, Encoding.json | Encoding.gzip],
    ['/v1/traces', 'Application/JSON', 'GZIP', JSON_TYPE, Encoding.json | Encoding.gzip],
    ['/v1/traces', PROTOBUF, 'x-gzip', PROTOBUF, Encoding.gzip],
    ['/v1/traces?x=1', PROTOBUF, 'identity', PROTOBUF, Encoding.protobuf],
  ];
  for (const [path, type, coding, replyType, encoding] of cases) {
    const body = coding?.includes('zip') || coding === 'GZIP' ? gzipSync(ONE) : ONE;
    const reply = await send(
      url + path,
      { 'content-type': type, ...(coding === null ? {} : { 'content-encoding': coding }) },
      body,
    );
    assert.equal(reply.status, 200, type);
    assert.equal(reply.headers['content-type'], replyType);
    assert.equal(reply.body.toString(), replyType === PROTOBUF ? '' : '{}');
    assert.equal(reply.headers['content-length'], String(reply.body.length));
    assert.deepEqual(bodies.pop(), {
      signal: path.replace(/\?.*/, '').slice(4),
      encoding,
      text: body.toString('latin1'),
    });
  }
});

test('an empty body is the empty message, chunked ones are taken', async (t) => {
  const { url, bodies } = await start(t);
  for (const type of [PROTOBUF, JSON_TYPE])
    assert.equal((await send(`${url}/v1/traces`, { 'content-type': type }, Buffer.alloc(0))).status, 200);
  assert.deepEqual(
    bodies.map(({ text }) => text),
    ['', ''],
  );
  assert.equal(
    (await send(`${url}/v1/traces`, { 'content-type': JSON_TYPE }, [Buffer.from('{'), Buffer.from('}')])).status,
    200,
  );
  assert.equal(bodies.at(-1)?.text, '{}');
});

test('partial success says how many, in JSON as a decimal string', async (t) => {
  const { url } = await start(t, { submit: async () => ({ kind: 'accepted', items: 1, rejected: 3, warned: 0 }) });
  const json = await send(`${url}/v1/logs`, { 'content-type': JSON_TYPE }, ONE);
  assert.deepEqual([json.status, JSON.parse(json.body.toString()).partialSuccess.rejectedLogRecords], [200, '3']);
  const type = messageType('ExportMetricsServiceResponse');
  const protobuf = await send(`${url}/v1/metrics`, { 'content-type': PROTOBUF }, ONE);
  assert.equal(type.toObject(type.decode(protobuf.body), { longs: String }).partialSuccess.rejectedDataPoints, '3');
});

test('other methods are 405 with Allow, unknown paths 404, both with a Status', async (t) => {
  const { url } = await start(t);
  for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD']) {
    const reply = await send(`${url}/v1/traces`, { 'content-type': PROTOBUF }, Buffer.alloc(0), method);
    assert.deepEqual([reply.status, reply.headers.allow], [405, 'POST'], method);
    if (method !== 'HEAD') statusOf(reply, PROTOBUF);
  }
  for (const path of ['/', '/v1/trace', '/v1development/profiles', '/v1/traces/']) {
    const reply = await send(url + path, { 'content-type': JSON_TYPE }, ONE);
    assert.equal(reply.status, 404, path);
    const known = 'known are /v1/traces, /v1/metrics, /v1/logs';
    assert.equal(statusOf(reply, JSON_TYPE), `no such path: ${path}; ${known}`);
  }
});

test('other content types are 415, their bodies never handed on', async (t) => {
  const { url, bodies } = await start(t);
  for (const type of [
    'text/plain',
    'application/grpc',
    'application/octet-stream',
    'application/jsonx',
    'application/x-protobuf2',
  ]) {
    const reply = await send(`${url}/v1/traces`, { 'content-type': type }, ONE);
    assert.equal(reply.status, 415, type);
    assert.equal(reply.headers.accept, 'application/x-protobuf, application/json', type);
    statusOf(reply, JSON_TYPE);
  }
  const none = await send(`${url}/v1/traces`, {}, ONE);
  assert.equal(none.status, 415);
  statusOf(none, JSON_TYPE);
  assert.deepEqual(bodies, []);
});

for (const type of [
  'application/json garbage',
  'application/json\tgarbage',
  'application/json,',
  'application/x-protobuf x',
  'json',
  ' ',
]) {
  test(`content type "${type}" is 415`, async (t) => {
    const { url, bodies } = await start(t);
    const reply = await send(`${url}/v1/traces`, { 'content-type': type }, ONE);
    assert.equal(reply.status, 415);
    assert.ok(statusOf(reply, String(reply.headers['content-type'])).length > 0);
    assert.deepEqual(bodies, []);
  });
}

test('other content encodings are 415 with those that are taken', async (t) => {
  const { url } = await start(t);
  for (const coding of ['br', 'gzip, gzip', 'nonsense']) {
    const reply = await send(`${url}/v1/traces`, { 'content-type': PROTOBUF, 'content-encoding': coding }, ONE);
    assert.deepEqual([reply.status, reply.headers['accept-encoding']], [415, 'gzip, zstd, deflate'], coding);
    statusOf(reply, PROTOBUF);
  }
});

test('a path that is no URL is answered with a Status', async (t) => {
  const { url } = await start(t);
  const reply = await send(`${url}/%ff`, { 'content-type': JSON_TYPE }, ONE);
  assert.ok(reply.status === 400 || reply.status === 404);
  statusOf(reply, JSON_TYPE);
});

test('exactly the limit is taken, one byte more is 413, announced or chunked', async (t) => {
  const { url, bodies } = await start(t);
  const headers = { 'content-type': PROTOBUF };
  assert.equal((await send(`${url}/v1/traces`, headers, Buffer.alloc(1000))).status, 200);
  assert.equal((await send(`${url}/v1/traces`, headers, [Buffer.alloc(500), Buffer.alloc(500)])).status, 200);
  assert.equal(bodies.length, 2);
  for (const body of [Buffer.alloc(1001), [Buffer.alloc(500), Buffer.alloc(501)]]) {
    const reply = await send(`${url}/v1/traces`, headers, body);
    assert.equal(reply.status, 413);
    assert.match(statusOf(reply, PROTOBUF), /over 1000 bytes: raise ingest\.http\.max_request_body_size/);
  }
  assert.equal(bodies.length, 2);
});

test('an announced body over the limit is refused before a byte of it is sent', async (t) => {
  const { url, admission } = await start(t);
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  t.after(() => socket.destroy());
  socket.write(`POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: ${PROTOBUF}\r\nContent-Length: 100000000\r\n\r\n`);
  const [head] = await new Promise<Buffer[]>((resolve, reject) => {
    socket.once('data', (bytes: Buffer) => resolve([bytes]));
    socket.once('error', reject);
  });
  assert.match(head?.toString() ?? '', /^HTTP\/1\.1 413 .*connection: close/is);
  assert.equal(admission.used, 0);
});

const CODES: [ErrorCode, number][] = [
  ['BODY_UNDECODABLE', 400],
  ['BODY_TOO_LARGE', 413],
  ['OVERLOADED', 503],
  ['DRAINING', 503],
  ['JOURNAL_FULL', 503],
  ['JOURNAL_SYNC_FAILED', 503],
  ['JOURNAL_CLOSED', 503],
  ['WORKER_DIED', 500],
];
for (const [code, status] of CODES) {
  test(`${code} is ${status}, with Retry-After if and only if it is for now`, async (t) => {
    assert.equal(httpStatusOf(code), status);
    const { url, admission } = await start(t, { submit: async () => ({ kind: 'refused', code, message: 'why' }) });
    for (const type of [PROTOBUF, JSON_TYPE]) {
      const reply = await send(`${url}/v1/traces`, { 'content-type': type }, ONE);
      assert.equal(reply.status, status);
      assert.equal(statusOf(reply, type), 'why');
      if (status === 503)
        assert.ok(Number.isInteger(Number(reply.headers['retry-after'])) && Number(reply.headers['retry-after']) >= 1);
      else assert.equal(reply.headers['retry-after'], undefined);
      if (status === 400 && type === JSON_TYPE) assert.match(reply.body.toString(), /google\.rpc\.BadRequest/);
    }
    assert.equal(admission.used, 0);
  });
}

test('what does not fit the byte budget is 503 unread, and fits again when the others are answered', async (t) => {
  const waiting: ((outcome: Outcome) => void)[] = [];
  let arrived: () => void = () => {};
  const first = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const submit: Submit = () => {
    arrived();
    return new Promise((resolve) => waiting.push(resolve));
  };
  const { url, admission } = await start(t, { inFlightBytes: 1500, submit });
  const headers = { 'content-type': PROTOBUF };
  const held = send(`${url}/v1/traces`, headers, Buffer.alloc(1000));
  await first;
  assert.equal(admission.used, 1000);
  for (const body of [Buffer.alloc(501), [Buffer.alloc(300), Buffer.alloc(300)]]) {
    const refused = await send(`${url}/v1/traces`, headers, body);
    assert.equal(refused.status, 503);
    assert.ok(Number(refused.headers['retry-after']) >= 1);
    assert.match(statusOf(refused, PROTOBUF), /bytes in flight, limit 1500/);
  }
  waiting.pop()?.(ACCEPTED);
  assert.equal((await held).status, 200);
  assert.equal(admission.used, 0);
});

test('while it drains every reply closes its connection', async (t) => {
  const server = await start(t);
  const headers = { 'content-type': PROTOBUF, connection: 'keep-alive' };
  assert.equal((await send(`${server.url}/v1/traces`, headers, ONE)).headers.connection, 'keep-alive');
  server.startDraining();
  assert.equal((await send(`${server.url}/v1/traces`, headers, ONE)).headers.connection, 'close');
});

test('while nothing is taken the refusal says why and when to come back', async (t) => {
  const { url, bodies } = await start(t, { pressure: () => 'no memory' });
  const reply = await send(`${url}/v1/traces`, { 'content-type': PROTOBUF }, ONE);
  assert.deepEqual([reply.status, statusOf(reply, PROTOBUF), bodies], [503, 'no memory', []]);
  assert.ok(Number(reply.headers['retry-after']) >= 1);
});

test('a port that is taken is named with the way out', async (t) => {
  const { url } = await start(t);
  await assert.rejects(start(t, { endpoint: new URL(url).host }), { code: 'ADDRESS_IN_USE' });
});

test('an address that this host does not have is called so, and is no program to stop', async (t) => {
  await assert.rejects(start(t, { endpoint: '192.0.2.1:0' }), {
    code: 'CONFIG_INVALID',
    message: /^ingest\.http\.endpoint 192\.0\.2\.1:0 cannot be listened on: .*EADDRNOTAVAIL/,
  });
});

/** Raw bytes there and back, then `drip` every 50 ms; resolves when the server closes the connection. */
function raw(url: string, bytes: string, drip?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    let answer = '';
    const dripping = drip === undefined ? undefined : setInterval(() => socket.write(drip), 50);
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      // Else what we go on sending is answered with a reset.
      clearInterval(dripping);
    });
    socket.on('close', () => {
      clearInterval(dripping);
      resolve(answer);
    });
    socket.on('error', reject);
    socket.write(bytes);
  });
}
const head = (...more: string[]) =>
  ['POST /v1/traces HTTP/1.1', 'Host: x', `Content-Type: ${PROTOBUF}`, ...more, '', ''].join('\r\n');
const QUICK = { headersMs: 300, requestMs: 600, checkMs: 50 };

test('HTTP/1.1 without a Host, or with two, is 400 with a Status; an empty one will do, and HTTP/1.0 needs none', async (t) => {
  const { url, bodies } = await start(t);
  const post = (...lines: string[]) =>
    [...lines, `Content-Type: ${PROTOBUF}`, 'Content-Length: 2', '', 'ab'].join('\r\n');
  const line = 'POST /v1/traces HTTP/1.1';
  const last = post(line, 'Host:', 'Connection: close');
  const answer = await raw(url, post(line, 'Host: x') + post(line) + post(line, 'Host: x', 'host: y') + last);
  assert.deepEqual(
    [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
    ['200', '400', '400', '200'],
  );
  assert.match(answer, /malformed HTTP: a request of HTTP\/1\.1 has one Host/);
  assert.match(await raw(url, post('POST /v1/traces HTTP/1.0', 'Connection: close')), /^HTTP\/1\.1 200 /);
  assert.equal(bodies.length, 3);
});

test('slow headers, a slow body and a dripping body are cut with 408', async (t) => {
  const { url, admission, bodies } = await start(t, { timeouts: QUICK });
  const [headers, body, dripping] = await Promise.all([
    raw(url, 'POST /v1/traces HTTP/1.1\r\nHost: x\r\nX-Slow'),
    raw(url, `${head('Content-Length: 100')}half`),
    raw(url, head('Transfer-Encoding: chunked'), '1\r\nx\r\n'),
  ]);
  for (const answer of [headers, body, dripping]) assert.match(answer, /^HTTP\/1\.1 408 .*connection: close/is);
  assert.deepEqual([bodies, admission.used], [[], 0]);
});

test('headers over 16 KiB are 431, malformed HTTP is 400, both with a Status', async (t) => {
  const { url } = await start(t);
  const cases: [string, RegExp][] = [
    [head(`X-Long: ${'x'.repeat(20_000)}`), /^HTTP\/1\.1 431 /],
    ['NONSENSE\r\n\r\n', /^HTTP\/1\.1 400 /],
    // An exporter of OTLP over gRPC that was given this port.
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /^HTTP\/1\.1 400 .*as of OTLP over gRPC, is not taken; send over HTTP\/1\.1/s],
    [`${head('Content-Length: 2', 'Transfer-Encoding: chunked')}0\r\n\r\n`, /^HTTP\/1\.1 400 /],
    [`${head('Content-Length: 2', 'Content-Length: 3')}abc`, /^HTTP\/1\.1 400 /],
    [`${head('Transfer-Encoding: chunked')}zz\r\nabc\r\n0\r\n\r\n`, /^HTTP\/1\.1 400 /],
  ];
  for (const [bytes, status] of cases) {
    const answer = await raw(url, bytes);
    assert.match(answer, status, bytes.slice(0, 60));
    assert.match(answer, /connection: close/i);
    assert.match(answer, /malformed HTTP|16 KiB/);
  }
});

test('a client that speaks HTTP/2, or TLS, is told of in the log, once for all of its kind; others are not', async (t) => {
  const told: string[] = [];
  const { url } = await start(t, { onStranger: (message) => told.push(message) });
  for (const nonsense of ['NONSENSE\r\n\r\n', '\u0001\u0003\r\n\r\n']) await raw(url, nonsense);
  for (let attempt = 0; attempt < 2; attempt++) {
    await raw(url, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    const failed = await fetch(url.replace('http:', 'https:')).catch((error: unknown) => error);
    assert.ok(failed instanceof TypeError);
  }
  assert.equal(told.length, 2);
  assert.match(told[0] ?? '', /^a client at 127\.0\.0\.1 speaks HTTP\/2.* OTEL_EXPORTER_OTLP_PROTOCOL=http\/protobuf/);
  assert.match(told[1] ?? '', /^a client at 127\.0\.0\.1 begins with TLS where ingest\.http\.tls is not set: /);
});

test('garbage behind a request that is in work is never answered in its name', async (t) => {
  let finish: (outcome: Outcome) => void = () => {};
  const { url } = await start(t, {
    submit: () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
  });
  const answer = raw(url, `${head('Content-Length: 0')}GARBAGE\r\n\r\n`);
  // node:http cuts the connection, the fast path lets the garbage wait for its turn.
  await new Promise((resolve) => setTimeout(resolve, 100));
  finish(ACCEPTED);
  const statuses = [...(await answer).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
  assert.deepEqual(statuses, t.name.endsWith(BY_NODE) ? [] : ['200', '400']);
});

test('Expect: 100-continue is answered before the body, and a refusal comes instead of it', async (t) => {
  const { url, bodies } = await start(t);
  const refused = await raw(url, head('Expect: 100-continue', 'Content-Length: 5000'));
  assert.match(refused, /^HTTP\/1\.1 413 /);
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  t.after(() => socket.destroy());
  socket.write(head('Expect: 100-continue', 'Content-Length: 2', 'Connection: close'));
  const parts: string[] = [];
  await new Promise((resolve) => {
    socket.on('data', (chunk) => {
      parts.push(chunk.toString('latin1'));
      if (parts.length === 1) socket.write('{}');
    });
    socket.on('close', resolve);
  });
  assert.match(parts[0] ?? '', /^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  assert.match(parts.slice(1).join(''), /^HTTP\/1\.1 200 /);
  assert.equal(bodies.length, 1);
});

test('a refused client that goes on sending still reads why', async (t) => {
  const { url } = await start(t);
  const body = Buffer.alloc(8 << 20);
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
    socket.write(head(`Content-Length: ${body.length}`));
    socket.write(body);
  });
  assert.match(answer, /^HTTP\/1\.1 413 /);
});

test('after a small refused body the connection goes on', async (t) => {
  const { url } = await start(t);
  const wrong = 'POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nabcd';
  const answers = await raw(url, wrong + head('Content-Length: 0', 'Connection: close'));
  assert.deepEqual(
    [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
    ['415', '200'],
  );
});

test('a throw that nobody expected is 500 with a Status, said in the log, and the next request passes', async (t) => {
  const faults: unknown[] = [];
  let calls = 0;
  const { url, admission } = await start(t, {
    submit: async () => {
      if (calls++ === 0) throw new TypeError('secret detail');
      return ACCEPTED;
    },
    onFault: (error) => faults.push(error),
  });
  const reply = await send(`${url}/v1/traces`, { 'content-type': PROTOBUF }, ONE);
  assert.deepEqual([reply.status, statusOf(reply, PROTOBUF), faults.length], [500, 'internal error', 1]);
  assert.equal(admission.used, 0);
  assert.equal((await send(`${url}/v1/traces`, { 'content-type': PROTOBUF }, ONE)).status, 200);
});

test('a body that would inflate over the budget is 503 before it is handed on, unless it is alone', async (t) => {
  const { url, bodies, admission } = await start(t, { inFlightBytes: 5000, maxBodyBytes: 20_000 });
  const headers = { 'content-type': PROTOBUF, 'content-encoding': 'gzip' };
  const packed = gzipSync(Buffer.alloc(10_000));
  admission.reserve('another', 100);
  assert.equal((await send(`${url}/v1/traces`, headers, packed)).status, 503);
  assert.deepEqual([bodies, admission.used], [[], 100]);
  assert.equal((await send(`${url}/v1/traces`, headers, gzipSync(Buffer.alloc(3000)))).status, 200);
  admission.release('another', 100);
  assert.equal((await send(`${url}/v1/traces`, headers, packed)).status, 200);
});

test('CORS: off it is 405; on, exactly the configured origins may', async (t) => {
  const preflight = { origin: 'https://shop.example', 'access-control-request-method': 'POST' };
  const off = await start(t);
  assert.equal((await send(`${off.url}/v1/traces`, preflight, Buffer.alloc(0), 'OPTIONS')).status, 405);
  const cors = { allowedOrigins: ['https://shop.example'], allowedHeaders: ['x-tenant'], maxAgeS: 60 };
  const { url } = await start(t, { cors });
  const allowed = await send(`${url}/v1/traces`, preflight, Buffer.alloc(0), 'OPTIONS');
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers['access-control-allow-origin'], 'https://shop.example');
  assert.match(String(allowed.headers['access-control-allow-headers']), /content-type.*x-tenant/);
  assert.equal(allowed.headers['access-control-max-age'], '60');
  for (const origin of ['https://shop.example.evil', 'https://SHOP.example:443', 'null', 'http://shop.example']) {
    const other = await send(`${url}/v1/traces`, { ...preflight, origin }, Buffer.alloc(0), 'OPTIONS');
    assert.deepEqual([other.status, other.headers['access-control-allow-origin']], [204, undefined], origin);
  }
  const post = { 'content-type': PROTOBUF, origin: 'https://shop.example' };
  assert.equal((await send(`${url}/v1/traces`, post, ONE)).headers['access-control-allow-origin'], post.origin);
  const other = await send(`${url}/v1/traces`, { ...post, origin: 'https://other' }, ONE);
  assert.deepEqual([other.status, other.headers['access-control-allow-origin']], [200, undefined]);
});
