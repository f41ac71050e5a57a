/** Pieces of segments in memory: what was just committed, and what is read and verified here; cache.ts keeps them. */
import { type BlockPool, Field, FRAME_HEADER_BYTES, nextFrame, PAGE_BYTES, readU64 } from '../core/block.ts';
import { errnoOf, type Files, readFully } from './files.ts';
import { alignUp, checkFrame, Found, findMagic, isZero } from './format.ts';
import type { OpenSegments } from './open.ts';
import type { Segment } from './segment.ts';

/** A piece of a segment in memory. Its frames are valid while its block is. */
export interface Extent {
  segment: number;
  /** File offsets: what it stands for, and where to read on. */
  from: number;
  to: number;
  /** Address of the file's offset 0, so to say: offset + base is the address. */
  base: number;
  block: number;
  /** Addresses of the whole frames, ascending; void and damaged ones are left out. */
  frames: number[];
  /** Sequence and epoch of the last record, which those that follow may not be below. */
  sequence: number;
  epoch: number;
  /** File offset behind the last valid record; `from` when there is none. */
  validEnd: number;
  /** Bytes that are no record: [from, to) in file offsets, flat. */
  bad: number[];
}

/** Where to read, and what the records there may not be below. */
export interface Position {
  segment: Segment;
  offset: number;
  sequence: number;
  epoch: number;
}

export interface LoadOptions {
  pool: BlockPool;
  files: Files;
  direct: boolean;
  open: OpenSegments;
  /** Called when the pool is empty, before waiting: give back what can be given back. */
  relieve(): void;
}

/** Of one read: who takes much at once waits once for the disk, and for its turn on main. */
const LEAST_CHUNK_BYTES = 1 << 20;
const MOST_CHUNK_BYTES = 4 << 20;
const POOL_WAIT_MS = 5;

/**
 * Reads and verifies `wanted` bytes (1 to 4 MiB of them, or what the first record needs) from `position` up to `limit` (file offset), or
 * 1 MiB where memory is short; the extent's block comes with one reference.
 */
export async function loadExtent(
  options: LoadOptions,
  position: Position,
  limit: number,
  wanted = LEAST_CHUNK_BYTES,
): Promise<Extent> {
  const { pool, files, open } = options;
  const start = position.offset - (position.offset % PAGE_BYTES);
  const chunk = Math.min(MOST_CHUNK_BYTES, Math.max(LEAST_CHUNK_BYTES, wanted));
  return open.use(position.segment, async (fd) => {
    for (let least = LEAST_CHUNK_BYTES; ; ) {
      const most = alignUp(limit) - start;
      const { block, bytes } = await allocate(options, Math.min(most, least), Math.min(most, Math.max(chunk, least)));
      try {
        const got = await readPatiently(files, fd, pool.bytes.subarray(block, block + bytes), start);
        const end = Math.min(start + got, limit);
        const extent = emptyExtent(position, block, start);
        const needed = verify(pool, extent, end, start + got < start + bytes || end >= limit);
        if (needed === 0) return start + got < Math.min(start + bytes, limit) ? cutShort(extent, limit) : extent;
        least = alignUp(needed - start);
      } catch (error) {
        pool.release(block);
        throw error;
      }
      pool.release(block);
    }
  });
}

/** The file ends before the journal does: what is missing is as bad as what cannot be read. */
function cutShort(extent: Extent, limit: number): Extent {
  extent.bad.push(extent.to, limit);
  extent.to = limit;
  return extent;
}

/** As `readFully`, but a page the disk cannot read becomes zeros, which count as damage: one bad sector stops nobody. */
async function readPatiently(files: Files, fd: number, view: Uint8Array, start: number): Promise<number> {
  try {
    return await readFully(files, fd, view, start);
  } catch (error) {
    if (errnoOf(error) !== 'EIO') throw error;
  }
  for (let at = 0; at < view.length; at += PAGE_BYTES) {
    const page = view.subarray(at, at + PAGE_BYTES);
    await readFully(files, fd, page, start + at).catch(() => page.fill(0));
  }
  return view.length;
}

function emptyExtent(position: Position, block: number, start: number): Extent {
  const { segment, offset, sequence, epoch } = position;
  const base = block - start;
  return {
    segment: segment.number,
    from: offset,
    to: offset,
    base,
    block,
    frames: [],
    sequence,
    epoch,
    validEnd: offset,
    bad: [],
  };
}

/** Takes `most` bytes, or waits for `least`: a reader is patient, what it reads is safe. */
async function allocate(options: LoadOptions, least: number, most: number): Promise<{ block: number; bytes: number }> {
  const block = options.pool.allocate(most);
  if (block >= 0) return { block, bytes: most };
  for (;;) {
    options.relieve();
    const second = options.pool.allocate(least);
    if (second >= 0) return { block: second, bytes: least };
    await new Promise((resolve) => setTimeout(resolve, POOL_WAIT_MS));
  }
}

/**
 * Walks the extent's records up to `end` (file offset) and fills it. Returns 0, or the file offset that has to be in memory before
 * anything can be said (a first record longer than the chunk). `last` says that nothing follows after `end`.
 */
function verify(pool: BlockPool, extent: Extent, end: number, last: boolean): number {
  const { base } = extent;
  const limit = base + end;
  let at = base + extent.from;
  while (at < limit) {
    const found = checkFrame(pool, at, limit, extent.segment, extent.epoch, extent.sequence);
    if (found === Found.whole || found === Found.void) {
      at = accept(pool, extent, at, found);
      continue;
    }
    if (found === Found.beyond && !last) {
      if (at > base + extent.from) break;
      return at + FRAME_HEADER_BYTES > limit ? end + PAGE_BYTES : nextFrame(pool, at) - base;
    }
    const page = Math.min(alignUp(at), limit);
    if (page > at && isZero(pool, at, page)) {
      at = page;
      continue;
    }
    const next = resync(pool, extent, at, limit, last);
    extent.bad.push(at - base, next - base);
    at = next;
  }
  extent.to = at - base;
  return 0;
}

/** Takes a record into the extent; returns the address behind it. */
function accept(pool: BlockPool, extent: Extent, at: number, found: number): number {
  extent.epoch = pool.words[(at + Field.epoch) >>> 2] as number;
  if (found === Found.whole) {
    extent.sequence = readU64(pool, at + Field.sequence);
    extent.frames.push(at);
  }
  const next = nextFrame(pool, at);
  extent.validEnd = next - extent.base;
  return next;
}

/**
 * Address of the next whole record after a bad one, of one that has to be read further, or `limit`. A record is searched for inside
 * the bad one too: its length is not to be believed, and a void one, which has no payload CRC, is no proof of anything here.
 */
function resync(pool: BlockPool, extent: Extent, bad: number, limit: number, last: boolean): number {
  let at = findMagic(pool, bad + 8, limit);
  while (at >= 0) {
    const found = checkFrame(pool, at, limit, extent.segment, extent.epoch, extent.sequence);
    if (found === Found.whole || (found === Found.beyond && !last)) return at;
    at = findMagic(pool, at + 8, limit);
  }
  return limit;
}
