/** Holds the fast path of the receiver: what stays on it, that bodies come whole whatever arrives beside them, and that nothing is leaked. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createNetServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../bench/random.ts';
import {
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  nextFrame,
  payloadLength,
  UNIT_BYTES,
  writeU64,
} from '../../src/core/block.ts';
import { LentBlock } from '../../src/core/lentBlock.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import type { Outcome, Submit } from '../../src/ingest/accept.ts';
import { BodyMemory } from '../../src/ingest/bodies.ts';
import { Connection } from '../../src/ingest/connection.ts';
import { startFront } from '../../src/ingest/front.ts';
import type { Handle } from '../../src/ingest/handle.ts';
import { createReadHead } from '../../src/ingest/head.ts';
import { createWriteReply } from '../../src/ingest/replies.ts';
import type { Shared } from '../../src/ingest/shared.ts';
import { Intake } from '../../src/worker/intake.ts';
import { observe } from '../../src/worker/observe.ts';
import type { ObserveSource, WorkerPool } from '../../src/worker/pool.ts';
import type { ObserveTask } from '../../src/worker/tasks.ts';
import { parseReplies, wire } from '../conformance/client.ts';
import { seeded } from '../otlp/generate.ts';
import { createWorld, NOW_MS, span, traces } from '../worker/world.ts';
import { type Side, split, startSide } from './sides.ts';

const PROTOBUF = { 'Content-Type': 'application/x-protobuf' };
const request = (body: Uint8Array, more: Record<string, string | number> = {}) =>
  wire('POST', '/v1/traces', { ...PROTOBUF, 'Content-Length': body.length, ...more }, body);
/** A head that announces more than comes with it. */
const half = (announced: number, sent: number) =>
  wire('POST', '/v1/traces', { ...PROTOBUF, 'Content-Length': announced }, Buffer.alloc(sent, 1));

/** A client that stays: sends, and waits for so many replies in all. */
class Client {
  readonly socket: Socket;
  #got: Buffer[] = [];

  constructor(t: TestContext, { url }: { url: string }) {
    this.socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', noDelay: true });
    this.socket.on('data', (bytes) => {
      this.#got.push(bytes);
    });
    this.socket.on('error', () => {});
    t.after(() => this.socket.destroy());
  }

