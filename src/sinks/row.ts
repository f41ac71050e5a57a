/** One row of a sink (a stream and a signal): reads, sends and retries without end. Knows nothing of other rows; progress.ts has the cursor. */
import { Field, readU64 } from '../core/block.ts';
import type { CursorRow, FrameBatch, FrameSource, Row, Writer } from '../core/component.ts';
import { messageOf } from '../core/errors.ts';
import type { Telemetry } from '../core/telemetry.ts';
import { Job, type JobSettings } from './job.ts';
import type { Lease, Room } from './lease.ts';
import { countMoved, type Entry, expireCursor, Progress, passedOf } from './progress.ts';
import { backoffMs, type Retry, type RowState, sleep, stateOf, until } from './retry.ts';

/** Writes that were given up and still use their memory; beyond these no new one begins. */
const MOST_ABANDONED = 8;

export interface RowSettings extends JobSettings {
  batchBytes: number;
  /** Shared by the rows of a sink. */
  room: Room;
  concurrency: number;
  /** How long what comes is gathered after all that was there has been read. */
  gatherMs: number;
  retry: Retry;
  telemetry: Telemetry;
  now(): number;
  /** Called after the cursor changed; `damaged`: items that were lost on the way there. */
  changed(row: Row, damaged: number): void;
}

export class DeliveryRow {
  readonly row: Row;
  readonly #cursor: CursorRow;
  readonly #progress: Progress;
  readonly #source: FrameSource;
  readonly #settings: RowSettings;
  readonly #writer: Writer;
  readonly #concurrency: number;
  #position = 0;
  /** Aborted by a rewind, which puts a new one in its place, and by close. */
  #stop = new AbortController();
  #closing = false;
  #resting = false;
  #active = 0;
  /** Writes without an answer: those in flight and those given up. */
  #unanswered = 0;
  /** The destination had everything up to here before we started. */
  #skipTo = -1;
  #askResume = true;
  #rewinds = 0;
  #pauseMs = 0;
  /** The last read took all that was there. */
  #isCaughtUp = false;
  /** What is wrong with the row rather than with one batch: the source, or held data that was lost. */
  #trouble: string | null = null;
  #failingSinceMs = 0;
  #turn = Promise.withResolvers<void>();

