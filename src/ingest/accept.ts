// HOT: once per request. Bench: bench/micro/ingest/accept.bench.ts
/** Reads one export request: what it claims to be, and its bytes. */
import type { IncomingMessage } from 'node:http';
import { Encoding, type Signal } from '../core/block.ts';
import { AgentError, type ErrorCode } from '../core/errors.ts';
import type { LentBlock } from '../core/lentBlock.ts';

/** What the rest of the agent answers about a body; see worker/intake.ts. */
export type Outcome =
  | { kind: 'accepted'; items: number; rejected: number; warned: number }
  | { kind: 'refused'; code: ErrorCode; message: string };
export interface Body {
  chunks: readonly Uint8Array[];
  bytes: number;
  /** The block that all of it lies in, if it does. */
  lent?: LentBlock | null;
}
/** Takes the block, or copies the chunks, before it returns: afterwards their memory may be another request's. */
export type Submit = (body: Body & { signal: Signal; encoding: number }) => Promise<Outcome>;

interface Claim {
  /** Bits of Encoding, or why the request is refused unread. */
  encoding: number;
  refusal: 'content_type' | 'content_encoding' | null;
}

const PROTOBUF = 'application/x-protobuf';
/** The subtype ends the value or is followed by parameters; anything else is another type. */
const JSON_TYPE = /^application\/json[ ]*(;|$)/i;
const PROTOBUF_TYPE = /^application\/x-protobuf[ ]*(;|$)/i;
const CODINGS: ReadonlyMap<string, number> = new Map([
  ['', 0],
  ['identity', 0],
  ['gzip', Encoding.gzip],
  ['x-gzip', Encoding.gzip],
  ['zstd', Encoding.zstd],
  ['deflate', Encoding.deflate],
]);
/** What a 415 tells the client to use. */
export const ACCEPTED_CODINGS = 'gzip, zstd, deflate';

export function readClaim(contentType: string | undefined, contentEncoding: string | undefined): Claim {
  const json = contentType !== PROTOBUF && JSON_TYPE.test(contentType ?? '');
  if (!json && contentType !== PROTOBUF && !PROTOBUF_TYPE.test(contentType ?? ''))
    return { encoding: Encoding.json, refusal: 'content_type' };
  const base: number = json ? Encoding.json : Encoding.protobuf;
  if (contentEncoding === undefined) return { encoding: base, refusal: null };
  // A chain of codings is none of these: one layer is what OTLP has, and each more is a bomb's best friend.
  const coding = CODINGS.get(contentEncoding.trim().toLowerCase());
  return coding === undefined
    ? { encoding: base, refusal: 'content_encoding' }
    : { encoding: base | coding, refusal: null };
}

/**
 * Collects the body's chunks; `take` is asked about the bytes so far and answers why no more are taken, or null. Rejects with what
 * `take` answered, or with CLIENT_GONE.
 */
export function readBody(stream: IncomingMessage, take: (bytes: number) => AgentError | null): Promise<Body> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    const onData = (chunk: Uint8Array) => {
      bytes += chunk.length;
      const refusal = take(bytes);
      if (refusal === null) return chunks.push(chunk);
      // What still comes is read and dropped by whoever answers: nothing may be kept of it.
      stream.off('data', onData);
      return reject(refusal);
    };
    const gone = () => reject(new AgentError('CLIENT_GONE', 'the client went away in the middle of the body'));
    stream.on('data', onData);
    stream.on('end', () => {
      // Every stream closes, and an error costs its stack.
      stream.off('close', gone);
      resolve({ chunks, bytes });
    });
    stream.on('error', gone);
    stream.on('close', gone);
  });
}
