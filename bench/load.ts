/**
 * The load generator, a process of its own: raw sockets, keep-alive HTTP/1.1, one write a request. A closed loop, or with --rate (items a
 * second) an open one: requests have their times beforehand, the next free connection takes the next, and latency counts from that time.
 * An open loop comes at half the rate for the first half of the warm-up, so that what is measured is not a cold server's arrears.
 *
 *   node bench/load.ts --url http://127.0.0.1:4318 --connections 8 --workload W-std --seconds 10 [--batch 512] [--warmup 3] [--rate 20000] [--events]
 *
 * Prints one JSON line (Report). With --events it says {"event":"begin"} and {"event":"end"} when the measured seconds begin and end.
 */
import { connect, type Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { createPayloads, DEFAULT_BATCH, type Payload, WORKLOADS, type Workload } from './payloads.ts';

/** Requests answered in a stretch of time. */
export interface Count {
  requests: number;
  items: number;
  traces: number;
  metrics: number;
  logs: number;
  /** Body bytes of requests answered 200, as sent and before compression. */
  bytes: number;
  plainBytes: number;
  /** Answers other than 200 by status. */
  other: Record<string, number>;
}

export interface Report {
  workload: Workload;
  batch: number;
  connections: number;
  seconds: number;
  /** Before the measured seconds. */
  warm: Count;
  /** In the measured seconds. */
  measured: Count;
  /** From the first request to the last answer, warm-up included: what the sinks must have. */
  total: Count;
  /** Connections that broke; their request counts as unanswered. */
  broken: number;
  latencyMs: { p50: number; p90: number; p99: number; max: number };
}

interface Sendable {
  payload: Payload;
  /** Head and body in one buffer, so that one write sends both. */
  request: Buffer;
  body: Buffer;
}

/** Different requests. */
const USUAL_REQUESTS = 10;
/** Ids in compressed ones come again with them: so many take longer than a trace is waited for. */
const REQUESTS: Partial<Record<Workload, number>> = { 'W-gzip': 600, 'W-zstd': 600 };
/** Pause after an answer that is not 200, so that refusals are not hammered. */
const REFUSED_PAUSE_MS = 50;
const HEAD_END = Buffer.from('\r\n\r\n');
const RECEIVE_BYTES = 64 * 1024;

/**
 * Smaller requests are more: of few spans, too many of those a contract watches are slow by chance, it breaches, and what is measured is
 * an agent that looks back.
 */
function requestsOf(batch: number, usual: number): number {
  return batch >= usual ? USUAL_REQUESTS : Math.ceil((4 * USUAL_REQUESTS * usual) / batch);
}

interface Loop {
  host: string;
  port: number;
  payloads: Payload[];
  /** Number of the next send, of all connections together. */
  counter: number;
  /** When the first request is due, and each after it; 0: at once. */
  beganMs: number;
  everyMs: number;
  /** How long they come at half the rate. */
  rampMs: number;
  stopping: boolean;
  measuring: boolean;
  measured: Count;
  total: Count;
  broken: number;
  latencies: number[];
}

function newCount(): Count {
  return { requests: 0, items: 0, traces: 0, metrics: 0, logs: 0, bytes: 0, plainBytes: 0, other: {} };
}

function add(count: Count, payload: Payload, status: number): void {
  if (status !== 200) {
    count.other[status] = (count.other[status] ?? 0) + 1;
    return;
  }
  count.requests++;
  count.items += payload.items;
  count[payload.signal] += payload.items;
  count.bytes += payload.bytes.length;
  count.plainBytes += payload.plainBytes;
}

/** Each connection has its own copies: what is being sent is never patched by another. */
function sendablesOf({ payloads, host, port }: Loop): Sendable[] {
  return payloads.map((payload) => {
    const encoding = payload.contentEncoding === null ? '' : `Content-Encoding: ${payload.contentEncoding}\r\n`;
    const head = Buffer.from(
      `POST ${payload.path} HTTP/1.1\r\nHost: ${host}:${port}\r\nContent-Type: application/x-protobuf\r\n${encoding}Content-Length: ${payload.bytes.length}\r\n\r\n`,
    );
    const request = Buffer.concat([head, payload.bytes]);
    return { payload, request, body: request.subarray(head.length) };
  });
}

/** When the request of this number is due, milliseconds of performance.now(). */
export function dueAtMs(
  { beganMs, everyMs, rampMs }: Pick<Loop, 'beganMs' | 'everyMs' | 'rampMs'>,
  counter: number,
): number {
  const slow = Math.floor(rampMs / (2 * everyMs));
  return beganMs + Math.min(counter, slow) * 2 * everyMs + Math.max(0, counter - slow) * everyMs;
}

/** Runs one connection until the loop stops; resolves after its last answer. */
function runConnection(loop: Loop): Promise<void> {
  const sendables = sendablesOf(loop);
  const replies = new ReplyReader();
  return new Promise((resolve) => {
    let current: Sendable | null = null;
    let sentAtMs = 0;
    const socket: Socket = connect({
      host: loop.host,
      port: loop.port,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(RECEIVE_BYTES),
        callback(length, buffer) {
          const status = replies.take(buffer, length);
          if (status > 0) answered(status);
          return true;
        },
      },
    });

    function sendNext(): void {
      const counter = loop.counter++;
      const dueMs = loop.everyMs === 0 ? performance.now() : dueAtMs(loop, counter);
      const waitMs = dueMs - performance.now();
      if (waitMs > 0) setTimeout(send, waitMs, counter, dueMs);
      else send(counter, dueMs);
    }

    function send(counter: number, dueMs: number): void {
      if (loop.stopping) {
        socket.end();
        return;
      }
      current = sendables[counter % sendables.length] as Sendable;
      sentAtMs = dueMs;
      const nowUs = Math.round((performance.timeOrigin + performance.now()) * 1000);
      current.payload.patch(current.body, counter, BigInt(nowUs) * 1000n);
      socket.write(current.request);
    }

    function answered(status: number): void {
      const { payload } = current as Sendable;
      current = null;
      add(loop.total, payload, status);
      if (loop.measuring) {
        add(loop.measured, payload, status);
        loop.latencies.push(performance.now() - sentAtMs);
      }
      if (status === 200) sendNext();
      else setTimeout(sendNext, REFUSED_PAUSE_MS);
    }

    socket.on('connect', sendNext);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (current !== null || !loop.stopping) loop.broken++;
      if (loop.stopping) resolve();
      // Draining servers close after a reply; a pause keeps a dead one from being hammered.
      else setTimeout(() => void runConnection(loop).then(resolve), REFUSED_PAUSE_MS);
    });
  });
}

