/** One POST at a time over kept connections, with a deadline; the certificates are those that lie in their files now. */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { AgentError, messageOf } from '../../core/errors.ts';
import { formatDuration, parseDurationMs } from '../../core/units.ts';
import { changesOf } from '../fileChanges.ts';
import type { Answer } from './answer.ts';
import type { OtlpConfig } from './config.ts';

/** A receiver may say as much; the rest is not read. */
const MOST_BODY_BYTES = 4 << 20;

export interface Connection {
  /** Rejects when there was no answer, with words. */
  post(url: URL, headers: Record<string, string>, body: Buffer, deadlineMs: number): Promise<Answer>;
  close(): void;
}

export function createConnection(tls: OtlpConfig['tls'], now: () => number): Connection {
  const plain = new http.Agent({ keepAlive: true, proxyEnv: proxyOf(process.env) });
  const secure = createSecureAgents(tls, now);
  return {
    post: (url, headers, body, deadlineMs) =>
      post(url, headers, body, deadlineMs, () => (url.protocol === 'https:' ? secure.current() : plain)),
    close() {
      plain.destroy();
      secure.close();
    },
  };
}

function post(
  url: URL,
  headers: Record<string, string>,
  body: Buffer,
  deadlineMs: number,
  agentOf: () => http.Agent,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const client = url.protocol === 'https:' ? https : http;
    const request = client.request(url, {
      method: 'POST',
      agent: agentOf(),
      // Heeded by the way through a proxy, which nobody could end before it is there.
      timeout: deadlineMs,
      headers: { ...headers, 'content-length': body.length },
    });
    const fail = (error: unknown) => {
      clearTimeout(timer);
      reject(new AgentError('SINK_RETRY', `${url.origin}: ${wordsOf(error)}`, { retryable: true, cause: error }));
    };
    const timer = setTimeout(
      () => request.destroy(new Error(`no answer within ${formatDuration(deadlineMs)}`)),
      deadlineMs,
    );
    request.on('error', fail);
    // Without an error when the answer changes the protocol, which nobody has asked for.
    request.on('close', () => fail(new Error('the connection ended without an answer')));
    request.on('response', (response) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      const done = () => {
        clearTimeout(timer);
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) });
      };
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (bytes <= MOST_BODY_BYTES) pieces.push(piece);
        else {
          // The status counts; whoever sends so much is not listened to on this connection again.
          done();
          request.destroy();
        }
      });
      response.on('end', done);
      // Cut off: a 2xx whose body does not end may have taken nothing.
      response.on('error', fail);
    });
    request.end(body);
  });
}

/** A new agent when the files changed; what is in flight over the old one ends by itself. */
function createSecureAgents(tls: OtlpConfig['tls'], now: () => number) {
  const everyMs = parseDurationMs(tls.reload_interval) ?? 0;
  const files = [tls.ca_file, tls.cert_file, tls.key_file].filter((file) => file !== '');
  let agent: https.Agent | null = null;
  let changes = changesOf(files, everyMs, now);
  return {
    current(): https.Agent {
      if (agent !== null && !changes.haveChanged()) return agent;
      // Before they are read, so that nothing is missed; kept only when they were sound, so that bad ones are looked at again.
      const next = changesOf(files, everyMs, now);
      agent = new https.Agent({ keepAlive: true, proxyEnv: proxyOf(process.env), ...readTls(tls) });
      changes = next;
      return agent;
    },
    close: () => agent?.destroy(),
  };
}

/** HTTP_PROXY, HTTPS_PROXY and NO_PROXY in either case, as other exporters have it: none is asked for the way to this machine itself. */
function proxyOf(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const direct = ['localhost', '127.0.0.1', '::1', env.no_proxy ?? env.NO_PROXY].join(',');
  return { ...env, no_proxy: direct, NO_PROXY: direct };
}

function readTls(tls: OtlpConfig['tls']): https.AgentOptions {
  const read = (key: 'ca_file' | 'cert_file' | 'key_file') => {
    try {
      return readFileSync(tls[key]);
    } catch (cause) {
      throw new AgentError('SINK_RETRY', `tls.${key}: ${messageOf(cause)}`, { retryable: true, cause });
    }
  };
  return {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: !tls.insecure_skip_verify,
    ...(tls.ca_file === '' ? {} : { ca: read('ca_file') }),
    ...(tls.cert_file === '' ? {} : { cert: read('cert_file') }),
    ...(tls.key_file === '' ? {} : { key: read('key_file') }),
    ...(tls.server_name === '' ? {} : { servername: tls.server_name }),
  };
}

/** Where several addresses were tried the error has no message of its own; those of TLS have many, over several lines. */
function wordsOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0]);
  const text = messageOf(error);
  return text.includes('wrong version number') ? 'who answers there speaks no TLS: is it http://?' : text.trim();
}
