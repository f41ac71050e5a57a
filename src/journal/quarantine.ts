/** Keeps a copy of what is no record, before its segment is recycled, and of frames that kill workers; counts damage once per piece. */
import path from 'node:path';
import type { Logger } from 'pino';
import { messageOf } from '../core/errors.ts';
import { type Files, O_RDONLY, readFully, withFile, writeAtomically } from './files.ts';
import type { Segment } from './segment.ts';

const PIECE_BYTES = 1 << 20;
/** Bytes copied per run of the agent: damage must not fill the disk. */
const MOST_BYTES = 64 << 20;

export class Quarantine {
  readonly #files: Files;
  readonly #directory: string;
  readonly #log: Pick<Logger, 'warn' | 'error'>;
  readonly #onDamage: ((bytes: number) => void) | undefined;
  readonly #seen = new Set<string>();
  #bytes = 0;
  #work: Promise<void> = Promise.resolve();

  constructor(
    files: Files,
    directory: string,
    log: Pick<Logger, 'warn' | 'error'>,
    onDamage: ((bytes: number) => void) | undefined,
  ) {
    this.#files = files;
    this.#directory = path.join(directory, 'quarantine');
    this.#log = log;
    this.#onDamage = onDamage;
  }

  /** `bad` is [from, to) in file offsets, flat; pieces seen before are ignored. */
  take(segment: Segment, bad: number[]): void {
    for (let i = 0; i < bad.length; i += 2) {
      const [from, to] = bad.slice(i, i + 2) as [number, number];
      const key = `${segment.number}-${from}`;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      this.#onDamage?.(to - from);
      this.#log.error({ segment: segment.file, from, to }, 'journal: damaged bytes skipped, copied to quarantine/');
      if (this.#bytes + to - from > MOST_BYTES) continue;
      this.#bytes += to - from;
      this.#copyLater(segment, from, to);
    }
  }

  /** Keeps bytes that are no damage but do harm, under `NAME.bin`; they are copied at once. */
  keep(name: string, bytes: Uint8Array): void {
    if (this.#bytes + bytes.length > MOST_BYTES) return;
    this.#bytes += bytes.length;
    const copy = Buffer.from(bytes);
    this.#later(() => this.#write(name, copy));
  }

  async close(): Promise<void> {
    await this.#work;
  }

  #copyLater(segment: Segment, from: number, to: number): void {
    segment.readers += 1;
    this.#later(async () => {
      try {
        await this.#copy(segment, from, Math.min(to, from + PIECE_BYTES));
      } finally {
        segment.readers -= 1;
      }
    });
  }

  #later(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      this.#log.warn({ reason: messageOf(error) }, 'journal: bytes could not be copied to quarantine/');
    });
  }

  async #copy(segment: Segment, from: number, to: number): Promise<void> {
    const files = this.#files;
    const bytes = Buffer.alloc(to - from);
    await withFile(files, segment.file, O_RDONLY, (fd) => readFully(files, fd, bytes, from));
    await this.#write(`${path.basename(segment.file, '.seg')}-${from}`, bytes);
  }

  async #write(name: string, bytes: Buffer): Promise<void> {
    await this.#files.makeDirectory(this.#directory);
    await writeAtomically(this.#files, this.#directory, `${name}.bin`, [bytes]);
  }
}
