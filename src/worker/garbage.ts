/** Gives memory back now: a collection on demand, and the memory of a buffer that nobody needs any more. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

// V8 has no other way to a collection than this flag, which a context made after it sees.
setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

/** A full collection of this thread's heap: some milliseconds, for the rare moment when much has become garbage at once. */
export function collectGarbage(): void {
  if (typeof collect === 'function') collect();
}

/**
 * Frees a large buffer's memory instead of waiting for a collection; nothing may look at it afterwards. Small ones are left alone: they
 * can lie in the memory that Node's Buffers share.
 */
export function freeLarge({ buffer, byteLength }: Uint8Array): void {
  if (byteLength > Buffer.poolSize && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
