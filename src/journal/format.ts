/** The record format: seals and checks frame headers and payloads; touches no file. docs/journal-format.md describes it. */
import { crc32 } from 'node:zlib';
import { crc32 as crc32OfMany } from '@node-rs/crc32';
import {
  type BlockPool,
  Field,
  Flag,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  FRAME_VERSION,
  frameSpan,
  PAGE_BYTES,
  payloadLength,
  readU64,
  SIGNALS,
  type Signal,
  STREAMS,
  type Stream,
  writeU64,
} from '../core/block.ts';

export const ROWS = STREAMS.length * SIGNALS.length;
const MAGIC_BYTES = Buffer.from('PLMB');
const LONGEST_PAYLOAD = 2 ** 30;
const ZEROS = Buffer.alloc(PAGE_BYTES);

/** What `checkFrame` finds at an address. */
export const Found = {
  /** No record of this segment, or a damaged one. */
  bad: 0,
  whole: 1,
  void: 2,
  /** The header is good, or cannot be seen yet, but the record ends behind the limit. */
  beyond: 3,
} as const;

/** Next multiple of 4 KiB; exact for every safe integer. */
export function alignUp(bytes: number): number {
  return bytes + (-bytes & (PAGE_BYTES - 1));
}

/** One number per (stream, signal), from 0 to ROWS - 1. */
export function rowIndex(stream: Stream, signal: Signal): number {
  return STREAMS.indexOf(stream) * SIGNALS.length + SIGNALS.indexOf(signal);
}

/** The row of a frame; only for frames whose header has been checked or made here. */
export function rowOf(pool: BlockPool, at: number): number {
  return (pool.bytes[at + Field.stream] as number) * SIGNALS.length + (pool.bytes[at + Field.signal] as number);
}

/** Writes the CRC of the payload into the header; whoever made the frame calls this, in its own thread. */
export function sealPayload(pool: BlockPool, at: number): void {
  pool.words[(at + Field.payloadCrc) >>> 2] = payloadCrc(pool, at);
}

/** Writes what only the journal knows into a header and closes it with its CRC. A void frame has sequence and total 0. */
export function sealHeader(
  pool: BlockPool,
  at: number,
  epoch: number,
  segment: number,
  sequence: number,
  total: number,
): void {
  pool.words[(at + Field.magic) >>> 2] = FRAME_MAGIC;
  pool.bytes[at + Field.version] = FRAME_VERSION;
  pool.words[(at + Field.epoch) >>> 2] = epoch;
  pool.words[(at + Field.segment) >>> 2] = segment;
  writeU64(pool, at + Field.sequence, sequence);
  writeU64(pool, at + Field.total, total);
  pool.words[(at + Field.headerCrc) >>> 2] = headerCrc(pool, at);
}

/**
 * What lies at `at`: a record of `segment` with an epoch of at least `epoch` and a sequence above `sequence`, whole and undamaged,
 * ending at `limit` or before (address). The price is the CRC of the payload.
 */
export function checkFrame(
  pool: BlockPool,
  at: number,
  limit: number,
  segment: number,
  epoch: number,
  sequence: number,
): (typeof Found)[keyof typeof Found] {
  if (at + FRAME_HEADER_BYTES > limit) return Found.beyond;
  if (!headerFits(pool, at, segment, epoch)) return Found.bad;
  const isVoid = ((pool.bytes[at + Field.flags] as number) & Flag.void) !== 0;
  if (!isVoid && readU64(pool, at + Field.sequence) <= sequence) return Found.bad;
  const length = payloadLength(pool, at);
  // No frame is that long, and frameSpan could not count it.
  if (length > LONGEST_PAYLOAD) return Found.bad;
  if (at + frameSpan(length) > limit) return Found.beyond;
  if (isVoid) return Found.void;
  return payloadCrc(pool, at) === pool.words[(at + Field.payloadCrc) >>> 2] ? Found.whole : Found.bad;
}

/** Address of the next magic at or after `at` (both multiples of 8) that a header could begin with, or -1. */
export function findMagic(pool: BlockPool, at: number, limit: number): number {
  let next = at;
  while (next < limit) {
    const hit = pool.bytes.subarray(next, limit).indexOf(MAGIC_BYTES);
    if (hit < 0) return -1;
    if (((next + hit) & 7) === 0) return next + hit;
    // One past the false hit; the next round looks for its own.
    next += hit + 1;
  }
  return -1;
}

/** Whether only zeros lie from `at` to `end`, which are at most one page apart. */
export function isZero(pool: BlockPool, at: number, end: number): boolean {
  return pool.words[at >>> 2] === 0 && pool.bytes.compare(ZEROS, 0, end - at, at, end) === 0;
}

function headerFits(pool: BlockPool, at: number, segment: number, epoch: number): boolean {
  return (
    pool.words[(at + Field.magic) >>> 2] === FRAME_MAGIC &&
    pool.words[(at + Field.segment) >>> 2] === segment &&
    (pool.words[(at + Field.epoch) >>> 2] as number) >= epoch &&
    pool.words[(at + Field.headerCrc) >>> 2] === headerCrc(pool, at) &&
    pool.bytes[at + Field.version] === FRAME_VERSION &&
    (pool.bytes[at + Field.stream] as number) < STREAMS.length &&
    (pool.bytes[at + Field.signal] as number) < SIGNALS.length
  );
}

function headerCrc(pool: BlockPool, at: number): number {
  return crc32(pool.bytes.subarray(at + Field.version, at + FRAME_HEADER_BYTES));
}

/** The same CRC by another library: from some hundred bytes on it is two to six times as fast, and slower below. */
function payloadCrc(pool: BlockPool, at: number): number {
  const payload = at + FRAME_HEADER_BYTES;
  return crc32OfMany(pool.bytes.subarray(payload, payload + payloadLength(pool, at)));
}
