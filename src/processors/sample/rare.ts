// HOT: once per run of spans, on main. Bench: bench/micro/processors/sample/mark.bench.ts
/** Which runs of spans are rare: the first of each operation in each minute. */

const MINUTE_MS = 60_000;
/** Operations of one minute that can be rare; beyond it they are not. */
export const MOST_OPERATIONS = 20_000;
/** A power of two, and more than there may be operations, so that a search ends. */
const SLOTS = 32_768;

export class Rare {
  #minute = -1;
  #count = 0;
  /** Open addressing over the operations of the minute; 0 is empty. */
  readonly #slots = new Int32Array(SLOTS);

  /** Whether it is the first of its operation in the minute. `operation`: a hash of it, 0 for none. */
  isFirst(operation: number, receivedMs: number): boolean {
    const wanted = operation | 0;
    if (wanted === 0) return false;
    const minute = Math.floor(receivedMs / MINUTE_MS);
    // Workers hand over in another order than it came: the last of a minute is not the beginning of another.
    if (minute !== this.#minute && minute !== this.#minute - 1) {
      this.#minute = minute;
      this.#count = 0;
      this.#slots.fill(0);
    }
    const slots = this.#slots;
    let slot = (wanted ^ (wanted >>> 15)) & (SLOTS - 1);
    for (let found = slots[slot]!; found !== 0; slot = (slot + 1) & (SLOTS - 1), found = slots[slot]!) {
      if (found === wanted) return false;
    }
    if (this.#count >= MOST_OPERATIONS) return false;
    slots[slot] = wanted;
    this.#count++;
    return true;
  }
}