/** Reads one reply at a time: the status, and the body's length from Content-Length. */
export class ReplyReader {
  #head: Buffer | null = null;
  #status = 0;
  /** Bytes of the body that are still to come. */
  #left = 0;

  /** Takes what arrived; the status when the reply is complete, else 0. */
  take(buffer: Uint8Array, length: number): number {
    const arrived = Buffer.from(buffer.buffer, buffer.byteOffset, length);
    if (this.#status !== 0) return this.#passBody(length);
    // A head is rarely cut in two: only then is it copied.
    const head: Buffer = this.#head === null ? arrived : Buffer.concat([this.#head, arrived]);
    const end = head.indexOf(HEAD_END);
    if (end < 0) {
      this.#head = Buffer.from(head);
      return 0;
    }
    this.#head = null;
    const text = head.toString('latin1', 0, end);
    this.#status = Number(text.slice(9, 12));
    this.#left = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0);
    return this.#passBody(head.length - end - HEAD_END.length);
  }

  #passBody(bytes: number): number {
    this.#left -= bytes;
    if (this.#left > 0) return 0;
    const status = this.#status;
    this.#status = 0;
    return status;
  }
}

function percentiles(latencies: number[]): Report['latencyMs'] {
  const sorted = Float64Array.from(latencies).sort();
  const at = (share: number) =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 1000) / 1000;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      connections: { type: 'string', default: '8' },
      workload: { type: 'string', default: 'W-std' },
      seconds: { type: 'string', default: '10' },
      warmup: { type: 'string', default: '0' },
      batch: { type: 'string' },
      rate: { type: 'string', default: '0' },
      seed: { type: 'string', default: '1' },
      events: { type: 'boolean', default: false },
    },
  });
  const workload = WORKLOADS.find((name) => name === values.workload);
  if (workload === undefined) throw new Error(`unknown workload "${values.workload}": one of ${WORKLOADS.join(', ')}`);
  if (values.url === undefined) throw new Error('--url is missing, for example --url http://127.0.0.1:4318');
  const { hostname, port } = new URL(values.url);
  const batch = Number(values.batch ?? DEFAULT_BATCH[workload]);
  const connections = Number(values.connections);
  const payloads = createPayloads({
    workload,
    seed: Number(values.seed),
    batch,
    count: REQUESTS[workload] ?? requestsOf(batch, DEFAULT_BATCH[workload]),
    nowNs: BigInt(Date.now()) * 1_000_000n,
  });
  const loop: Loop = {
    host: hostname,
    port: Number(port),
    payloads,
    counter: 0,
    beganMs: performance.now(),
    everyMs: Number(values.rate) === 0 ? 0 : (1000 * batch) / Number(values.rate),
    rampMs: (Number(values.warmup) * 1000) / 2,
    stopping: false,
    measuring: false,
    measured: newCount(),
    total: newCount(),
    broken: 0,
    latencies: [],
  };
  const say = (event: string) => values.events && console.log(JSON.stringify({ event }));

  const running = Array.from({ length: connections }, () => runConnection(loop));
  await sleep(Number(values.warmup));
  say('begin');
  const warm = structuredClone(loop.total);
  loop.measuring = true;
  const from = performance.now();
  await sleep(Number(values.seconds));
  loop.measuring = false;
  const seconds = (performance.now() - from) / 1000;
  say('end');
  loop.stopping = true;
  await Promise.all(running);
  const { measured, total, broken } = loop;
  const report: Report = {
    workload,
    batch,
    connections,
    seconds,
    warm,
    measured,
    total,
    broken,
    latencyMs: percentiles(loop.latencies),
  };
  console.log(JSON.stringify(report));
}

if (import.meta.main) await main();
