/** What observers have said and the derived journal has not taken yet: in order, events past everything that a full journal refuses. */
import { setImmediate } from 'node:timers/promises';
import type { BlockPool } from '../core/block.ts';
import type { Emission } from '../processors/processor.ts';
import { emissionFrame } from '../worker/observers.ts';
import type { Told } from '../worker/restore.ts';

export interface Words {
  emission: Emission;
  /** Everything below this intake position had been merged by then. */
  covers: number;
  /** Index of the processor that speaks; -1 for the agent itself. */
  processor: number;
}

type Append = (region: { first: number; end: number; urgent: boolean }) => Promise<void>;

/** Flushes that are not in the checkpoint's state: those found after it, but for one that stood in it unsaid and was written later. */
export function newerFlushes({ flushed }: Told, saved: readonly Words[]): number[] {
  const own = new Map(
    saved.filter(({ emission }) => emission.ends).map(({ processor, covers }) => [processor, covers]),
  );
  const newer: number[] = [];
  for (const [processor, covers] of flushed.entries()) {
    if (covers !== undefined && covers !== own.get(processor)) newer[processor] = covers;
  }
  return newer;
}

export class Unsaid {
  readonly #pool: BlockPool;
  readonly #append: Append;
  #words: Words[] = [];

  constructor(pool: BlockPool, append: Append) {
    this.#pool = pool;
    this.#append = append;
  }

  /** Processors whose last flush is still here. */
  get flushing(): ReadonlySet<number> {
    return new Set(this.#words.filter(({ emission }) => emission.ends).map(({ processor }) => processor));
  }

  add(words: Words): void {
    const { emission, processor } = words;
    // Values of a moment (contract values): the newer ones stand for those that could not be written.
    if (emission.stream === 'summaries' && !emission.ends) {
      this.#words = this.#words.filter(
        (one) => one.processor !== processor || one.emission.stream !== 'summaries' || one.emission.ends,
      );
    }
    this.#words.push(words);
  }

  /**
   * Appends what it can: events may take the derived journal's reserve, the rest waits behind the first that is refused. `flushed`: an
   * observer's state has left, so that a checkpoint should follow. `error`: why something stays.
   */
  async say(): Promise<{ flushed: boolean; error: unknown }> {
    let flushed = false;
    let error: unknown = null;
    for (const words of [...this.#words]) {
      const urgent = words.emission.stream === 'events';
      if (error !== null && !urgent) continue;
      try {
        await this.#write(words, urgent);
      } catch (cause) {
        error = cause;
        if (urgent) return { flushed, error };
        continue;
      }
      // It may be gone: newer values have taken its place while it was written.
      this.#words = this.#words.filter((one) => one !== words);
      if (words.emission.ends) flushed = true;
    }
    return { flushed, error };
  }

  async #write({ emission, covers, processor }: Words, urgent: boolean): Promise<void> {
    // Requests go first, after each part.
    while (emission.prepare?.() === true) await setImmediate();
    const { block, end } = emissionFrame(this.#pool, emission, covers, processor);
    try {
      await this.#append({ first: block, end, urgent });
    } finally {
      this.#pool.release(block);
    }
  }

  save(): readonly Words[] {
    return this.#words.map(({ emission: { stream, signal, bytes, items, timeMs, ends }, ...rest }) => ({
      emission: { stream, signal, bytes, items, timeMs, ends },
      ...rest,
    }));
  }

  /** What the checkpoint held, but for what `told` shows to have been written after it. */
  restore(saved: readonly Words[], { flushed, lastEventMs }: Told): void {
    for (const words of saved) {
      const { emission, covers, processor } = words;
      const written = emission.ends
        ? (flushed[processor] ?? -1) >= covers
        : emission.stream === 'events' && (lastEventMs[processor] ?? -1) >= emission.timeMs;
      if (!written) this.add(words);
    }
  }
}
