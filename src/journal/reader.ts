/** Reads frames of one row, or of all, from a position on: near the head from memory, else from disk in shared chunks. */
import { type BlockPool, Field, frameSpan, payloadLength, readU64 } from '../core/block.ts';
import type { ExtentCache } from './cache.ts';
import { type Extent, type LoadOptions, loadExtent, type Position } from './extents.ts';
import { ROWS, rowOf } from './format.ts';
import type { JournalState } from './region.ts';
import type { Segment } from './segment.ts';
import type { SegmentStore } from './segments.ts';
import { lastWaypoint } from './waypoints.ts';

export interface ReaderOptions extends LoadOptions {
  store: SegmentStore;
  state: JournalState;
  cache: ExtentCache;
  /** Bytes of a segment that are no record: [from, to) in file offsets, flat; the same ones come again when read again. */
  onDamage(segment: Segment, bad: number[]): void;
}

/** What a read collects. Each entry of `blocks` holds one reference. */
export interface Collected {
  frames: number[];
  blocks: number[];
  /** Address behind the last frame. */
  end: number;
  next: number;
  /** Items of damaged records that were passed, by row. */
  damaged: Float64Array;
}

interface Collecting extends Collected {
  from: number;
  row: number;
  maxBytes: number;
  bytes: number;
  full: boolean;
}

/** A position of a row, with the totals seen up to it. */
interface Place extends Position {
  totals: Float64Array;
}

interface Loading {
  extent: Promise<Extent>;
  waiting: number;
}

export const ALL_ROWS = -1;
const PLACES = 256;
/** Heads that are remembered: who was passed by reads on from one a moment later. */
const HEADS = 32;

export class Reader {
  readonly #options: ReaderOptions;
  readonly #pool: BlockPool;
  /** Where the next read of a row will most likely begin; oldest first. */
  readonly #places = new Map<number, Place>();
  /** Of every row, oldest first. */
  readonly #heads: Place[] = [];
  readonly #loading = new Map<string, Loading>();

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.#pool = options.pool;
  }

  /**
   * Frames of `row` (or ALL_ROWS) with sequence >= `from`, below the durable head, about `maxBytes` and at least one, from at most
   * `maxExtents` pieces of memory; null when nothing is there yet. `totals`: items by row that are known to lie before `from`: what is
   * damaged there was counted before. Rejects when the disk cannot be read.
   */
  async collect(
    from: number,
    row: number,
    maxBytes: number,
    maxExtents: number,
    totals: ReadonlyMap<number, number>,
  ): Promise<Collected | null> {
    const { store, state } = this.#options;
    if (from >= state.head) return null;
    const found = {
      frames: [],
      blocks: [],
      end: 0,
      next: from,
      damaged: new Float64Array(ROWS),
      from,
      row,
      maxBytes,
      bytes: 0,
      full: false,
    };
    const place = this.#place(from, row);
    if (place === undefined) return { ...found, next: state.head };
    for (const [known, total] of totals) {
      // Segments between are gone: what they held is lost to this reader.
      if (from < place.segment.first) lose(found, known, (place.totals[known] as number) - total);
      raise(place.totals, known, total);
    }
    const pinned: Segment[] = [pin(place.segment)];
    try {
      await this.#fill(found, place, pinned, maxExtents);
    } catch (error) {
      for (const block of found.blocks) this.#pool.release(block);
      throw error;
    } finally {
      for (const segment of pinned) store.unpin(segment);
    }
    this.#remember(found.next, row, place);
    return found;
  }

  /** Reads of rows that have nothing before the head go on from here. */
  noteHead(): void {
    const { store, state } = this.#options;
    const { current } = store;
    const sequence = state.head - 1;
    if (current === undefined || this.#heads.at(-1)?.sequence === sequence) return;
    const totals = state.tally.slice(0, ROWS);
    this.#heads.push({ segment: current, offset: current.used, sequence, epoch: state.epoch, totals });
    if (this.#heads.length > HEADS) this.#heads.shift();
  }

  async #fill(found: Collecting, place: Place, pinned: Segment[], maxExtents: number): Promise<void> {
    const { store, state, cache } = this.#options;
    for (let extents = 0; ; ) {
      if (place.offset >= place.segment.used) {
        const next = store.after(place.segment);
        if (next === undefined) {
          found.next = Math.max(found.next, state.head);
          return;
        }
        cross(found, place, next);
        pinned.push(pin(next));
        continue;
      }
      // Only after crossing: what a segment's end lacks is counted by the read that leaves it.
      if (found.full || extents >= maxExtents) return;
      let extent = cache.find(place.segment.number, place.offset);
      if (extent === undefined) extent = await this.#load(place, found.maxBytes);
      else this.#pool.retain(extent.block);
      if (this.#take(extent, place, found)) extents += 1;
    }
  }

  /** Moves on to the extent's end or until the read is full, and takes over the extent's reference; false when all was passed. */
  #take(extent: Extent, place: Place, found: Collecting): boolean {
    const pool = this.#pool;
    const before = found.frames.length;
    const { frames } = extent;
    let i = firstAbove(pool, frames, place.sequence);
    for (; i < frames.length && !found.full; i++) {
      const at = frames[i] as number;
      if (this.#takeFrame(at, place, found)) {
        place.sequence = readU64(pool, at + Field.sequence);
        place.epoch = pool.words[(at + Field.epoch) >>> 2] as number;
      } else place.offset = at - extent.base;
    }
    if (!found.full) {
      place.offset = extent.to;
      place.epoch = extent.epoch;
    }
    if (found.frames.length > before) found.blocks.push(extent.block);
    else pool.release(extent.block);
    return extent.sequence >= found.from;
  }

  /** False when the read is full and the frame is for the next one. */
  #takeFrame(at: number, place: Place, found: Collecting): boolean {
    const pool = this.#pool;
    const sequence = readU64(pool, at + Field.sequence);
    const row = rowOf(pool, at);
    const wanted = found.row === ALL_ROWS || found.row === row;
    if (sequence < found.from) {
      if (wanted) raise(place.totals, row, readU64(pool, at + Field.total));
      return true;
    }
    if (wanted) {
      const span = frameSpan(payloadLength(pool, at));
      if (found.frames.length > 0 && found.bytes + span > found.maxBytes) {
        found.full = true;
        found.next = sequence;
        return false;
      }
      const total = readU64(pool, at + Field.total);
      const items = pool.words[(at + Field.items) >>> 2] as number;
      lose(found, row, total - items - (place.totals[row] as number));
      raise(place.totals, row, total);
      found.frames.push(at);
      found.bytes += span;
      found.end = at + span;
    }
    found.next = sequence + 1;
    return true;
  }

  /** Reads of the same place share one; each gets a reference of its own. */
  async #load(place: Place, bytes: number): Promise<Extent> {
    const { segment, offset, sequence, epoch } = place;
    const key = `${segment.number}:${offset}`;
    let loading = this.#loading.get(key);
    if (loading === undefined) {
      loading = { extent: this.#loadOnce(key, { segment, offset, sequence, epoch }, bytes), waiting: 0 };
      this.#loading.set(key, loading);
    }
    loading.waiting += 1;
    return loading.extent;
  }

  async #loadOnce(key: string, position: Position, bytes: number): Promise<Extent> {
    const { cache, onDamage } = this.#options;
    try {
      const extent = await loadExtent(this.#options, position, position.segment.used, bytes);
      const waiting = this.#loading.get(key)?.waiting ?? 1;
      for (let i = 1; i < waiting; i++) this.#pool.retain(extent.block);
      cache.addLoaded(extent);
      if (extent.bad.length > 0) onDamage(position.segment, extent.bad);
      return extent;
    } finally {
      this.#loading.delete(key);
    }
  }

  #place(from: number, row: number): Place | undefined {
    const known = this.#places.get(placeKey(from, row)) ?? this.#heads.find(({ sequence }) => sequence === from - 1);
    if (known !== undefined && !known.segment.gone) return { ...known, totals: known.totals.slice() };
    const segment = this.#options.store.holding(from);
    return segment === undefined ? undefined : near(segment, from);
  }

  #remember(next: number, row: number, place: Place): void {
    const key = placeKey(next, row);
    this.#places.delete(key);
    this.#places.set(key, place);
    if (this.#places.size > PLACES) this.#places.delete(this.#places.keys().next().value as number);
  }
}

