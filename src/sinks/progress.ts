/**
 * How far a row has come: what was read and is not yet safe, and the cursor, which moves only over a prefix without gaps.
 *
 *   entries:  | done | held | flying | done | flying |      cursor.next stands before the first that is not done;
 *               ^ leaves as soon as it is first              reading goes on behind the last
 */
import { type BlockPool, Field, readU64 } from '../core/block.ts';
import type { CursorRow, FrameBatch, Row } from '../core/component.ts';
import type { Telemetry } from '../core/telemetry.ts';

/** A batch that fails lets so many later ones pass: after a crash they would all come again. */
const MOST_AHEAD = 256;

export interface Entry {
  /** Where the cursor stands once this entry and all before it are done. */
  next: number;
  lastSequence: number;
  receivedMs: number;
  items: number;
  /** How many of the items the destination refused. */
  deadLettered: number;
  damaged: number;
  filtered: number;
  state: 'flying' | 'held' | 'done';
  /** Why the last attempt failed. */
  error: string | null;
}

/** Items by what became of them. */
export interface Moved {
  delivered: number;
  deadLettered: number;
  damaged: number;
  filtered: number;
}

export function countMoved({ sinkItems }: Telemetry, sink: string, row: Row, moved: Moved): void {
  const count = (outcome: string, items: number) => items > 0 && sinkItems.inc({ ...row, sink, outcome }, items);
  count('delivered', moved.delivered);
  count('dead_lettered', moved.deadLettered);
  count('damaged', moved.damaged);
  count('filtered', moved.filtered);
}

/** Where reading goes on, and what was passed on the way there. */
type Passed = Pick<FrameBatch, 'next' | 'damaged' | 'filtered'>;

/** The row's running total where the cursor stands. */
export function passedOf({ offeredFrom, delivered, filtered, deadLettered, expired, damaged }: CursorRow): number {
  return offeredFrom + delivered + filtered + deadLettered + expired + damaged;
}

/** Moves a cursor to `next`, where the row's running total is `total`; returns the items it passed, or -1 when it was there already. */
export function expireCursor(cursor: CursorRow, next: number, total: number): number {
  if (cursor.next >= next) return -1;
  const items = Math.max(0, total - passedOf(cursor));
  cursor.next = next;
  cursor.expired += items;
  return items;
}

export class Progress {
  readonly #cursor: CursorRow;
  readonly #pool: BlockPool;
  readonly #moved: (moved: Moved) => void;
  #entries: Entry[] = [];
  /** The destination has everything up to here. */
  #confirmed = -1;
  /** When the oldest came that was read since the cursor moved; Infinity: nothing was. */
  #seenMs = Infinity;

  /** `moved` is called after the cursor moved. */
  constructor(cursor: CursorRow, pool: BlockPool, moved: (moved: Moved) => void) {
    this.#cursor = cursor;
    this.#pool = pool;
    this.#moved = moved;
  }

  get first(): Entry | undefined {
    return this.#entries[0];
  }

  /** When the oldest came that is not safe, also while none of it is here; Infinity: nothing waits, or it was never read. */
  get oldestMs(): number {
    return this.#entries[0]?.receivedMs ?? this.#seenMs;
  }

  get error(): string | null {
    return this.#entries.find((entry) => entry.error !== null)?.error ?? null;
  }

  get isFarAhead(): boolean {
    return this.#entries[0]?.state === 'flying' && this.#entries.length >= MOST_AHEAD;
  }

  /** Frames were read; what comes before they are added may fail. */
  see([first]: readonly number[]): void {
    if (first !== undefined) this.#seenMs = readU64(this.#pool, first + Field.receivedMs);
  }

  add(frames: readonly number[], { next, damaged, filtered }: Passed, state: 'flying' | 'held'): Entry {
    const lastSequence = readU64(this.#pool, (frames.at(-1) as number) + Field.sequence);
    const receivedMs = readU64(this.#pool, (frames[0] as number) + Field.receivedMs);
    let items = 0;
    for (const frame of frames) items += this.#pool.words[(frame + Field.items) >>> 2] as number;
    const none = { deadLettered: 0, error: null };
    const entry: Entry = { next, lastSequence, receivedMs, items, damaged, filtered, state, ...none };
    this.#entries.push(entry);
    return entry;
  }

  /** Moves over a stretch without frames of this row: it goes with the entry before it. */
  pass({ next, damaged, filtered }: Passed): void {
    const last = this.#entries.at(-1);
    if (last !== undefined) {
      last.next = next;
      last.damaged += damaged;
      last.filtered += filtered;
    } else if (next > this.#cursor.next) {
      this.#move(next, { delivered: 0, deadLettered: 0, damaged, filtered });
    }
  }

  /** A rewind between the send and its answer has dropped the entry: it comes again as another one. */
  has(entry: Entry): boolean {
    return this.#entries.includes(entry);
  }

  isConfirmed(entry: Entry): boolean {
    return entry.lastSequence <= this.#confirmed;
  }

  settle(entry: Entry, state: 'held' | 'done'): void {
    entry.error = null;
    // A writer may confirm before it has answered.
    entry.state = this.isConfirmed(entry) ? 'done' : state;
    this.#advance();
  }

  /**
   * A confirmed piece counts as a whole: were the cursor saved in its middle, what follows there would come again under another name. So
   * it waits for a write of the piece whose answer is still to come.
   */
  confirm(lastSequence: number): void {
    this.#confirmed = Math.max(this.#confirmed, lastSequence);
    const confirmed = this.#entries.filter((entry) => this.isConfirmed(entry));
    for (const entry of confirmed) if (entry.state === 'held') entry.state = 'done';
    if (confirmed.every(({ state }) => state === 'done')) this.#advance();
  }

  /** Forgets what was read: it is read again from the cursor. */
  clear(): void {
    this.#seenMs = this.oldestMs;
    this.#entries = [];
  }

  #advance(): void {
    const moved = { delivered: 0, deadLettered: 0, damaged: 0, filtered: 0 };
    let count = 0;
    let next = this.#cursor.next;
    for (const entry of this.#entries) {
      if (entry.state !== 'done') break;
      moved.delivered += entry.items - entry.deadLettered;
      moved.deadLettered += entry.deadLettered;
      moved.damaged += entry.damaged;
      moved.filtered += entry.filtered;
      next = entry.next;
      count++;
    }
    if (count === 0) return;
    this.#entries.splice(0, count);
    this.#move(next, moved);
  }

  /** Position and counts change together: whoever saves the row between two events saves both or neither. */
  #move(next: number, moved: Moved): void {
    this.#seenMs = Infinity;
    this.#cursor.next = next;
    this.#cursor.delivered += moved.delivered;
    this.#cursor.deadLettered += moved.deadLettered;
    this.#cursor.damaged += moved.damaged;
    this.#cursor.filtered += moved.filtered;
    this.#moved(moved);
  }
}
