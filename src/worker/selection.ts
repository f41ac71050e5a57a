/**
 * Selection, on main: trails the intake journal by `wait`, has each run of frames decided by a worker, and appends what is kept to the
 * derived journal, with the intake position it covers in the same record: a crash neither loses nor repeats a decision.
 */
import {
  type BlockPool,
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  readU64,
  SIGNALS,
  startFrame,
  UNIT_BYTES,
  writeU64,
} from '../core/block.ts';
import type { FrameRun } from '../core/component.ts';
import { messageOf } from '../core/errors.ts';
import { sealPayload } from '../journal/format.ts';
import { copyRange } from '../otlp/protobuf.ts';
import type { WorkerPool } from './pool.ts';
import type { Selected, SelectResult } from './tasks.ts';

/** By signal index; all of them move together but for the moment of a crash. */
export interface SelectionProgress {
  /** First intake sequence that is not decided. */
  next: number[];
  /** Items since the journal's creation. */
  filtered: number[];
  sampledOut: number[];
  /** What the derived journal holds of it. */
  kept: number[];
}

export interface SelectionOptions {
  blocks: BlockPool;
  workers: WorkerPool;
  waitMs: number;
  progress: SelectionProgress;
  read(from: number, maxBytes: number): Promise<FrameRun | null>;
  moved(from: number): Promise<void>;
  append(region: { first: number; end: number }): Promise<void>;
  now(): number;
  onError(message: string): void;
}

const CUT_BYTES = 512 << 10;
const CUT_MS = 200;
const RETRY_MS = 500;

export class Selection {
  readonly #options: SelectionOptions;
  #waitMs: number;
  #stopped = false;
  #oldestInFlightMs: () => number = () => Infinity;
  #running: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};
  #pending: SelectResult[] = [];
  #pendingBytes = 0;
  #pendingSince = 0;
  /** Where reading stands; `progress.next` follows when the decisions are safe. */
  #position: number;

  constructor(options: SelectionOptions) {
    this.#options = options;
    this.#waitMs = options.waitMs;
    this.#position = Math.min(...options.progress.next);
  }

  /** `oldestInFlightMs`: oldest receive time of frames whose marks are not merged yet; Infinity when there are none. */
  start(oldestInFlightMs: () => number): void {
    this.#oldestInFlightMs = oldestInFlightMs;
    this.#running = this.#loop();
  }