function lose(found: Collecting, row: number, items: number): void {
  if (items > 0) found.damaged[row] = (found.damaged[row] as number) + items;
}

/** Totals only grow. */
function raise(totals: Float64Array, row: number, total: number): void {
  totals[row] = Math.max(totals[row] as number, total);
}

function pin(segment: Segment): Segment {
  segment.readers += 1;
  return segment;
}

/** Below 2^53 as long as sequences are below 2^49. */
function placeKey(from: number, row: number): number {
  return from * 16 + row + 1;
}

/** The last place before `from` that is known. */
function near(segment: Segment, from: number): Place {
  const waypoint = lastWaypoint(segment, from);
  return waypoint === undefined ? atStart(segment) : { segment, ...waypoint, totals: waypoint.totals.slice() };
}

function atStart(segment: Segment): Place {
  const { first, epoch, start } = segment;
  return { segment, offset: SEGMENT_START, sequence: first - 1, epoch, totals: start.slice(0, ROWS) };
}

const SEGMENT_START = 4096;

/** Steps to the next segment, whose header says what the one left behind should have held. */
function cross(found: Collecting, place: Place, next: Segment): void {
  for (let row = 0; row < ROWS; row++) {
    if (found.row !== ALL_ROWS && found.row !== row) continue;
    lose(found, row, (next.start[row] as number) - (place.totals[row] as number));
  }
  const { totals } = place;
  Object.assign(place, atStart(next));
  for (let row = 0; row < ROWS; row++) raise(place.totals, row, totals[row] as number);
  found.next = Math.max(found.next, next.first);
}

/** Index of the first frame with a sequence above `sequence`. */
function firstAbove(pool: BlockPool, frames: number[], sequence: number): number {
  let low = 0;
  let high = frames.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (readU64(pool, (frames[middle] as number) + Field.sequence) > sequence) high = middle;
    else low = middle + 1;
  }
  return low;
}
