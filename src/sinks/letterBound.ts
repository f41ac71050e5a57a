/** Holds a directory of dead letters within a size and an age: the oldest go, and what was in them is told. letters.ts reads them. */
import { stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { messageOf } from '../core/errors.ts';
import { type BuriedLetter, lettersIn, orNull, readLetter, removeLetter } from './letters.ts';

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
  /** False of one whose items are not counted yet: it stays for now. */
  mayDelete(letter: BuriedLetter): boolean;
  /** Told of each letter that was deleted. */
  deleted(said: BuriedLetter['said']): void;
}

/** Files take whole blocks: without that a million small letters would be no bytes. */
const BLOCK_BYTES = 4096;
/** A full directory is emptied so far at once, so that it is listed rarely. */
const KEPT_SHARE = 0.9;
const AGAIN_MS = 60_000;

interface Known {
  path: string;
  bytes: number;
  buriedMs: number;
}

interface Extent {
  bytes: number;
  oldestMs: number;
}

const NONE: Extent = { bytes: 0, oldestMs: Infinity };

export class LetterBound {
  readonly #options: LetterBoundOptions;
  /** Of all letters when they were last listed. Those that redeliver took meanwhile count, too. */
  #listed: Extent = { bytes: Infinity, oldestMs: 0 };
  /** Of those that came since; some may have been listed already. */
  #since: Extent = NONE;
  #listedMs = 0;
  #isStuck = false;
  #busy: Promise<void> = Promise.resolve();

  constructor(options: LetterBoundOptions) {
    this.#options = options;
  }

  /** Notes letters that were written, by the bytes in each. */
  add(letters: readonly number[]): void {
    if (letters.length === 0) return;
    const { bytes, oldestMs } = this.#since;
    this.#since = {
      bytes: letters.reduce((sum, one) => sum + blocksOf(one) + BLOCK_BYTES, bytes),
      oldestMs: Math.min(oldestMs, this.#options.now()),
    };
  }

  /** Deletes what is over the bound, after what was asked before. Never rejects: what cannot be deleted is tried again with the next. */
  sweep(): Promise<void> {
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
    const oldestMs = Math.min(this.#listed.oldestMs, this.#since.oldestMs);
    if (this.#listed.bytes + this.#since.bytes <= limits.bytes && oldestMs >= fromMs) return;
    // What cannot be deleted is not looked for with every batch.
    if (this.#since === NONE && this.#isStuck && now() - this.#listedMs < AGAIN_MS) return;
    this.#since = NONE;
    this.#listedMs = now();
    const all = await this.#list();
    let bytes = all.reduce((sum, one) => sum + one.bytes, 0);
    const wanted = bytes > limits.bytes ? limits.bytes * KEPT_SHARE : limits.bytes;
    let deleted = 0;
    // The newest stays, however large it is.
    while (all.length > 1 && (bytes > wanted || (all[0] as Known).buriedMs < fromMs)) {
      const oldest = all.shift() as Known;
      // One that says nothing of itself is left alone: nobody could tell what is lost.
      if (!(await this.#delete(oldest.path))) continue;
      bytes -= oldest.bytes;
      deleted++;
    }
    this.#isStuck = deleted === 0;
    this.#listed = { bytes, oldestMs: all[0]?.buriedMs ?? Infinity };
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
    const { log, mayDelete, deleted } = this.#options;
    try {
      const letter = await orNull(readLetter(`${path}.json`));
      if (letter !== null && !mayDelete(letter)) return false;
      // What redeliver has sent meanwhile is not lost.
      if (letter !== null && (await removeLetter(letter))) deleted(letter.said);
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

/** Null when it is gone. */
async function sizeOf(file: string): Promise<{ bytes: number; writtenMs: number } | null> {
  return orNull(stat(file).then(({ size, mtimeMs }) => ({ bytes: blocksOf(size), writtenMs: mtimeMs })));
}
