/** Gives the memory of a buffer back that nobody needs any more. */

/**
 * Frees a large buffer's memory instead of waiting for a collection; nothing may look at it afterwards. Small ones are left alone: they
 * can lie in the memory that Node's Buffers share.
 */
export function freeLarge({ buffer, byteLength }: Uint8Array): void {
  if (byteLength > Buffer.poolSize && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
