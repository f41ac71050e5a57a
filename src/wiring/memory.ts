/**
 * What main remembers over a restart, beside the frames: when it is saved, and which segments may go then.
 *
 *   every 100 ms   observers speak; their frames go to the derived journal
 *   every second   cursors are saved; segments below all of them may go
 *   every 10 s     the checkpoint is saved, after 256 MiB of intake, and after each flush, with what is said and not yet in the journal
 */
import type { Logger } from 'pino';
import type { BlockPool, Signal } from '../core/block.ts';
import type { CursorRow, Row } from '../core/component.ts';
import { messageOf } from '../core/errors.ts';
import type { Telemetry } from '../core/telemetry.ts';
import { saveCheckpoint } from '../journal/checkpoint.ts';
import type { CursorTable } from '../journal/cursors.ts';
import type { Hold } from '../journal/holds.ts';
import type { Journal } from '../journal/journal.ts';
import type { Reserve } from '../journal/reserve.ts';
import type { Emission } from '../processors/processor.ts';
import type { Observers, Spoken } from '../worker/observers.ts';
import type { SelectionProgress } from '../worker/progress.ts';
import { CHECKPOINT, encodeCheckpoint, type SavedCheckpoint } from './checkpoint.ts';
import { areCursorsLost, freshCursor, freshProgress } from './fresh.ts';
import { History, type HistoryOptions, MOST_REBUILD_BYTES } from './history.ts';
import { type Loss, lossEmission } from './loss.ts';
import { Unsaid } from './unsaid.ts';
import { withReserve } from './withReserve.ts';

const TICK_MS = 100;
const TICKS_PER_SAVE = 10;
const TICKS_PER_CHECKPOINT = 100;
/** Restarts within the time for which traces are remembered. */
const MOST_STOPS = 100;
/** A busy agent checkpoints more often for it. */
const BYTES_PER_CHECKPOINT = MOST_REBUILD_BYTES;

interface MemoryOptions extends Pick<HistoryOptions, 'lookBackMs' | 'waitMs' | 'now'> {
  directory: string;
  /** `{agent.id}-{journal id}` */
  agent: string;
  pool: BlockPool;
  table: CursorTable;
  intake: Journal;
  derived: Journal;
  /** Of the derived journal. */
  segmentBytes: number;
  reserve: Reserve;
  telemetry: Telemetry;
  log: Logger;
}

export class Memory {
  /** Items refused in partial success. */
  readonly rejected: Record<Signal, number>;
  readonly unsaid: Unsaid;
  readonly history: History;
  readonly #options: MemoryOptions;
  readonly #holds: { hold: Hold; position: () => number }[] = [];
  #observers: Observers | null = null;
  #progress: SelectionProgress | null = null;
  #oldestInFlightMs: () => number = () => Infinity;
  /** Below these, the last checkpoint needs nothing. */
  #checkpointed: { intake: number; derived: number };
  #isOwed = false;
  #ticks = 0;
  #checkpointTick = 0;
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> = Promise.resolve();
  /** Apart from `#saving`, which may wait for an append that waits for a checkpoint. */
  #checkpointing: Promise<void> = Promise.resolve();
  #lastCheckpoint: Promise<void> = Promise.resolve();
  #hasFailed = false;
  #enforce: () => Promise<void> = () => Promise.resolve();

  constructor(options: MemoryOptions) {
    this.#options = options;
    const { table, intake, derived, pool, segmentBytes } = options;
    this.unsaid = new Unsaid({
      pool,
      segmentBytes,
      append: (region) => derived.append(region),
      onGivenUp: (emission, cause) => this.#giveUp(emission, cause),
    });
    const saved = table.value('rejected') as Record<Signal, number> | undefined;
    this.rejected = saved ?? { traces: 0, metrics: 0, logs: 0 };
    this.#checkpointed = { intake: intake.first, derived: derived.first };
    this.history = new History(options);
    this.#keep('look_back', () => this.history.lookBackFrom().intake);
    // What was kept of that time: a look-back must not add it again.
    this.#keep('look_back', () => this.history.lookBackFrom().derived, derived);
    this.#keep('checkpoint', () => this.#checkpointed.intake);
    this.#keep('checkpoint', () => this.#checkpointed.derived, derived);
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
    return saved ?? freshProgress(intake, derived, areCursorsLost(table, [intake, derived]));
  }

