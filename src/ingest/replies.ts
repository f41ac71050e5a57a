/** Writes what a request is answered: a 200 or a Status in the request's encoding, and what happens to a body that was not read. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AgentError, ErrorCode } from '../core/errors.ts';
import { statusBody } from '../otlp/reply.ts';

// Not by import: see server.ts.
const { STATUS_CODES } = process.getBuiltinModule('node:http');

/** A refusal: status, what the client is told, and headers beside the usual. */
export interface Refusal {
  status: number;
  message: string;
  headers?: Record<string, string>;
}

/** Unread bodies up to this size are read and dropped, so that the connection stays usable; longer ones close it. */
export const MOST_DROPPED_BYTES = 64 << 10;
/**
 * How long a sender may go on sending after it was refused. Closing at once would reset the connection, and the reset can overtake the
 * reply: the client would never learn why, and try again.
 */
export const LINGER_MS = 1000;

/** The one place that knows which code is which status. Retryable are 429, 502, 503 and 504 alone. */
export function httpStatusOf(code: ErrorCode): number {
  switch (code) {
    case 'BODY_TOO_LARGE':
      return 413;
    case 'BODY_UNDECODABLE':
    case 'CLIENT_GONE':
      return 400;
    case 'OVERLOADED':
    case 'DRAINING':
    case 'JOURNAL_FULL':
    case 'JOURNAL_SYNC_FAILED':
    case 'JOURNAL_CLOSED':
      return 503;
    default:
      return 500;
  }
}

export function refusalOf({ code, message }: Pick<AgentError, 'code' | 'message'>, retryAfterS: number): Refusal {
  const status = httpStatusOf(code);
  return status === 503 ? unavailable(message, retryAfterS) : { status, message };
}

/** The agent's state, not the client's fault: 503. */
export function unavailable(message: string, retryAfterS: number): Refusal {
  return { status: 503, message, headers: { 'retry-after': String(retryAfterS) } };
}

export function sendSuccess(response: ServerResponse, body: Buffer, json: boolean): void {
  response.writeHead(200, { 'content-type': typeOf(json), 'content-length': body.length });
  response.end(body);
}

export function sendRefusal(
  request: IncomingMessage,
  response: ServerResponse,
  { status, message, headers }: Refusal,
  json: boolean,
): void {
  if (response.destroyed || response.headersSent) return;
  const body = refusalBody({ status, message }, json);
  const lingers = !request.complete && !isShort(request);
  if (lingers) response.setHeader('connection', 'close');
  response.writeHead(status, { ...headers, 'content-type': typeOf(json), 'content-length': body.length });
  if (!lingers || request.headers.expect !== undefined) response.end(body);
  else linger(request, response, body);
}

export function refusalBody({ status, message }: Refusal, json: boolean): Buffer {
  return statusBody(message, status === 400, json);
}

/** A whole reply as it goes over the wire. */
export function rawReply(status: number, headers: Record<string, string>, body: Buffer, json: boolean): Buffer {
  const all = { ...headers, 'content-type': typeOf(json), 'content-length': body.length };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n`), body]);
}

/** A reply's bytes: `more` are headers beside those that all have; `closes` says that the connection ends with it. */
export type WriteReply = (
  status: number,
  more: Record<string, string> | null,
  body: Buffer,
  json: boolean,
  closes: boolean,
) => Buffer;

/** `nowMs` is Unix time. */
export function createWriteReply(keepAliveMs: number, cors: boolean, nowMs: () => number): WriteReply {
  const always: Record<string, string> = cors ? { vary: 'Origin' } : {};
  const closing = { ...always, connection: 'close' };
  const lasting = { ...always, connection: 'keep-alive', 'keep-alive': `timeout=${Math.floor(keepAliveMs / 1000)}` };
  let second = Number.NaN;
  let date = '';
  // The body of a success without a word is always the same buffer, and its reply for a second, too.
  let ready = new WeakMap<Buffer, Buffer>();
  return (status, more, body, json, closes) => {
    const now = Math.floor(nowMs() / 1000);
    if (now !== second) {
      second = now;
      date = new Date(now * 1000).toUTCString();
      ready = new WeakMap();
    }
    if (more !== null || closes)
      return rawReply(status, { date, ...(closes ? closing : lasting), ...more }, body, json);
    const reply = ready.get(body) ?? rawReply(status, { date, ...lasting }, body, json);
    ready.set(body, reply);
    return reply;
  };
}

function typeOf(json: boolean): string {
  return json ? 'application/json' : 'application/x-protobuf';
}

function isShort({ headers }: IncomingMessage): boolean {
  if (headers['transfer-encoding'] !== undefined) return false;
  return Number(headers['content-length'] ?? 0) <= MOST_DROPPED_BYTES && headers.expect === undefined;
}

/** The reply is written whole but not ended: the connection is closed when the sender has stopped, or after LINGER_MS. */
function linger(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  response.write(body);
  const end = () => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(end, LINGER_MS);
  request.once('end', end);
  request.once('close', end);
  request.resume();
}
