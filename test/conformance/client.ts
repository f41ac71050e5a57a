/** HTTP for the table: requests by node:http, which sends what it is told, and raw sockets where that would not do. */
import assert from 'node:assert/strict';
import { type OutgoingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import { messageType } from '../../src/otlp/schema.ts';

export interface Reply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

export interface Sending {
  method?: string;
  headers?: OutgoingHttpHeaders;
  /** Several chunks go without Content-Length. */
  body?: Uint8Array | Uint8Array[];
}

const LONGEST_MS = 90_000;

export function send(url: string, { method = 'POST', headers = {}, body = [] }: Sending): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const call = request(url, { method, headers, agent: false, timeout: LONGEST_MS }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(parts) }),
      );
      answer.on('error', reject);
    });
    call.on('error', reject);
    call.on('timeout', () => call.destroy(new Error(`no reply within ${LONGEST_MS} ms`)));
    if (!Array.isArray(body)) call.setHeader('content-length', body.length);
    else for (const chunk of body) call.write(chunk);
    call.end(Array.isArray(body) ? undefined : body);
  });
}

export interface RawOptions {
  /** Written again and again until something is answered. */
  drip?: string;
  everyMs?: number;
  /** Written when the first bytes have come back. */
  next?: Uint8Array;
  /** Leave once this many replies are there; else when the peer closes. */
  replies?: number;
}

/** Writes bytes to a fresh connection and parses the replies that come back until it closes. */
export function raw(
  url: string,
  bytes: string | Uint8Array,
  { drip, everyMs = 100, next, replies = Infinity }: RawOptions = {},
): Promise<{ replies: Reply[]; closed: boolean }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    const got: Buffer[] = [];
    let isFirst = true;
    const dripping = drip === undefined ? undefined : setInterval(() => socket.write(drip), everyMs);
    const finish = (closed: boolean) => {
      clearInterval(dripping);
      clearTimeout(deadline);
      socket.destroy();
      resolve({ replies: parseReplies(Buffer.concat(got)), closed });
    };
    const deadline = setTimeout(() => reject(new Error(`still open after ${LONGEST_MS} ms`)), LONGEST_MS);
    socket.on('data', (chunk) => {
      got.push(chunk);
      // Going on would be answered with a reset, which can take the reply with it.
      clearInterval(dripping);
      if (isFirst && next !== undefined) socket.write(next);
      isFirst = false;
      if (parseReplies(Buffer.concat(got)).length >= replies) finish(false);
    });
    socket.on('end', () => finish(true));
    // A reset is a close, too; whether a reply came before it is for the row to say.
    socket.on('error', () => finish(true));
    socket.write(bytes);
  });
}

/** Whole replies only; with Content-Length, as all of ours have it, or chunked, for others. */
export function parseReplies(bytes: Buffer): Reply[] {
  const replies: Reply[] = [];
  let at = 0;
  for (;;) {
    const stop = bytes.indexOf('\r\n\r\n', at);
    if (stop < 0) return replies;
    const [line = '', ...lines] = bytes.toString('latin1', at, stop).split('\r\n');
    const headers = Object.fromEntries(
      lines.map((text) => [text.slice(0, text.indexOf(':')).toLowerCase(), text.slice(text.indexOf(':') + 1).trim()]),
    );
    const status = Number(line.split(' ')[1]);
    const isChunked = /chunked/i.test(headers['transfer-encoding'] ?? '');
    const end = isChunked ? bytes.indexOf('0\r\n\r\n', stop) + 5 : stop + 4 + Number(headers['content-length'] ?? 0);
    if (end > bytes.length || (isChunked && end === 4)) return replies;
    replies.push({ status, headers, body: bytes.subarray(stop + 4, end) });
    at = end;
  }
}

/** A request as it goes over the wire. */
export function wire(method: string, path: string, headers: Record<string, string | number>, body: Uint8Array): Buffer {
  const head = Object.entries({ Host: 'conformance', ...headers }).map(([name, value]) => `${name}: ${value}`);
  return Buffer.concat([Buffer.from(`${[`${method} ${path} HTTP/1.1`, ...head].join('\r\n')}\r\n\r\n`), body]);
}

/** The google.rpc.Status of a refusal, in the encoding of the request. */
export function statusOf(reply: Reply, isJson: boolean): { message: string; details: { name: string }[] } {
  const type = messageType('Status');
  if (isJson) {
    const plain = JSON.parse(reply.body.toString()) as { message?: unknown; details?: { '@type'?: string }[] };
    assert.equal(typeof plain.message, 'string', 'the Status has no message');
    const details = (plain.details ?? []).map((detail) => ({ name: String(detail['@type']) }));
    return { message: String(plain.message), details };
  }
  const plain = type.toObject(type.decode(reply.body), { arrays: true }) as {
    message?: string;
    details: { typeUrl: string }[];
  };
  return { message: plain.message ?? '', details: plain.details.map(({ typeUrl }) => ({ name: typeUrl })) };
}
