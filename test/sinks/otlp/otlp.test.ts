/** Holds the otlp sink against a receiver that answers in every way the specification allows, and some that it does not. */
import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import http from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { messageType, requestType } from '../../../src/otlp/schema.ts';
import { otlp } from '../../../src/sinks/otlp/index.ts';
import { createHarness, type Harness, namesIn, spans, temporaryFolder, validated, within } from '../harness.ts';
import { type Receiver, reply, startReceiver } from './receiver.ts';

const TRACES = { stream: 'raw', signal: 'traces' } as const;
const PROTOBUF = { 'content-type': 'application/x-protobuf' };
const pem = (name: string) => join(import.meta.dirname, '../../ingest/tls', name);

interface Bench extends Harness {
  receiver: Receiver;
  deadLetter: string;
  feed(from: number, to: number, padding?: number): void;
  /** Until the cursor stands at `next`; then closed, with nothing left behind. */
  finish(next: number): Promise<void>;
}

async function bench(t: TestContext, section: object = {}, receiver?: Receiver): Promise<Bench> {
  const fake = receiver ?? (await startReceiver(t));
  const deadLetter = temporaryFolder(t);
  const config = {
    type: 'otlp',
    subscribe: ['raw'],
    endpoint: fake.url,
    retry: { initial: '20ms', max: '50ms' },
    timeout: '2s',
    concurrency: 1,
    ...section,
  };
  const harness = createHarness(otlp, config, { deadLetter });
  t.after(() => harness.delivery.close(Date.now() + 100));
  harness.delivery.start();
  return {
    ...harness,
    receiver: fake,
    deadLetter,
    feed(from, to, padding = 0) {
      for (let i = from; i < to; i++) harness.source.append('raw', 'traces', spans(i, i + 1, 'checkout', padding), 1);
    },
    async finish(next) {
      await within(15_000, () => harness.cursor(TRACES).next === next);
      await harness.delivery.close(Date.now() + 5000);
      assert.deepEqual([harness.source.lent, harness.pool.unitsInUse], [0, 0]);
    },
  };
}

function taken({ receiver }: Bench): string[] {
  return receiver.requests.flatMap(({ body }) => namesIn(body));
}

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => String(from + i));
}

function partial(rejected: number, errorMessage: string): Buffer {
  const type = messageType('ExportTraceServiceResponse');
  const message = type.fromObject({ partialSuccess: { rejectedSpans: rejected, errorMessage } });
  return Buffer.from(type.encode(message).finish());
}

function status(message: string): Buffer {
  const type = messageType('Status');
  return Buffer.from(type.encode(type.fromObject({ message })).finish());
}