  /** Decides what is there without waiting any longer, up to `head`, and stops; gives up at `deadlineMs`. */
  async drain(head: number, deadlineMs: number): Promise<void> {
    const { now, progress } = this.#options;
    this.#waitMs = Number.NEGATIVE_INFINITY;
    this.#wake();
    while (Math.min(...progress.next) < head && now() < deadlineMs) await this.#sleep(20);
    this.#stopped = true;
    this.#wake();
    await this.#running;
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#step();
      } catch (error) {
        // The journal is full or a worker died: nothing was marked as decided, so the same frames come again.
        this.#options.onError(messageOf(error));
        this.#dropPending();
        this.#position = Math.min(...this.#options.progress.next);
        await this.#sleep(RETRY_MS);
      }
    }
    this.#dropPending();
  }

  async #step(): Promise<void> {
    const { read, now } = this.#options;
    if (this.#pending.length > 0 && (this.#pendingBytes >= CUT_BYTES || now() - this.#pendingSince >= CUT_MS))
      await this.#flush();
    const run = await read(this.#position, UNIT_BYTES);
    if (run === null) {
      if (this.#pending.length > 0) await this.#sleep(CUT_MS - (now() - this.#pendingSince));
      else await Promise.race([this.#options.moved(this.#position), this.#sleep(RETRY_MS)]);
      return;
    }
    try {
      const due = this.#dueEnd(run);
      if (due.count > 0) await this.#select(run, due.count);
      else await this.#sleep(Math.min(due.inMs, RETRY_MS, this.#pending.length > 0 ? CUT_MS : RETRY_MS));
    } finally {
      run.release();
    }
  }

  /** How many frames from the front are due: everything that could mark their traces in time has been merged. */
  #dueEnd(run: FrameRun): { count: number; inMs: number } {
    const { blocks, now } = this.#options;
    if (this.#waitMs < 0) return { count: run.frames.length, inMs: 0 };
    const until = Math.min(now(), this.#oldestInFlightMs());
    let count = 0;
    for (const at of run.frames) {
      const dueMs = readU64(blocks, at + Field.receivedMs) + this.#waitMs;
      if (dueMs >= until) return { count, inMs: Math.max(1, dueMs - now() + 1) };
      count++;
    }
    return { count, inMs: 0 };
  }

  async #select(run: FrameRun, count: number): Promise<void> {
    const { workers, progress, now } = this.#options;
    const whole = count === run.frames.length;
    const result = await workers.run({
      kind: 'select',
      frames: whole ? run.frames : run.frames.slice(0, count),
      from: progress.next,
    });
    if (result.failed !== null) throw new Error(result.failed.message);
    if (this.#pending.length === 0) this.#pendingSince = now();
    this.#pending.push(result);
    for (const { length } of result.selected) this.#pendingBytes += length;
    this.#position = whole ? run.next : readU64(this.#options.blocks, (run.frames[count] as number) + Field.sequence);
  }

  /** Appends one frame for each signal; then, and only then, the decisions count. */
  async #flush(): Promise<void> {
    const { blocks, append, progress } = this.#options;
    const covers = this.#position;
    const filtered = progress.filtered.map((items, i) =>
      this.#pending.reduce((sum, result) => sum + (result.filtered[i] as number), items),
    );
    const sampledOut = progress.sampledOut.map((items, i) =>
      this.#pending.reduce((sum, result) => sum + (result.sampledOut[i] as number), items),
    );
    const kept = SIGNALS.map((signal) =>
      this.#pending.flatMap(({ selected }) => selected.filter((one) => one.signal === signal)),
    );
    const frames = kept.filter((parts) => parts.length > 0);
    if (frames.length > 0) {
      const bytes = frames.reduce((sum, parts) => sum + frameSpan(lengthOf(parts)), 0);
      const block = blocks.allocate(bytes);
      if (block < 0) throw new Error('no free block for what was selected: raise agent.memory_limit');
      try {
        let end = block;
        for (const parts of frames) end = this.#writeFrame(end, parts, covers, filtered);
        await append({ first: block, end });
      } finally {
        blocks.release(block);
      }
    }
    for (let i = 0; i < SIGNALS.length; i++) {
      progress.next[i] = covers;
      progress.filtered[i] = filtered[i] as number;
      progress.sampledOut[i] = sampledOut[i] as number;
      progress.kept[i] = (progress.kept[i] as number) + itemsOf(kept[i] as Selected[]);
    }
    this.#dropPending();
  }

  #writeFrame(at: number, parts: readonly Selected[], covers: number, filtered: readonly number[]): number {
    const { blocks, now } = this.#options;
    const [first] = parts as [Selected];
    const bytes = lengthOf(parts);
    startFrame(blocks, at, 'sampled', first.signal, now(), bytes);
    let to = at + FRAME_HEADER_BYTES;
    for (const part of parts) to = copyRange(blocks.bytes, part.at, part.at + part.length, to);
    const set = (field: number, value: number) => {
      blocks.words[(at + field) >>> 2] = value;
    };
    set(Field.items, itemsOf(parts));
    set(Field.serviceKey, parts.every((part) => part.serviceKey === first.serviceKey) ? first.serviceKey : 0);
    writeU64(blocks, at + Field.covers, covers);
    writeU64(blocks, at + Field.filtered, filtered[SIGNALS.indexOf(first.signal)] as number);
    sealPayload(blocks, at);
    return at + frameSpan(bytes);
  }

  #dropPending(): void {
    for (const { block } of this.#pending) this.#options.blocks.release(block);
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(1, ms));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function itemsOf(parts: readonly Selected[]): number {
  return parts.reduce((items, part) => items + part.items, 0);
}

function lengthOf(parts: readonly Selected[]): number {
  return parts.reduce((bytes, part) => bytes + part.length, 0);
}
