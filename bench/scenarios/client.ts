/** Clients of a scenario: one that is good and measured, and senders that are open loop, closed loop, or worse. */
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { createPayloads, type Payload } from '../payloads.ts';
import { percentile } from '../statistics.ts';

export interface Answer {
  status: number;
  retryAfter: string | undefined;
}

/** Posts over keep-alive connections of its own; resolves with status 0 when the connection broke. */
export function createPoster(url: string, connections: number, headers: Record<string, string> = {}) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  return {
    post: (path: string, body: Uint8Array, more: Record<string, string> = {}): Promise<Answer> =>
      new Promise((resolve) => {
        const call = request(
          url + path,
          {
            method: 'POST',
            agent,
            headers: { 'content-type': 'application/x-protobuf', 'content-length': body.length, ...headers, ...more },
          },
          (reply) => {
            reply.resume();
            reply.on('close', () =>
              resolve({ status: reply.statusCode ?? 0, retryAfter: reply.headers['retry-after'] }),
            );
          },
        );
        call.on('error', () => resolve({ status: 0, retryAfter: undefined }));
        call.end(body);
      }),
    close: () => agent.destroy(),
  };
}

/** W-std requests with fresh ids each time. */
export function createSource(batch: number): () => Payload & { body: Buffer } {
  const payloads = createPayloads({
    workload: 'W-std',
    seed: 3,
    batch,
    count: 8,
    nowNs: BigInt(Date.now()) * 1_000_000n,
  });
  let counter = 0;
  return () => {
    const payload = payloads[counter % payloads.length] as Payload;
    const body = Buffer.from(payload.bytes);
    payload.patch(body, counter++, BigInt(Date.now()) * 1_000_000n);
    return { ...payload, body };
  };
}

export interface Good {
  /** p99 in ms of what was sent since the last call, from the moment it should have been sent. */
  p99(): number;
  /** The same latencies, each. */
  latencies(): number[];
  /** Most ms of one request since the last call of p99. */
  longest(): number;
  failures: number;
  stop(): Promise<void>;
}

/** A client as an SDK is one: 50 requests a second of 50 spans, each due at its time whatever became of those before. */
export function startGood(url: string, headers: Record<string, string> = {}): Good {
  const poster = createPoster(url, 32, headers);
  const source = createSource(50);
  let latencies: number[] = [];
  const open = new Set<Promise<unknown>>();
  const good: Good = {
    p99: () => percentile(good.latencies(), 0.99),
    latencies() {
      const taken = latencies;
      latencies = [];
      return taken;
    },
    longest: () => Math.max(0, ...latencies),
    failures: 0,
    async stop() {
      clearInterval(timer);
      await Promise.all(open);
      poster.close();
    },
  };
  let dueMs = performance.now();
  const timer = setInterval(() => {
    while (dueMs < performance.now()) {
      const from = dueMs;
      dueMs += 20;
      const sent = poster.post('/v1/traces', source().body).then(({ status }) => {
        if (status !== 200) good.failures++;
        latencies.push(performance.now() - from);
        open.delete(sent);
      });
      open.add(sent);
    }
  }, 5);
  return good;
}

export interface Load {
  /** Requests by status. */
  statuses: Map<number, number>;
  accepted: number;
  acceptedItems: number;
  refusedWithoutRetryAfter: number;
  /** Sent and never answered: may or may not have been taken. */
  unansweredItems: number;
  seconds: number;
}

/** Sends for `seconds`: `perSecond` requests (open loop: each when it is due and a connection is free), or as fast as answers come. */
export async function sendLoad(
  url: string,
  connections: number,
  batch: number,
  seconds: number,
  perSecond: number | null,
  headers: Record<string, string> = {},
): Promise<Load> {
  const poster = createPoster(url, connections, headers);
  const source = createSource(batch);
  const load: Load = {
    statuses: new Map(),
    accepted: 0,
    acceptedItems: 0,
    refusedWithoutRetryAfter: 0,
    unansweredItems: 0,
    seconds: 0,
  };
  let inFlight = 0;
  const fromMs = performance.now();
  const untilMs = fromMs + seconds * 1000;
  const sendOne = async () => {
    inFlight++;
    const { body, items } = source();
    const { status, retryAfter } = await poster.post('/v1/traces', body);
    inFlight--;
    load.statuses.set(status, (load.statuses.get(status) ?? 0) + 1);
    if (status === 0) load.unansweredItems += items;
    if (status === 200) {
      load.accepted++;
      load.acceptedItems += items;
    } else if (!(Number(retryAfter) >= 1)) load.refusedWithoutRetryAfter++;
  };
  if (perSecond === null) {
    const loop = async () => {
      while (performance.now() < untilMs) await sendOne();
    };
    await Promise.all(Array.from({ length: connections }, loop));
  } else {
    const open = new Set<Promise<void>>();
    for (let sent = 0; performance.now() < untilMs; ) {
      const due = ((performance.now() - fromMs) / 1000) * perSecond;
      while (sent < due && inFlight < connections) {
        const one: Promise<void> = sendOne().finally(() => open.delete(one));
        open.add(one);
        sent++;
      }
      // What is due while every connection is busy is not sent later in a burst: it is lost to the sender, as in a queue that is full.
      if (inFlight >= connections) sent = Math.max(sent, Math.floor(due));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await Promise.all(open);
  }
  load.seconds = (performance.now() - fromMs) / 1000;
  poster.close();
  return load;
}

/** Connections that say nothing, or half a request, and stay. */
export function holdConnections(url: string, idle: number, half: number): Socket[] {
  const { hostname, port } = new URL(url);
  return Array.from({ length: idle + half }, (_, i) => {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    if (i >= idle)
      socket.write(
        'POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 5000\r\n\r\nhalf',
      );
    return socket;
  });
}
