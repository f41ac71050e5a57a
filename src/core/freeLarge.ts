/** Gives the memory of a buffer back that nobody needs any more. */

/**
 * Frees the whole memory that a buffer lies in, however little of it the buffer is, instead of waiting for a collection; nothing may look at
 * that memory afterwards. Small memory is left alone: it can be what Node's Buffers share.
 */
export function freeLarge({ buffer }: Uint8Array): void {
  if (buffer.byteLength > Buffer.poolSize && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
