/** Holds a directory of dead letters within a size and an age: the oldest go, and what was in them is told. letters.ts reads them. */
import { stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { messageOf } from '../core/errors.ts';
import { type BuriedLetter, lettersIn, readLetter, removeLetter } from './letters.ts';

export interface LetterLimits {
  /** Infinity for none. */
  bytes: number;
  ageMs: number;
}

export interface LetterBoundOptions {
  directory: string;
  limits: LetterLimits;
  log: Logger;
  now(): number;
  /** Told of each letter that was deleted. */
  deleted(said: BuriedLetter['said']): void;
}

/** Files take whole blocks: without that a million small letters would be no bytes. */
const BLOCK_BYTES = 4096;
/** A full directory is emptied so far at once, so that it is listed rarely. */
const KEPT_SHARE = 0.9;

interface Known {
  path: string;
  bytes: number;
  buriedMs: number;
}

export class LetterBound {
  readonly #options: LetterBoundOptions;
  /** Bytes of all letters when they were last listed, and of those that came since. Those that redeliver took meanwhile count, too. */
  #bytes = Infinity;
  #oldestMs = 0;
  #busy: Promise<void> = Promise.resolve();

  constructor(options: LetterBoundOptions) {
    this.#options = options;
  }

  /** Called after letters were written, with the bytes in each. Never rejects: what cannot be deleted is tried again with the next. */
  add(letters: readonly number[]): Promise<void> {
    for (const bytes of letters) this.#bytes += blocksOf(bytes) + BLOCK_BYTES;
    this.#oldestMs = Math.min(this.#oldestMs, this.#options.now());
    this.#busy = this.#busy.then(async () => {
      try {
        await this.#sweep();
      } catch (error) {
        this.#options.log.warn(`dead letters stay over their bound: ${messageOf(error)}`);
      }
    });
    return this.#busy;
  }

  async #sweep(): Promise<void> {
    const { limits, now } = this.#options;
    const fromMs = now() - limits.ageMs;
    if (this.#bytes <= limits.bytes && this.#oldestMs >= fromMs) return;
    const all = await this.#list();
    let bytes = all.reduce((sum, one) => sum + one.bytes, 0);
    const wanted = bytes > limits.bytes ? limits.bytes * KEPT_SHARE : limits.bytes;
    // The newest stays, however large it is.
    while (all.length > 1 && (bytes > wanted || (all[0] as Known).buriedMs < fromMs)) {
      const oldest = all.shift() as Known;
      // One that says nothing of itself is left alone: nobody could tell what is lost.
      if (await this.#delete(oldest.path)) bytes -= oldest.bytes;
    }
    this.#bytes = bytes;
    this.#oldestMs = all[0]?.buriedMs ?? Infinity;
  }

  /** All letters, the oldest first. */
  async #list(): Promise<Known[]> {
    const known: Known[] = [];
    for (const path of await lettersIn(this.#options.directory)) {
      const words = await sizeOf(`${path}.json`);
      const bytes = await sizeOf(`${path}.binpb`);
      if (words !== null) known.push({ path, bytes: words.bytes + (bytes?.bytes ?? 0), buriedMs: words.writtenMs });
    }
    return known.sort((a, b) => a.buriedMs - b.buriedMs || (a.path < b.path ? -1 : 1));
  }

  async #delete(path: string): Promise<boolean> {
    const { log, deleted } = this.#options;
    try {
      const letter = await readLetter(`${path}.json`);
      await removeLetter(letter);
      deleted(letter.said);
      return true;
    } catch (error) {
      log.warn(`${path}.json is over the bound of the dead letters and cannot be deleted: ${messageOf(error)}`);
      return false;
    }
  }
}

function blocksOf(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/** Null when it is gone: redeliver may run. */
async function sizeOf(file: string): Promise<{ bytes: number; writtenMs: number } | null> {
  try {
    const { size, mtimeMs } = await stat(file);
    return { bytes: blocksOf(size), writtenMs: mtimeMs };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
