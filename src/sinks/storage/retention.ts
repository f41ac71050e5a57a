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
  #files: FinishedFile[] | null = null;
  #bytes = 0;

  constructor(root: string, limits: Limits, isOurs: (name: string) => boolean) {
    this.#root = root;
    this.#limits = limits;
    this.#isOurs = isOurs;
  }

  /** Counts a file that was just finished and deletes what is now too much, oldest first; never that file itself. */
  async add(path: string, bytes: number, nowMs: number): Promise<void> {
    if (this.#files === null) {
      // The walk finds the new file, too.
      this.#files = await findFinished(this.#root, this.#isOurs);
      for (const file of this.#files) this.#bytes += file.bytes;
    } else {
      this.#files.push({ path, bytes, finishedMs: nowMs });
      this.#bytes += bytes;
    }
    const { retainBytes, retainMs } = this.#limits;
    for (let oldest = this.#files[0]; oldest !== undefined && oldest.path !== path; oldest = this.#files[0]) {
      if (this.#bytes <= retainBytes && nowMs - oldest.finishedMs <= retainMs) return;
      await remove(oldest.path);
      this.#files.shift();
      this.#bytes -= oldest.bytes;
    }
  }
}
