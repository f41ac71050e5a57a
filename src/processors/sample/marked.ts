// HOT: once per span above base. Bench: bench/micro/processors/sample/mark.bench.ts
/** The traces of a task that have an item of a class above base, so that it is known at once, in this thread, before main has merged it. */
import type { Views } from '../processor.ts';
import { BASE } from './classes.ts';

const STEP = 3;
const LEAST_PLACES = 256;

/** By the second half of the id; open addressing, at most half full. */
class Marked {
  #rows = new Int32Array(LEAST_PLACES * STEP);
  #mask = LEAST_PLACES - 1;
  #count = 0;

  clear(): void {
    if (this.#count > 0) this.#rows.fill(0);
    this.#count = 0;
  }

  /** `traceClass`: above BASE. */
  add(low: number, high: number, traceClass: number): void {
    const place = this.#placeOf(low, high);
    const rows = this.#rows;
    if (rows[place + 2] === BASE) {
      rows[place] = low;
      rows[place + 1] = high;
      this.#count++;
    }
    if (traceClass > rows[place + 2]!) rows[place + 2] = traceClass;
    if (this.#count * 2 > this.#mask) this.#grow();
  }

  /** BASE when nothing is known of it. */
  classOf(low: number, high: number): number {
    return this.#count === 0 ? BASE : this.#rows[this.#placeOf(low, high) + 2]!;
  }

  /** Where the trace is, or an empty place. */
  #placeOf(low: number, high: number): number {
    const rows = this.#rows;
    for (let i = Math.imul(low ^ high, 0x9e37_79b1) >>> 8; ; i++) {
      const place = (i & this.#mask) * STEP;
      if (rows[place + 2] === BASE || (rows[place] === low && rows[place + 1] === high)) return place;
    }
  }

  #grow(): void {
    const before = this.#rows;
    this.#rows = new Int32Array(before.length * 2);
    this.#mask = this.#rows.length / STEP - 1;
    this.#count = 0;
    for (let at = 0; at < before.length; at += STEP)
      if (before[at + 2] !== BASE) this.add(before[at]!, before[at + 1]!, before[at + 2]!);
  }
}

const ofViews = new WeakMap<Views, Marked>();

/** The one of a worker: whoever marks and whoever asks look at the same items. */
export function markedOf(views: Views): Marked {
  const known = ofViews.get(views) ?? new Marked();
  ofViews.set(views, known);
  return known;
}
