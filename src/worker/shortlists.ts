/**
 * The shortlists on main: lends observe the memory for them, and keeps those of committed frames until the selection has come to them. What
 * comes when most of that memory is full goes to the disk until then: what lies in memory already is asked for sooner. Where there is none, because
 * neither had room or for a frame that has none, the selection reads the journal.
 */
import { type BlockPool, Field, frameSpan, payloadLength, readU64, UNIT_BYTES, writeU64 } from '../core/block.ts';
import type { FrameRun } from '../core/component.ts';
import { NO_SHORTLIST } from './shortlist.ts';
import type { ObserveResult, Room } from './tasks.ts';

/** Blocks are as large, so that little is left over at their ends. */
export const SHELF_BYTES = 2 * UNIT_BYTES;
/** What is left of a block is worth lending: about what a task of 2 MiB writes. */
const LEAST_ROOM_BYTES = 256 << 10;
/** One task of the selection's: what is kept of them, with the words that say why, is mostly a frame that sinks send as it is. */
const RUN_BYTES = 768 << 10;
/** Of the memory, what is filled before anything goes to the disk; the rest is for what is being written, by workers and to the disk. */
const KEPT_SHARE = 3 / 4;

/** A block on the disk. */
type Slot = object;

/** Where blocks go for which memory has no room: journal/spill.ts. */
export interface Spill {
  /** Null when it does not take it. Never rejects. */
  write(block: Uint8Array, bytes: number): Promise<Slot | null>;
  /** Into another block; the slot is free then. False when it is not what was written. Never rejects. */
  read(slot: Slot, block: Uint8Array): Promise<boolean>;
  free(slot: Slot): void;
}

/** A block of shortlists, wherever it lies. */
interface Shelf {
  /** Its address; negative while it is on the disk. */
  block: number;
  slot: Slot | null;
  /** Entries of it, and whoever writes to it. */
  uses: number;
  /** Of the entries, those that somebody reads. */
  readers: number;
}

export interface Lent extends Room {
  shelf: Shelf;
}

interface Entry {
  sequence: number;
  shelf: Shelf;
  /** Where in it the shortlist lies; its header is the frame's, with a payload of its own. */
  offset: number;
}

export class Shortlists {
  readonly #pool: BlockPool;
  readonly #spill: Spill | null;
  readonly #mostBlocks: number;
  readonly #keptBlocks: number;
  /** In memory. */
  #blocks = 0;
  /** Not lent, and not full. */
  readonly #open: Lent[] = [];
  /** Ascending. */
  #entries: Entry[] = [];
  #position = 0;

  constructor(pool: BlockPool, mostBytes: number, spill: Spill | null = null) {
    this.#pool = pool;
    this.#spill = spill;
    this.#mostBlocks = Math.floor(mostBytes / SHELF_BYTES);
    this.#keptBlocks = Math.floor(this.#mostBlocks * KEPT_SHARE);
  }

