/** Fuzzes the receiver over sockets: whole requests with mutations anywhere. Every connection ends, every reply is one that OTLP knows. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { createTelemetry } from '../../src/core/telemetry.ts';
import { type IngestServer, startIngest } from '../../src/ingest/server.ts';
import { parseReplies } from '../conformance/client.ts';
import type { Input } from './mutate.ts';

const STATUSES = new Set([100, 200, 400, 401, 403, 404, 405, 408, 413, 415, 431, 503]);
/** Shorter than in production, since mutated requests are mostly cut off. */
const TIMEOUTS = { headersMs: 2000, requestMs: 2000, checkMs: 250, keepAliveMs: 2000 };
const CLOSED_MS = 10_000;

export async function startHttpTarget(): Promise<{ server: IngestServer; run(input: Input): Promise<void> }> {
  const server = await startIngest({
    endpoint: '127.0.0.1:0',
    paths: { traces: '/v1/traces', metrics: '/v1/metrics', logs: '/v1/logs' },
    maxBodyBytes: 1 << 20,
    inFlightBytes: 64 << 20,
    waitingBytes: 1 << 20,
    pressure: () => null,
    cors: { allowedOrigins: ['https://a.example'], allowedHeaders: [], maxAgeS: 1 },
    tls: null,
    tokenFile: null,
    fastPath: true,
    onNoFastPath: () => assert.fail('no fast path'),
    onReload: () => {},
    onFault: (error) => {
      throw error;
    },
    submit: async ({ bytes }) => ({ kind: 'accepted', items: bytes, rejected: 0, warned: 0 }),
    telemetry: createTelemetry(),
    now: Date.now,
    timeouts: TIMEOUTS,
  });
  const port = Number(new URL(server.url).port);
  return { server, run: (input) => exchange(port, input) };
}

function exchange(port: number, { bytes }: Input): Promise<void> {
  return new Promise((resolve, reject) => {
    const got: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes));
    const deadline = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the connection is open after ${CLOSED_MS} ms`));
    }, CLOSED_MS);
    socket.on('data', (chunk) => got.push(chunk));
    // A reset is an end, too: the server may close while we still write.
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(deadline);
      try {
        for (const { status } of parseReplies(Buffer.concat(got))) assert.ok(STATUSES.has(status), `status ${status}`);
        resolve();
      } catch (error) {
        reject(error);
      }
    });
  });
}