  statuses(): number[] {
    this.#got = [Buffer.concat(this.#got)];
    return parseReplies(this.#got[0] as Buffer).map(({ status }) => status);
  }

  async replies(count: number): Promise<number[]> {
    await until(() => this.statuses().length >= count || this.socket.closed);
    return this.statuses();
  }
}

async function until(holds: () => boolean, ms = 10_000): Promise<void> {
  const end = performance.now() + ms;
  while (!holds()) {
    assert.ok(performance.now() < end, `still not so after ${ms} ms: ${holds}`);
    await sleep(5);
  }
}

test('what exporters send stays on the fast path, with tokens, encodings and headers of their own', async (t) => {
  const side = await startSide(t, true);
  const client = new Client(t, side);
  const more = { 'User-Agent': 'OTel-OTLP-Exporter-Python/1.30', 'Accept-Encoding': 'gzip, deflate', Accept: '*/*' };
  const sent = [
    request(Buffer.from('one'), { ...more, Connection: 'keep-alive', 'X-Scope-OrgID': 'a' }),
    request(Buffer.from('two'), { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }),
    wire(
      'POST',
      '/v1/logs',
      { 'Content-Type': 'application/json', 'Content-Length': 2, Authorization: 'x' },
      Buffer.from('{}'),
    ),
    wire('POST', '/v1/metrics', { 'Content-Type': 'text/plain', 'Content-Length': 1 }, Buffer.from('x')),
  ];
  for (const [i, bytes] of sent.entries()) {
    client.socket.write(bytes);
    await client.replies(i + 1);
    assert.equal(side.fastConnections(), 1, `request ${i}`);
  }
  assert.deepEqual(client.statuses(), [200, 200, 200, 415]);
  assert.deepEqual(side.bodies, ['traces 0 one', 'traces 0 two', 'logs 1 {}']);
});

for (const [name, bytes] of [
  ['another header', request(Buffer.from('odd'), { Odd: '1' })],
  [
    'a chunked body',
    wire('POST', '/v1/traces', { ...PROTOBUF, 'Transfer-Encoding': 'chunked' }, Buffer.from('3\r\nodd\r\n0\r\n\r\n')),
  ],
] as const) {
  test(`${name} gives the connection to node:http, which answers this and what follows`, async (t) => {
    const side = await startSide(t, true);
    const client = new Client(t, side);
    for (const [i, one] of [request(Buffer.from('first')), bytes, request(Buffer.from('last'))].entries()) {
      client.socket.write(one);
      assert.deepEqual((await client.replies(i + 1)).at(-1), 200);
      assert.equal(side.fastConnections(), i === 0 ? 1 : 0);
    }
    assert.deepEqual(side.bodies, ['traces 0 first', 'traces 0 odd', 'traces 0 last']);
  });
}

/** Content that shows where it came from and where in it one is. */
function numbered(random: Random, bytes: number): Buffer {
  const body = Buffer.alloc(bytes);
  const from = random.below(2 ** 31);
  for (let at = 0; at + 4 <= bytes; at += 4) body.writeUInt32LE((from + at) >>> 0, at);
  return body;
}

test('bodies of any size, cut anywhere, beside others and beside those that break off, come whole', async (t) => {
  const random = seeded(t, 72);
  const sizes = [0, 1, 1000, 30_000, 32_000, 33_000, 65_536, 70_000, 131_072, 200_000, 600_000];
  const taken: string[] = [];
  const submit: Submit = ({ chunks }) => {
    taken.push(Buffer.concat(chunks).toString('base64'));
    return new Promise((resolve) =>
      setTimeout(resolve, random.below(10), { kind: 'accepted', items: 1, rejected: 0, warned: 0 }),
    );
  };
  const side = await startSide(t, true, { submit });
  const sent: string[] = [];
  async function run(breaksOff: boolean): Promise<void> {
    const client = new Client(t, side);
    for (let i = 0; i < 12; i++) {
      const body = numbered(random, random.pick(sizes));
      const bytes = request(body);
      const head = bytes.length - body.length;
      const places = Array.from({ length: random.below(8) }, () => head + random.below(body.length + 1));
      if (breaksOff && i === 7) {
        client.socket.write(half(300_000, random.below(299_000)));
        await sleep(random.below(20));
        client.socket.destroy();
        return;
      }
      sent.push(body.toString('base64'));
      for (const piece of split(bytes, places)) {
        client.socket.write(piece);
        if (random.below(2) === 0) await sleep(random.below(4));
      }
      assert.equal((await client.replies(i + 1)).at(-1), 200);
    }
  }
  await Promise.all(Array.from({ length: 24 }, (_, i) => run(i % 4 === 3)));
  assert.deepEqual(taken.sort(), sent.sort());
  assert.ok(side.fastConnections() > 0);
  await until(() => side.admission.used === 0);
});

test('memory of bodies is little more than they need, is used again, and not kept without bound', () => {
  const memory = new BodyMemory();
  for (const bytes of [1, 100, 4096, 4097, 16_385, 100_000, 340_000, 1 << 20, (1 << 20) + 1, 4 << 20, (4 << 20) + 1]) {
    const { length } = memory.acquire(bytes);
    assert.ok(length >= bytes && length <= bytes * 1.25 + 4096, `${length} for ${bytes}`);
  }
  const one = memory.acquire(340_000);
  memory.release(one);
  assert.equal(memory.acquire(339_000), one);
  assert.notEqual(memory.acquire(339_000), one);
  const many = Array.from({ length: 10 }, () => memory.acquire(4 << 20));
  for (const buffer of many) memory.release(buffer);
  const again = Array.from({ length: 10 }, () => memory.acquire(4 << 20));
  assert.equal(again.filter((buffer) => many.includes(buffer)).length, 8);
});

test('replies have a Date that goes with the time', () => {
  let nowMs = 1_750_000_000_000;
  const reply = createWriteReply(75_000, false, () => nowMs);
  const body = Buffer.alloc(0);
  const dateOf = () => parseReplies(reply(200, null, body, false, false))[0]?.headers.date;
  assert.equal(dateOf(), 'Sun, 15 Jun 2025 15:06:40 GMT');
  assert.equal(reply(200, null, body, false, false), reply(200, null, body, false, false), 'it is made twice');
  nowMs += 1000;
  assert.equal(dateOf(), 'Sun, 15 Jun 2025 15:06:41 GMT');
});

test('pipelined requests are answered in order, large ones and small ones', async (t) => {
  const random = seeded(t, 73);
  const side = await startSide(t, true);
  const client = new Client(t, side);
  const bodies = Array.from({ length: 30 }, (_, i) => numbered(random, i % 5 === 0 ? 100_000 : random.below(3000)));
  for (const body of bodies) client.socket.write(request(body));
  assert.equal((await client.replies(30)).filter((status) => status === 200).length, 30);
  assert.deepEqual(
    side.bodies,
    bodies.map((body) => `traces 0 ${body.toString('latin1')}`),
  );
});

test('who sends and never reads is not read from for ever, and gets every answer once it reads', async (t) => {
  let submitted = 0;
  const message = 'x'.repeat(40_000);
  const submit: Submit = async () => {
    submitted++;
    return { kind: 'refused', code: 'BODY_UNDECODABLE', message };
  };
  const side = await startSide(t, true, { submit });
  const count = 400;
  const client = connect(Number(new URL(side.url).port), '127.0.0.1').pause();
  t.after(() => client.destroy());
  client.write(Buffer.concat(Array.from({ length: count }, () => request(Buffer.from('body')))));
  let before = -1;
  await until(() => {
    const isStuck = submitted > 0 && submitted === before;
    before = submitted;
    return isStuck;
  });
  assert.ok(submitted < count, `all ${count} were answered into memory`);
  const got: Buffer[] = [];
  client.on('data', (bytes) => got.push(bytes)).resume();
  // All of it has gone: at least so much comes.
  await until(() => client.bytesRead >= count * 2 * message.length);
  await sleep(50);
  const replies = parseReplies(Buffer.concat(got));
  assert.equal(replies.filter(({ status }) => status === 400).length, count);
});

/** The receiver before an intake with blocks, and a worker in this thread. */
async function startWithIntake(t: TestContext, changes: Parameters<typeof startSide>[2] = {}) {
  const { pool, parts, walk } = createWorld({ units: 8 });
  let source: ObserveSource = () => null;
  const workers = {
    setObserveSource(given: ObserveSource) {
      source = given;
    },
    kick: () => setImmediate(work),
  } as unknown as WorkerPool;
  let sequence = 0;
  /** Of the frames, in the order of their sequences. */
  const payloads: Buffer[] = [];
  const intake = new Intake({
    blocks: pool,
    workers,
    editing: () => false,
    mostRegionBytes: Infinity,
    async append({ first, end }) {
      for (let at = first; at < end; at = nextFrame(pool, at)) {
        writeU64(pool, at + Field.sequence, sequence++);
        const from = at + FRAME_HEADER_BYTES;
        payloads.push(Buffer.from(pool.bytes.subarray(from, from + payloadLength(pool, at))));
      }
    },
    merge() {},
    onPoison: assert.fail,
    onMergeFault: assert.fail,
    now: () => NOW_MS,
  });
  function work(): void {
    for (let job = source(); job !== null; job = source()) {
      const result = observe(parts, walk, job.task as ObserveTask);
      if (result.measured !== null) pool.adopt(result.measured.block);
      job.resolve(result);
    }
  }
  const lend = (bytes: number) => LentBlock.of(pool, bytes);
  const side = await startSide(t, true, { submit: (body) => intake.submit(body), lend, ...changes });
  return { side, pool, intake, payloads };
}

const BODY = traces(span(1), span(2));

async function isServed(t: TestContext, side: Side): Promise<void> {
  const client = new Client(t, side);
  for (let i = 1; i <= 5; i++) {
    client.socket.write(request(BODY));
    assert.equal((await client.replies(i)).at(-1), 200);
  }
}

test('bodies that stop half-way hold no block, others go on beside them, and when they leave nothing is left', async (t) => {
  const { side, pool } = await startWithIntake(t);
  const stuck = Array.from({ length: 60 }, (_, i) => {
    const client = new Client(t, side);
    client.socket.write(half(UNIT_BYTES / 2, i * 8000));
    return client;
  });
  await until(() => side.admission.used === 60 * (UNIT_BYTES / 2));
  assert.equal(pool.unitsInUse, 0, 'a body that is not whole lies in a block');
  await isServed(t, side);
  for (const { socket } of stuck.slice(0, 30)) socket.destroy();
  for (const { socket } of stuck.slice(30)) socket.resetAndDestroy();
  await until(() => side.admission.used === 0 && pool.unitsInUse === 0);
  await isServed(t, side);
  await until(() => side.admission.used === 0 && pool.unitsInUse === 0);
});

test('a body larger than a block is read into blocks of its own, where it is a frame, and leaves none when its client does', async (t) => {
  const { side, pool, payloads } = await startWithIntake(t, { maxBodyBytes: 4 << 20 });
  const body = traces(...Array.from({ length: 20_000 }, (_, i) => span(i)));
  assert.ok(body.length > UNIT_BYTES);
  const bytes = request(body);
  const client = new Client(t, side);
  client.socket.write(bytes.subarray(0, body.length >> 1));
  await until(() => pool.unitsInUse === Math.ceil(frameSpan(body.length) / UNIT_BYTES));
  client.socket.write(bytes.subarray(body.length >> 1));
  assert.deepEqual(await client.replies(1), [200]);
  await until(() => pool.unitsInUse === 0);
  assert.equal(Buffer.compare(payloads[0] ?? Buffer.alloc(0), body), 0);
  for (const leave of ['destroy', 'resetAndDestroy'] as const) {
    const gone = new Client(t, side);
    gone.socket.write(bytes.subarray(0, body.length >> 1));
    await until(() => pool.unitsInUse > 0);
    gone.socket[leave]();
    await until(() => pool.unitsInUse === 0 && side.admission.used === 0);
  }
  // Without room it waits for none: the body comes as others do, and is refused.
  const all = pool.allocate((pool.units - 1) * UNIT_BYTES);
  client.socket.write(bytes);
  assert.deepEqual(await client.replies(2), [200, 503]);
  pool.release(all);
  client.socket.write(bytes);
  assert.deepEqual(await client.replies(3), [200, 503, 200]);
  await isServed(t, side);
  await until(() => side.admission.used === 0 && pool.unitsInUse === 0);
});

test('bodies that are too slow are cut with 408, and nothing of them is left', async (t) => {
  const timeouts = { headersMs: 300, requestMs: 300, checkMs: 50 };
  const { side, pool } = await startWithIntake(t, { timeouts });
  const stuck = Array.from({ length: 20 }, () => new Client(t, side));
  for (const { socket } of stuck) socket.write(half(200_000, 100_000));
  for (const client of stuck) assert.deepEqual(await client.replies(1), [408]);
  await until(() => stuck.every(({ socket }) => socket.closed));
  await until(() => side.admission.used === 0 && pool.unitsInUse === 0 && side.fastConnections() === 0);
});

test('a client that leaves between its body and the answer leaves nothing', async (t) => {
  const waiting: ((outcome: Outcome) => void)[] = [];
  const side = await startSide(t, true, { submit: () => new Promise((resolve) => waiting.push(resolve)) });
  const client = new Client(t, side);
  client.socket.write(request(Buffer.alloc(100_000)));
  await until(() => waiting.length === 1);
  client.socket.resetAndDestroy();
  await until(() => side.fastConnections() === 0);
  waiting[0]?.({ kind: 'accepted', items: 1, rejected: 0, warned: 0 });
  await until(() => side.admission.used === 0);
});

test('what does not fit the budget waits unread, comes whole afterwards, and leaves nothing when it goes', async (t) => {
  const waiting: ((outcome: Outcome) => void)[] = [];
  const taken: Buffer[] = [];
  const submit: Submit = ({ chunks }) => {
    taken.push(Buffer.concat(chunks));
    return new Promise((resolve) => waiting.push(resolve));
  };
  const side = await startSide(t, true, { submit, inFlightBytes: 1_000_000, waitingBytes: 1 << 20 });
  const random = seeded(t, 74);
  for (const size of [1000, 200_000]) {
    const body = numbered(random, size);
    assert.ok(side.admission.grow('another', 0, 1_000_000));
    const [client, leaving] = [new Client(t, side), new Client(t, side)];
    leaving.socket.write(request(Buffer.alloc(size)));
    await until(() => side.admission.waiting === size);
    leaving.socket.resetAndDestroy();
    client.socket.write(request(body));
    await until(() => side.admission.waiting === 2 * size);
    // The memory that its first read went to is written over.
    const other = new Client(t, side);
    other.socket.write(Buffer.from('POST '.padEnd(30_000, 'y')));
    await sleep(50);
    side.admission.release('another', 1_000_000);
    await until(() => taken.some((one) => one.equals(body)));
    for (const resolve of waiting.splice(0)) resolve({ kind: 'accepted', items: 1, rejected: 0, warned: 0 });
    assert.deepEqual(await client.replies(1), [200]);
    await until(() => side.admission.waiting === 0 && side.admission.used === 0);
    // It is read from again.
    client.socket.write(request(body));
    await until(() => waiting.length === 1);
    waiting.pop()?.({ kind: 'accepted', items: 1, rejected: 0, warned: 0 });
    assert.deepEqual(await client.replies(2), [200, 200]);
  }
});

test('an idle connection is closed after its time, one that never says anything earlier', async (t) => {
  const timeouts = { headersMs: 300, requestMs: 300, keepAliveMs: 200, checkMs: 50 };
  const side = await startSide(t, true, { timeouts });
  const [idle, silent] = [new Client(t, side), new Client(t, side)];
  idle.socket.write(request(BODY));
  assert.deepEqual(await idle.replies(1), [200]);
  await until(() => silent.socket.closed);
  assert.deepEqual(silent.statuses(), [408]);
  assert.equal(idle.socket.closed, false, 'it closes later than it says');
  await until(() => idle.socket.closed);
  assert.deepEqual(idle.statuses(), [200]);
});

test('a close ends idle connections and lets what is in work be answered', async (t) => {
  const waiting: ((outcome: Outcome) => void)[] = [];
  const side = await startSide(t, true, { submit: () => new Promise((resolve) => waiting.push(resolve)) });
  const [silent, busy] = [new Client(t, side), new Client(t, side)];
  busy.socket.write(request(BODY));
  await until(() => waiting.length === 1 && side.fastConnections() === 2);
  const closed = side.close(5000);
  await until(() => silent.socket.closed);
  waiting[0]?.({ kind: 'accepted', items: 1, rejected: 0, warned: 0 });
  await closed;
  assert.deepEqual(await busy.replies(1), [200]);
});

test('a client that has ended its side still gets its answer', async (t) => {
  const side = await startSide(t, true, {
    submit: () =>
      new Promise((resolve) => setTimeout(resolve, 100, { kind: 'accepted', items: 1, rejected: 0, warned: 0 })),
  });
  const client = new Client(t, side);
  client.socket.end(request(BODY));
  assert.deepEqual(await client.replies(1), [200]);
  await until(() => client.socket.closed && side.fastConnections() === 0);
});

const PATHS = { traces: '/v1/traces', metrics: '/v1/metrics', logs: '/v1/logs' };

/** A front alone, over a server of node:http that says 204 to what it is given. */
async function bareFront(t: TestContext) {
  let unfit = 0;
  const server = createServer((_request, response) => void response.writeHead(204).end());
  const options = {
    paths: PATHS,
    maxBodyBytes: 1 << 20,
    cors: { allowedOrigins: [], allowedHeaders: [], maxAgeS: 0 },
    submit: () => assert.fail('it is not submitted'),
    onFault: () => {},
    telemetry: createTelemetry(),
    now: () => 0,
    timeouts: { headersMs: 1000, requestMs: 1000, keepAliveMs: 1000, checkMs: 100 },
    onUnfit: () => {
      unfit++;
    },
  };
  const handle: Handle = async (exchange) => {
    await exchange.readBody(() => null);
    exchange.succeed(Buffer.alloc(0), false);
  };
  const front = startFront(server, handle, options, { draining: false, tokens: null, allowPeer: null });
  const url = await listen(t, server);
  return { server, url, front, options, handle, unfit: () => unfit };
}

async function listen(t: TestContext, server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('more connections than are allowed are closed as they come, and those that leave make room', async (t) => {
  const { server, url, front } = await bareFront(t);
  server.maxConnections = 2;
  const clients = [new Client(t, { url }), new Client(t, { url })];
  await until(() => front.size === 2);
  const third = new Client(t, { url });
  await until(() => third.socket.closed);
  clients[0]?.socket.destroy();
  await until(() => front.size === 1);
  const fourth = new Client(t, { url });
  fourth.socket.write(request(BODY));
  assert.deepEqual(await fourth.replies(1), [200]);
});

test("with a Node whose sockets are made otherwise the port is node:http's alone, said once", async (t) => {
  const { server, front, unfit } = await bareFront(t);
  // They belong to another server: that is enough not to be what is expected.
  const url = await listen(
    t,
    createNetServer({ allowHalfOpen: true }, (socket) => void server.emit('connection', socket)),
  );
  for (let i = 0; i < 2; i++) {
    const client = new Client(t, { url });
    client.socket.write(request(BODY));
    assert.deepEqual(await client.replies(1), [204]);
  }
  assert.deepEqual([unfit(), front.size], [1, 0]);
});

test('with a Node that does not read where it is told, node:http gets what was read', async (t) => {
  const { options, handle } = await bareFront(t);
  const server = createServer((incoming, response) => {
    incoming.resume().on('end', () => response.writeHead(204).end());
  });
  const connections = new Set<Connection>();
  let unfit = 0;
  const shared: Shared = {
    options,
    state: { draining: false, tokens: null, allowPeer: null },
    timeouts: options.timeouts,
    handle,
    readHead: createReadHead(PATHS),
    reply: createWriteReply(1000, false, () => 0),
    buffer: Buffer.alloc(1000),
    bodies: new BodyMemory(),
    connections,
    handOver: (socket) => void server.emit('connection', socket),
    onUnfit: () => {
      unfit++;
    },
  };
  const url = await listen(
    t,
    createNetServer({ allowHalfOpen: true }, (socket) => void new Connection(shared, () => socket)),
  );
  const client = new Client(t, { url });
  client.socket.write(request(Buffer.alloc(100_000)));
  assert.deepEqual(await client.replies(1), [204]);
  assert.deepEqual([unfit, connections.size], [1, 0]);
});
