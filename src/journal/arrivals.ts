/**
 * Who waits for frames: the selection for any, a sink's row for its own. A row of which nothing comes is told with each group how far that is, and
 * reads nothing for it: what others write costs it no step.
 */
import { ALL_ROWS } from './reader.ts';
import type { JournalState } from './region.ts';

interface Waiting {
  readonly from: number;
  row: number;
  pass(next: number): boolean;
  resolve(): void;
}

export class Arrivals {
  readonly #state: JournalState;
  readonly #noteHead: () => void;
  #waiting: Waiting[] = [];
  #closed = false;

  /** `noteHead` is called before anybody is told that the head is where to go on. */
  constructor(state: JournalState, noteHead: () => void) {
    this.#state = state;
    this.#noteHead = noteHead;
  }

  /**
   * Resolves when a frame of `row` (or of ALL_ROWS) stands at `from` or behind, or when the journal closes. Until then `pass` is told of each place
   * before which there is none, and answers whether it still waits.
   */
  next(from: number, row: number, pass: (next: number) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const one = { from, row, pass, resolve };
      if (this.#waits(one)) this.#waiting.push(one);
      else resolve();
    });
  }

  /** A group is durable. */
  wake(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((one) => {
      const waits = this.#waits(one);
      if (!waits) one.resolve();
      return waits;
    });
  }

  close(): void {
    this.#closed = true;
    this.wake();
  }

  #waits(one: Waiting): boolean {
    const { head, newest } = this.#state;
    if (this.#closed) return false;
    if (head <= one.from) return true;
    if (one.row === ALL_ROWS || (newest[one.row] as number) >= one.from) return false;
    this.#noteHead();
    return one.pass(head);
  }
}
