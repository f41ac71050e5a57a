// HOT: once per span. Bench: bench/micro/processors/sample/mark.bench.ts
/** Operations that this worker has told main of in this second: told once is enough, since main looks for the first of a minute. */

/** A power of two. Two neighbours are one set; what falls out of it is told again, which costs a row. */
const PLACES = 16_384;
const SECOND_MS = 1000;

export class Sighted {
  readonly #places = new Int32Array(PLACES);
  #second = -1;
  /** What this task has added has not been handed over yet. */
  #isOpen = false;

  /** Another task, or the same once more: then what it has added before was never told. */
  begin(receivedMs: number): void {
    const second = Math.floor(receivedMs / SECOND_MS);
    if (second !== this.#second || this.#isOpen) this.#places.fill(0);
    this.#second = second;
    this.#isOpen = false;
  }

  /** The task's rows are written. Should its frames not be committed, a second later the operations are told again. */
  handedOver(): void {
    this.#isOpen = false;
  }

  /** Whether main has to be told of the operation with this hash; 0 is none. */
  isNew(hash: number): boolean {
    if (hash === 0) return false;
    const places = this.#places;
    const place = (hash ^ (hash >>> 15)) & (PLACES - 1);
    if (places[place] === hash || places[place ^ 1] === hash) return false;
    places[place ^ 1] = places[place]!;
    places[place] = hash;
    this.#isOpen = true;
    return true;
  }
}
