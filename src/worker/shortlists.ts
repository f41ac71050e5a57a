/**
 * The shortlists on main: lends observe the memory for them, and keeps those of committed frames until the selection has come to them. Where
 * there is none, because memory was short or for a frame that has none, the selection reads the journal.
 */
import { type BlockPool, Field, frameSpan, payloadLength, readU64, UNIT_BYTES, writeU64 } from '../core/block.ts';
import type { FrameRun } from '../core/component.ts';
import { NO_SHORTLIST } from './shortlist.ts';
import type { ObserveResult, Room } from './tasks.ts';

/** Blocks are as large, so that little is left over at their ends. */
const BLOCK_BYTES = 2 * UNIT_BYTES;
/** What is left of a block is worth lending: about what a task of 2 MiB writes. */
const LEAST_ROOM_BYTES = 256 << 10;

export interface Lent extends Room {
  block: number;
}

interface Entry {
  sequence: number;
  /** Of the shortlist; its header is the frame's, with a payload of its own. */
  at: number;
  block: number;
}

export class Shortlists {
  readonly #pool: BlockPool;
  readonly #mostBlocks: number;
  /** Not lent, and not full. */
  readonly #open: Lent[] = [];
  /** References that entries and this hold of a block, by its address. */
  readonly #uses = new Map<number, number>();
  /** Ascending. */
  readonly #entries: Entry[] = [];
  #position = 0;

  constructor(pool: BlockPool, mostBytes: number) {
    this.#pool = pool;
    this.#mostBlocks = Math.floor(mostBytes / BLOCK_BYTES);
  }

  /** Memory for a task's shortlists; undefined when they have all they may take. It comes back by `settle`. */
  lend(): Lent | undefined {
    const open = this.#open.pop();
    if (open !== undefined) {
      // Nothing is kept in it any more: from its beginning, so that little memory is touched.
      if (this.#uses.get(open.block) === 1) open.at = open.block;
      return open;
    }
    if (this.#uses.size >= this.#mostBlocks) return undefined;
    const block = this.#pool.allocateLasting(BLOCK_BYTES);
    if (block < 0) return undefined;
    this.#uses.set(block, 1);
    return { block, at: block, end: block + BLOCK_BYTES };
  }

  /** The task has ended: what follows `end` is free. Without a result nothing was written. */
  settle(lent: Lent, written: ObserveResult['shortlists']): void {
    lent.at = written?.end ?? lent.at;
    if (lent.end - lent.at >= LEAST_ROOM_BYTES) this.#open.push(lent);
    else this.#release(lent.block);
  }

  /** What was written of committed frames is kept. By index into the task's frames, negative for others. Comes before `settle`. */
  keep({ block }: Lent, written: ObserveResult['shortlists'], frames: readonly number[]): void {
    written?.frames.forEach((at, index) => {
      const frame = frames[index] as number;
      if (at !== NO_SHORTLIST && frame >= 0) this.#add(block, at, readU64(this.#pool, frame + Field.sequence));
    });
  }

  #add(block: number, at: number, sequence: number): void {
    if (sequence < this.#position) return;
    writeU64(this.#pool, at + Field.sequence, sequence);
    this.#uses.set(block, (this.#uses.get(block) as number) + 1);
    let place = this.#entries.length;
    while (place > 0 && (this.#entries[place - 1] as Entry).sequence > sequence) place--;
    this.#entries.splice(place, 0, { sequence, at, block });
  }

  /** Shortlists of frames that follow each other from `position` on, about `maxBytes`; null when there is none of the first. */
  take(position: number, maxBytes: number): FrameRun | null {
    this.pass(position);
    let count = 0;
    for (let bytes = 0; count < this.#entries.length && bytes < maxBytes; count++) {
      const { sequence, at } = this.#entries[count] as Entry;
      if (sequence !== position + count) break;
      bytes += frameSpan(payloadLength(this.#pool, at));
    }
    if (count === 0) return null;
    const taken = this.#entries.splice(0, count);
    this.#position = position + count;
    return {
      frames: taken.map(({ at }) => at),
      next: this.#position,
      damaged: [0, 0, 0],
      release: () => {
        for (const { block } of taken) this.#release(block);
      },
    };
  }

  /** The selection stands at `position` now: what lies below is not asked for again. */
  pass(position: number): void {
    this.#position = Math.max(this.#position, position);
    let count = 0;
    while (count < this.#entries.length && (this.#entries[count] as Entry).sequence < position) count++;
    for (const { block } of this.#entries.splice(0, count)) this.#release(block);
  }

  #release(block: number): void {
    const uses = (this.#uses.get(block) as number) - 1;
    this.#uses.set(block, uses);
    if (uses > 0) return;
    this.#uses.delete(block);
    this.#pool.release(block);
  }
}
