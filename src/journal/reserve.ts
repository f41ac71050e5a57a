/** A file that only takes up room, so that when the disk is full cursors and checkpoints can still be written: it is given up first. */
import path from 'node:path';
import { alignedMemory } from '../core/aligned.ts';
import { errnoOf, type Files, O_CREAT, O_TRUNC, O_WRONLY, withFile, writeFully } from './files.ts';

const FILE = 'reserve';
const PIECE_BYTES = 1 << 20;
/** It is made again only when the disk has several times its size, or it would be the reason for the next full disk. */
const ROOM_FACTOR = 4;

export class Reserve {
  readonly #files: Files;
  readonly #directory: string;
  readonly #bytes: number;
  #isThere: boolean;

  /** `bytes` are a multiple of 1 MiB. */
  static async open(files: Files, directory: string, bytes: number): Promise<Reserve> {
    const size = await files.size(path.join(directory, FILE)).catch(() => 0);
    const reserve = new Reserve(files, directory, bytes, size >= bytes);
    await reserve.restore();
    return reserve;
  }

  private constructor(files: Files, directory: string, bytes: number, isThere: boolean) {
    this.#files = files;
    this.#directory = directory;
    this.#bytes = bytes;
    this.#isThere = isThere;
  }

  /** Makes it again when there is room; true when it is there. Never rejects. */
  async restore(): Promise<boolean> {
    if (this.#isThere) return true;
    try {
      if ((await this.#files.free(this.#directory)) < this.#bytes * ROOM_FACTOR) return false;
      await withFile(this.#files, path.join(this.#directory, FILE), O_WRONLY | O_CREAT | O_TRUNC, async (fd) => {
        const piece = alignedMemory(PIECE_BYTES);
        for (let at = 0; at < this.#bytes; at += PIECE_BYTES) await writeFully(this.#files, fd, [piece], at);
      });
      this.#isThere = true;
    } catch {
      // Somebody else took the room: without a reserve everything works that works on a full disk, and it is tried again.
      await this.#remove().catch(() => undefined);
    }
    return this.#isThere;
  }

  /** Gives its room to whoever needs it now; false when there was none to give. */
  async giveUp(): Promise<boolean> {
    if (!this.#isThere) return false;
    await this.#remove();
    return true;
  }

  async #remove(): Promise<void> {
    this.#isThere = false;
    await this.#files.unlink(path.join(this.#directory, FILE)).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error;
    });
  }
}
