/**
 * Brings finished local files to a bucket, those of a row one after the other, without end. A file that was uploaded is emptied and stays
 * for a while: after a crash its name says what needs no second upload. One that was not is found by its name, too, and uploaded then.
 */
import { dirname, relative, sep } from 'node:path';
import type { Row } from '../../core/component.ts';
import { AgentError, messageOf } from '../../core/errors.ts';
import { backoffMs, type Retry, sleep } from '../retry.ts';
import { empty, findFinished, remove, removeIfEmpty, rowDirectory, sizeOf } from './files.ts';
import type { Bucket } from './s3.ts';

/** Names that stay, a row: cursors are saved every second, so that far fewer are ever asked for. */
const MOST_NAMES = 64;

interface RowUploads {
  /** By path. */
  waiting: Map<string, Promise<void>>;
  last: Promise<void>;
  /** Paths of emptied files, oldest first; null until the folder was read. A start adds again those that it asks for. */
  names: Set<string> | null;
  /** A file that waited is gone: nothing behind it may count as delivered, or what it held would, too. */
  isBroken: boolean;
}

export class Uploads {
  readonly #bucket: Bucket;
  readonly #root: string;
  readonly #prefix: string;
  readonly #retry: Retry;
  readonly #failed: (row: Row, error: string) => void;
  readonly #rows = new Map<string, RowUploads>();
  readonly #stop = new AbortController();
  #error = 'earlier files wait for their upload';

  /** `root`: what keys are relative to. `failed` is told of each attempt that failed. */
  constructor(bucket: Bucket, root: string, prefix: string, retry: Retry, failed: (row: Row, error: string) => void) {
    this.#bucket = bucket;
    this.#root = root;
    this.#prefix = prefix.replace(/^\/+|\/+$/g, '');
    this.#retry = retry;
    this.#failed = failed;
  }

  /** Files of the row that wait; `error` says why. */
  waiting(row: Row): number {
    return this.#find(row).waiting.size;
  }

  get error(): string {
    return this.#error;
  }

  /**
   * Resolves when the file lies in the bucket; at once when it is known to. Rejects when that was given up: the file is still there, or it
   * is gone, and then so are those behind it (see `mend`).
   */
  add(row: Row, path: string): Promise<void> {
    const of = this.#find(row);
    const known = of.waiting.get(path);
    if (known !== undefined) return known;
    const uploaded = of.last.then(() => this.#upload(row, of, path)).finally(() => of.waiting.delete(path));
    of.waiting.set(path, uploaded);
    // Whoever comes next waits for the end, not for success.
    of.last = uploaded.catch(() => {});
    return uploaded;
  }

  /** After a file was gone: true when all of the row begins anew, with what lies in no bucket written again by the caller. */
  async mend(row: Row): Promise<boolean> {
    const of = this.#find(row);
    if (!of.isBroken) return false;
    await of.last;
    this.#rows.delete(keyOf(row));
    return true;
  }

  /** Waits until all are uploaded, at most `withinMs`. */
  async close(withinMs: number): Promise<void> {
    const timer = setTimeout(() => this.#stop.abort(), Math.max(0, withinMs));
    await Promise.all([...this.#rows.values()].map(({ last }) => last));
    clearTimeout(timer);
    this.#stop.abort();
    this.#bucket.close();
  }

  #find(row: Row): RowUploads {
    const fresh = { waiting: new Map(), last: Promise.resolve(), names: null, isBroken: false };
    const found = this.#rows.get(keyOf(row)) ?? fresh;
    this.#rows.set(keyOf(row), found);
    return found;
  }

  async #upload(row: Row, of: RowUploads, path: string): Promise<void> {
    const { signal } = this.#stop;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const bytes = of.isBroken ? null : await sizeOf(path);
        of.isBroken = bytes === null;
        if (bytes === null) break;
        if (bytes > 0) {
          await this.#bucket.put(path, this.#keyOf(path), signal);
          // Deleted meanwhile: it lies in the bucket all the same.
          await empty(path);
        }
        await this.#forgetOld(row, of, path);
        return;
      } catch (error) {
        if (signal.aborted) break;
        this.#error = messageOf(error);
        this.#failed(row, this.#error);
        await sleep(backoffMs(this.#retry, attempt), signal);
      }
    }
    // Behind one that is gone: it is written again, too.
    if (of.isBroken) await remove(path);
    const why = of.isBroken
      ? 'deleted before its upload: it is written again'
      : 'stopped before its upload: the next start uploads it';
    throw new AgentError('SINK_RETRY', `${path}: ${why}`, { retryable: true });
  }

  #keyOf(path: string): string {
    const name = relative(this.#root, path).replaceAll(sep, '/');
    return this.#prefix === '' ? name : `${this.#prefix}/${name}`;
  }

  async #forgetOld(row: Row, of: RowUploads, path: string): Promise<void> {
    if (of.names === null) {
      // What earlier lives have left; this file is among it.
      const found = await findFinished(rowDirectory(this.#root, row), (name) => /_\d+-\d+\./.test(name));
      of.names = new Set(found.filter(({ bytes }) => bytes === 0).map((file) => file.path));
    } else of.names.add(path);
    for (const oldest of of.names) {
      if (of.names.size <= MOST_NAMES) break;
      of.names.delete(oldest);
      await remove(oldest);
      await removeIfEmpty(dirname(oldest));
    }
  }
}

function keyOf({ stream, signal }: Row): string {
  return `${stream}/${signal}`;
}