  /** Memory for a task's shortlists; undefined when they have all they may take. It comes back by `settle`. */
  lend(): Lent | undefined {
    const open = this.#open.pop();
    if (open !== undefined) {
      // Nothing is kept in it any more: from its beginning, so that little memory is touched.
      if (open.shelf.uses === 1) open.at = open.shelf.block;
      return open;
    }
    if (this.#blocks >= this.#mostBlocks) return undefined;
    const block = this.#allocate();
    if (block < 0) return undefined;
    const shelf = { block, slot: null, uses: 1, readers: 0 };
    return { shelf, at: block, end: block + SHELF_BYTES };
  }

  /** The task has ended: what follows `end` is free. Without a result nothing was written. */
  settle(lent: Lent, written: ObserveResult['shortlists']): void {
    lent.at = written?.end ?? lent.at;
    if (lent.end - lent.at >= LEAST_ROOM_BYTES) {
      this.#open.push(lent);
      return;
    }
    if (this.#spill !== null && this.#blocks > this.#keptBlocks && lent.shelf.uses > 1) void this.#store(lent);
    this.#drop(lent.shelf);
  }

  /** What was written of committed frames is kept. By index into the task's frames, negative for others. Comes before `settle`. */
  keep({ shelf }: Lent, written: ObserveResult['shortlists'], frames: readonly number[]): void {
    written?.frames.forEach((at, index) => {
      const frame = frames[index] as number;
      if (at !== NO_SHORTLIST && frame >= 0) this.#add(shelf, at, readU64(this.#pool, frame + Field.sequence));
    });
  }

  #add(shelf: Shelf, at: number, sequence: number): void {
    if (sequence < this.#position) return;
    writeU64(this.#pool, at + Field.sequence, sequence);
    shelf.uses++;
    let place = this.#entries.length;
    while (place > 0 && (this.#entries[place - 1] as Entry).sequence > sequence) place--;
    this.#entries.splice(place, 0, { sequence, shelf, offset: at - shelf.block });
  }

  /**
   * Shortlists of frames that follow each other from `position` on, about `maxBytes`; null when there is none of the first. One at a time.
   * Never rejects.
   */
  async take(position: number, maxBytes = RUN_BYTES): Promise<FrameRun | null> {
    this.pass(position);
    const [first] = this.#entries;
    if (first?.sequence !== position) return null;
    if (first.shelf.slot !== null && !(await this.#fetch(first.shelf, first.shelf.slot))) return null;
    const frames: number[] = [];
    let bytes = 0;
    for (const { sequence, shelf, offset } of this.#entries) {
      if (sequence !== position + frames.length || shelf.slot !== null || bytes >= maxBytes) break;
      const at = shelf.block + offset;
      frames.push(at);
      bytes += frameSpan(payloadLength(this.#pool, at));
    }
    const taken = this.#entries.splice(0, frames.length);
    for (const { shelf } of taken) shelf.readers++;
    this.#position = position + frames.length;
    return {
      frames,
      next: this.#position,
      damaged: [0, 0, 0],
      release: () => {
        for (const { shelf } of taken) {
          shelf.readers--;
          this.#drop(shelf);
        }
      },
    };
  }

  /** The selection stands at `position` now: what lies below is not asked for again. */
  pass(position: number): void {
    this.#position = Math.max(this.#position, position);
    let count = 0;
    while (count < this.#entries.length && (this.#entries[count] as Entry).sequence < position) count++;
    for (const { shelf } of this.#entries.splice(0, count)) this.#drop(shelf);
  }

  /** Writes a full block to the disk and gives up its memory, unless the selection has come to it by then. */
  async #store({ shelf, at }: Lent): Promise<void> {
    const { block } = shelf;
    // The memory it is written from.
    shelf.uses++;
    const slot = (await this.#spill?.write(this.#bytesOf(block), at - block)) ?? null;
    const isWanted = shelf.uses > 1 && shelf.readers === 0;
    if (slot !== null && isWanted) {
      shelf.slot = slot;
      shelf.block = -1;
      this.#release(block);
    } else if (slot !== null) this.#spill?.free(slot);
    this.#drop(shelf);
  }

  /** Reads it back. False when it does not come: its shortlists are gone then. */
  async #fetch(shelf: Shelf, slot: Slot): Promise<boolean> {
    const block = this.#allocate();
    if (block >= 0 && (await this.#spill?.read(slot, this.#bytesOf(block))) === true) {
      shelf.block = block;
      shelf.slot = null;
      return true;
    }
    if (block >= 0) this.#release(block);
    else this.#spill?.free(slot);
    this.#entries = this.#entries.filter((entry) => entry.shelf !== shelf);
    return false;
  }

  #drop(shelf: Shelf): void {
    if (--shelf.uses > 0) return;
    if (shelf.slot === null) this.#release(shelf.block);
    else this.#spill?.free(shelf.slot);
  }

  #allocate(): number {
    const block = this.#pool.allocateLasting(SHELF_BYTES);
    if (block >= 0) this.#blocks++;
    return block;
  }

  #release(block: number): void {
    this.#blocks--;
    this.#pool.release(block);
  }

  #bytesOf(block: number): Buffer {
    return this.#pool.bytes.subarray(block, block + SHELF_BYTES);
  }
}
