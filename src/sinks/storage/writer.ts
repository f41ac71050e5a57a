/** The storage sink's I/O: one open .tmp per row, finished by size, age, hour or close. What cannot be written is read again. */
import { join } from 'node:path';
import type { Batch, Row, SinkContext, WriteResult, Writer } from '../../core/component.ts';
import { messageOf } from '../../core/errors.ts';
import { syncUp } from '../../core/makeDirectory.ts';
import { hourPath, list, publish, remove, rowDirectory, safeName } from './files.ts';
import { type Compression, createOutput } from './output.ts';
import type { OutputFile } from './plain.ts';
import { Retention } from './retention.ts';
import type { Uploads } from './uploads.ts';

/** Bounds what the deliverer must remember of a file that is not finished. */
const MOST_PIECES = 16_384;
/** Finished files that may wait for a bucket that does not answer; the rest waits in the journal. */
const MOST_WAITING = 4;
/** How often files are looked at for their age. */
const EXPIRE_EVERY_MS = 60_000;
/** A first batch of this size says that a file will be large, and so does the file before it. */
const BUSY_BATCH_BYTES = 256 << 10;
const BUSY_FILE_BYTES = 8 << 20;

export interface StorageSettings {
  directory: string;
  /** `.binpb.zst` and the like. */
  extension: string;
  compression: Compression;
  rotateBytes: number;
  rotateMs: number;
  retainBytes: number;
  retainMs: number;
}

/** `uploads`: where finished files go from `directory`, or null when they stay. */
export function createStorageWriter(
  settings: StorageSettings,
  context: SinkContext,
  uploads: Uploads | null = null,
): Writer {
  const agent = safeName(context.agent);
  const isOurs = (name: string) => parseName(agent, name) !== null;
  const retention = new Retention(settings.directory, settings, isOurs, (error) =>
    context.log.warn({ sink: context.name, error: messageOf(error) }, 'old files could not be deleted'),
  );
  // What waits for a bucket stays until it is there.
  const isExpiring = uploads === null && Number.isFinite(settings.retainMs);
  const expiring = isExpiring ? setInterval(() => retention.expire(context.now()), EXPIRE_EVERY_MS).unref() : undefined;
  const rows = new Map<string, RowFile>();
  const find = (row: Row) => {
    const found = rows.get(keyOf(row)) ?? new RowFile(row, agent, settings, context, retention, uploads);
    rows.set(keyOf(row), found);
    return found;
  };
  return {
    write: (batch) => find(batch.row).write(batch),
    resume: (row, firstSequence, receivedMs) => find(row).resume(firstSequence, receivedMs),
    finish: async (row) => {
      await rows.get(keyOf(row))?.close();
    },
    async close(deadlineMs) {
      clearInterval(expiring);
      await Promise.all([...rows.values()].map((file) => file.close()));
      await retention.settled();
      await uploads?.close(deadlineMs - context.now());
    },
  };
}

function keyOf({ stream, signal }: Row): string {
  return `${stream}/${signal}`;
}

/** First and last sequence of a finished file of this agent, or null for any other name. */
function parseName(agent: string, name: string): { first: number; last: number } | null {
  if (!name.startsWith(`${agent}_`)) return null;
  const match = /^(\d+)-(\d+)\.(?:binpb|jsonl)(?:\.zst|\.gz)?$/.exec(name.slice(agent.length + 1));
  return match === null ? null : { first: Number(match[1]), last: Number(match[2]) };
}

interface OpenFile {
  output: OutputFile;
  path: string;
  hour: string;
  first: number;
  last: number;
  pieces: number;
  timer: NodeJS.Timeout;
}

