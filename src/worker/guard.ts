/**
 * The last guard of a budget. Thresholds hold it, from all that came in a slot; should what is kept of a slot come to more all the same, the
 * rest of it is dropped and counted. Decisions that are not safe yet may come again, so they are kept apart.
 */
import { SIGNALS } from '../core/block.ts';
import type { SelectResult } from './tasks.ts';

/** Slots whose frames may still come. */
const REMEMBERED = 16;

export class Guard {
  readonly #mostBytes: number;
  readonly slotMs: number;
  readonly #onDropped: (items: number) => void;
  #safe = new Map<number, number>();
  #open = new Map<number, number>();
  #dropped = 0;
  /** The slot that was checked last, and as of when all is safe. */
  #last = -1;
  #safeLast = -1;

  /** `mostBytes`: of traces and log records in a slot. */
  constructor(mostBytes: number, slotMs: number, onDropped: (items: number) => void) {
    this.#mostBytes = mostBytes;
    this.slotMs = slotMs;
    this.#onDropped = onDropped;
  }

  /** Takes out of the result what is too much; `receivedMs` says of which slot it is. */
  check(result: SelectResult, receivedMs: number): void {
    const counted = result.selected.filter(({ signal }) => signal !== 'metrics');
    // Nothing of a slot: a gap in the journal has no time.
    if (counted.length === 0) return;
    const slot = Math.floor(receivedMs / this.slotMs);
    // The clock was set back: what these slots had is of another time. Frames of two slots may be mixed at their border.
    if (slot < this.#last - 1) this.#open.clear();
    this.#last = slot;
    const used = this.#open.get(slot) ?? 0;
    const bytes = counted.reduce((sum, { length }) => sum + length, 0);
    if (used + bytes <= this.#mostBytes) {
      this.#open.set(slot, used + bytes);
      return;
    }
    for (const { signal, items } of counted) {
      const i = SIGNALS.indexOf(signal);
      result.sampledOut[i] = (result.sampledOut[i] ?? 0) + items;
      this.#dropped += items;
    }
    result.selected = result.selected.filter(({ signal }) => signal === 'metrics');
  }

  /** What was checked is safe. */
  commit(): void {
    if (this.#dropped > 0) this.#onDropped(this.#dropped);
    this.#dropped = 0;
    for (const slot of [...this.#open.keys()].slice(0, -REMEMBERED)) this.#open.delete(slot);
    this.#safe = new Map(this.#open);
    this.#safeLast = this.#last;
  }

  /** What was checked since is forgotten, and comes again. */
  rollback(): void {
    this.#dropped = 0;
    this.#open = new Map(this.#safe);
    this.#last = this.#safeLast;
  }
}