  constructor(row: Row, cursor: CursorRow, source: FrameSource, writer: Writer, settings: RowSettings) {
    this.row = row;
    this.#cursor = cursor;
    this.#source = source;
    this.#writer = writer;
    this.#settings = settings;
    this.#goTo(cursor.next);
    // What is held must come in order: a rewind after one lost piece would otherwise cross later ones.
    this.#concurrency = writer.resume === undefined ? settings.concurrency : 1;
    this.#progress = new Progress(cursor, settings.pool, (moved) => {
      countMoved(settings.telemetry, settings.name, row, moved);
      this.#failingSinceMs = settings.now();
      settings.changed(row, moved.damaged);
    });
  }

  /** Reads and sends until `stopReading`. */
  async run(): Promise<void> {
    for (let failures = 0; !this.#closing; ) {
      const stop = this.#stop.signal;
      try {
        await this.#step(stop);
        if (failures > 0) this.#trouble = null;
        failures = 0;
      } catch (error) {
        // Reading or resuming failed and nothing was taken: the same position is read again.
        this.fail(messageOf(error));
        await sleep(backoffMs(this.#settings.retry, failures++), stop);
      }
    }
    this.#source.leave(this);
  }

  stopReading(): void {
    this.#closing = true;
    this.#stop.abort();
    this.#notify();
  }

  /** Resolves when nothing is in flight. */
  async settled(): Promise<void> {
    while (this.#active > 0) await this.#turn.promise;
  }

  /** Resolves when everything the source has is sent (held counts), or when reading was stopped. */
  async drained(): Promise<void> {
    // One that rests may have been overtaken by its source and not know yet.
    const isIdle = () => this.#resting && this.#active === 0 && this.#source.head <= this.#position;
    while (!this.#closing && !isIdle()) await this.#turn.promise;
  }

  confirm(lastSequence: number): void {
    this.#trouble = null;
    this.#rewinds = 0;
    this.#progress.confirm(lastSequence);
  }

  /** Completes what the destination holds, when everything was read. */
  async finish(): Promise<void> {
    if (this.#isCaughtUp || this.#resting) await this.#writer.finish?.(this.row);
  }

  fail(error: string): void {
    this.#startFailing(error);
    this.#trouble = error;
  }

  rewind(error: string): void {
    this.#pauseMs = backoffMs(this.#settings.retry, this.#rewinds++);
    this.fail(error);
    this.#restart();
  }

  /** Reads again from the cursor, whatever is in flight. */
  #restart(): void {
    this.#progress.clear();
    this.#goTo(this.#cursor.next);
    this.#skipTo = -1;
    this.#askResume = true;
    this.#stop.abort();
    if (!this.#closing) this.#stop = new AbortController();
    this.#notify();
  }

  /**
   * Gives up what lies below `next`, where the row's running total is `total`; returns the items that were given up. What the destination
   * holds already is safe soon and is left alone, unless it says that it is not.
   */
  expire(next: number, total: number): number {
    if (this.#progress.first?.state === 'held' && this.#trouble === null) return 0;
    const items = expireCursor(this.#cursor, next, total);
    if (items < 0) return 0;
    this.#settings.telemetry.sinkItems.inc({ ...this.row, sink: this.#settings.name, outcome: 'expired' }, items);
    this.#restart();
    return items;
  }

  state(): RowState {
    const nowMs = this.#settings.now();
    const error = this.#trouble ?? this.#progress.error;
    const lagItems = Math.max(0, this.#source.total(this.row.stream, this.row.signal) - passedOf(this.#cursor));
    return {
      row: this.row,
      state: stateOf(error, nowMs - this.#failingSinceMs),
      error,
      lagItems,
      lagMs: lagItems === 0 ? 0 : Math.max(0, nowMs - this.#progress.oldestMs),
    };
  }

  async #step(stop: AbortSignal): Promise<void> {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = 0;
    if (pauseMs > 0) await sleep(pauseMs, stop);
    if (this.#isCaughtUp && this.#settings.gatherMs > 0) await sleep(this.#settings.gatherMs, stop);
    while (!stop.aborted && !this.#hasRoom()) await this.#turn.promise;
    if (stop.aborted) return;
    const batch = await this.#source.read(this.#position, this.row, this.#settings.batchBytes, passedOf(this.#cursor));
    this.#isCaughtUp = batch !== null && batch.next >= this.#source.head;
    if (batch === null) return this.#rest(stop);
    const lease = this.#settings.room.lease(batch);
    try {
      while (!stop.aborted && this.#active >= this.#concurrency) await this.#turn.promise;
      // After a rewind the frames are read again; after a close by the next start.
      if (stop.aborted) return;
      this.#progress.see(batch.frames);
      const skipped = await this.#countSkipped(batch.frames);
      if (!stop.aborted) this.#take(batch, lease, skipped, stop);
    } finally {
      lease.done();
    }
  }

  #goTo(next: number): void {
    this.#position = next;
    if (!this.#closing) this.#source.follow(this, next);
  }

  #hasRoom(): boolean {
    if (this.#active > 0 && !this.#settings.room.isLeft) return false;
    // Where one waits for another, the next is read meanwhile, unless more is still coming for it.
    const most = this.#concurrency === 1 && !this.#isCaughtUp ? 2 : this.#concurrency;
    return this.#active < most && this.#isAnswered() && !this.#progress.isFarAhead;
  }

  /** Nothing to read: costs next to nothing until something comes. */
  async #rest(stop: AbortSignal): Promise<void> {
    this.#resting = true;
    this.#notify();
    const passBy = (next: number) => !stop.aborted && this.#passBy(next);
    await until(this.#source.arrival(this.row, this.#position, passBy), stop);
    // A source that did not move has closed: nothing more will come.
    if (!stop.aborted && this.#source.head <= this.#position) await until(new Promise(() => {}), stop);
    this.#resting = false;
  }

  /** Before `next` there is nothing of this row. */
  #passBy(next: number): true {
    this.#goTo(next);
    this.#progress.pass({ next, damaged: 0, filtered: 0 });
    return true;
  }

  /** How many of the frames the destination already has, in pieces that it finished before a crash. */
  async #countSkipped(frames: readonly number[]): Promise<number> {
    const { pool } = this.#settings;
    for (const [i, frame] of frames.entries()) {
      const sequence = readU64(pool, frame + Field.sequence);
      if (sequence <= this.#skipTo) continue;
      if (!this.#askResume || this.#writer.resume === undefined) return i;
      const last = await this.#writer.resume(this.row, sequence, readU64(pool, frame + Field.receivedMs));
      if (last === null || last < sequence) {
        this.#askResume = false;
        return i;
      }
      this.#skipTo = last;
    }
    return frames.length;
  }

  #take(batch: FrameBatch, lease: Lease, skipped: number, stop: AbortSignal): void {
    this.#goTo(batch.next);
    if (skipped > 0) {
      const last = readU64(this.#settings.pool, (batch.frames[skipped - 1] as number) + Field.sequence);
      this.#progress.add(batch.frames.slice(0, skipped), { next: last + 1, damaged: 0, filtered: 0 }, 'held');
      // Only whole pieces count, and this one may go on in the next batch.
      if (last >= this.#skipTo) this.confirm(last);
    }
    const rest = batch.frames.slice(skipped);
    if (rest.length === 0) this.#progress.pass(batch);
    else void this.#deliver(rest, this.#progress.add(rest, batch, 'flying'), lease, stop);
  }

  /** Sends until it is safe, refused, or made pointless by a rewind or a close. Never rejects. */
  async #deliver(frames: readonly number[], entry: Entry, lease: Lease, stop: AbortSignal): Promise<void> {
    lease.hold();
    this.#active++;
    const isWanted = () => this.#progress.has(entry);
    const order = { frames, lease, isWanted, count: (change: 1 | -1) => this.#count(change) };
    const job = new Job(this.#settings, this.#writer, this.row, order);
    for (let attempt = 0; !stop.aborted; attempt++) {
      const result = await job.attempt();
      if (!isWanted()) break;
      if (result.kind !== 'retry' || this.#progress.isConfirmed(entry)) {
        entry.deadLettered = Math.min(entry.items, job.deadLettered);
        this.#progress.settle(entry, result.kind === 'held' ? 'held' : 'done');
        break;
      }
      this.#startFailing(result.error);
      entry.error = result.error;
      this.#settings.telemetry.sinkRetries.inc({ sink: this.#settings.name });
      await sleep(Math.max(result.afterMs ?? 0, backoffMs(this.#settings.retry, attempt)), stop);
      while (!this.#isAnswered() && !stop.aborted) await this.#turn.promise;
    }
    this.#active--;
    lease.done();
    this.#notify();
  }

  #count(change: 1 | -1): void {
    this.#unanswered += change;
    this.#notify();
  }

  #isAnswered(): boolean {
    return this.#unanswered < this.#concurrency + MOST_ABANDONED;
  }

  #startFailing(error: string): void {
    if (this.#trouble !== null || this.#progress.error !== null) return;
    this.#failingSinceMs = this.#settings.now();
    // Once for each outage: what lasts is in the status.
    const { stream, signal } = this.row;
    this.#settings.log.warn(`${this.#settings.name} does not take ${stream} ${signal}, trying again: ${error}`);
  }

  /** Lets everyone who waits for this row look again. */
  #notify(): void {
    const turn = this.#turn;
    this.#turn = Promise.withResolvers();
    turn.resolve();
  }
}
