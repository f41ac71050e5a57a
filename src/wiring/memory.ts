/**
 * What main remembers over a restart, beside the frames: when it is saved, and which segments may go then.
 *
 *   every 100 ms   observers speak; their frames go to the derived journal
 *   every second   cursors are saved; segments below all of them may go
 *   every 10 s     the checkpoint is saved, and after each flush; never while something said is not yet safe
 */
import type { Logger } from 'pino';
import { type BlockPool, SIGNALS, type Signal } from '../core/block.ts';
import type { CursorRow, Row } from '../core/component.ts';
import { messageOf } from '../core/errors.ts';
import { loadCheckpoint, saveCheckpoint } from '../journal/checkpoint.ts';
import type { CursorTable } from '../journal/cursors.ts';
import type { Hold, Journal } from '../journal/journal.ts';
import type { Emission } from '../processors/processor.ts';
import { emissionFrame, type Observers, type SavedObservers } from '../worker/observers.ts';
import type { SelectionProgress } from '../worker/selection.ts';

const CHECKPOINT = 'checkpoint';
const TICK_MS = 100;
const TICKS_PER_SAVE = 10;
const TICKS_PER_CHECKPOINT = 100;
/** Traces are remembered this long beyond their decision, so that late items follow it after a restart, too. */
const TRACE_MEMORY_MS = 60_000;
/** Seconds for which it is known where the journal stood. */
const MOST_MOMENTS = 4096;
/** Beyond this share of the intake journal's quota only what somebody still has to read is kept. */
const PRESSED_SHARE = 0.5;

export interface SavedCheckpoint {
  observers: SavedObservers;
  /** Head of the derived journal at that moment: what was told later is found behind it. */
  derivedHead: number;
}

export interface MemoryOptions {
  directory: string;
  pool: BlockPool;
  table: CursorTable;
  intake: Journal;
  derived: Journal;
  log: Logger;
  /** The intake journal's quota. */
  maxBytes: number;
  /** How far back intake segments are kept for contracts. */
  lookBackMs: number;
  /** The sampler's wait. */
  waitMs: number;
  now(): number;
}

export async function readCheckpoint(directory: string, log: Logger): Promise<SavedCheckpoint | null> {
  const found = await loadCheckpoint(directory, CHECKPOINT);
  if (found.kind === 'damaged')
    log.error(`${found.reason}: summaries and contract windows begin anew, no item is lost`);
  // Written below, and its CRC is right.
  return found.kind === 'found' ? (JSON.parse(found.bytes.toString()) as SavedCheckpoint) : null;
}

export class Memory {
  /** Items refused in partial success. */
  readonly rejected: Record<Signal, number>;
  readonly #options: MemoryOptions;
  readonly #holds: { hold: Hold; position: () => number }[] = [];
  #observers: Observers | null = null;
  #progress: SelectionProgress | null = null;
  #oldestInFlightMs: () => number = () => Infinity;
  /** Said, and not yet in the derived journal. */
  readonly #unsaid: { emission: Emission; covers: number; ender: number }[] = [];
  #moments: { ms: number; sequence: number }[] = [];
  #ticks = 0;
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> = Promise.resolve();
  #failure: string | null = null;

