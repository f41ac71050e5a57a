/**
 * How far back the journals reach for convenience: for look-backs, and so that a start knows the traces again. Bounded by time and by room,
 * oldest first: all at once would leave a look-back with nothing, and dozens of segments to remove and to make anew.
 */
import type { Journal } from '../journal/journal.ts';
import { Moments } from './moments.ts';

/** Traces are remembered this long beyond their decision, so that late items follow it after a restart, too. */
const TRACE_MEMORY_MS = 60_000;
/** So much intake is measured again within a second or two by a start, which is as much as traces are worth. */
export const MOST_REBUILD_BYTES = 256 << 20;
/** A look-back begins some seconds after the breach. */
const LOOK_BACK_MARGIN_MS = 15_000;
/** Of a journal's quota; beyond it lies only what somebody still has to read. */
const SHARE = 0.5;

/** Of a journal, what says how far it reaches. */
export type Reach = Pick<Journal, 'first' | 'head' | 'oldestMs' | 'maxBytes' | 'bytesFrom' | 'spans'>;

export interface HistoryOptions {
  intake: Reach;
  derived: Reach;
  /** How far back segments are kept for contracts. */
  lookBackMs: number;
  /** The sampler's wait. */
  waitMs: number;
  now(): number;
}

export class History {
  /** A journal has no room: nothing is kept for convenience. */
  pressed = false;
  readonly #options: HistoryOptions;
  readonly #moments = new Moments();
  /** Bytes that each journal took between the last two moments. */
  readonly #pace: Map<Reach, number>;
  #noted: { sequence: number; derived: number };

  constructor(options: HistoryOptions) {
    this.#options = options;
    const { intake, derived } = options;
    this.#pace = new Map([intake, derived].map((journal) => [journal, 0]));
    this.#noted = { sequence: intake.head, derived: derived.head };
  }

  /** Every second. */
  note(): void {
    const { intake, derived, now } = this.#options;
    this.#pace.set(intake, intake.bytesFrom(this.#noted.sequence));
    this.#pace.set(derived, derived.bytesFrom(this.#noted.derived));
    this.#noted = { sequence: intake.head, derived: derived.head };
    this.#moments.add({ ms: now(), ...this.#noted });
  }

  /** From where a look-back may still read. */
  lookBackFrom(): { intake: number; derived: number } {
    const { intake, derived, lookBackMs, now } = this.#options;
    if (lookBackMs === 0) return { intake: intake.head, derived: derived.head };
    const since = this.since(now() - lookBackMs - LOOK_BACK_MARGIN_MS);
    return { intake: this.#within(intake, since.intake), derived: this.#within(derived, since.derived) };
  }

  /**
   * Where measuring again has to begin so that the trace table knows every trace that still matters to a selection that stands at
   * `next`; `saved`: where it had to before this start.
   */
  rebuildFrom(next: number, saved: number): number {
    const { intake, waitMs } = this.#options;
    const moment = this.#moments.at(next);
    const wanted = moment === undefined ? saved : this.#sequenceAt(moment.ms - waitMs - TRACE_MEMORY_MS);
    return Math.min(this.#within(intake, wanted, MOST_REBUILD_BYTES), next);
  }

  /**
   * Sequences at which the journals stood then or before; `coveredMs`: from when on both still hold everything, which is later when
   * something of it has been recycled.
   */
  since(ms: number): { intake: number; derived: number; coveredMs: number } {
    const { intake, derived } = this.#options;
    const moment = this.#moments.before(ms);
    // Below the first sequence of all nothing was recycled.
    const covered = ({ first, oldestMs }: Reach, from: number) => (first <= Math.max(1, from) ? ms : oldestMs);
    return {
      intake: Math.max(moment?.sequence ?? 0, intake.first),
      derived: Math.max(moment?.derived ?? 0, derived.first),
      coveredMs: Math.max(ms, covered(intake, moment?.sequence ?? 0), covered(derived, moment?.derived ?? 0)),
    };
  }

  /** The intake sequence at which the journal stood then; its first when that is not known. */
  #sequenceAt(ms: number): number {
    return this.#moments.before(ms)?.sequence ?? this.#options.intake.first;
  }

  /** `from`, or the first segment from which on no more is kept than there is room for until the next second. */
  #within(journal: Reach, from: number, mostBytes = Infinity): number {
    const share = this.pressed ? 0 : journal.maxBytes * SHARE - (this.#pace.get(journal) ?? 0);
    const room = Math.min(share, mostBytes);
    if (journal.bytesFrom(from) <= room) return from;
    return journal.spans().find(({ first }) => journal.bytesFrom(first) <= room)?.first ?? journal.head;
  }
}
