/** The first page of a segment: what came before it, so that a start needs no other segment; format only, no I/O. */
import { crc32 } from 'node:zlib';
import { PAGE_BYTES } from '../core/block.ts';
import { ROWS } from './format.ts';

/**
 * Three numbers per row: items ever appended, then `covers`, then `filtered` of the row's last frame.
 * Index with `rowIndex` plus nothing, ROWS or 2 * ROWS.
 */
export type Tally = Float64Array;

export interface SegmentHeader {
  segment: number;
  epoch: number;
  /** The first sequence it may hold. */
  first: number;
  /** Number of the segment before, 0 when there was none, and how many of its bytes are durable. */
  previous: number;
  previousUsed: number;
  /** What the previous segment's header says of itself, in case that is lost: its first sequence and its tally. */
  previousFirst: number;
  previousStart: Tally;
  /** Receive time of its first record, Unix milliseconds. */
  startMs: number;
  start: Tally;
}

/**
 * Where a journal stood at some moment, as plain JSON, for whoever keeps it safe elsewhere: the header of the newest segment and how far it
 * was durable. By it a start tells damage at the very end from a torn tail.
 */
export interface KnownEnd extends Omit<SegmentHeader, 'start' | 'previousStart'> {
  start: number[];
  previousStart: number[];
  /** Bytes of the segment that are durable. */
  used: number;
  /** The next sequence, and the totals up to it. */
  next: number;
  tally: number[];
}

/** "PLMS" read as a little-endian word. */
const MAGIC = 0x534d4c50;
const VERSION = 1;
const TALLY_AT = 56;
const TALLY_BYTES = ROWS * 3 * 8;
const PREVIOUS_AT = TALLY_AT + TALLY_BYTES;
const HEADER_BYTES = PREVIOUS_AT + 8 + TALLY_BYTES;
/** The header stands twice in its page, so that one bad sector or flipped bit costs nothing. */
const COPIES_AT = [0, PAGE_BYTES / 2] as const;

export function newTally(): Tally {
  return new Float64Array(ROWS * 3);
}

/** Row by row whichever counts more items, `one` when they agree: `covers` and `filtered` are the last frame's and need not grow. */
export function laterTally(one: Tally, other: ArrayLike<number>): Tally {
  return one.map((value, i) => {
    const row = i % ROWS;
    return (other[row] as number) > (one[row] as number) ? (other[i] as number) : value;
  });
}

/**
 * Fills a page with the header:
 *
 *   0 magic u32 | 4 CRC-32 of what follows u32 | 8 version u32 | 12 epoch u32 | 16 segment u32 | 20 previous u32
 *   24 first u64 | 32 previous used u64 | 40 start ms u64 | 48 zero | 56 tally: 36 x u64
 *   344 previous first u64 | 352 previous tally: 36 x u64 | again at 2048
 */
export function writeSegmentHeader(page: Buffer, header: SegmentHeader): void {
  page.fill(0);
  page.writeUInt32LE(MAGIC, 0);
  page.writeUInt32LE(VERSION, 8);
  page.writeUInt32LE(header.epoch, 12);
  page.writeUInt32LE(header.segment, 16);
  page.writeUInt32LE(header.previous, 20);
  writeNumber(page, 24, header.first);
  writeNumber(page, 32, header.previousUsed);
  writeNumber(page, 40, header.startMs);
  writeTally(page, TALLY_AT, header.start);
  writeNumber(page, PREVIOUS_AT, header.previousFirst);
  writeTally(page, PREVIOUS_AT + 8, header.previousStart);
  page.writeUInt32LE(crc32(page.subarray(8, HEADER_BYTES)), 4);
  page.copy(page, COPIES_AT[1], 0, HEADER_BYTES);
}

/** The header of whichever segment wrote this page last, or null when neither copy is whole. */
export function readSegmentHeader(page: Buffer): SegmentHeader | null {
  for (const at of COPIES_AT) {
    const copy = page.subarray(at, at + HEADER_BYTES);
    if (copy.length < HEADER_BYTES || copy.readUInt32LE(0) !== MAGIC || copy.readUInt32LE(8) !== VERSION) continue;
    if (copy.readUInt32LE(4) !== crc32(copy.subarray(8))) continue;
    return {
      segment: copy.readUInt32LE(16),
      epoch: copy.readUInt32LE(12),
      first: readNumber(copy, 24),
      previous: copy.readUInt32LE(20),
      previousUsed: readNumber(copy, 32),
      previousFirst: readNumber(copy, PREVIOUS_AT),
      previousStart: readTally(copy, PREVIOUS_AT + 8),
      startMs: readNumber(copy, 40),
      start: readTally(copy, TALLY_AT),
    };
  }
  return null;
}

function writeTally(page: Buffer, at: number, tally: Tally): void {
  for (let i = 0; i < ROWS * 3; i++) writeNumber(page, at + i * 8, tally[i] as number);
}

function readTally(page: Buffer, at: number): Tally {
  const tally = newTally();
  for (let i = 0; i < ROWS * 3; i++) tally[i] = readNumber(page, at + i * 8);
  return tally;
}

function writeNumber(page: Buffer, at: number, value: number): void {
  page.writeUInt32LE(value >>> 0, at);
  page.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

function readNumber(page: Buffer, at: number): number {
  return page.readUInt32LE(at) + page.readUInt32LE(at + 4) * 0x1_0000_0000;
}
