/** Segment files open for reading: the last few stay open, since a reader behind the head comes back for every MiB. */
import { type Files, O_DIRECT, O_RDONLY } from './files.ts';
import type { Segment } from './segment.ts';

const MOST_IDLE = 4;

interface OpenFile {
  fd: Promise<number>;
  users: number;
}

export class OpenSegments {
  readonly #files: Files;
  readonly #flags: number;
  /** By segment number, which no two files ever share; least recently used first. */
  readonly #open = new Map<number, OpenFile>();

  constructor(files: Files, direct: boolean) {
    this.#files = files;
    this.#flags = O_RDONLY | (direct ? O_DIRECT : 0);
  }

  /** Runs `use` on the segment's file, which stays open until it is done. */
  async use<T>(segment: Pick<Segment, 'number' | 'file'>, use: (fd: number) => Promise<T>): Promise<T> {
    const known = this.#open.get(segment.number);
    const file = known ?? { fd: this.#files.open(segment.file, this.#flags), users: 0 };
    this.#open.delete(segment.number);
    this.#open.set(segment.number, file);
    file.users++;
    try {
      return await use(await file.fd);
    } catch (error) {
      // It may be the file: the next reader opens it anew.
      if (this.#open.get(segment.number) === file) this.#open.delete(segment.number);
      throw error;
    } finally {
      file.users--;
      if (this.#open.get(segment.number) !== file && file.users === 0) this.#close(file);
      this.#trim(MOST_IDLE);
    }
  }

  /** The segment is gone: its file is closed when nobody uses it any more, so that the disk gets its room back. */
  forget(number: number): void {
    const file = this.#open.get(number);
    this.#open.delete(number);
    if (file?.users === 0) this.#close(file);
  }

  /** Closes what nobody uses. */
  close(): void {
    this.#trim(0);
  }

  #trim(most: number): void {
    for (const [number, file] of this.#open) {
      if (this.#open.size <= most) return;
      if (file.users > 0) continue;
      this.#open.delete(number);
      this.#close(file);
    }
  }

  /** Nothing was written through it, so an error of its close means nothing; a failed open has told its user. */
  #close(file: OpenFile): void {
    file.fd.then((fd) => this.#files.close(fd)).catch(() => undefined);
  }
}
