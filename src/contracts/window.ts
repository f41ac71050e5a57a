/**
 * What was measured of a signal in the past, in slots of a second and, for windows over ten minutes, of a minute. Windows end at a whole
 * second; those over ten minutes begin at a whole minute.
 */
import { addSpread, newSpread, restoreSpread, type SavedSpread, type Spread, saveSpread } from './spread.ts';

const SECOND_MS = 1000;
const MINUTE_S = 60;
/** Windows over this are kept in slots of a minute, beside the seconds of the minute that is running. */
export const FINE_WINDOW_MS = 600_000;

/** What comes in, and what a window adds up to. */
export interface Amounts {
  items: number;
  /** Bad items of a share; the sum of what is taken. */
  sum: number;
  min: number;
  max: number;
  last: number;
  spread: Spread | null;
}

export function noAmounts(): Amounts {
  return { items: 0, sum: 0, min: Infinity, max: -Infinity, last: Number.NaN, spread: null };
}

/** A ring of slots, each with its number since 1970. */
class Ring {
  readonly slots: Float64Array;
  readonly items: Float64Array;
  readonly sum: Float64Array;
  /** Of signals that take a value alone. */
  readonly extremes: { min: Float64Array; max: Float64Array; last: Float64Array } | null;
  readonly spreads: (Spread | null)[];

  constructor(count: number, takes: boolean) {
    const column = () => new Float64Array(count);
    this.slots = column().fill(-1);
    this.items = column();
    this.sum = column();
    this.extremes = takes ? { min: column(), max: column(), last: column() } : null;
    this.spreads = takes ? new Array<Spread | null>(count).fill(null) : [];
  }

  add(slot: number, amounts: Amounts): void {
    const i = slot % this.slots.length;
    // Older than the ring: too late to be judged.
    if ((this.slots[i] as number) > slot) return;
    const fresh = this.slots[i] !== slot;
    if (fresh) {
      this.slots[i] = slot;
      this.items[i] = 0;
      this.sum[i] = 0;
      if (this.spreads.length > 0) this.spreads[i] = null;
    }
    this.items[i] = (this.items[i] as number) + amounts.items;
    this.sum[i] = (this.sum[i] as number) + amounts.sum;
    if (this.extremes === null) return;
    const { min, max, last } = this.extremes;
    min[i] = fresh ? amounts.min : Math.min(min[i] as number, amounts.min);
    max[i] = fresh ? amounts.max : Math.max(max[i] as number, amounts.max);
    last[i] = amounts.last;
    if (amounts.spread !== null) {
      const spread = this.spreads[i] ?? newSpread();
      addSpread(spread, amounts.spread);
      this.spreads[i] = spread;
    }
  }

  /** Adds the slots from `first` up to `end` to `into`, oldest first. */
  sumUp(first: number, end: number, into: Amounts): void {
    const { length } = this.slots;
    for (let slot = Math.max(first, end - length); slot < end; slot++) {
      const i = slot % length;
      if (slot < 0 || this.slots[i] !== slot) continue;
      into.items += this.items[i] as number;
      into.sum += this.sum[i] as number;
      if (this.extremes === null) continue;
      into.min = Math.min(into.min, this.extremes.min[i] as number);
      into.max = Math.max(into.max, this.extremes.max[i] as number);
      into.last = this.extremes.last[i] as number;
      const spread = this.spreads[i];
      if (spread) {
        into.spread ??= newSpread();
        addSpread(into.spread, spread);
      }
    }
  }

  /** Slots that hold something, oldest first: number, items, sum, and with extremes min, max, last and the spread. */
  save(): SavedSlot[] {
    const live = [...this.slots.keys()].filter((i) => (this.slots[i] as number) >= 0);
    live.sort((a, b) => (this.slots[a] as number) - (this.slots[b] as number));
    return live.map((i) => {
      const slot = [this.slots[i] as number, this.items[i] as number, this.sum[i] as number] as const;
      if (this.extremes === null) return [...slot];
      const { min, max, last } = this.extremes;
      const spread = saveSpread(this.spreads[i] ?? null);
      return [...slot, min[i] as number, max[i] as number, last[i] as number, spread];
    });
  }
}

type SavedSlot = (number | SavedSpread)[];

function amountsOf(saved: SavedSlot): Amounts {
  // As `save` has written it.
  const [, items, sum, min = 0, max = 0, last = 0, flat = []] = saved as [
    number,
    number,
    number,
    number,
    number,
    number,
    SavedSpread,
  ];
  return { items, sum, min, max, last, spread: restoreSpread(flat) };
}

export interface SavedWindow {
  fine: SavedSlot[];
  coarse: SavedSlot[];
}

/** The longest of the windows it will be asked for decides what it keeps. */
export class Window {
  readonly #fine: Ring;
  readonly #coarse: Ring | null;

  /** `fineMs`: the longest window of seconds; `coarseMs`: of minutes, 0 for none. `takes`: values, not shares. */
  constructor(fineMs: number, coarseMs: number, takes: boolean) {
    // One slot is filling while whole past ones are judged, one more may already have begun.
    this.#fine = new Ring(Math.ceil(Math.max(fineMs, coarseMs > 0 ? MINUTE_S * SECOND_MS : 0) / SECOND_MS) + 2, takes);
    this.#coarse = coarseMs > 0 ? new Ring(Math.ceil(coarseMs / (MINUTE_S * SECOND_MS)) + 2, takes) : null;
  }

  /** Adds what was received at `receivedMs`. What is older than is kept is too late to be judged. */
  add(receivedMs: number, amounts: Amounts): void {
    const second = Math.floor(receivedMs / SECOND_MS);
    this.#fine.add(second, amounts);
    this.#coarse?.add(Math.floor(second / MINUTE_S), amounts);
  }

  /** What the window of `windowMs` that ended at `second` holds. */
  sum(second: number, windowMs: number): Amounts {
    const total = noAmounts();
    const from = second - Math.max(1, Math.ceil(windowMs / SECOND_MS));
    if (windowMs <= FINE_WINDOW_MS || this.#coarse === null) {
      this.#fine.sumUp(from, second, total);
      return total;
    }
    const minute = Math.floor(second / MINUTE_S);
    this.#coarse.sumUp(Math.ceil(from / MINUTE_S), minute, total);
    this.#fine.sumUp(minute * MINUTE_S, second, total);
    return total;
  }

  save(): SavedWindow {
    return { fine: this.#fine.save(), coarse: this.#coarse?.save() ?? [] };
  }

  /** Takes over what another window has saved, as far as it is kept here; also when that one was longer or shorter. */
  restore(saved: SavedWindow): void {
    for (const slot of saved.fine) this.#fine.add(slot[0] as number, amountsOf(slot));
    if (this.#coarse === null) return;
    for (const slot of saved.coarse) this.#coarse.add(slot[0] as number, amountsOf(slot));
    if (saved.coarse.length > 0) return;
    // Before, the window was one of seconds.
    for (const slot of saved.fine) this.#coarse.add(Math.floor((slot[0] as number) / MINUTE_S), amountsOf(slot));
  }
}