  /** Nobody takes what it makes: one that comes later is new. */
  forgetSelection(): void {
    this.#options.table.setValue('selection', undefined);
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

  /** Where in the intake journal agents had stopped that decided all there was without waiting; oldest first. */
  get savedStops(): number[] {
    // Written here before.
    return (this.#options.table.value('stops') ?? []) as number[];
  }

  /** The selection waits for nothing any more: when it has decided all there is, what comes with the next start is late. */
  noteStop(): void {
    const { head } = this.#options.intake;
    if (this.#progress === null || Math.min(...this.#progress.next) < head) return;
    const known = this.savedStops.filter((stop) => stop > this.savedRebuildFrom && stop < head);
    this.#options.table.setValue('stops', [...known, head].slice(-MOST_STOPS));
  }

  /** The durable row under this key; a new one begins at the head. Ask once for each. */
  cursor(key: string, row: Row): CursorRow {
    const { table, intake, derived } = this.#options;
    const journal = row.stream === 'raw' ? intake : derived;
    const sampled = row.stream === 'sampled' ? this.#progress : null;
    const cursor = table.row(key, freshCursor(journal, row, sampled, areCursorsLost(table, [intake, derived])));
    this.#keep(`sink ${key}`, () => cursor.next, journal);
    return cursor;
  }

  /** Removes rows of sinks that are configured no longer; returns them. */
  forgetOthers(keys: ReadonlySet<string>): [string, CursorRow][] {
    const gone = [...this.#options.table.rows()].filter(([key]) => !keys.has(key));
    for (const [key] of gone) this.#options.table.delete(key);
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
    this.tell(lossEmission(loss, agent, now()));
  }

  /** What no segment can hold would be tried for ever, and everything behind it would wait. */
  #giveUp({ stream, signal, items }: Emission, cause: unknown): void {
    const { agent, log, now, telemetry } = this.#options;
    log.error({ stream, signal, items }, `what was to be told is too large and is given up: ${messageOf(cause)}`);
    telemetry.toldGivenUp.inc({ stream }, items);
    this.tell(lossEmission({ cause: 'too_large', sink: null, stream, signal, items }, agent, now()));
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
    // Its own number: by the time its turn comes the next tick may have been.
    const tick = ++this.#ticks;
    if (tick % TICKS_PER_SAVE === 0) this.history.note();
    const nowMs = this.#options.now();
    if (this.#observers !== null) this.speak(this.#observers, Math.min(nowMs, this.#oldestInFlightMs()), false);
    this.#saving = this.#saving.then(() => this.#save(tick));
    await this.#saving;
  }

  async #save(tick: number): Promise<void> {
    const isWhole = tick % TICKS_PER_SAVE === 0;
    try {
      const { flushed, error } = await this.unsaid.say();
      // One that has no room keeps no cursor from being saved: sinks would get all of it again.
      if (flushed || this.#isCheckpointDue(tick)) await this.checkpoint().catch(() => {});
      if (isWhole) await this.#enforce();
      if (isWhole) await this.saveCursors();
      if (isWhole) await this.#options.reserve.restore();
      if (error !== null) throw error;
      await this.#lastCheckpoint;
      // Between them there is hardly anything to save.
      if (isWhole) this.#hasFailed = false;
    } catch (error) {
      // Everything is still in memory and comes again with the next tick; say it once.
      if (!this.#hasFailed) this.#options.log.warn(`not saved, trying again: ${messageOf(error)}`);
      this.#hasFailed = true;
    }
  }

  #isCheckpointDue(tick: number): boolean {
    if (tick - this.#checkpointTick >= TICKS_PER_CHECKPOINT) return true;
    const { intake } = this.#options;
    return tick % TICKS_PER_SAVE === 0 && intake.bytesFrom(this.#checkpointed.intake) > BYTES_PER_CHECKPOINT;
  }

  /** One after the other: they are written by way of the same file. */
  checkpoint(): Promise<void> {
    const written = this.#checkpointing.then(() => this.#checkpoint());
    // Who asked hears of it; the next one is written all the same.
    this.#checkpointing = written.catch(() => {});
    this.#lastCheckpoint = written;
    return written;
  }

  async #checkpoint(): Promise<void> {
    const { directory, derived } = this.#options;
    if (this.#observers === null) return;
    this.#checkpointTick = this.#ticks;
    // What a breach has asked for is remembered no later than the breach.
    while (this.#isOwed) {
      this.#isOwed = false;
      await withReserve(this.#options.reserve, () => this.#options.table.save());
    }
    const saved: SavedCheckpoint = {
      observers: this.#observers.save(),
      unsaid: this.unsaid.save(),
      derivedHead: derived.head,
    };
    await withReserve(this.#options.reserve, () => saveCheckpoint(directory, CHECKPOINT, encodeCheckpoint(saved)));
    this.#checkpointed = { intake: saved.observers.position, derived: saved.derivedHead };
  }

  /** `pressed`: the journal has no room, so that only what somebody still has to read is kept. */
  async saveCursors(pressed = false): Promise<void> {
    this.history.pressed = pressed;
    const { table, intake, derived } = this.#options;
    table.setValue('rejected', this.rejected);
    table.setValue('rebuild_from', this.#rebuildFrom());
    table.setValue('ends', { intake: intake.end, derived: derived.end });
    if (this.#progress !== null) table.setValue('selection', structuredClone(this.#progress));
    // Asked before the save: what moves meanwhile is not durable.
    const positions = this.#holds.map(({ position }) => position());
    await withReserve(this.#options.reserve, () => table.save());
    for (const [i, { hold }] of this.#holds.entries()) hold.advance(positions[i] as number);
  }

  /** A value of the table has to be safe before the next checkpoint is. */
  owe(name: string, value: unknown): void {
    this.#options.table.setValue(name, value);
    this.#isOwed = true;
  }

  /** An event of the agent's own. */
  tell(emission: Emission): void {
    this.unsaid.add({ emission, covers: 0, processor: -1 });
  }

  #rebuildFrom(): number {
    // Without a selection there is no trace table.
    if (this.#progress === null) return this.#options.intake.head;
    return this.history.rebuildFrom(Math.min(...this.#progress.next), this.savedRebuildFrom);
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