for (const compression of ['gzip', 'zstd', 'none'] as const) {
  test(`requests arrive whole with ${compression}, over one connection, with the headers that were set`, async (t) => {
    const sink = await bench(t, { compression, headers: { Authorization: 'Bearer x', 'Content-Type': 'text/plain' } });
    const { receiver, source, cursor } = sink;
    for (let i = 0; i < 5; i++) {
      sink.feed(i * 20, i * 20 + 20, 1000);
      await within(5000, () => cursor(TRACES).next === i * 20 + 20);
    }
    source.append('raw', 'logs', Buffer.from([]), 0);
    await sink.finish(101);
    assert.deepEqual(taken(sink), numbers(0, 100));
    assert.equal(cursor(TRACES).delivered, 100);
    const [first] = receiver.requests;
    assert.equal(first?.url, '/v1/traces');
    assert.equal(first?.headers['content-type'], 'application/x-protobuf');
    assert.equal(first?.headers['content-encoding'], compression === 'none' ? undefined : compression);
    assert.equal(first?.headers.authorization, 'Bearer x');
    assert.match(String(first?.headers['user-agent']), /^plumbline\//);
    assert.equal(receiver.connections, 1);
  });
}

test('each signal has its path below the endpoint, or its own endpoint', async (t) => {
  const receiver = await startReceiver(t);
  const sink = await bench(t, { endpoint: `${receiver.url}/otlp/`, logs_endpoint: `${receiver.url}/x?y=z` }, receiver);
  for (const signal of ['traces', 'metrics', 'logs'] as const) sink.source.append('raw', signal, spans(0, 1), 1);
  await within(5000, () => receiver.requests.length === 3);
  assert.deepEqual(receiver.requests.map(({ url }) => url).sort(), ['/otlp/v1/metrics', '/otlp/v1/traces', '/x?y=z']);
  await sink.finish(3);
});

for (const [code, body, headers] of [
  [200, '', {}],
  [200, 'not protobuf at all', PROTOBUF],
  [200, '<html>', { 'content-type': 'text/html' }],
  [
    200,
    '{"partialSuccess": {"rejectedSpans": "0", "errorMessage": "slow down"}}',
    { 'content-type': 'application/json' },
  ],
  [200, '{"partialSuccess": 7', { 'content-type': 'application/json' }],
  [200, partial(-5, 'negative'), PROTOBUF],
  [201, '', {}],
  [202, 'accepted', { 'content-type': 'text/plain' }],
  [204, '', {}],
] as const) {
  test(`${code} with "${String(body).slice(0, 20).replace(/\W+/g, ' ')}" is success`, async (t) => {
    const sink = await bench(t);
    sink.receiver.answer = (response) => reply(response, code, headers, body);
    sink.feed(0, 3);
    await sink.finish(3);
    assert.deepEqual([sink.cursor(TRACES).delivered, sink.cursor(TRACES).deadLettered], [3, 0]);
    assert.deepEqual([taken(sink), readdirSync(sink.deadLetter)], [numbers(0, 3), []]);
  });
}

for (const [what, body, headers] of [
  ['protobuf', partial(2, 'attribute too long'), PROTOBUF],
  [
    'JSON',
    '{"partialSuccess":{"rejectedSpans":"2","errorMessage":"attribute too long"}}',
    { 'content-type': 'application/json' },
  ],
] as const) {
  test(`a partial success in ${what} counts what was rejected, keeps the message, and is not repeated`, async (t) => {
    const sink = await bench(t);
    sink.receiver.answer = (response) => reply(response, 200, headers, body);
    sink.source.append('raw', 'traces', spans(0, 10), 10);
    await sink.finish(1);
    assert.deepEqual([sink.cursor(TRACES).delivered, sink.cursor(TRACES).deadLettered], [8, 2]);
    assert.equal(sink.receiver.requests.length, 1);
    const [said = ''] = readdirSync(sink.deadLetter).filter((name) => name.endsWith('.json'));
    const letter = JSON.parse(readFileSync(join(sink.deadLetter, said), 'utf8'));
    assert.deepEqual([letter.items, letter.rejected], [10, 2]);
    assert.equal(letter.reason, 'partial success, 2 rejected: attribute too long');
  });
}

test('a partial success that rejects more than was sent counts what was sent', async (t) => {
  const sink = await bench(t);
  sink.receiver.answer = (response) => reply(response, 200, PROTOBUF, partial(10 ** 9, ''));
  sink.feed(0, 1);
  await sink.finish(1);
  assert.deepEqual([sink.cursor(TRACES).delivered, sink.cursor(TRACES).deadLettered], [0, 1]);
});

for (const code of [408, 429, 502, 503, 504, 507, 522, 530, 401, 402, 403, 404, 405, 410, 415, 421, 431, 501, 511]) {
  test(`${code} is tried again until it is taken, and said in words`, async (t) => {
    const sink = await bench(t);
    let isUp = false;
    sink.receiver.answer = (response) => reply(response, isUp ? 200 : code, PROTOBUF, isUp ? '' : status('not today'));
    sink.feed(0, 3);
    await within(5000, () => sink.receiver.requests.length > 3);
    const { state, error } = sink.delivery.state();
    assert.equal(state, 'retrying');
    assert.equal(error, `${sink.receiver.url}/v1/traces answered ${code}: not today`);
    sink.receiver.requests.length = 0;
    isUp = true;
    await sink.finish(3);
    assert.deepEqual([...new Set(taken(sink))], numbers(0, 3));
    assert.deepEqual([sink.cursor(TRACES).delivered, sink.cursor(TRACES).deadLettered], [3, 0]);
  });
}

for (const [what, value, leastMs] of [
  ['seconds', () => '1', 900],
  ['a date', () => new Date(Date.now() + 2000).toUTCString(), 900],
  ['nonsense', () => 'soon', 0],
] as const) {
  test(`Retry-After in ${what} is honoured`, async (t) => {
    const sink = await bench(t);
    const times: number[] = [];
    sink.receiver.answer = (response, _request, index) => {
      times.push(Date.now());
      reply(response, index === 0 ? 429 : 200, { 'retry-after': value() });
    };
    sink.feed(0, 1);
    await sink.finish(1);
    const waited = (times[1] as number) - (times[0] as number);
    assert.ok(waited >= leastMs && waited < leastMs + 4000, `${waited} ms`);
  });
}

for (const code of [400, 413, 422]) {
  test(`${code} is cut down to the span at fault; the others arrive, and the reason is kept`, async (t) => {
    const sink = await bench(t);
    const arrived: string[] = [];
    sink.receiver.answer = (response, { body }) => {
      const names = namesIn(body);
      if (names.includes('7')) return reply(response, code, PROTOBUF, status('span 7 is bad'));
      arrived.push(...names);
      return reply(response, 200);
    };
    sink.feed(0, 4);
    sink.source.append('raw', 'traces', spans(4, 40), 36);
    await sink.finish(5);
    assert.deepEqual(
      arrived.sort((a, b) => Number(a) - Number(b)),
      numbers(0, 40).filter((name) => name !== '7'),
    );
    assert.deepEqual([sink.cursor(TRACES).delivered, sink.cursor(TRACES).deadLettered], [39, 1]);
    const [bytes = '', said = ''] = readdirSync(sink.deadLetter).sort();
    assert.deepEqual(namesIn(readFileSync(join(sink.deadLetter, bytes)).subarray(4)), ['7']);
    const { reason } = JSON.parse(readFileSync(join(sink.deadLetter, said), 'utf8'));
    assert.equal(reason, `${sink.receiver.url}/v1/traces answered ${code}: span 7 is bad`);
  });
}

test('a resource that leaves its spans no room is sent with all of them: repeated for each it would take all memory, for ever', async (t) => {
  const sink = await bench(t, { max_request_body_size: '64KiB' });
  sink.receiver.answer = (response) => reply(response, 200);
  const type = requestType('traces');
  const made = Array.from({ length: 5000 }, (_, i) => ({
    ...{ traceId: Buffer.alloc(16, 1), spanId: Buffer.alloc(8, 1), name: String(i) },
  }));
  const attributes = [{ key: 'process.command_line', value: { stringValue: 'x'.repeat(100_000) } }];
  const request = { resourceSpans: [{ resource: { attributes }, scopeSpans: [{ spans: made }] }] };
  sink.source.append('raw', 'traces', type.encode(type.fromObject(request)).finish(), 5000);
  await sink.finish(1);
  assert.deepEqual(taken(sink), numbers(0, 5000));
  assert.equal(sink.receiver.requests.length, 1);
});

test('413 is split until it fits', async (t) => {
  const sink = await bench(t);
  const arrived: string[] = [];
  sink.receiver.answer = (response, { body }) => {
    if (body.length > 20_000) return reply(response, 413);
    arrived.push(...namesIn(body));
    return reply(response, 200);
  };
  sink.source.append('raw', 'traces', spans(0, 100, 'checkout', 1000), 100);
  await sink.finish(1);
  assert.deepEqual(arrived, numbers(0, 100));
  assert.equal(sink.cursor(TRACES).delivered, 100);
});

for (const [name, requests] of [
  ['a request above it is split', [[0, 100]]],
  [
    'requests below it that are read together are not laid together beyond it',
    Array.from({ length: 25 }, (_, i) => [i * 4, i * 4 + 4]),
  ],
] as [string, [number, number][]][]) {
  test(`max_request_body_size: ${name}`, async (t) => {
    const sink = await bench(t, { max_request_body_size: '20KiB' });
    for (const [from, to] of requests)
      sink.source.append('raw', 'traces', spans(from, to, 'checkout', 1000), to - from);
    await sink.finish(requests.length);
    assert.deepEqual(taken(sink), numbers(0, 100));
    const sizes = sink.receiver.requests.map(({ body }) => body.length);
    assert.ok(Math.max(...sizes) <= 20 << 10, `bodies of ${sizes}`);
    assert.ok(sizes.length < 10, `${sizes.length} requests where six would do`);
  });
}

for (const code of [500, 508, 409, 418]) {
  test(`${code} is not repeated: all of it goes to the dead letters`, async (t) => {
    const sink = await bench(t);
    sink.receiver.answer = (response) => reply(response, code, { 'content-type': 'text/plain' }, 'no\u001b[2J\nway');
    sink.source.append('raw', 'traces', spans(0, 10), 10);
    await sink.finish(1);
    assert.equal(sink.receiver.requests.length, 1);
    assert.deepEqual([sink.cursor(TRACES).delivered, sink.cursor(TRACES).deadLettered], [0, 10]);
    const [said = ''] = readdirSync(sink.deadLetter).filter((name) => name.endsWith('.json'));
    const { reason } = JSON.parse(readFileSync(join(sink.deadLetter, said), 'utf8'));
    assert.equal(reason, `${sink.receiver.url}/v1/traces answered ${code}: no [2J way`);
  });
}

for (const code of [301, 302, 307, 308]) {
  test(`${code} is not followed: headers may be secrets`, async (t) => {
    const [sink, other] = [await bench(t), await startReceiver(t)];
    sink.receiver.answer = (response) => reply(response, code, { location: `${other.url}/v1/traces` });
    sink.feed(0, 1);
    await within(5000, () => sink.delivery.state().state === 'retrying');
    assert.match(String(sink.delivery.state().error), /redirects to http.*which is not followed: set endpoint/);
    assert.equal(other.requests.length, 0);
    sink.receiver.answer = (response) => reply(response, 200);
    await sink.finish(1);
  });
}

test('a receiver that takes a request and never answers is given up after `timeout`', async (t) => {
  const sink = await bench(t, { timeout: '500ms' });
  sink.receiver.answer = () => {};
  sink.feed(0, 1);
  await within(5000, () => sink.delivery.state().error !== null);
  assert.match(String(sink.delivery.state().error), /no answer within/);
  sink.receiver.answer = (response) => reply(response, 200);
  await sink.finish(1);
  assert.equal(sink.cursor(TRACES).delivered, 1);
});

test('an answer that stops in its middle, drips, or never ends holds nothing up', async (t) => {
  const sink = await bench(t, { timeout: '500ms' });
  const ways: ((response: import('node:http').ServerResponse) => void)[] = [
    (response) => {
      response.writeHead(200, { ...PROTOBUF, 'content-length': '100' }).write('x');
      setTimeout(() => response.destroy(), 50);
    },
    (response) => {
      response.writeHead(503, PROTOBUF);
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
    },
    (response) => {
      response.writeHead(200, PROTOBUF);
      const pour = () => {
        while (!response.destroyed && response.write(Buffer.alloc(1 << 20))) {}
        if (!response.destroyed) response.once('drain', pour);
      };
      pour();
    },
  ];
  sink.receiver.answer = (response, _request, index) => (ways[index] ?? ((it) => reply(it, 200)))(response);
  sink.feed(0, 1);
  await sink.finish(1);
  // The third said 200; how much it had to say beside that is its own affair.
  assert.equal(sink.receiver.requests.length, 3);
});

test('a reset, a close without an answer and garbage instead of HTTP are tried again', async (t) => {
  const sink = await bench(t);
  sink.receiver.answer = (response, _request, index) => {
    const { socket } = response;
    if (index === 0) socket?.resetAndDestroy();
    else if (index === 1) socket?.end();
    else if (index === 2) socket?.end('\u0000\u0001garbage\r\n\r\n');
    else reply(response, 200);
  };
  sink.feed(0, 1);
  await sink.finish(1);
  assert.equal(sink.receiver.requests.length, 4);
});

test('an answer that changes the protocol is tried again, however often it comes', async (t) => {
  const sink = await bench(t, { timeout: '100ms' });
  sink.receiver.answer = (response, _request, index) => {
    if (index < 20)
      response.socket?.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n');
    else reply(response, 200);
  };
  sink.feed(0, 1);
  await sink.finish(1);
  assert.equal(sink.receiver.requests.length, 21);
});

test('a slow receiver is waited for, and other rows are not', async (t) => {
  const sink = await bench(t);
  sink.receiver.answer = (response, { url }) => {
    setTimeout(() => reply(response, 200), url.endsWith('traces') ? 1000 : 0);
  };
  sink.feed(0, 1);
  sink.source.append('raw', 'logs', spans(0, 1), 1);
  await within(900, () => sink.cursor({ stream: 'raw', signal: 'logs' }).next === 2);
  assert.equal(sink.cursor(TRACES).delivered, 0);
  await sink.finish(2);
  assert.equal(sink.receiver.requests.length, 2);
});

test('a receiver that is away is said at once, and everything arrives when it is back', async (t) => {
  const sink = await bench(t);
  sink.feed(0, 1);
  await within(5000, () => sink.cursor(TRACES).next === 1);
  await sink.receiver.down();
  sink.feed(1, 50, 2000);
  await within(5000, () => sink.delivery.state().state === 'retrying');
  assert.match(String(sink.delivery.state().error), /^http:\/\/127\.0\.0\.1:\d+: .*(ECONNREFUSED|ECONNRESET|hang up)/);
  await sink.receiver.listen();
  await sink.finish(50);
  assert.deepEqual([...new Set(taken(sink))], numbers(0, 50));
});

test('close waits for the answer of what is in flight', async (t) => {
  const sink = await bench(t);
  sink.receiver.answer = (response) => {
    setTimeout(() => reply(response, 200), 300);
  };
  sink.feed(0, 1);
  await within(5000, () => sink.receiver.requests.length === 1);
  await sink.delivery.close(Date.now() + 5000);
  assert.equal(sink.cursor(TRACES).delivered, 1);
});

test('over TLS: the receiver is checked, the client shows its certificate, and a new one is used when the file changes', async (t) => {
  const receiver = await startReceiver(t, {
    cert: readFileSync(pem('server.pem')),
    key: readFileSync(pem('server.key')),
    ca: readFileSync(pem('ca.pem')),
    requestCert: true,
    rejectUnauthorized: true,
  });
  const folder = temporaryFolder(t);
  const [cert_file, key_file] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  copyFileSync(pem('stranger.pem'), cert_file);
  copyFileSync(pem('stranger.key'), key_file);
  const tls = { ca_file: pem('ca.pem'), cert_file, key_file, server_name: 'localhost', reload_interval: '0ms' };
  const sink = await bench(t, { tls }, receiver);
  sink.feed(0, 1);
  await within(5000, () => sink.delivery.state().state === 'retrying');
  assert.equal(receiver.requests.length, 0, 'a stranger was let in');
  copyFileSync(pem('client.pem'), cert_file);
  copyFileSync(pem('client.key'), key_file);
  utimesSync(cert_file, new Date(), new Date());
  await sink.finish(1);
  assert.match(String(receiver.requests[0]?.client), /./);
});

test('over TLS: a receiver that nobody vouches for gets nothing, unless it is said', async (t) => {
  const tls = { cert: readFileSync(pem('server.pem')), key: readFileSync(pem('server.key')) };
  const receiver = await startReceiver(t, tls);
  const sink = await bench(t, {}, receiver);
  sink.feed(0, 1);
  await within(5000, () => sink.delivery.state().state === 'retrying');
  assert.match(String(sink.delivery.state().error), /certificate/);
  assert.equal(receiver.requests.length, 0);
  const trusting = await bench(t, { tls: { insecure_skip_verify: true } }, receiver);
  trusting.feed(0, 1);
  await trusting.finish(1);
  assert.equal(receiver.requests.length, 1);
});

/** A proxy that leads to the receiver, whatever it is asked for, and what it was asked for. */
async function startProxy(t: TestContext, receiver: Receiver) {
  const asked: string[] = [];
  const { port: to } = receiver.server.address() as AddressInfo;
  const proxy = http.createServer((incoming, response) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    const { method, headers, url = '' } = incoming;
    const options = { host: '127.0.0.1', port: to, method, headers, path: new URL(url).pathname };
    const request = http.request(options, (answer) => answer.pipe(response.writeHead(answer.statusCode ?? 0)));
    incoming.pipe(request);
  });
  proxy.on('connect', (request, socket) => {
    asked.push(`CONNECT ${request.url}`);
    // The first is left without an answer.
    if (asked.length === 1) return;
    const far = connect(to, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.pipe(far).pipe(socket);
    });
    for (const one of [far, socket]) one.on('error', () => one.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => proxy.close().closeAllConnections());
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  Object.assign(process.env, { HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: 'other.test' });
  t.after(() => {
    for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY']) delete process.env[name];
  });
  return asked;
}

test('a proxy of the environment is used, but not to this machine itself', async (t) => {
  const receiver = await startReceiver(t);
  const asked = await startProxy(t, receiver);
  const far = await bench(t, { endpoint: 'http://receiver.test:4318' }, receiver);
  far.feed(0, 1);
  await far.finish(1);
  assert.deepEqual(asked, ['POST http://receiver.test:4318/v1/traces']);
  const near = await bench(t, {}, receiver);
  near.feed(0, 1);
  await near.finish(1);
  assert.deepEqual([asked.length, receiver.requests.length], [1, 2]);
});

test('over TLS a proxy sees nothing, and one that does not answer is given up after `timeout`', async (t) => {
  const tls = { cert: readFileSync(pem('server.pem')), key: readFileSync(pem('server.key')) };
  const receiver = await startReceiver(t, tls);
  const asked = await startProxy(t, receiver);
  // A pause in which to see that it is retrying: the second attempt succeeds.
  const retry = { initial: '500ms', max: '500ms' };
  const section = { endpoint: 'https://receiver.test', timeout: '300ms', retry };
  const sink = await bench(t, { ...section, tls: { ca_file: pem('ca.pem'), server_name: 'localhost' } }, receiver);
  sink.feed(0, 1);
  await within(5000, () => sink.delivery.state().state === 'retrying');
  assert.match(String(sink.delivery.state().error), /no answer within|proxy tunnel timed out/);
  await sink.finish(1);
  assert.deepEqual(new Set(asked), new Set(['CONNECT receiver.test:443']));
  assert.equal(receiver.requests.length, 1);
});

test('over TLS: a receiver that speaks none is said in words', async (t) => {
  const receiver = await startReceiver(t);
  const sink = await bench(t, { endpoint: receiver.url.replace('http:', 'https:') }, receiver);
  sink.feed(0, 1);
  await within(5000, () => sink.delivery.state().state === 'retrying');
  assert.match(
    String(sink.delivery.state().error),
    /^https:\/\/127\.0\.0\.1:\d+: who answers there speaks no TLS: is it http:\/\/\?$/,
  );
});

test('a header that no request may have is a fault of the configuration, which does not tell its value', () => {
  const refused = (headers: Record<string, string>, said: RegExp) =>
    assert.throws(
      () => validated(otlp, { type: 'otlp', endpoint: 'http://a:1', subscribe: ['raw'], headers }),
      (error) => error instanceof Error && said.test(error.message) && !error.message.includes('s3cret'),
    );
  refused({ Authorization: 'Bearer s3cret\n' }, /headers\.Authorization has a line end: take it out of the variable/);
  refused({ 'X-A': 's3cret\u{1f511}' }, /headers\.X-A has a character that no header may have/);
  refused({ 'bad name': 'x' }, /headers: "bad name" is no name of a header/);
  validated(otlp, { type: 'otlp', endpoint: 'http://a:1', subscribe: ['raw'], headers: { 'X-A': 'caf\u00e9\tb' } });
});

test('over TLS: a file that is missing is said by its key', async (t) => {
  const sink = await bench(t, { endpoint: 'https://127.0.0.1:1', tls: { ca_file: '/nowhere/ca.pem' } });
  sink.feed(0, 1);
  await within(5000, () => sink.delivery.state().state === 'retrying');
  assert.match(String(sink.delivery.state().error), /tls\.ca_file: .*\/nowhere\/ca\.pem/);
});

test('a request of several frames is one export request', async (t) => {
  const sink = await bench(t);
  sink.receiver.answer = (response, _request, index) => reply(response, index === 0 ? 503 : 200);
  sink.feed(0, 30);
  await sink.finish(30);
  const last = sink.receiver.requests.at(-1);
  const decoded = requestType('traces').decode(last?.body ?? Buffer.alloc(0)) as unknown as { resourceSpans: object[] };
  assert.ok(decoded.resourceSpans.length > 1);
});
