/** The receiver with its fast path and without, and the same bytes sent to both. */
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { createTelemetry } from '../../src/core/telemetry.ts';
import type { Submit } from '../../src/ingest/accept.ts';
import { type IngestOptions, type IngestServer, startIngest } from '../../src/ingest/server.ts';
import { parseReplies } from '../conformance/client.ts';

export interface Side extends IngestServer {
  /** Bodies that were taken, in order, as "signal encoding content". */
  bodies: string[];
}

export async function startSide(
  t: TestContext,
  fastPath: boolean,
  changes: Partial<IngestOptions> = {},
): Promise<Side> {
  const bodies: string[] = [];
  const submit: Submit = async ({ signal, encoding, chunks }) => {
    bodies.push(`${signal} ${encoding} ${Buffer.concat(chunks).toString('latin1')}`);
    return { kind: 'accepted', items: 1, rejected: 0, warned: 0 };
  };
  const server = await startIngest({
    endpoint: '127.0.0.1:0',
    paths: { traces: '/v1/traces', metrics: '/v1/metrics', logs: '/v1/logs' },
    maxBodyBytes: 1 << 20,
    inFlightBytes: 64 << 20,
    waitingBytes: 0,
    pressure: () => null,
    cors: { allowedOrigins: [], allowedHeaders: [], maxAgeS: 7200 },
    tls: null,
    tokenFile: null,
    fastPath,
    onNoFastPath: () => t.diagnostic('no fast path'),
    onReload: () => {},
    onFault: (error) => {
      throw error;
    },
    submit,
    telemetry: createTelemetry(),
    now: () => 0,
    ...changes,
  });
  t.after(() => server.close(5000));
  return Object.assign(server, { bodies });
}

export interface Answers {
  /** A line for each reply: status, the headers that mean something, and the body. */
  replies: string[];
  bodies: string[];
}

/** What a client has to do with, whoever wrote the reply. */
const TOLD = [
  'content-type',
  'content-length',
  'connection',
  'allow',
  'accept-encoding',
  'retry-after',
  'vary',
  'www-authenticate',
  'access-control-allow-origin',
];
/** Nothing has come for so long: the client ends its side, and a request that is not whole is refused. */
const QUIET_MS = 30;

/** Writes the pieces, each when the server has had a chance to see the one before. `side` has no other client at that time. */
export async function deliver(side: Side, pieces: readonly Uint8Array[]): Promise<Answers> {
  const before = side.bodies.length;
  const got = await exchange(Number(new URL(side.url).port), pieces);
  const replies = parseReplies(got).map(({ status, headers, body }) => {
    const told = TOLD.filter((name) => headers[name] !== undefined).map((name) => `${name}: ${headers[name]}`);
    return [status, ...told, body.toString('latin1')].join(' | ');
  });
  return { replies, bodies: side.bodies.slice(before) };
}

function exchange(port: number, pieces: readonly Uint8Array[]): Promise<Buffer> {
  return new Promise((resolve) => {
    const got: Buffer[] = [];
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let quiet: NodeJS.Timeout | undefined;
    let isOpen = true;
    const stayQuiet = () => {
      clearTimeout(quiet);
      quiet = setTimeout(() => socket.end(), QUIET_MS);
    };
    socket.on('data', (bytes) => {
      got.push(bytes);
      if (quiet !== undefined) stayQuiet();
    });
    // A reset ends it, too; what came before it counts.
    socket.on('error', () => {});
    socket.on('close', () => {
      isOpen = false;
      clearTimeout(quiet);
      resolve(Buffer.concat(got));
    });
    socket.on('connect', async () => {
      for (const piece of pieces) {
        if (!isOpen || socket.destroyed || socket.readableEnded) break;
        socket.write(piece);
        await new Promise((next) => setImmediate(next));
      }
      if (isOpen) stayQuiet();
    });
  });
}

/** Cuts at the given places, in any order. */
export function split(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const cuts = [...new Set(places)].filter((at) => at > 0 && at < bytes.length).sort((a, b) => a - b);
  return [0, ...cuts].map((from, i) => bytes.subarray(from, cuts[i] ?? bytes.length));
}

export function byteByByte(bytes: Uint8Array): Uint8Array[] {
  return split(
    bytes,
    Array.from(bytes, (_, i) => i),
  );
}
