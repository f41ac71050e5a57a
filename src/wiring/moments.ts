/** Where the journals stood, second by second: from a time to a sequence. Known since the start of the agent, for about an hour. */

interface Moment {
  ms: number;
  /** Heads of the intake and of the derived journal. */
  sequence: number;
  derived: number;
}

const MOST_MOMENTS = 4096;

export class Moments {
  #all: Moment[] = [];

  add(moment: Moment): void {
    this.#all.push(moment);
    if (this.#all.length > MOST_MOMENTS) this.#all.shift();
  }

  /** The last one at or before `ms`; undefined when that is not known. */
  before(ms: number): Moment | undefined {
    const later = this.#all.findIndex((moment) => moment.ms > ms);
    return later < 0 ? this.#all.at(-1) : this.#all[later - 1];
  }

  /** The last one at which the intake journal had not passed `sequence`. */
  at(sequence: number): Moment | undefined {
    return this.#all.findLast((moment) => moment.sequence <= sequence);
  }
}
