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
import { AgentError, messageOf } from '../core/errors.ts';
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
/** After waiting for an append: not at once, because a source that closes answers at once, too. */
const SOON_MS = 1;
const MOST_IN_FLIGHT = 4;

const NOTHING: SelectResult = { block: -1, selected: [], filtered: [0, 0, 0], sampledOut: [0, 0, 0], failed: null };

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
  /** Runs of frames that workers are deciding, oldest first: while one is decided the next is read. */
  readonly #flights: { result: Promise<SelectResult>; next: number }[] = [];
  /** Where reading stands, and up to where decisions are pending; `progress.next` follows when they are safe. */
  #position: number;
  #decided: number;

  constructor(options: SelectionOptions) {
    this.#options = options;
    this.#waitMs = options.waitMs;
    this.#position = Math.min(...options.progress.next);
    this.#decided = this.#position;
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
        await this.#reset();
        await this.#sleep(RETRY_MS);
      }
    }
    await this.#reset();
  }

  async #step(): Promise<void> {
    const { now } = this.#options;
    const late = this.#pending.length > 0 && now() - this.#pendingSince >= CUT_MS;
    if (late || this.#pendingBytes >= CUT_BYTES) await this.#flush();
    const waitMs = this.#flights.length < MOST_IN_FLIGHT ? await this.#launch() : 0;
    if (waitMs === 0) {
      if (this.#flights.length >= MOST_IN_FLIGHT) await this.#land();
    } else if (this.#flights.length > 0) await this.#land();
    else if (this.#pending.length > 0) await this.#sleep(Math.min(waitMs, CUT_MS - (now() - this.#pendingSince)));
    else await this.#sleep(waitMs);
  }

  /** Hands the next frames that are due to a worker; returns 0, or how long there is nothing to hand out. */
  async #launch(): Promise<number> {
    const { read, workers, progress } = this.#options;
    const run = await read(this.#position, UNIT_BYTES);
    if (run === null) {
      // Woken by the next append, unless something waits to be written.
      if (this.#flights.length + this.#pending.length === 0)
        await Promise.race([this.#options.moved(this.#position), this.#sleep(RETRY_MS)]);
      return this.#flights.length + this.#pending.length === 0 ? SOON_MS : RETRY_MS;
    }
    if (run.frames.length === 0) {
      // A gap in the sequence (a restart leaves one) or damage: it is decided by passing it.
      run.release();
      this.#flights.push({ result: Promise.resolve(NOTHING), next: run.next });
      this.#position = run.next;
      return 0;
    }
    const { count, inMs } = this.#dueEnd(run);
    if (count === 0) {
      run.release();
      return Math.min(inMs, RETRY_MS);
    }
    const whole = count === run.frames.length;
    const frames = whole ? run.frames : run.frames.slice(0, count);
    const next = whole ? run.next : readU64(this.#options.blocks, (run.frames[count] as number) + Field.sequence);
    const result = workers.run({ kind: 'select', frames, from: progress.next }).finally(() => run.release());
    // Awaited in order by #land; a rejection that comes before is kept for then.
    result.catch(() => undefined);
    this.#flights.push({ result, next });
    this.#position = next;
    return 0;
  }

  /** Takes the oldest result. */
  async #land(): Promise<void> {
    const flight = this.#flights.shift();
    if (flight === undefined) return;
    const result = await flight.result;
    if (result.failed !== null) throw new AgentError(result.failed.code, result.failed.message, { retryable: true });
    if (this.#pending.length === 0) this.#pendingSince = this.#options.now();
    this.#pending.push(result);
    for (const { length } of result.selected) this.#pendingBytes += length;
    this.#decided = flight.next;
  }

  /** Forgets what is not safe; it is read again from `progress`. */
  async #reset(): Promise<void> {
    for (const { result } of this.#flights.splice(0)) {
      // What failed has told its reason already, or will when it comes again.
      const landed = await result.catch(() => null);
      if (landed !== null && landed.block >= 0) this.#options.blocks.release(landed.block);
    }
    this.#dropPending();
    this.#position = Math.min(...this.#options.progress.next);
    this.#decided = this.#position;
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

  /** Appends one frame for each signal; then, and only then, the decisions count. */
  async #flush(): Promise<void> {
    const { blocks, append, progress } = this.#options;
    const covers = this.#decided;
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
      if (block < 0)
        throw new AgentError('OVERLOADED', 'no free block for what was selected: raise agent.memory_limit', {
          retryable: true,
        });
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
    for (const { block } of this.#pending) if (block >= 0) this.#options.blocks.release(block);
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
