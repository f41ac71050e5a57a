/** Reads a whole segment and says what is in it: its records' totals, its damage, and where a torn group may begin. */
import { type BlockPool, Field, Flag, PAGE_BYTES, readU64 } from '../core/block.ts';
import { type Extent, type LoadOptions, loadExtent, type Position } from './extents.ts';
import { ROWS, rowOf } from './format.ts';
import { newTally, type Tally } from './header.ts';
import type { Segment } from './segment.ts';

/** What a scan of a whole segment finds. */
export interface Scan {
  /** File offset behind the last valid record. */
  end: number;
  sequence: number;
  epoch: number;
  firstSequence: number;
  startMs: number;
  records: number;
  /** Groups that begin behind something else. */
  laterGroups: number;
  /** Totals before the first record of each row, and which rows have one. */
  start: Tally;
  seen: boolean[];
  tally: Tally;
  /** Items of whole records, by row. */
  items: Float64Array;
  bad: number[];
  /** How it stood at the first bad piece that may be torn: behind it no record begins a group. */
  torn: Scan | null;
}

/**
 * Reads and verifies a segment from its first record to `limit`; `probe` stops once a second group is found. Bad pieces before `safe`
 * are not torn.
 */
export async function scan(
  segment: Segment,
  limit: number,
  start: Tally,
  options: LoadOptions,
  { probe = false, safe = 0 } = {},
): Promise<Scan> {
  const found = emptyScan(segment, start);
  const position: Position = { segment, offset: PAGE_BYTES, sequence: segment.first - 1, epoch: segment.epoch };
  while (position.offset < limit && !(probe && found.laterGroups > 0)) {
    const extent = await loadExtent(options, position, limit);
    addExtent(options.pool, extent, found, safe);
    if (extent.validEnd > extent.from) found.end = extent.validEnd;
    Object.assign(position, { offset: extent.to, sequence: extent.sequence, epoch: extent.epoch });
    options.pool.release(extent.block);
  }
  return found;
}

function emptyScan(segment: Segment, start: Tally): Scan {
  const { first, epoch } = segment;
  const counts = {
    end: PAGE_BYTES,
    sequence: first - 1,
    epoch,
    firstSequence: first,
    startMs: 0,
    records: 0,
    laterGroups: 0,
  };
  return {
    ...counts,
    start: newTally(),
    seen: [],
    tally: start.slice(),
    items: new Float64Array(ROWS),
    bad: [],
    torn: null,
  };
}

/** Frames and bad pieces in the order in which they lie. */
function addExtent(pool: BlockPool, extent: Extent, found: Scan, safe: number): void {
  const { bad, frames, base } = extent;
  let i = 0;
  const passBad = (before: number) => {
    for (; i < bad.length && (bad[i] as number) < before; i += 2) {
      const [from, to] = bad.slice(i, i + 2) as [number, number];
      if (found.torn === null && from >= safe) found.torn = { ...found, end: from, tally: found.tally.slice() };
      found.bad.push(from, to);
    }
  };
  for (const at of frames) {
    passBad(at - base);
    if (((pool.bytes[at + Field.flags] as number) & Flag.group) !== 0) {
      // One write begins when the one before it is safe.
      if (found.records > 0 || found.bad.length > 0) found.laterGroups += 1;
      found.torn = null;
    }
    addFrame(pool, at, found);
  }
  passBad(Infinity);
}

function addFrame(pool: BlockPool, at: number, found: Scan): void {
  const row = rowOf(pool, at);
  const total = readU64(pool, at + Field.total);
  const items = pool.words[(at + Field.items) >>> 2] as number;
  found.items[row] = (found.items[row] as number) + items;
  if (found.records === 0) {
    found.firstSequence = readU64(pool, at + Field.sequence);
    found.startMs = readU64(pool, at + Field.receivedMs);
  }
  if (found.seen[row] !== true) {
    found.seen[row] = true;
    found.start[row] = total - items;
  }
  found.records += 1;
  found.sequence = readU64(pool, at + Field.sequence);
  found.epoch = pool.words[(at + Field.epoch) >>> 2] as number;
  found.tally[row] = total;
  found.tally[ROWS + row] = readU64(pool, at + Field.covers);
  found.tally[ROWS * 2 + row] = readU64(pool, at + Field.filtered);
}
