/** A region: whole frames laid end to end, as they are appended; gives each its place in the journal's numbers. */
import { type BlockPool, Field, Flag, isVoid, nextFrame, PAGE_BYTES, payloadLength, readU64 } from '../core/block.ts';
import { ROWS, rowOf, sealHeader } from './format.ts';
import type { Tally } from './header.ts';

/** What a journal knows of its own end. */
export interface JournalState {
  epoch: number;
  /** Everything below is durable and readable. */
  head: number;
  /** The next sequence to give; above `head` while a write runs and after one failed. */
  nextSequence: number;
  /** Durable, and sealed but not yet durable. */
  tally: Tally;
  sealed: Tally;
  /** By row, the sequence of its last frame; not below it: what was there before the start, and groups that failed, may have had none. */
  newest: Float64Array;
  /** What the totals were before the end was damaged; null when nothing is missing there. The next segment starts with them. */
  lost: Tally | null;
}

/** Whole frames laid end to end from a block's start; the block has room up to the next 4 KiB. Addresses in the pool. */
export interface Region {
  first: number;
  end: number;
  /** It may take the segment that is kept in reserve beyond the quota. */
  urgent?: boolean;
}

/**
 * Seals each frame of a region in physical order; returns the addresses of those that hold something. `begins`: the group has no such
 * frame yet.
 */
export function sealRegion(
  pool: BlockPool,
  state: JournalState,
  segment: number,
  region: Region,
  begins: boolean,
): number[] {
  const frames: number[] = [];
  const { sealed, epoch } = state;
  let at = region.first;
  for (; at < region.end; at = nextFrame(pool, at)) {
    if (isVoid(pool, at)) {
      sealHeader(pool, at, epoch, segment, 0, 0);
      continue;
    }
    const row = rowOf(pool, at);
    const total = (sealed[row] as number) + (pool.words[(at + Field.items) >>> 2] as number);
    sealed[row] = total;
    sealed[ROWS + row] = readU64(pool, at + Field.covers);
    sealed[ROWS * 2 + row] = readU64(pool, at + Field.filtered);
    if (begins && frames.length === 0)
      pool.bytes[at + Field.flags] = (pool.bytes[at + Field.flags] as number) | Flag.group;
    sealHeader(pool, at, epoch, segment, state.nextSequence, total);
    state.newest[row] = state.nextSequence;
    state.nextSequence += 1;
    frames.push(at);
  }
  return frames;
}

/** Whether the region begins on a page and its frames end where it ends; anything else would spoil the group of others. */
export function isWellFormed(pool: BlockPool, region: Region): boolean {
  if (region.first % PAGE_BYTES !== 0 || region.end <= region.first) return false;
  let at = region.first;
  while (at < region.end) {
    // Compared before it is added: a length that is none overflows the 32 bits of frameSpan.
    if (payloadLength(pool, at) > region.end - at) return false;
    at = nextFrame(pool, at);
  }
  return at === region.end;
}
