/** Look-backs that are asked for, and those whose part of the journal the selection has still to pass. */
import { AgentError, messageOf } from '../core/errors.ts';
import { type LookBack, type LookBackSources, type LookedBack, lookBack } from './lookBack.ts';
import type { DecidedBefore } from './tasks.ts';

/** What look-backs need beyond the selection. */
export interface LookBackOptions extends Pick<LookBackSources, 'readDerived' | 'since' | 'mostSeen'> {
  /** It begins: resolves when that is safe. */
  begins(wanted: LookBack): Promise<void>;
  /** Everything is appended. */
  told(wanted: LookBack, came: LookedBack): void;
  /** The selection is past it, or it was given up: it need not be remembered. */
  passed(wanted: LookBack): void;
}

/** A frame that no worker survives must not hold up the selection for ever. */
const MOST_ATTEMPTS = 5;

export class Recalls {
  readonly #options: LookBackOptions;
  readonly #onError: (message: string) => void;
  readonly #wanted: LookBack[] = [];
  #attempts = 0;
  #done: { wanted: LookBack; decided: DecidedBefore[] }[] = [];

  constructor(options: LookBackOptions, onError: (message: string) => void) {
    this.#options = options;
    this.#onError = onError;
  }

  get isWaiting(): boolean {
    return this.#wanted.length > 0;
  }

  /** What the selection passes over, because it has been decided. */
  get decided(): DecidedBefore[] {
    return this.#done.flatMap(({ decided }) => decided);
  }

  add(wanted: LookBack): void {
    this.#wanted.push(wanted);
  }

  /** Does the oldest. Throws what stops it: what was appended by then is found when it is tried again. */
  async run(sources: Omit<LookBackSources, keyof LookBackOptions>): Promise<void> {
    const [wanted] = this.#wanted;
    if (wanted === undefined) return;
    try {
      wanted.undecidedFrom ??= Math.min(...sources.progress.next);
      await this.#options.begins(wanted);
      const came = await lookBack({ ...sources, ...this.#options }, wanted);
      this.#done.push({ wanted, decided: came.decided });
      this.#options.told(wanted, came);
    } catch (error) {
      // It is remembered, and begins again at the next start.
      if (error instanceof AgentError && error.code === 'DRAINING') return;
      if (++this.#attempts < MOST_ATTEMPTS) throw error;
      this.#onError(`a look-back for ${wanted.whose.service} is given up: ${messageOf(error)}`);
      this.#options.passed(wanted);
    }
    this.#attempts = 0;
    this.#wanted.shift();
  }

  /** The selection has come to `next`. */
  pass(next: number): void {
    if (this.#done.length === 0) return;
    const isPassed = (decided: DecidedBefore[]) => decided.every(({ to }) => to <= next);
    for (const { wanted, decided } of this.#done) if (isPassed(decided)) this.#options.passed(wanted);
    this.#done = this.#done.filter(({ decided }) => !isPassed(decided));
  }
}
