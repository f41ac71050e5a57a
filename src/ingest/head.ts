// HOT: once per request. Bench: bench/micro/ingest/head.bench.ts
/** Reads the head of an export request that is written as exporters write it; of anything else it says only that it is something else. */
import { SIGNALS, type Signal } from '../core/block.ts';
import type { RequestHeaders } from './handle.ts';

export interface Head {
  signal: Signal;
  /** Index of the body's first byte. */
  bodyAt: number;
  bodyBytes: number;
  headers: RequestHeaders;
}

/** The first `end` of `bytes` begin with a request. Null: it is not one of ours, or its head not whole. */
export type ReadHead = (bytes: Buffer, end: number) => Head | null;

const MOST_HEAD_BYTES = 8192;
const PATH = /^\/[A-Za-z0-9._~/-]*$/;
/** A name of letters, digits and hyphens; a value of visible ASCII, spaces only within it. CR and LF are in neither. */
const LINE = /^([A-Za-z][A-Za-z0-9-]*): *([!-~](?:[ -~]*[!-~])?)$/;
const LENGTH = /^(?:0|[1-9][0-9]{0,9})$/;
/**
 * None of these says anything about where a request ends or who else reads it, but for the two that are looked at. Each may stand once;
 * `x-` names, which no standard gives a meaning, as often as they like.
 */
const KNOWN: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'authorization',
  'baggage',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'traceparent',
  'tracestate',
  'user-agent',
]);

export function createReadHead(paths: Record<Signal, string>): ReadHead {
  const requestLines = new Map(
    SIGNALS.filter((signal) => PATH.test(paths[signal])).map((signal) => [`POST ${paths[signal]} HTTP/1.1`, signal]),
  );
  return (bytes, end) => {
    const stop = bytes.subarray(0, Math.min(end, MOST_HEAD_BYTES)).indexOf('\r\n\r\n');
    if (stop < 0) return null;
    const [requestLine = '', ...lines] = bytes.toString('latin1', 0, stop).split('\r\n');
    const signal = requestLines.get(requestLine);
    if (signal === undefined) return null;
    const headers = readHeaders(lines);
    const length = headers?.get('content-length');
    if (headers === null || length === undefined) return null;
    return {
      signal,
      bodyAt: stop + 4,
      bodyBytes: Number(length),
      headers: {
        'content-type': headers.get('content-type'),
        'content-encoding': headers.get('content-encoding'),
        'content-length': length,
        authorization: headers.get('authorization'),
      },
    };
  };
}

function readHeaders(lines: readonly string[]): Map<string, string> | null {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const match = LINE.exec(line);
    if (match === null) return null;
    // Both groups take part in every match.
    const name = (match[1] as string).toLowerCase();
    const value = match[2] as string;
    if (name.startsWith('x-')) continue;
    if (!KNOWN.has(name) || headers.has(name)) return null;
    if (name === 'content-length' && !LENGTH.test(value)) return null;
    if (name === 'connection' && value.toLowerCase() !== 'keep-alive') return null;
    headers.set(name, value);
  }
  return headers;
}