/** The file a row is writing to, if any. Everything that touches it runs one after another. */
class RowFile {
  readonly #row: Row;
  readonly #agent: string;
  readonly #settings: StorageSettings;
  readonly #context: SinkContext;
  readonly #retention: Retention;
  readonly #uploads: Uploads | null;
  readonly #directory: string;
  #open: OpenFile | null = null;
  /** Everything that was read up to here is in the open file or in one that is finished. */
  #taken = -1;
  /** Of the file before. */
  #lastBytes = 0;
  #isSwept = false;
  #syncedHour = '';
  /** Grows when held data is given up: writes that were waiting then belong to a past that is read again. */
  #generation = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    row: Row,
    agent: string,
    settings: StorageSettings,
    context: SinkContext,
    retention: Retention,
    uploads: Uploads | null,
  ) {
    this.#row = row;
    this.#agent = agent;
    this.#settings = settings;
    this.#context = context;
    this.#retention = retention;
    this.#uploads = uploads;
    this.#directory = rowDirectory(settings.directory, row);
  }

  write(batch: Batch): Promise<WriteResult> {
    const generation = this.#generation;
    return this.#inTurn(async () => {
      if (generation !== this.#generation) return { kind: 'retry', error: 'an earlier piece was lost' };
      try {
        return await this.#append(batch);
      } catch (error) {
        await this.#giveUp(error);
        return { kind: 'retry', error: messageOf(error) };
      }
    });
  }

  async resume(firstSequence: number, receivedMs: number): Promise<number | null> {
    const found = await this.#inTurn(() => this.#find(firstSequence, receivedMs));
    if (found === null) return null;
    // Out of turn: it lasts as long as the bucket is away, and whoever makes room in the journal would wait, too.
    if (this.#uploads !== null) await this.#upload(this.#uploads, found.path);
    return found.last;
  }

  /** The finished file that begins with this frame. */
  async #find(firstSequence: number, receivedMs: number): Promise<{ path: string; last: number } | null> {
    await this.#sweep();
    const hour = join(this.#directory, hourPath(receivedMs));
    for (const name of await list(hour)) {
      const found = parseName(this.#agent, name);
      if (found?.first !== firstSequence) continue;
      // The crash, or what failed, may have come between the name and its sync.
      await syncUp(hour, this.#settings.directory);
      return { path: join(hour, name), last: found.last };
    }
    return null;
  }

  /** Finishes what is open; the next batch begins a new file. */
  close(): Promise<void> {
    return this.#finishInTurn(null);
  }

  async #append(batch: Batch): Promise<WriteResult> {
    // Sent again because the answer came late, or cut otherwise after something was given up. Of a frame in pieces each is one of its own.
    const parts = batch.parts.filter(({ lastSequence, part }) => part > 0 || lastSequence > this.#taken);
    const [first, last] = [parts[0], parts.at(-1)];
    if (first === undefined || last === undefined) return { kind: 'held' };
    if (this.#uploads !== null && this.#uploads.waiting(this.#row) >= MOST_WAITING) {
      return { kind: 'retry', error: this.#uploads.error };
    }
    const hour = hourPath(batch.receivedMs);
    if (this.#open !== null && this.#open.hour !== hour) await this.#finish(this.#open);
    this.#open ??= await this.#create(first.sequence, hour, batch.bytes);
    const file = this.#open;
    await file.output.write(this.#context.pool.bytes, parts);
    file.last = last.lastSequence;
    this.#taken = last.lastSequence;
    file.pieces++;
    if (file.output.bytes < this.#settings.rotateBytes && file.pieces < MOST_PIECES) return { kind: 'held' };
    await this.#finish(file);
    // Confirmed by now, or when it was uploaded.
    return { kind: 'held' };
  }

  async #create(first: number, hour: string, firstBytes: number): Promise<OpenFile> {
    await this.#sweep();
    const path = join(this.#directory, `${this.#agent}_${first}${this.#settings.extension}.tmp`);
    const isBusy = firstBytes >= BUSY_BATCH_BYTES || this.#lastBytes >= BUSY_FILE_BYTES;
    const output = await createOutput(path, isBusy, this.#settings.compression);
    const timer = setTimeout(() => void this.#finishInTurn(file), this.#settings.rotateMs);
    const file = { output, path, hour, first, last: -1, pieces: 0, timer };
    return file;
  }

  async #finish(file: OpenFile): Promise<void> {
    clearTimeout(file.timer);
    await file.output.complete();
    await file.output.close();
    this.#lastBytes = file.output.bytes;
    const name = `${this.#agent}_${file.first}-${file.last}${this.#settings.extension}`;
    const path = join(this.#directory, file.hour, name);
    // The directories above an hour's first file are new, too.
    await publish(file.path, path, this.#settings.directory, this.#syncedHour === file.hour);
    this.#syncedHour = file.hour;
    this.#open = null;
    const confirm = () => this.#context.confirm(this.#row, file.last);
    if (this.#uploads === null) {
      confirm();
      this.#retention.add(path, file.output.bytes, this.#context.now());
    } else {
      // Given up only by a close: the cursor stands before the file, and the next start finds it.
      this.#upload(this.#uploads, path).then(confirm, () => {});
    }
  }

  /** Rejects for what is not in the bucket. Where it is not on the disk either, all that no bucket has is read again. */
  async #upload(uploads: Uploads, path: string): Promise<void> {
    try {
      await uploads.add(this.#row, path);
    } catch (error) {
      await this.#inTurn(async () => {
        if (await uploads.mend(this.#row)) await this.#giveUp(error, true);
      });
      throw error;
    }
  }

  /** Finishes this file, or whichever is open. */
  #finishInTurn(file: OpenFile | null): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#open === null || (file !== null && file !== this.#open)) return;
      try {
        await this.#finish(this.#open);
      } catch (error) {
        await this.#giveUp(error);
      }
    });
  }

  /** Drops the open file; after a failed write or sync nobody knows what of it is on disk. */
  async #giveUp(error: unknown, isMoreLost = false): Promise<void> {
    const file = this.#open;
    this.#open = null;
    this.#isSwept = false;
    this.#syncedHour = '';
    if (file !== null) {
      clearTimeout(file.timer);
      // Closed already when it was the rename that failed.
      await file.output.close().catch((cause) => this.#context.log.debug({ error: messageOf(cause) }, 'close'));
    }
    this.#taken = -1;
    // Not before the rewind: a write that came while the file was closed is of that past, too, and would be taken for what comes next.
    this.#generation++;
    // Without a file nothing that was taken is lost: the batch alone comes again.
    if (file !== null || isMoreLost) this.#context.rewind(this.#row, `${this.#directory}: ${messageOf(error)}`);
  }

  /** Removes what a crash, or a file that was given up, left behind: those frames come again. */
  async #sweep(): Promise<void> {
    if (this.#isSwept) return;
    for (const name of await list(this.#directory)) {
      if (!name.startsWith(`${this.#agent}_`) || !name.endsWith('.tmp')) continue;
      if (/^\d+\.[a-z.]+$/.test(name.slice(this.#agent.length + 1))) await remove(join(this.#directory, name));
    }
    this.#isSwept = true;
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    // Whoever comes next waits for the end, not for success.
    this.#last = result.then(
      () => {},
      () => {},
    );
    return result;
  }
}
