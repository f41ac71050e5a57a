/** The table of cursors: a few rows and values, saved together and durably; when to save is its owner's business. */
import path from 'node:path';
import { crc32 } from 'node:zlib';
import type { CursorRow } from '../core/component.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import {
  diskFiles,
  type Files,
  isFull,
  O_WRONLY,
  readWhole,
  syncDirectory,
  withFile,
  writeAtomically,
  writeFully,
} from './files.ts';
import { unwritable } from './making.ts';

interface Content {
  rows: Record<string, CursorRow>;
  values: Record<string, unknown>;
}

/**
 * The file is two slots of one size, written by turns; the newest whole one is the table:
 *
 *   0 magic u32 | 4 CRC-32 of what follows | 8 generation u48 | 14 length of the JSON u48 | 20 JSON { rows, values }
 *
 * A slot that has become too small makes the file new (tmp, rename) with larger ones. It is as large as it will be from the start,
 * so that a full disk does not stop cursors.
 */
const FILE = 'cursors';
/** "PLMT" read as a little-endian word. */
const MAGIC = 0x544d4c50;
const HEADER_BYTES = 20;
const SLOT_BYTES = 64 << 10;
/** Of rows that were saved before anything could be filtered from `raw`. */
const NOTHING_FILTERED = { filtered: 0 };

