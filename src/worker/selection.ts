/**
 * Selection, on main: trails the intake journal by `wait`, has each run of frames decided by a worker, and appends what is kept to the
 * derived journal, with the intake position it covers in the same record: a crash neither loses nor repeats a decision.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SIGNALS, UNIT_BYTES } from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { Decider, type DeciderOptions } from './decide.ts';
import { Ahead, dueFrames } from './due.ts';
import type { Guard } from './guard.ts';
import { HeldRun } from './heldRun.ts';
import type { LookBack } from './lookBack.ts';
import { type Decided, dropResults, Pending } from './pending.ts';
import { isDeadly } from './pool.ts';
import { passedOf } from './progress.ts';
import { type LookBackOptions, Recalls } from './recalls.ts';
import type { Shortlists } from './shortlists.ts';

export interface SelectionOptions extends DeciderOptions {
  waitMs: number;
  /** What was received before this may be decided, as far as budgets are concerned. */
  settledMs(): number;
  moved(from: number): Promise<void>;
  append(region: { first: number; end: number }): Promise<void>;
  shortlists?: Shortlists;
  now(): number;
  lookBacks: LookBackOptions;
  guard: Guard | null;
  onError(message: string): void;
}

const CUT_BYTES = 512 << 10;
const CUT_MS = 200;
const RETRY_MS = 500;
const DRAIN_POLL_MS = 20;
/** After waiting for an append: not at once, because a source that closes answers at once, too. */
const SOON_MS = 1;
const MOST_IN_FLIGHT = 4;
/** Where more shortlists than this share do not say enough, reading on in the journal is cheaper. */
const MOST_UNSURE_SHARE = 0.25;
/** So often, about a MiB each time. */
const WHOLE_READS = 64;

interface Flight {
  decided: Promise<Decided[]>;
  next: number;
  frames: number;
}

export class Selection {
  readonly #options: SelectionOptions;
  readonly #pending: Pending;
  #waitMs: number;
  #stopped = false;
  #oldestInFlightMs: () => number = () => Infinity;
  #running: Promise<void> = Promise.resolve();
  #woken = Promise.withResolvers<void>();
  /** Runs of frames that workers are deciding, oldest first: while one is decided the next is read. */
  readonly #flights: Flight[] = [];
  /** What was read and is not handed out yet. */
  #held: HeldRun | null = null;
  readonly #expiring: { next: number; totals: readonly number[]; resolve(items: number[]): void }[] = [];
  readonly #recalls: Recalls;
  readonly #decider: Decider;
  readonly #ahead = new Ahead();
  /** Where reading stands, and up to where decisions are pending; `progress.next` follows when they are safe. */
  #position: number;
  #decided: number;
  /** The journal will wake it when it moves past this; -1 when it will not. */
  #listeningFrom = -1;
  /** Reads of the journal until shortlists are looked at again. */
  #wholeReads = 0;
  /** Below this a worker died: frames go one by one, and one that kills again is passed. */
  #carefulUntil = 0;
  /** What it waits for, and where: said once. */
  #told = '';

  constructor(options: SelectionOptions) {
    this.#options = options;
    this.#pending = new Pending(options.blocks, options.guard, options.onLoss);
    this.#recalls = new Recalls(options.lookBacks, options.onError);
    this.#decider = new Decider(options, this.#recalls);
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
    const isBehind = () => Math.min(...progress.next) < head || this.#recalls.isWaiting;
    while (isBehind() && now() < deadlineMs) await sleep(DRAIN_POLL_MS);
    this.#stopped = true;
    this.#wake();
    await this.#running;
  }