  constructor(options: MemoryOptions) {
    this.#options = options;
    const { table, intake, derived } = options;
    const saved = table.value('rejected') as Record<Signal, number> | undefined;
    this.rejected = saved ?? { traces: 0, metrics: 0, logs: 0 };
    this.#checkpointed = { intake: intake.first, derived: derived.first };
    this.#keep('look_back', () =>
      this.#isPressed() ? intake.head : this.sequenceAt(options.now() - options.lookBackMs),
    );
    this.#keep('checkpoint', () => this.#checkpointed.intake);
    this.#keep('checkpoint', () => this.#checkpointed.derived, derived);
  }

  /** Below these, the last checkpoint needs nothing. */
  #checkpointed: { intake: number; derived: number };

  /** What is kept for convenience is given up long before anything has to be refused. */
  #isPressed(): boolean {
    return this.#options.intake.bytes > this.#options.maxBytes * PRESSED_SHARE;
  }

  /** Keeps intake frames from `position` on; it is asked before each save and applied after it. */
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
    if (saved !== undefined) return saved;
    const kept = SIGNALS.map((signal) => derived.total('sampled', signal));
    return {
      next: SIGNALS.map(() => intake.head),
      filtered: SIGNALS.map(() => 0),
      sampledOut: SIGNALS.map((signal, i) => intake.total('raw', signal) - (kept[i] as number)),
      kept,
    };
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
    const i = SIGNALS.indexOf(row.signal);
    const sampled = row.stream === 'sampled' ? this.#progress : null;
    const cursor = table.row(key, {
      next: journal.head,
      offeredFrom: journal.total(row.stream, row.signal),
      filteredFrom: sampled?.filtered[i] ?? 0,
      sampledOutFrom: sampled?.sampledOut[i] ?? 0,
      delivered: 0,
      deadLettered: 0,
      expired: 0,
      damaged: 0,
    });
    this.#keep(`sink ${key}`, () => cursor.next, journal);
    return cursor;
  }

  /** Removes rows of sinks that are configured no longer; returns their keys. */
  forgetOthers(keys: ReadonlySet<string>): string[] {
    const { table } = this.#options;
    const gone = [...table.rows().keys()].filter((key) => !keys.has(key));
    for (const key of gone) table.delete(key);
    return gone;
  }

  start(observers: Observers, oldestInFlightMs: () => number): void {
    this.#observers = observers;
    this.#oldestInFlightMs = oldestInFlightMs;
    this.#timer = setInterval(() => void this.#tick(), TICK_MS);
  }

  /** Lets observers speak for everything received before `untilMs`. */
  speak(observers: Observers, untilMs: number, final: boolean, alreadyToldMs = 0): void {
    for (const { emission, processor } of observers.tick(untilMs, final)) {
      if (emission.stream === 'events' && emission.timeMs <= alreadyToldMs) continue;
      this.#unsaid.push({ emission, covers: observers.position, ender: emission.ends ? processor : -1 });
    }
  }

  async #tick(): Promise<void> {
    const { now, intake } = this.#options;
    this.#ticks++;
    if (this.#ticks % TICKS_PER_SAVE === 0) {
      this.#moments.push({ ms: now(), sequence: intake.head });
      if (this.#moments.length > MOST_MOMENTS) this.#moments.shift();
    }
    const observers = this.#observers;
    // While something is unsaid (the derived journal is full) observers go on merging and keep silent: nothing is lost.
    if (observers !== null && this.#unsaid.length === 0)
      this.speak(observers, Math.min(now(), this.#oldestInFlightMs()), false);
    this.#saving = this.#saving.then(() => this.#save());
    await this.#saving;
  }

  async #save(): Promise<void> {
    try {
      const flushed = await this.say();
      if (flushed || this.#ticks % TICKS_PER_CHECKPOINT === 0) await this.checkpoint();
      if (this.#ticks % TICKS_PER_SAVE === 0) await this.saveCursors();
      this.#failure = null;
    } catch (error) {
      // Everything is still in memory and comes again with the next tick; say it once.
      if (this.#failure === null) this.#options.log.warn(`not saved, trying again: ${messageOf(error)}`);
      this.#failure = messageOf(error);
    }
  }

  /** Appends what is unsaid; true when that ended something, so that a checkpoint should follow. Rejects when the journal does. */
  async say(): Promise<boolean> {
    const { pool, derived } = this.#options;
    let ended = false;
    for (let first = this.#unsaid[0]; first !== undefined; first = this.#unsaid[0]) {
      const { block, end } = emissionFrame(pool, first.emission, first.covers, first.ender);
      try {
        await derived.append({ first: block, end });
      } finally {
        pool.release(block);
      }
      this.#unsaid.shift();
      if (first.ender >= 0) ended = true;
    }
    return ended;
  }

  async checkpoint(): Promise<void> {
    const { directory, derived } = this.#options;
    // What was taken from the observers and is not yet safe would be in neither place.
    if (this.#observers === null || this.#unsaid.length > 0) return;
    const saved: SavedCheckpoint = { observers: this.#observers.save(), derivedHead: derived.head };
    await saveCheckpoint(directory, CHECKPOINT, Buffer.from(JSON.stringify(saved)));
    this.#checkpointed = { intake: saved.observers.position, derived: saved.derivedHead };
  }

  async saveCursors(): Promise<void> {
    const { table } = this.#options;
    table.setValue('rejected', this.rejected);
    table.setValue('rebuild_from', this.#rebuildFrom());
    if (this.#progress !== null) table.setValue('selection', structuredClone(this.#progress));
    // Asked before the save: what moves meanwhile is not durable.
    const positions = this.#holds.map(({ position }) => position());
    await table.save();
    for (const [i, { hold }] of this.#holds.entries()) hold.advance(positions[i] as number);
  }

  /** The intake sequence at which the journal stood then; its first when that is not known. */
  sequenceAt(ms: number): number {
    const later = this.#moments.findIndex((moment) => moment.ms > ms);
    const before = later < 0 ? this.#moments.at(-1) : this.#moments[later - 1];
    return before?.sequence ?? this.#options.intake.first;
  }

  #rebuildFrom(): number {
    const next = this.#progress === null ? this.#options.intake.head : Math.min(...this.#progress.next);
    if (this.#isPressed()) return next;
    const moment = this.#moments.findLast(({ sequence }) => sequence <= next);
    return moment === undefined
      ? Math.min(this.savedRebuildFrom, next)
      : this.sequenceAt(moment.ms - this.#options.waitMs - TRACE_MEMORY_MS);
  }

  /** Lets everyone speak a last time and saves all of it. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#saving;
    if (this.#observers === null) return;
    this.speak(this.#observers, this.#options.now(), true);
    await this.say();
  }
}
