/** Deletes this agent's oldest finished files beyond a total size or an age. Keeps a list, so that the directory is walked once. */
import { type FinishedFile, findFinished, remove } from './files.ts';

export interface Limits {
  retainBytes: number;
  retainMs: number;
}

export class Retention {
  readonly #root: string;
  readonly #limits: Limits;
  readonly #isOurs: (name: string) => boolean;
  readonly #onError: (error: unknown) => void;
  #files: FinishedFile[] | null = null;
  #bytes = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(root: string, limits: Limits, isOurs: (name: string) => boolean, onError: (error: unknown) => void) {
    this.#root = root;
    this.#limits = limits;
    this.#isOurs = isOurs;
    this.#onError = onError;
  }

  /**
   * Counts a file that was just finished; what is now too much goes after it, oldest first, never that file itself. Nobody waits: the new
   * file is safe whatever becomes of older ones, and a large one takes a while to go.
   */
  add(path: string, bytes: number, finishedMs: number): void {
    this.#last = this.#last.then(() => this.#take({ path, bytes, finishedMs })).catch(this.#onError);
  }

  /** Resolves when everything added so far was done. */
  settled(): Promise<void> {
    return this.#last;
  }

  async #take(file: FinishedFile): Promise<void> {
    if (this.#files === null) {
      this.#files = await findFinished(this.#root, this.#isOurs);
      for (const found of this.#files) this.#bytes += found.bytes;
    }
    // The walk finds new files, too.
    if (!this.#files.some(({ path }) => path === file.path)) {
      this.#files.push(file);
      this.#bytes += file.bytes;
    }
    const { retainBytes, retainMs } = this.#limits;
    for (let oldest = this.#files[0]; oldest !== undefined && oldest.path !== file.path; oldest = this.#files[0]) {
      if (this.#bytes <= retainBytes && file.finishedMs - oldest.finishedMs <= retainMs) return;
      await remove(oldest.path);
      this.#files.shift();
      this.#bytes -= oldest.bytes;
    }
  }
}
