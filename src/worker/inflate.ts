/** Inflates a request's body within its bound: gzip with any number of members, zstd with any number of frames, zlib's deflate. */
import { gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib';
import { Encoding } from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { collectGarbage } from './garbage.ts';

/** What zlib's functions share. */
type Inflate = (body: Uint8Array, options: { maxOutputLength: number; chunkSize: number; info: true }) => unknown;

const LEAST_CHUNK_BYTES = 16_384;
/** zlib takes no smaller ones. */
const ZLIB_LEAST_CHUNK_BYTES = 64;
/** For what says of itself that it is too large: so much more than the bound may come out before it is found to be. */
const BOMB_CHUNK_BYTES = 262_144;
/** A frame takes at least this much, so that a flood of empty ones ends. */
const MOST_FRAMES = 10_000;

/** `encoding` has one coding's bit. Throws BODY_TOO_LARGE as soon as more than `maxBytes` have come out, BODY_UNDECODABLE when it is broken. */
export function inflate(body: Uint8Array, encoding: number, maxBytes: number): Uint8Array {
  if ((encoding & Encoding.gzip) !== 0) return inflateWhole('gzip', gunzipSync, body, maxBytes);
  if ((encoding & Encoding.deflate) !== 0) return inflateWhole('deflate', inflateSync, body, maxBytes);
  return inflateFrames(body, maxBytes);
}

function inflateWhole(name: string, codec: Inflate, body: Uint8Array, maxBytes: number): Uint8Array {
  const { buffer, consumed } = run(name, codec, body, maxBytes, chunkFor(name, body, maxBytes));
  if (consumed !== body.length) refuse(name, `${body.length - consumed} bytes behind its end`);
  return buffer;
}

/** zlib joins the members of gzip itself, but stops after a frame of zstd. */
function inflateFrames(body: Uint8Array, maxBytes: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let from = 0;
  let left = maxBytes;
  do {
    if (parts.length === MOST_FRAMES) refuse('zstd', `more than ${MOST_FRAMES} frames`);
    // The bound has to be at least 1; what comes out of a full body is over it all the same.
    const { buffer, consumed } = run(
      'zstd',
      zstdDecompressSync,
      body.subarray(from),
      Math.max(1, left),
      chunkFor('', body, left),
    );
    if (buffer.length > left) tooLarge('zstd', maxBytes);
    from += consumed;
    left -= buffer.length;
    parts.push(buffer);
  } while (from < body.length);
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
}

/** gzip's last four bytes are the inflated size modulo 2^32: with the right chunk size zlib allocates once. */
function chunkFor(name: string, body: Uint8Array, maxBytes: number): number {
  const tail = body.length - 4;
  const said =
    name === 'gzip' && tail >= 14
      ? new DataView(body.buffer, body.byteOffset, body.length).getUint32(tail, true) + 1024
      : body.length * 8;
  if (said - 1024 > maxBytes) return Math.min(maxBytes, BOMB_CHUNK_BYTES) + 1;
  return Math.max(LEAST_CHUNK_BYTES, said);
}

function run(
  name: string,
  codec: Inflate,
  body: Uint8Array,
  maxBytes: number,
  chunkSize: number,
): { buffer: Buffer; consumed: number } {
  try {
    // With `info` zlib answers { buffer, engine }, which its types do not know.
    const { buffer, engine } = codec(body, {
      maxOutputLength: maxBytes,
      chunkSize: Math.max(ZLIB_LEAST_CHUNK_BYTES, chunkSize),
      info: true,
    }) as {
      buffer: Buffer;
      engine: { bytesWritten: number };
    };
    return { buffer, consumed: engine.bytesWritten };
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') tooLarge(name, maxBytes, cause);
    return refuse(name, messageOf(cause), cause);
  }
}

function refuse(name: string, why: string, cause?: unknown): never {
  throw new AgentError('BODY_UNDECODABLE', `not ${name}: ${why}`, { cause });
}

function tooLarge(name: string, maxBytes: number, cause?: unknown): never {
  // What came out so far is garbage that V8 is in no hurry to collect: five bodies of 200 MiB of zeros raised RSS by 210 MiB.
  collectGarbage();
  const message = `the ${name} body inflates to more than ${maxBytes} bytes: raise ingest.http.max_request_body_size`;
  throw new AgentError('BODY_TOO_LARGE', message, { cause });
}
