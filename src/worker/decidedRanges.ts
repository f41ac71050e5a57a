/** What a look-back decides of the intake journal, as ranges that the selection passes over. */
import type { Whose } from '../contracts/plan.ts';
import type { DecidedBefore } from './tasks.ts';

/** By their sequences: one range, unless frames stand in another order than they came. */
export class DecidedRanges {
  readonly all: DecidedBefore[] = [];
  readonly #whose: Whose;
  #isOpen = false;

  constructor(whose: Whose) {
    this.#whose = whose;
  }

  /** The next frame that may hold something of the service. */
  add(sequence: number, isDecided: boolean): void {
    const last = this.all.at(-1);
    if (isDecided && this.#isOpen && last !== undefined) last.to = sequence + 1;
    else if (isDecided) this.all.push({ whose: this.#whose, from: sequence, to: sequence + 1 });
    this.#isOpen = isDecided;
  }
}