  /**
   * Gives up what is not decided below `next`, where the raw totals are `totals` by signal index. Resolves with the items that were
   * given up, once they are counted.
   */
  expire(next: number, totals: readonly number[]): Promise<number[]> {
    return new Promise((resolve) => {
      if (this.#stopped) return resolve(SIGNALS.map(() => 0));
      this.#expiring.push({ next, totals, resolve });
      this.#wake();
    });
  }

  /** Goes back for a service before anything else is decided. */
  recall(wanted: LookBack): void {
    this.#recalls.add(wanted);
    this.#wake();
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      try {
        if (this.#expiring.length > 0) await this.#giveUp();
        if (this.#recalls.isWaiting) await this.#recall();
        else await this.#step();
      } catch (error) {
        // The journal is full or a worker died: nothing was marked as decided, so the same frames come again.
        const told = `${messageOf(error)} ${this.#options.progress.next}`;
        if (told !== this.#told) this.#options.onError(messageOf(error));
        this.#told = told;
        await this.#reset();
        await this.#sleep(RETRY_MS);
      }
    }
    await this.#reset();
    this.#options.shortlists?.pass(Infinity);
    for (const { resolve } of this.#expiring.splice(0)) resolve(SIGNALS.map(() => 0));
  }

  async #giveUp(): Promise<void> {
    await this.#reset();
    const { progress } = this.#options;
    for (const { next, totals, resolve } of this.#expiring.splice(0)) {
      const passed = passedOf(progress);
      const items = SIGNALS.map((_, i) => {
        if ((progress.next[i] as number) >= next) return 0;
        const lost = Math.max(0, (totals[i] as number) - (passed[i] as number));
        progress.next[i] = next;
        progress.expired[i] = (progress.expired[i] as number) + lost;
        return lost;
      });
      resolve(items);
    }
    this.#rewind();
  }

  async #recall(): Promise<void> {
    const { blocks, workers, progress, read, append, now } = this.#options;
    await this.#reset();
    const readIntake = (from: number, maxBytes: number) => read(from, maxBytes, []);
    const between = () => this.#betweenRuns();
    await this.#recalls.run({ blocks, workers, progress, append, now, readIntake, between });
    this.#recalls.pass(Math.min(...progress.next));
  }

  /** A look-back may take minutes. A full journal does not wait for it, since then nothing is taken; nor does an agent that stops. */
  async #betweenRuns(): Promise<void> {
    if (this.#expiring.length > 0) await this.#giveUp();
    if (this.#stopped)
      throw new AgentError('DRAINING', 'the agent stops in the middle of a look-back', { retryable: true });
  }

  async #step(): Promise<void> {
    const pending = this.#pending;
    // Not by the clock that may be set back.
    const late = !pending.isEmpty && performance.now() - pending.sinceMs >= CUT_MS;
    if (late || pending.bytes >= CUT_BYTES) await this.#flush();
    const waitMs = this.#flights.length < MOST_IN_FLIGHT ? await this.#launch() : 0;
    if (waitMs === 0) {
      if (this.#flights.length >= MOST_IN_FLIGHT) await this.#land();
    } else if (this.#flights.length > 0) await this.#land();
    else if (!pending.isEmpty) await this.#sleep(Math.min(waitMs, CUT_MS - (performance.now() - pending.sinceMs)));
    else await this.#sleep(waitMs);
  }

  async #flush(): Promise<void> {
    const { now, progress, append } = this.#options;
    const covers = progress.next.map((next) => Math.max(next, this.#decided));
    await this.#pending.flush(progress, covers, now(), append);
    this.#recalls.pass(Math.min(...progress.next));
  }

  /** Hands the next frames that are due to a worker; returns 0, or how long there is nothing to hand out. */
  async #launch(): Promise<number> {
    const { blocks, now, settledMs, guard } = this.#options;
    const careful = this.#position < this.#carefulUntil;
    this.#held ??= await this.#read(careful);
    const held = this.#held;
    if (held === null) {
      // Woken by the next append, unless something waits to be written.
      if (this.#flights.length === 0 && this.#pending.isEmpty) this.#listen();
      return RETRY_MS;
    }
    const { frames } = held;
    const nowMs = now();
    const { count, inMs } = dueFrames(blocks, frames, {
      nowMs,
      aheadMs: this.#ahead.ms(blocks, frames, nowMs, performance.now()),
      waitMs: this.#waitMs,
      oldestInFlightMs: this.#oldestInFlightMs(),
      settledMs: settledMs(),
      slotMs: guard?.slotMs ?? Infinity,
    });
    if (count === 0 && frames.length > 0) return Math.min(inMs, RETRY_MS);
    const piece = held.take(count);
    if (held.isTaken) this.#letGo();
    const decided = this.#decider.decide(piece, careful, held.isShort);
    // Awaited in order by #land; a rejection that comes before is kept for then.
    decided.catch(() => undefined);
    this.#flights.push({ decided, next: piece.next, frames: count });
    this.#position = piece.next;
    return 0;
  }

  /** Asks once for each position: a journal that nothing is appended to keeps what it is asked. */
  #listen(): void {
    const from = this.#position;
    if (this.#listeningFrom === from) return;
    this.#listeningFrom = from;
    const answer = () => {
      if (this.#listeningFrom === from) this.#listeningFrom = -1;
      this.#wake();
    };
    void this.#options.moved(from).then(() => setTimeout(answer, SOON_MS));
  }

  async #read(careful: boolean): Promise<HeldRun | null> {
    const { read, progress, blocks, shortlists } = this.#options;
    const short = careful || this.#wholeReads > 0 ? null : await shortlists?.take(this.#position);
    if (this.#wholeReads > 0) this.#wholeReads--;
    if (short) return new HeldRun(blocks, short, true);
    const run = await read(this.#position, careful ? 1 : UNIT_BYTES, passedOf(progress));
    return run === null ? null : new HeldRun(blocks, run, false);
  }

  #letGo(): void {
    this.#held?.drop();
    this.#held = null;
  }

  /** Takes the oldest result. */
  async #land(): Promise<void> {
    const [flight] = this.#flights;
    if (flight === undefined) return;
    try {
      const all = await flight.decided;
      if (!this.#pending.fits(all)) await this.#flush();
      this.#flights.shift();
      for (const decided of all) this.#pending.add(decided, performance.now());
      // What follows the first was read again.
      if (all.length - 1 > flight.frames * MOST_UNSURE_SHARE) this.#wholeReads = WHOLE_READS;
    } catch (error) {
      if (isDeadly(error)) this.#carefulUntil = Math.max(this.#carefulUntil, flight.next);
      throw error;
    }
    this.#decided = flight.next;
  }

  /** Forgets what is not safe; it is read again from `progress`. */
  async #reset(): Promise<void> {
    for (const { decided } of this.#flights.splice(0)) {
      // What failed has told its reason already, or will when it comes again.
      dropResults(this.#options.blocks, await decided.catch(() => []));
    }
    this.#pending.drop();
    this.#rewind();
  }

  #rewind(): void {
    this.#letGo();
    this.#position = Math.min(...this.#options.progress.next);
    this.#decided = this.#position;
  }

  #wake(): void {
    this.#woken.resolve();
  }

  /** Not at all when it was woken since it slept last. */
  async #sleep(ms: number): Promise<void> {
    const timer = setTimeout(() => this.#wake(), Math.max(1, ms));
    await this.#woken.promise;
    clearTimeout(timer);
    this.#woken = Promise.withResolvers();
  }
}
