/**
 * What main remembers over a restart, beside the frames: when it is saved, and which segments may go then.
 *
 *   every 100 ms   observers speak; their frames go to the derived journal
 *   every second   cursors are saved; segments below all of them may go
 *   every 10 s     the checkpoint is saved, after 128 MiB of intake, and after each flush, with what is said and not yet in the journal
 */
import type { Logger } from 'pino';
import type { BlockPool, Signal } from '../core/block.ts';
import type { CursorRow, Row } from '../core/component.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { saveCheckpoint } from '../journal/checkpoint.ts';
import type { CursorTable } from '../journal/cursors.ts';
import type { Hold } from '../journal/holds.ts';
import type { Journal } from '../journal/journal.ts';
import type { Reserve } from '../journal/reserve.ts';
import type { Observers, Spoken } from '../worker/observers.ts';
import type { SelectionProgress } from '../worker/selection.ts';
import { CHECKPOINT, type SavedCheckpoint } from './checkpoint.ts';
import { freshCursor, freshProgress } from './fresh.ts';
import { type Loss, lossEmission } from './loss.ts';
import { Unsaid } from './unsaid.ts';

const TICK_MS = 100;
const TICKS_PER_SAVE = 10;
const TICKS_PER_CHECKPOINT = 100;
/** So much intake is measured again within a second by a start; a busy agent checkpoints more often for it. */
const BYTES_PER_CHECKPOINT = 128 << 20;
/** Traces are remembered this long beyond their decision, so that late items follow it after a restart, too. */
const TRACE_MEMORY_MS = 60_000;
/** Nor are they worth more than a second or two of a start. */
const MOST_REBUILD_BYTES = 256 << 20;
/** Seconds for which it is known where the journal stood. */
const MOST_MOMENTS = 4096;
/** Beyond this share of the intake journal's quota only what somebody still has to read is kept. */
const PRESSED_SHARE = 0.5;

export interface MemoryOptions {
  directory: string;
  /** `{agent.id}-{journal id}` */
  agent: string;
  pool: BlockPool;
  table: CursorTable;
  intake: Journal;
  derived: Journal;
  reserve: Reserve;
  log: Logger;
  /** The intake journal's quota. */
  maxBytes: number;
  /** How far back intake segments are kept for contracts. */
  lookBackMs: number;
  /** The sampler's wait. */
  waitMs: number;
  now(): number;
}

export class Memory {
  /** Items refused in partial success. */
  readonly rejected: Record<Signal, number>;
  readonly unsaid: Unsaid;
  readonly #options: MemoryOptions;
  readonly #holds: { hold: Hold; position: () => number }[] = [];
  #observers: Observers | null = null;
  #progress: SelectionProgress | null = null;
  #oldestInFlightMs: () => number = () => Infinity;
  /** Below these, the last checkpoint needs nothing. */
  #checkpointed: { intake: number; derived: number };
  #moments: { ms: number; sequence: number }[] = [];
  #pressed = false;
  #ticks = 0;
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> = Promise.resolve();
  #failure: string | null = null;
  #enforce: () => Promise<void> = () => Promise.resolve();

