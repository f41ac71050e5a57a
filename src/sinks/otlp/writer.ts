/** Sends batches as export requests: bodies laid end to end and compressed in libuv's pool, answers read by answer.ts. */
import { promisify } from 'node:util';
import { gzip, zstdCompress } from 'node:zlib';
import type { Signal } from '../../core/block.ts';
import type { Batch, SinkContext, WriteResult, Writer } from '../../core/component.ts';
import { messageOf } from '../../core/errors.ts';
import { parseTimerMs } from '../../core/units.ts';
import { agentVersion } from '../../core/version.ts';
import { GZIP_OPTIONS, ZSTD_OPTIONS } from '../compression.ts';
import { meaningOf } from './answer.ts';
import type { OtlpConfig } from './config.ts';
import { createConnection } from './connection.ts';

/** The connection gives up before the deliverer does, and frees its socket. */
const SHARE_OF_TIMEOUT = 0.9;
const COMPRESS = {
  none: async (body: Buffer) => body,
  gzip: (body: Buffer) => promisify<Buffer, object, Buffer>(gzip)(body, GZIP_OPTIONS),
  zstd: (body: Buffer) => promisify<Buffer, object, Buffer>(zstdCompress)(body, ZSTD_OPTIONS),
};

export function createOtlpWriter(config: OtlpConfig, context: SinkContext): Writer {
  const deadlineMs = (parseTimerMs(config.timeout) ?? 0) * SHARE_OF_TIMEOUT;
  const connection = createConnection(config.tls, context.now);
  const headers: Record<string, string> = {
    'user-agent': `plumbline/${agentVersion()}`,
    ...config.headers,
    'content-type': 'application/x-protobuf',
    ...(config.compression === 'none' ? {} : { 'content-encoding': config.compression }),
  };
  const urls = urlsOf(config);
  const inFlight = new Set<Promise<unknown>>();

  async function send({ row, parts }: Batch): Promise<WriteResult> {
    const url = urls[row.signal];
    const { bytes } = context.pool;
    // A copy: retries and late answers must not depend on how long zlib or a socket reads shared memory.
    const body = Buffer.concat(parts.map(({ at, length }) => bytes.subarray(at, at + length)));
    try {
      const compressed = await COMPRESS[config.compression](body);
      const answer = await connection.post(url, headers, compressed, deadlineMs);
      return meaningOf(row.signal, `${url.origin}${url.pathname}`, answer, parts.length, context.now());
    } catch (error) {
      return { kind: 'retry', error: messageOf(error) };
    }
  }

  return {
    write(batch) {
      const sent = send(batch);
      inFlight.add(sent);
      return sent.finally(() => inFlight.delete(sent));
    },
    async close(closeMs) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, Math.max(0, closeMs - context.now()));
      await Promise.race([Promise.all(inFlight), promise]);
      clearTimeout(timer);
      connection.close();
    },
  };
}

function urlsOf(config: OtlpConfig): Record<Signal, URL> {
  const below = config.endpoint.replace(/\/+$/, '');
  return {
    traces: new URL(config.traces_endpoint || `${below}/v1/traces`),
    metrics: new URL(config.metrics_endpoint || `${below}/v1/metrics`),
    logs: new URL(config.logs_endpoint || `${below}/v1/logs`),
  };
}
