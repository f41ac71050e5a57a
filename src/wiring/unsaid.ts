/**
 * What observers have said and the derived journal has not taken yet: in order, events past everything that a full journal refuses. What it
 * can never take is given up, so that it holds up nothing else.
 */
import { setImmediate } from 'node:timers/promises';
import { type BlockPool, frameSpan, UNIT_BYTES } from '../core/block.ts';
import { AgentError } from '../core/errors.ts';
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

interface UnsaidOptions {
  pool: BlockPool;
  append(region: { first: number; end: number; urgent: boolean }): Promise<void>;
  /** Nothing larger is tried. */
  segmentBytes: number;
  /** It is too large, as `cause` says, and will never be written. */
  onGivenUp(emission: Emission, cause: unknown): void;
}

/** A third of the blocks is held for good, by caches: what needs more than this would wait for ever. */
const MOST_BLOCKS = 0.5;

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
  readonly #options: UnsaidOptions;
  readonly #mostBytes: number;
  #words: Words[] = [];

  constructor(options: UnsaidOptions) {
    this.#options = options;
    this.#mostBytes = Math.min(options.segmentBytes, options.pool.units * UNIT_BYTES * MOST_BLOCKS);
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
   * observer's state has left, or was given up, so that a checkpoint should follow. `error`: why something stays.
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
        if (!isForGood(cause)) {
          error = cause;
          if (urgent) return { flushed, error };
          continue;
        }
        this.#options.onGivenUp(words.emission, cause);
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
    const { pool, append } = this.#options;
    const bytes = frameSpan(emission.bytes.length);
    if (bytes > this.#mostBytes) {
      const limit = `limit ${this.#mostBytes}: lower max_groups of summarize, or raise journal.segment_size`;
      throw new AgentError('BODY_TOO_LARGE', `${bytes} bytes in one piece, ${limit} and agent.memory_limit`);
    }
    const { block, end } = emissionFrame(pool, emission, covers, processor);
    try {
      await append({ first: block, end, urgent });
    } finally {
      pool.release(block);
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

/** A RangeError: more than Node's buffers hold. */
function isForGood(cause: unknown): boolean {
  return cause instanceof RangeError || (cause instanceof AgentError && cause.code === 'BODY_TOO_LARGE');
}
