/**
 * Slots of 10 s: what came in each, and the thresholds that follow from it, in shared memory. A trace belongs to the slot of its first item.
 *
 *   | settled: slots below it have their thresholds | pad | row of slot 0 | row of slot 1 | ... |      rows take turns, 512 of them
 *   row, 64 words:  | slot + 1 | pad | high, low of class 0's threshold | of class 1 | ... |
 *
 * Main is the only writer. A slot without a row (long ago, or nothing came) has the thresholds that are configured.
 */
import { type Bits56, thresholdOf } from '../../otlp/tracestate.ts';
import { fillBudget, type SlotTotals } from './budget.ts';
import { CLASS_COUNT } from './classes.ts';

export const SLOT_MS = 10_000;
const ROWS = 512;
const ROW_WORDS = 64;
const HEADER_WORDS = 2;

export function createSlots(): SharedArrayBuffer {
  return new SharedArrayBuffer((HEADER_WORDS + ROWS * ROW_WORDS) * 4);
}

/** A worker's side. Fills `into` with the class's threshold in this slot; false when the slot has none of its own. */
export function readSlot(words: Uint32Array, slot: number, traceClass: number, into: Bits56): boolean {
  const at = HEADER_WORDS + (slot & (ROWS - 1)) * ROW_WORDS;
  if (words[at] !== slot + 1) return false;
  into.high = words[at + 2 + traceClass * 2]!;
  into.low = words[at + 3 + traceClass * 2]!;
  return true;
}

/** Slots below this one may be decided. */
export function settledSlot(words: Uint32Array): number {
  return Atomics.load(words, 0);
}

/** Main's side. */
export class Slots {
  readonly #words: Uint32Array;
  readonly #open = new Map<number, SlotTotals>();
  #last: SlotTotals | null = null;
  #lastSlot = -1;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Uint32Array(memory);
  }

  get settled(): number {
    return settledSlot(this.#words);
  }

  /** What came in an open slot; null when it has been settled. */
  of(slot: number): SlotTotals | null {
    if (slot === this.#lastSlot && this.#last !== null) return this.#last;
    if (slot < this.settled) return null;
    let totals = this.#open.get(slot);
    if (totals === undefined) {
      totals = { bytes: new Float64Array(CLASS_COUNT), runs: 0, envelopes: 0, envelopeBytes: 0 };
      this.#open.set(slot, totals);
    }
    this.#lastSlot = slot;
    this.#last = totals;
    return totals;
  }

  /** Sets the thresholds of all slots below `end`; they are final. Returns how many of them were over the budget. */
  settle(end: number, shares: readonly number[], budgetBytes: number): number {
    if (end <= this.settled) return 0;
    let over = 0;
    for (const [slot, totals] of this.#open) {
      if (slot >= end) continue;
      const chances = fillBudget(totals, shares, budgetBytes);
      if (chances.some((chance, c) => chance < (shares[c] as number))) over++;
      this.#write(slot, chances);
      this.#open.delete(slot);
    }
    this.#last = null;
    this.#lastSlot = -1;
    Atomics.store(this.#words, 0, end);
    return over;
  }

  /** The clock was set back to this slot: what is open is final, and what comes from now on is counted anew. Returns how many were over the budget. */
  rewind(slot: number, shares: readonly number[], budgetBytes: number): number {
    const over = this.settle(Math.max(-1, ...this.#open.keys()) + 1, shares, budgetBytes);
    Atomics.store(this.#words, 0, slot);
    return over;
  }

  #write(slot: number, chances: readonly number[]): void {
    const at = HEADER_WORDS + (slot & (ROWS - 1)) * ROW_WORDS;
    chances.forEach((chance, c) => {
      const { bits } = thresholdOf(chance);
      this.#words[at + 2 + c * 2] = bits.high;
      this.#words[at + 3 + c * 2] = bits.low;
    });
    this.#words[at] = slot + 1;
  }
}
