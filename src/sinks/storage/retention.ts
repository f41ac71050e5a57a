/** Deletes this agent's oldest finished files beyond a total size or an age, and the hours that are empty then. Keeps a list, so that the directory is walked once. */
import { type FinishedFile, findFinished, remove, removeEmptyHour } from './files.ts';

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

  /** Deletes what has reached its age, also where no file is finished any more. */
  expire(nowMs: number): void {
    this.#last = this.#last.then(() => this.#drop(nowMs, Infinity, null)).catch(this.#onError);
  }

  /** Resolves when everything added so far was done. */
  settled(): Promise<void> {
    return this.#last;
  }

  async #take(file: FinishedFile): Promise<void> {
    const files = await this.#list();
    // The walk finds new files, too.
    if (!files.some(({ path }) => path === file.path)) {
      files.push(file);
      this.#bytes += file.bytes;
    }
    await this.#drop(file.finishedMs, this.#limits.retainBytes, file.path);
  }

  async #list(): Promise<FinishedFile[]> {
    if (this.#files !== null) return this.#files;
    this.#files = await findFinished(this.#root, this.#isOurs);
    for (const found of this.#files) this.#bytes += found.bytes;
    return this.#files;
  }

  /** Oldest first, down to `mostBytes` and up to the file at `sparedPath`. */
  async #drop(nowMs: number, mostBytes: number, sparedPath: string | null): Promise<void> {
    const files = await this.#list();
    for (let oldest = files[0]; oldest !== undefined && oldest.path !== sparedPath; oldest = files[0]) {
      if (this.#bytes <= mostBytes && nowMs - oldest.finishedMs <= this.#limits.retainMs) return;
      await remove(oldest.path);
      files.shift();
      this.#bytes -= oldest.bytes;
      await removeEmptyHour(oldest.path);
    }
  }
}
