/** Brings memory into the cache before it is walked. */
import { crc32 } from '@node-rs/crc32';

/**
 * Reads the bytes from `from` to `to` once, in order. A walk from item to item waits for memory at each of them, since it learns from
 * one where the next one lies; the processor fetches ahead for who reads in order. The CRC is not asked for: it is the cheapest native
 * call that reads everything. Measured on selection at full load, which reads what came a second ago: 8 to 13 % of the whole agent.
 */
export function fetchBytes(bytes: Buffer, from: number, to: number): void {
  crc32(bytes.subarray(from, to));
}
