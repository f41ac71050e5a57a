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
  /** All of it but the empty line; of one that repeats another but for the length, that other's. */
  text: string;
  /** Made when the next request asks. */
  around: Around | null;
}

/** A head's bytes before and behind the digits of its length. */
interface Around {
  before: Buffer;
  behind: Buffer;
}

/**
 * The first `end` of `bytes` begin with a request. Null: it is not one of ours, or its head not whole. `last`: the head before on the same
 * connection; exporters repeat it but for the length, which is all that is read then.
 */
export type ReadHead = (bytes: Buffer, end: number, last: Head | null) => Head | null;

const MOST_HEAD_BYTES = 8192;
const PATH = /^\/[A-Za-z0-9._~/-]*$/;
/** A name of letters, digits and hyphens; a value of visible ASCII, spaces only within it. CR and LF are in neither. */
const LINE = /^([A-Za-z][A-Za-z0-9-]*): *([!-~](?:[ -~]*[!-~])?)$/;
const MOST_DIGITS = 10;
const LENGTH = new RegExp(`^(?:0|[1-9][0-9]{0,${MOST_DIGITS - 1}})$`);
const LENGTH_BEFORE = /^.*?\r\ncontent-length: */is;
const ZERO = 0x30;
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
  return (bytes, end, last) => {
    const most = Math.min(end, MOST_HEAD_BYTES);
    const again = last === null ? null : readAgain(bytes, most, last);
    if (again !== null) return again;
    const stop = bytes.subarray(0, most).indexOf('\r\n\r\n');
    if (stop < 0) return null;
    const text = bytes.toString('latin1', 0, stop);
    const [requestLine = '', ...lines] = text.split('\r\n');
    const signal = requestLines.get(requestLine);
    if (signal === undefined) return null;
    const headers = readHeaders(lines);
    const length = headers?.get('content-length');
    // Without a Host it is no HTTP/1.1: node:http's side answers that.
    if (headers === null || length === undefined || !headers.has('host')) return null;
    return {
      signal,
      bodyAt: stop + 4,
      bodyBytes: Number(length),
      headers: {
        'content-type': headers.get('content-type'),
        'content-encoding': headers.get('content-encoding'),
        authorization: headers.get('authorization'),
      },
      text,
      around: null,
    };
  };
}

/** Null: the bytes do not begin with `head` as it was but for its length. */
function readAgain(bytes: Buffer, end: number, head: Head): Head | null {
  head.around ??= aroundLength(head.text);
  const { before, behind } = head.around;
  if (!startsWith(bytes, end, 0, before)) return null;
  let at = before.length;
  let length = 0;
  for (; at < end; at++) {
    const digit = (bytes[at] as number) - ZERO;
    if (digit < 0 || digit > 9) break;
    length = length * 10 + digit;
  }
  const digits = at - before.length;
  if (digits === 0 || digits > MOST_DIGITS || (digits > 1 && bytes[before.length] === ZERO)) return null;
  if (!startsWith(bytes, end, at, behind)) return null;
  return { ...head, bodyAt: at + behind.length, bodyBytes: length };
}

function startsWith(bytes: Buffer, end: number, at: number, what: Buffer): boolean {
  return at + what.length <= end && bytes.compare(what, 0, what.length, at, at + what.length) === 0;
}

function aroundLength(text: string): Around {
  // It has one: it was read.
  const before = (LENGTH_BEFORE.exec(text) as RegExpExecArray)[0];
  const behind = text.slice(before.length).replace(/^[0-9]+/, '');
  return { before: Buffer.from(before, 'latin1'), behind: Buffer.from(`${behind}\r\n\r\n`, 'latin1') };
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