  constructor(options: MemoryOptions) {
    this.#options = options;
    const { table, intake, derived, pool } = options;
    this.unsaid = new Unsaid(pool, (region) => derived.append(region));
    const saved = table.value('rejected') as Record<Signal, number> | undefined;
    this.rejected = saved ?? { traces: 0, metrics: 0, logs: 0 };
    this.#checkpointed = { intake: intake.first, derived: derived.first };
    this.#keep('look_back', () =>
      this.#isPressed() ? intake.head : this.sequenceAt(options.now() - options.lookBackMs),
    );
    this.#keep('checkpoint', () => this.#checkpointed.intake);
    this.#keep('checkpoint', () => this.#checkpointed.derived, derived);
  }

  /** What is kept for convenience is given up long before anything has to be refused. */
  #isPressed(): boolean {
    return this.#pressed || this.#options.intake.bytes > this.#options.maxBytes * PRESSED_SHARE;
  }

  /** Keeps frames from `position` on; it is asked before each save and applied after it. */
  #keep(name: string, position: () => number, journal: Journal = this.#options.intake): void {
    this.#holds.push({
      hold: journal.hold(name, Math.max(journal.first, Math.min(position(), journal.head))),
      position,
    });
  }

  /** Where the selection stood; a new one begins at the head, and what lies before counts as sampled out. */
  savedProgress(): SelectionProgress {
    const { table, intake, derived } = this.#options;
    const saved = table.value('selection') as SelectionProgress | undefined;
    return saved ?? freshProgress(intake, derived, table.found === 'damaged');
  }

  followSelection(progress: SelectionProgress): void {
    this.#progress = progress;
    this.#keep('selection', () => Math.min(...progress.next));
    this.#keep('traces', () => this.#rebuildFrom());
  }

  /** Where measuring again has to begin so that the trace table knows every trace that still matters. */
  get savedRebuildFrom(): number {
    return Number(this.#options.table.value('rebuild_from') ?? this.#options.intake.first);
  }

  /** The durable row under this key; a new one begins at the head. Ask once for each. */
  cursor(key: string, row: Row): CursorRow {
    const { table, intake, derived } = this.#options;
    const journal = row.stream === 'raw' ? intake : derived;
    const sampled = row.stream === 'sampled' ? this.#progress : null;
    const cursor = table.row(key, freshCursor(journal, row, sampled, table.found === 'damaged'));
    this.#keep(`sink ${key}`, () => cursor.next, journal);
    return cursor;
  }

  /** Removes rows of sinks that are configured no longer; returns them. */
  forgetOthers(keys: ReadonlySet<string>): [string, CursorRow][] {
    const { table } = this.#options;
    const gone = [...table.rows()].filter(([key]) => !keys.has(key));
    for (const [key] of gone) table.delete(key);
    return gone;
  }

  /** Last words of observers that a reload has removed. */
  say(spoken: readonly Spoken[], covers: number): void {
    for (const { emission, processor } of spoken) this.unsaid.add({ emission, covers, processor });
  }

  /** Something was dropped: an event says so. */
  lose(loss: Loss): void {
    const { agent, now, log } = this.#options;
    if (loss.items === 0) return;
    log.error({ ...loss }, 'items lost');
    this.unsaid.add({ emission: lossEmission(loss, agent, now()), covers: 0, processor: -1 });
  }

  /** `enforce` is called every second, before the cursors are saved. */
  start(observers: Observers, oldestInFlightMs: () => number, enforce: () => Promise<void>): void {
    this.#observers = observers;
    this.#oldestInFlightMs = oldestInFlightMs;
    this.#enforce = enforce;
    this.#timer = setInterval(() => void this.#tick(), TICK_MS);
  }

  /** Lets observers speak for everything received before `untilMs`; `toldMs`: by processor, up to when events were told before a restart. */
  speak(observers: Observers, untilMs: number, final: boolean, toldMs: readonly number[] = []): void {
    // One whose last flush the full journal has not taken goes on merging: nothing is lost.
    for (const { emission, processor } of observers.tick(untilMs, final, this.unsaid.flushing)) {
      if (emission.stream === 'events' && emission.timeMs <= (toldMs[processor] ?? 0)) continue;
      this.unsaid.add({ emission, covers: observers.position, processor });
    }
  }

  async #tick(): Promise<void> {
    const { now, intake } = this.#options;
    this.#ticks++;
    if (this.#ticks % TICKS_PER_SAVE === 0) {
      this.#moments.push({ ms: now(), sequence: intake.head });
      if (this.#moments.length > MOST_MOMENTS) this.#moments.shift();
    }
    if (this.#observers !== null) this.speak(this.#observers, Math.min(now(), this.#oldestInFlightMs()), false);
    // Its own number: by the time its turn comes the next tick may have been.
    const tick = this.#ticks;
    this.#saving = this.#saving.then(() => this.#save(tick));
    await this.#saving;
  }

  async #save(tick: number): Promise<void> {
    try {
      const { flushed, error } = await this.unsaid.say();
      if (flushed || this.#isCheckpointDue(tick)) await this.checkpoint();
      if (tick % TICKS_PER_SAVE === 0) {
        await this.#enforce();
        await this.saveCursors();
        await this.#options.reserve.restore();
      }
      if (error !== null) throw error;
      this.#failure = null;
    } catch (error) {
      // Everything is still in memory and comes again with the next tick; say it once.
      if (this.#failure === null) this.#options.log.warn(`not saved, trying again: ${messageOf(error)}`);
      this.#failure = messageOf(error);
    }
  }

  #isCheckpointDue(tick: number): boolean {
    const { intake } = this.#options;
    if (tick % TICKS_PER_CHECKPOINT === 0) return true;
    return tick % TICKS_PER_SAVE === 0 && intake.bytesFrom(this.#checkpointed.intake) > BYTES_PER_CHECKPOINT;
  }

  async checkpoint(): Promise<void> {
    const { directory, derived } = this.#options;
    if (this.#observers === null) return;
    const saved: SavedCheckpoint = {
      observers: this.#observers.save(),
      unsaid: this.unsaid.save(),
      derivedHead: derived.head,
    };
    await this.#withReserve(() => saveCheckpoint(directory, CHECKPOINT, Buffer.from(JSON.stringify(saved))));
    this.#checkpointed = { intake: saved.observers.position, derived: saved.derivedHead };
  }

  /** `pressed`: the journal has no room, so that only what somebody still has to read is kept. */
  async saveCursors(pressed = false): Promise<void> {
    this.#pressed = pressed;
    const { table, intake, derived } = this.#options;
    table.setValue('rejected', this.rejected);
    table.setValue('rebuild_from', this.#rebuildFrom());
    table.setValue('ends', { intake: intake.end, derived: derived.end });
    if (this.#progress !== null) table.setValue('selection', structuredClone(this.#progress));
    // Asked before the save: what moves meanwhile is not durable.
    const positions = this.#holds.map(({ position }) => position());
    await this.#withReserve(() => table.save());
    for (const [i, { hold }] of this.#holds.entries()) hold.advance(positions[i] as number);
  }

  /** On a full disk the reserve makes room once. */
  async #withReserve(save: () => Promise<void>): Promise<void> {
    try {
      await save();
    } catch (error) {
      if (!isFull(error) || !(await this.#options.reserve.giveUp())) throw error;
      await save();
    }
  }

  /** The intake sequence at which the journal stood then; its first when that is not known. */
  sequenceAt(ms: number): number {
    const later = this.#moments.findIndex((moment) => moment.ms > ms);
    const before = later < 0 ? this.#moments.at(-1) : this.#moments[later - 1];
    return before?.sequence ?? this.#options.intake.first;
  }

  #rebuildFrom(): number {
    const { intake, waitMs } = this.#options;
    // Without a selection there is no trace table.
    if (this.#progress === null) return intake.head;
    const next = Math.min(...this.#progress.next);
    if (this.#isPressed()) return next;
    const moment = this.#moments.findLast(({ sequence }) => sequence <= next);
    if (moment === undefined) return Math.min(this.savedRebuildFrom, next);
    const wanted = this.sequenceAt(moment.ms - waitMs - TRACE_MEMORY_MS);
    if (intake.bytesFrom(wanted) <= MOST_REBUILD_BYTES) return wanted;
    const near = this.#moments.find(({ sequence }) => intake.bytesFrom(sequence) <= MOST_REBUILD_BYTES);
    return Math.min(near?.sequence ?? next, next);
  }

  /** Lets everyone speak a last time and saves all of it. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#saving;
    if (this.#observers === null) return;
    this.speak(this.#observers, this.#options.now(), true);
    // What a full journal does not take stands in the checkpoint.
    const { error } = await this.unsaid.say();
    if (error !== null) this.#options.log.warn(`left for the next start: ${messageOf(error)}`);
  }
}

function isFull(error: unknown): boolean {
  if (error instanceof AgentError) return error.code === 'JOURNAL_FULL';
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}
