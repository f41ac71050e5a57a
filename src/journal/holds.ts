/** Who still needs which frames: a journal recycles what lies below every hold, and nothing while it has none. */

/** Keeps everything from a sequence on; the owner moves it only to positions that are durably saved. */
export interface Hold {
  /** Sequences below `sequence` are not needed any more. */
  advance(sequence: number): void;
  /** The hold is gone. A journal without any hold recycles nothing. */
  release(): void;
}

export class Holds {
  readonly #from = new Map<string, number>();
  readonly #recycle: (keepFrom: number) => void;

  /** `recycle` is called whenever a hold has moved or gone. */
  constructor(recycle: (keepFrom: number) => void) {
    this.#recycle = recycle;
  }

  /** A second call with the name replaces the first. */
  add(name: string, sequence: number): Hold {
    this.#from.set(name, sequence);
    const advance = (next: number) => {
      if (next <= (this.#from.get(name) ?? Number.POSITIVE_INFINITY)) return;
      this.#from.set(name, next);
      this.apply();
    };
    const release = () => {
      if (this.#from.delete(name)) this.apply();
    };
    return { advance, release };
  }

  apply(): void {
    if (this.#from.size > 0) this.#recycle(Math.min(...this.#from.values()));
  }
}
