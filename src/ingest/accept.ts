// HOT: once per request. Bench: bench/micro/ingest/accept.bench.ts
/** Accepts one export request: what it claims to be, its bytes, and the reply once it is safe. */
import type { IncomingMessage } from 'node:http';
import { Encoding, type Signal } from '../core/block.ts';
import { AgentError, type ErrorCode } from '../core/errors.ts';
import type { Admission } from './admission.ts';

/** What the rest of the agent answers about a body; see worker/intake.ts. */
export type Outcome =
  | { kind: 'accepted'; items: number; rejected: number }
  | { kind: 'refused'; code: ErrorCode; message: string };
export type Submit = (body: {
  signal: Signal;
  encoding: number;
  chunks: readonly Uint8Array[];
  bytes: number;
}) => Promise<Outcome>;

export interface Claim {
  /** Bits of Encoding, or why the request is refused unread. */
  encoding: number;
  refusal: 'content_type' | 'content_encoding' | null;
}

const PROTOBUF = 'application/x-protobuf';
/** The subtype ends the value or is followed by parameters; anything else is another type. */
const JSON_TYPE = /^application\/json[ ]*(;|$)/i;
const PROTOBUF_TYPE = /^application\/x-protobuf[ ]*(;|$)/i;

export function readClaim(contentType: string | undefined, contentEncoding: string | undefined): Claim {
  const json = contentType !== PROTOBUF && JSON_TYPE.test(contentType ?? '');
  if (!json && contentType !== PROTOBUF && !PROTOBUF_TYPE.test(contentType ?? ''))
    return { encoding: Encoding.json, refusal: 'content_type' };
  const base: number = json ? Encoding.json : Encoding.protobuf;
  if (contentEncoding === undefined) return { encoding: base, refusal: null };
  const coding = contentEncoding.trim().toLowerCase();
  if (coding === 'gzip' || coding === 'x-gzip') return { encoding: base | Encoding.gzip, refusal: null };
  return { encoding: base, refusal: coding === '' || coding === 'identity' ? null : 'content_encoding' };
}

/**
 * Collects the body's chunks, reserving what Content-Length did not announce. Rejects with BODY_TOO_LARGE or OVERLOADED. `reserved`
 * is what admission holds for this request, before and after.
 */
export function readBody(
  stream: IncomingMessage,
  limitBytes: number,
  admission: Admission,
  held: { bytes: number },
): Promise<{ chunks: Uint8Array[]; bytes: number }> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    const refuse = (error: AgentError) => {
      // What still comes is read and dropped: nothing may be reserved for it any more.
      stream.off('data', take);
      stream.resume();
      reject(error);
    };
    const take = (chunk: Uint8Array) => {
      bytes += chunk.length;
      if (bytes > limitBytes) {
        const message = `the body is over ${limitBytes} bytes: raise ingest.http.max_request_body_size`;
        return refuse(new AgentError('BODY_TOO_LARGE', message));
      }
      if (bytes > held.bytes && !admission.reserve(bytes - held.bytes)) {
        const message = `${admission.used} bytes in flight, limit ${admission.limit}: raise ingest.admission.in_flight`;
        return refuse(new AgentError('OVERLOADED', message, { retryable: true }));
      }
      if (bytes > held.bytes) held.bytes = bytes;
      chunks.push(chunk);
    };
    stream.on('data', take);
    stream.on('end', () => resolve({ chunks, bytes }));
    stream.on('error', reject);
    stream.on('close', () => reject(new AgentError('BODY_UNDECODABLE', 'the client went away')));
  });
}