export class CursorTable {
  /** `damaged`: neither slot was whole; the table is empty, and readers must begin at the oldest frame kept. */
  readonly found: 'none' | 'whole' | 'damaged';
  readonly #directory: string;
  readonly #files: Files;
  readonly #rows = new Map<string, CursorRow>();
  readonly #values = new Map<string, unknown>();
  #slotBytes: number;
  #generation = 0;
  /** The content of the last slot that was written and synced; null when that failed. */
  #saved: Buffer | null = null;
  /** The file must be made new: there is none, or the disk refused a write to it. */
  #renew: boolean;
  #saving: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** Reads the table in `directory`, or begins an empty one. Throws JOURNAL_UNWRITABLE when the file is there and cannot be read or written. */
  static async open(directory: string, files: Files = diskFiles): Promise<CursorTable> {
    const bytes = await readWhole(files, path.join(directory, FILE));
    const table = new CursorTable(directory, files, bytes);
    if (bytes !== null && table.found === 'whole') {
      await table.#settle(bytes).catch((error: unknown) => {
        throw unwritable(path.join(directory, FILE), error);
      });
    }
    return table;
  }

  /** The same without a promise that it stays so, and without touching the file. */
  static async peek(directory: string, files: Files = diskFiles): Promise<CursorTable> {
    return new CursorTable(directory, files, await readWhole(files, path.join(directory, FILE)));
  }

  private constructor(directory: string, files: Files, bytes: Buffer | null) {
    this.#directory = directory;
    this.#files = files;
    this.#slotBytes = bytes === null ? SLOT_BYTES : Math.max(SLOT_BYTES, bytes.length >>> 1);
    const content = bytes === null ? null : this.#readNewest(bytes);
    this.#renew = content === null;
    this.found = content !== null ? 'whole' : bytes === null ? 'none' : 'damaged';
    for (const [key, row] of Object.entries(content?.rows ?? {})) this.#rows.set(key, { ...NOTHING_FILTERED, ...row });
    for (const [name, value] of Object.entries(content?.values ?? {})) this.#values.set(name, value);
  }

  /** The row of a key, made from `initial` when new. Change it in place; `save` writes it. */
  row(key: string, initial: CursorRow): CursorRow {
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = { ...initial };
      this.#rows.set(key, row);
    }
    return row;
  }

  rows(): ReadonlyMap<string, CursorRow> {
    return this.#rows;
  }

  delete(key: string): boolean {
    return this.#rows.delete(key);
  }

  /** A JSON value by name, or undefined; from the file it is whatever stood there, so its owner checks it. */
  value(name: string): unknown {
    return this.#values.get(name);
  }

  /** Sets a JSON value; undefined removes it. */
  setValue(name: string, value: unknown): void {
    if (value === undefined) this.#values.delete(name);
    else this.#values.set(name, value);
  }

  /**
   * Resolves when the table as it is now, or newer, is durable. Requests while one save runs share the next. Rejects with
   * JOURNAL_SYNC_FAILED or JOURNAL_FULL, both retryable; what was saved before stays.
   */
  save(): Promise<void> {
    if (this.#saving === undefined) return this.#start();
    this.#next ??= this.#saving.then(
      () => this.#start(),
      () => this.#start(),
    );
    return this.#next;
  }

  /**
   * What a killed agent had not synced, or could not, is seen now: before anything relies on it, a power loss may not take it back. A sync
   * alone says nothing of one that failed before, so the slot is written once more, with the same bytes.
   */
  async #settle(bytes: Buffer): Promise<void> {
    const at = (this.#generation % 2) * this.#slotBytes;
    try {
      await this.#writeSlot(bytes.subarray(at, at + this.#slotBytes));
    } catch (error) {
      if (!isFull(error)) throw error;
      // The disk copies what it overwrites: what the next save writes shall leave both slots alone.
      this.#renew = true;
    }
    await syncDirectory(this.#files, this.#directory);
  }

  #start(): Promise<void> {
    this.#next = undefined;
    const saving = this.#write().finally(() => {
      if (this.#saving === saving) this.#saving = undefined;
    });
    this.#saving = saving;
    return saving;
  }

  async #write(): Promise<void> {
    const rows = Object.fromEntries(this.#rows);
    const json = Buffer.from(JSON.stringify({ rows, values: Object.fromEntries(this.#values) }));
    // An agent to which nothing comes writes nothing.
    if (this.#saved?.equals(json)) return;
    this.#saved = null;
    while (json.length + HEADER_BYTES > this.#slotBytes) {
      this.#slotBytes *= 2;
      this.#renew = true;
    }
    this.#generation += 1;
    const slot = makeSlot(json, this.#generation);
    try {
      if (this.#renew) await this.#writeNew(slot);
      else await this.#writeSlot(slot);
      this.#renew = false;
      this.#saved = json;
    } catch (error) {
      // A file whose sync failed is not trusted again.
      this.#renew = true;
      const message = `${path.join(this.#directory, FILE)}: ${messageOf(error)}: look at the disk`;
      throw new AgentError(isFull(error) ? 'JOURNAL_FULL' : 'JOURNAL_SYNC_FAILED', message, {
        retryable: true,
        cause: error,
      });
    }
  }

  async #writeSlot(slot: Buffer): Promise<void> {
    await withFile(this.#files, path.join(this.#directory, FILE), O_WRONLY, async (fd) => {
      await writeFully(this.#files, fd, [slot], (this.#generation % 2) * this.#slotBytes);
      await this.#files.fdatasync(fd);
    });
  }

  async #writeNew(slot: Buffer): Promise<void> {
    const whole = Buffer.alloc(this.#slotBytes * 2);
    slot.copy(whole, (this.#generation % 2) * this.#slotBytes);
    await writeAtomically(this.#files, this.#directory, FILE, [whole]);
  }

  #readNewest(bytes: Buffer): Content | null {
    let newest: Content | null = null;
    for (const at of [0, this.#slotBytes]) {
      const slot = bytes.subarray(at, at + this.#slotBytes);
      const generation = slotGeneration(slot);
      if (generation <= this.#generation) continue;
      this.#generation = generation;
      // Written by makeSlot, as its CRC says.
      newest = JSON.parse(slot.toString('utf8', HEADER_BYTES, HEADER_BYTES + slot.readUIntLE(14, 6))) as Content;
    }
    return newest;
  }
}

function makeSlot(json: Buffer, generation: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUIntLE(generation, 8, 6);
  header.writeUIntLE(json.length, 14, 6);
  const slot = Buffer.concat([header, json]);
  slot.writeUInt32LE(crc32(slot.subarray(8)), 4);
  return slot;
}

/** Generation of a whole slot, or 0. */
function slotGeneration(slot: Buffer): number {
  if (slot.length < HEADER_BYTES || slot.readUInt32LE(0) !== MAGIC) return 0;
  const end = HEADER_BYTES + slot.readUIntLE(14, 6);
  if (end > slot.length || crc32(slot.subarray(8, end)) !== slot.readUInt32LE(4)) return 0;
  return slot.readUIntLE(8, 6);
}
