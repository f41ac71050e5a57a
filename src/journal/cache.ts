/** The read cache: what was just committed, until everybody who follows the journal has read it, and what was read from the disk last. */
import { type BlockPool, UNIT_BYTES } from '../core/block.ts';
import type { Extent } from './extents.ts';

/** Oldest first; `bytes` of their blocks. */
interface Shelf {
  extents: Extent[];
  bytes: number;
}

/**
 * Extents in memory, each holding one reference of its block. Small regions that follow each other are copied into one block: a block
 * counts whole, and with little to do, or little requests, each would hold one alone.
 */
export class ExtentCache {
  readonly #pool: BlockPool;
  readonly #maxBytes: number;
  readonly #committed: Shelf = { extents: [], bytes: 0 };
  readonly #loaded: Shelf = { extents: [], bytes: 0 };
  /** Lies in a block of the cache's own, and may grow. */
  #growing: Extent | null = null;
  /** The sequence each reader goes on from. */
  readonly #followers = new Map<object, number>();

  constructor(pool: BlockPool, maxBytes: number) {
    this.#pool = pool;
    this.#maxBytes = maxBytes;
  }

  /** `reader` goes on from `next`; what is below is kept for it no longer. */
  follow(reader: object, next: number): void {
    this.#followers.set(reader, next);
    this.#dropRead();
  }

  leave(reader: object): void {
    this.#followers.delete(reader);
    this.#dropRead();
  }

  /** Kept even when nobody follows: whoever read it may need the rest of it. */
  addLoaded(extent: Extent): void {
    if (!this.#fits(extent)) return;
    this.#pool.retain(extent.block);
    this.#push(this.#loaded, extent);
  }

  addCommitted(extent: Extent): void {
    if (extent.sequence < this.#wantedFrom() || !this.#fits(extent)) return;
    const isSmall = (extent.to - extent.from) * 2 <= this.#pool.capacity(extent.block);
    if (isSmall && this.#append(extent)) return;
    this.#pool.retain(extent.block);
    this.#push(this.#committed, extent);
  }

  /** The newest extent with this place in it; the caller retains its block before the next await. */
  find(segment: number, offset: number): Extent | undefined {
    const holds = (extent: Extent) => extent.segment === segment && extent.from <= offset && offset < extent.to;
    return this.#committed.extents.findLast(holds) ?? this.#loaded.extents.findLast(holds);
  }

  clear(): void {
    for (const shelf of [this.#committed, this.#loaded]) while (shelf.extents.length > 0) this.#evict(shelf);
  }

  #fits(extent: Extent): boolean {
    return this.#pool.capacity(extent.block) <= this.#maxBytes;
  }

  #wantedFrom(): number {
    let from = Infinity;
    for (const next of this.#followers.values()) from = Math.min(from, next);
    return from;
  }

  /** The last one loaded stays: a reader that does not follow, a look-back for one, comes back for the rest of it. */
  #dropRead(): void {
    const from = this.#wantedFrom();
    for (const [shelf, least] of [
      [this.#committed, 0],
      [this.#loaded, 1],
    ] as const) {
      const { extents } = shelf;
      while (extents.length > least && (extents[0] as Extent).sequence < from) this.#evict(shelf);
    }
  }

  /** Where there is too much, the larger shelf gives its oldest: readers near the head and readers far behind each keep something. */
  #push(shelf: Shelf, extent: Extent): void {
    shelf.extents.push(extent);
    shelf.bytes += this.#pool.capacity(extent.block);
    const [committed, loaded] = [this.#committed, this.#loaded];
    while (committed.bytes + loaded.bytes > this.#maxBytes) {
      const [larger, smaller] = committed.bytes > loaded.bytes ? [committed, loaded] : [loaded, committed];
      this.#evict(larger === shelf && shelf.extents.length === 1 ? smaller : larger);
    }
  }

  /** Copies it behind what precedes it in its segment, or to the beginning of a new block; false when there is none. */
  #append(extent: Extent): boolean {
    const pool = this.#pool;
    let growing = this.#growing;
    const goesOn = growing?.segment === extent.segment && growing.to === extent.from;
    if (growing === null || !goesOn || extent.to - growing.from > pool.capacity(growing.block)) {
      const block = pool.allocate(UNIT_BYTES);
      if (block < 0) return false;
      growing = { ...extent, block, base: block - extent.from, to: extent.from, frames: [] };
      this.#push(this.#committed, growing);
      this.#growing = growing;
    }
    const move = growing.base - extent.base;
    pool.bytes.copy(pool.bytes, growing.base + extent.from, extent.base + extent.from, extent.base + extent.to);
    for (const frame of extent.frames) growing.frames.push(frame + move);
    const { to, sequence, epoch, validEnd } = extent;
    Object.assign(growing, { to, sequence, epoch, validEnd });
    return true;
  }

  #evict(shelf: Shelf): void {
    const extent = shelf.extents.shift() as Extent;
    if (extent === this.#growing) this.#growing = null;
    shelf.bytes -= this.#pool.capacity(extent.block);
    this.#pool.release(extent.block);
  }
}
