/**
 * Blocks on the disk for some seconds, for which memory has no room. A cache and nothing else: whoever asks can do without what does not come back
 * as it was written, so nothing is synced, and the file has no name; its room is given back when nothing lies in it any more.
 */
import { join } from 'node:path';
import { crc32 } from '@node-rs/crc32';
import { messageOf } from '../core/errors.ts';
import { type Files, O_CREAT, O_DIRECT, O_RDWR, O_TRUNC, readFully, writeFully } from './files.ts';
import { alignUp } from './format.ts';

const NAME = 'shortlists.tmp';
/** After a fault the disk is left alone for so long. */
const REST_MS = 10_000;

export interface SpillOptions {
  files: Files;
  /** The journal's. */
  directory: string;
  /** Read and write past the page cache. */
  direct: boolean;
  mostBytes: number;
  /** Of a block. */
  slotBytes: number;
  /** So many bytes were written. */
  onWritten(bytes: number): void;
  onFault(message: string): void;
}

/** A place in the file, and what was written there. */
export interface Slot {
  index: number;
  bytes: number;
  crc: number;
}

export class Spill {
  readonly #options: SpillOptions;
  readonly #mostSlots: number;
  /** Below `#made`, those that hold nothing. */
  readonly #free: number[] = [];
  #made = 0;
  /** Null while nothing lies in it. */
  #file: Promise<number> | null = null;
  /** One at a time: the journal writes to the same disk, with the same threads. */
  #isWriting = false;
  #restsUntilMs = 0;
  /** Once for each outage. */
  #isTold = false;

  constructor(options: SpillOptions) {
    this.#options = options;
    this.#mostSlots = Math.floor(options.mostBytes / options.slotBytes);
  }

  /** Writes the first `bytes` of a block; null when there is no room, or the disk does not take it, or is busy with the last. Never rejects. */
  async write(block: Uint8Array, bytes: number): Promise<Slot | null> {
    if (this.#isWriting || performance.now() < this.#restsUntilMs) return null;
    const index = this.#free.pop() ?? (this.#made < this.#mostSlots ? this.#made++ : -1);
    if (index < 0) return null;
    const { files, slotBytes } = this.#options;
    const view = block.subarray(0, alignUp(bytes));
    const slot = { index, bytes, crc: crc32(view) };
    this.#isWriting = true;
    try {
      this.#file ??= this.#open();
      await writeFully(files, await this.#file, [view], index * slotBytes);
    } catch (error) {
      this.#rest(error);
      this.free(slot);
      return null;
    } finally {
      this.#isWriting = false;
    }
    this.#isTold = false;
    this.#options.onWritten(bytes);
    return slot;
  }

  /** Reads what was written into another block, and frees the slot; false when it is not what it was. Never rejects. */
  async read(slot: Slot, block: Uint8Array): Promise<boolean> {
    const { files, slotBytes } = this.#options;
    const view = block.subarray(0, alignUp(slot.bytes));
    try {
      const got = await readFully(files, await (this.#file as Promise<number>), view, slot.index * slotBytes);
      if (got === view.length && crc32(view) === slot.crc) return true;
      this.#rest(new Error('it does not give back what was written'));
    } catch (error) {
      this.#rest(error);
    } finally {
      this.free(slot);
    }
    return false;
  }

  /** What was written there is not wanted any more. */
  free({ index }: Slot): void {
    this.#free.push(index);
    if (this.#free.length < this.#made) return;
    this.#free.length = 0;
    this.#made = 0;
    const file = this.#file;
    this.#file = null;
    // Whether it could be opened was said by who wrote to it first.
    file?.then((fd) => this.#options.files.close(fd)).catch(() => undefined);
  }

  async #open(): Promise<number> {
    const { files, directory, direct } = this.#options;
    const file = join(directory, NAME);
    const fd = await files.open(file, O_RDWR | O_CREAT | O_TRUNC | (direct ? O_DIRECT : 0));
    try {
      await files.unlink(file);
    } catch (error) {
      await files.close(fd).catch(() => undefined);
      throw error;
    }
    return fd;
  }

  #rest(error: unknown): void {
    this.#restsUntilMs = performance.now() + REST_MS;
    if (!this.#isTold) this.#options.onFault(messageOf(error));
    this.#isTold = true;
  }
}
