/** How many freed segments stay as spares: as many as the last second of writing began. Each one less is removed, and made anew by writing all of it. */

const LEAST_SPARES = 2;
/** Holds move once a second: whatever they free by then is wanted again in the next one. */
const MOST_SPARES = 8;
const SPARES_FOR_MS = 1000;

export class SparePace {
  /** When the last segments were begun, receive time. */
  readonly #begunMs: number[] = [];

  begun(atMs: number): void {
    this.#begunMs.push(atMs);
    if (this.#begunMs.length >= MOST_SPARES) this.#begunMs.shift();
  }

  get wanted(): number {
    const sinceMs = (this.#begunMs.at(-1) ?? 0) - SPARES_FOR_MS;
    return Math.max(LEAST_SPARES, this.#begunMs.filter((ms) => ms > sinceMs).length + 1);
  }
}
