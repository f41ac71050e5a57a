/**
 * What a receiver's answer means for a batch.
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/docs/specification.md#otlphttp-response
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Signal } from '../../core/block.ts';
import type { WriteResult } from '../../core/component.ts';
import { messageType } from '../../otlp/schema.ts';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  /** As far as it was read. */
  body: Buffer;
}

const RESPONSES: Record<Signal, [message: string, rejected: string]> = {
  traces: ['ExportTraceServiceResponse', 'rejectedSpans'],
  metrics: ['ExportMetricsServiceResponse', 'rejectedDataPoints'],
  logs: ['ExportLogsServiceResponse', 'rejectedLogRecords'],
};
/**
 * What the specification says may be repeated; 408, by which a receiver says that it gave up waiting, and 507, that it has no room; and what
 * proxies say, outside of any standard, when they do not reach who stands behind them.
 */
const NOT_NOW = new Set([408, 429, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529, 530, 598, 599]);
/**
 * About who sends, where to or how, not about the data: somebody mends a token, a route or `compression`, and until then the data waits in the
 * journal. That is more than the specification asks, which lets a client drop it: docs/adr/0008-otlp-answers.md.
 */
const NOT_HERE = new Set([
  401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 417, 421, 425, 426, 431, 451, 501, 505, 511,
]);
/** Fewer or smaller items may be taken. */
const ABOUT_DATA = new Set([400, 413, 422]);
const LONGEST_WAIT_MS = 3_600_000;
const MOST_WORDS = 300;

/** `parts`: how many the batch has. `nowMs` dates a Retry-After. */
export function meaningOf(signal: Signal, url: string, answer: Answer, parts: number, nowMs: number): WriteResult {
  const { status, headers } = answer;
  if (status >= 200 && status < 300) return success(signal, answer);
  const words = wordsOf(answer);
  const said = `${url} answered ${status}${words === '' ? '' : `: ${words}`}`;
  if (NOT_NOW.has(status)) return { kind: 'retry', error: said, ...waitOf(headers['retry-after'], nowMs) };
  if (status < 400) {
    const to = headers.location === undefined ? '' : ` to ${cut(headers.location)}`;
    return { kind: 'retry', error: `${url} redirects${to}, which is not followed: set endpoint` };
  }
  if (NOT_HERE.has(status)) return { kind: 'retry', error: said, ...waitOf(headers['retry-after'], nowMs) };
  const all = Array.from({ length: parts }, (_, i) => i);
  return { kind: 'refused', parts: all, reason: said, divide: ABOUT_DATA.has(status) };
}

/** Any 2xx is success, whatever its body is; a partial success that can be read says how many items were refused. */
function success(signal: Signal, { headers, body }: Answer): WriteResult {
  const [message, rejected] = RESPONSES[signal];
  const found = decode(message, headers, body)?.partialSuccess as Record<string, unknown> | undefined;
  const items = Number(found?.[rejected] ?? 0);
  if (!Number.isFinite(items) || items <= 0) return { kind: 'delivered' };
  const words = cut(String(found?.errorMessage ?? ''));
  return { kind: 'partial', items, reason: `partial success, ${items} rejected${words === '' ? '' : `: ${words}`}` };
}

function wordsOf({ headers, body }: Answer): string {
  const status = decode('Status', headers, body)?.message;
  if (typeof status === 'string') return cut(status);
  // Proxies answer in HTML, which says nothing that the status does not.
  return /^text\/plain\b/i.test(headers['content-type'] ?? '') ? cut(body.toString()) : '';
}

/** The body as its Content-Type says, or null when it is something else. */
function decode(message: string, headers: IncomingHttpHeaders, body: Buffer): Record<string, unknown> | null {
  const type = (headers['content-type'] ?? '').toLowerCase();
  if (body.length === 0) return null;
  try {
    if (type.startsWith('application/json')) return Object(JSON.parse(body.toString()));
    if (!type.startsWith('application/x-protobuf')) return null;
    const known = messageType(message);
    return known.toObject(known.decode(body), { longs: Number });
  } catch {
    // Garbage says nothing; the status does, and it is followed.
    return null;
  }
}

/** Seconds or a date: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after */
function waitOf(retryAfter: string | undefined, nowMs: number): { afterMs?: number } {
  if (retryAfter === undefined) return {};
  const ms = /^\d+$/.test(retryAfter.trim()) ? Number(retryAfter) * 1000 : Date.parse(retryAfter) - nowMs;
  return Number.isFinite(ms) ? { afterMs: Math.min(Math.max(0, ms), LONGEST_WAIT_MS) } : {};
}

/** One line, of bounded length, without what could drive a terminal. */
function cut(text: string): string {
  return text
    .slice(0, MOST_WORDS)
    .replaceAll(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim();
}
