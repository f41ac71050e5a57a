/**
 * What a journal that fills up is kept small by: sinks finish files that hold it, and by the operator's choice something is given up: max_age,
 * a sink's max_lag, drop_oldest; whole segments, every item counted and told.
 */
import { SIGNALS, type Signal, type Stream } from '../core/block.ts';
import type { CursorRow, Row } from '../core/component.ts';
import { messageOf } from '../core/errors.ts';
import { millisecondsOf } from '../core/units.ts';
import type { Journal } from '../journal/journal.ts';
import type { SegmentSpan } from '../journal/segment.ts';
import type { Delivery } from '../sinks/deliver.ts';
import { sleep } from '../sinks/retry.ts';
import type { Selection } from '../worker/selection.ts';
import type { Ground } from './ground.ts';
import type { LossCause } from './loss.ts';
import type { Running } from './sinks.ts';
import type { Store } from './store.ts';

/** How often a full journal is asked for room in vain. */
const ASK_AGAIN_MS = 500;
/** Of a journal's quota; a file that is open for more is finished, however small it is: others fill the journal behind it. */
const OPEN_SHARE = 0.25;
/** How long a sink that finishes its files is waited for. Cursors, checkpoints and requests wait behind it, and its disk may hang. */
const FINISH_WITHIN_MS = 2000;

export class Retention {
  readonly #ground: Ground;
  readonly #store: Store;
  readonly #deliveries: readonly Running[];
  readonly #selection: Selection | null;
  /** Rows that were asked for their file and have not answered yet. */
  readonly #finishing = new Map<CursorRow, Promise<void>>();
  /** Of the monotonic clock: a journal must not stay full because the other one was set back. */
  #inVainMs = Number.NEGATIVE_INFINITY;

  constructor(ground: Ground, store: Store, deliveries: readonly Running[], selection: Selection | null) {
    this.#ground = ground;
    this.#store = store;
    this.#deliveries = deliveries;
    this.#selection = selection;
  }

  /** Every second: what is too old, and what is too far behind. */
  async enforce(): Promise<void> {
    const { config, now } = this.#ground;
    const { max_age } = config.journal;
    for (const journal of [this.#store.intake, this.#store.derived]) {
      if (max_age !== 'none') {
        const since = now() - millisecondsOf(max_age);
        // A segment is as old as its last record, so as the first of the next one.
        const young = journal.spans().findLast(({ startMs }, i) => i > 0 && startMs > 0 && startMs < since);
        if (young !== undefined) await this.#expire(journal, young, 'max_age');
      }
      this.#boundLags(journal);
      await this.#finishBefore(
        journal,
        journal.spans().find(({ first }) => journal.bytesFrom(first) <= journal.maxBytes * OPEN_SHARE),
      );
    }
  }

  /** Of a signal of which little comes the file stays open for its whole time, and so long it holds everything that came since. */
  async #finishBefore(journal: Journal, segment: SegmentSpan | undefined): Promise<void> {
    if (segment === undefined) return;
    const held = this.#deliveries.flatMap(({ delivery, rows }) =>
      rows
        .filter(({ row, cursor }) => this.#isIn(journal, row) && cursor.next < segment.first)
        .map(({ row, cursor }) => this.#finish(delivery, row, cursor)),
    );
    const waiting = new AbortController();
    await Promise.race([Promise.all(held), sleep(FINISH_WITHIN_MS, waiting.signal)]);
    waiting.abort();
  }

  #finish(delivery: Delivery, row: Row, cursor: CursorRow): Promise<void> {
    const finished = this.#finishing.get(cursor) ?? delivery.finish(row).finally(() => this.#finishing.delete(cursor));
    this.#finishing.set(cursor, finished);
    return finished;
  }

  #boundLags(journal: Journal): void {
    for (const running of this.#deliveries) {
      const within = journal.spans().find(({ first }) => journal.bytesFrom(first) <= running.maxLagBytes);
      if (within !== undefined) this.#expireSink(journal, within, 'max_lag', running);
    }
  }

  /**
   * The journal has no room for another segment: gives up what is kept for convenience and what is beyond max_lag, has sinks finish their
   * files, then, with drop_oldest, gives up the oldest segment. True when something may be recycled now.
   */
  async makeRoom(journal: Journal): Promise<boolean> {
    const { config, log } = this.#ground;
    const { memory } = this.#store;
    const drops = config.journal.when_full === 'drop_oldest';
    if (performance.now() - this.#inVainMs < ASK_AGAIN_MS) return false;
    try {
      this.#boundLags(journal);
      await this.#finishBefore(journal, journal.spans().at(-1));
      // A full disk has no room for it either, which memory tells: what it needs is kept, and the rest may go.
      await memory.checkpoint().catch(() => {});
      await memory.saveCursors(true);
      const second = journal.spans()[1];
      if (!journal.hasRecyclable && drops && second !== undefined) {
        await this.#expire(journal, second, 'drop_oldest');
        await memory.saveCursors(true);
      }
    } catch (error) {
      // The append that asked is answered JOURNAL_FULL, and a later one asks again.
      log.warn(`no room could be made in ${journal.directory}: ${messageOf(error)}`);
    }
    if (!journal.hasRecyclable) this.#inVainMs = performance.now();
    return journal.hasRecyclable;
  }

  /** Everything below the segment, for everyone. */
  async #expire(journal: Journal, to: SegmentSpan, cause: LossCause): Promise<void> {
    const isIntake = journal === this.#store.intake;
    if (isIntake && this.#selection !== null) {
      const totals = SIGNALS.map((signal) => to.total('raw', signal));
      const items = await this.#selection.expire(to.first, totals);
      for (const [i, signal] of SIGNALS.entries()) this.#lose(cause, null, 'sampled', signal, items[i] as number);
    }
    for (const running of this.#deliveries) this.#expireSink(journal, to, cause, running);
  }

  #expireSink(journal: Journal, to: SegmentSpan, cause: LossCause, running: Running): void {
    for (const { row, cursor } of running.rows) {
      if (!this.#isIn(journal, row) || cursor.next >= to.first) continue;
      const items = running.delivery.expire(row, to.first, to.total(row.stream, row.signal));
      this.#lose(cause, running.name, row.stream, row.signal, items);
    }
  }

  #isIn(journal: Journal, { stream }: Row): boolean {
    return (stream === 'raw') === (journal === this.#store.intake);
  }

  #lose(cause: LossCause, sink: string | null, stream: Stream, signal: Signal, items: number): void {
    this.#store.memory.lose({ cause, sink, stream, signal, items });
  }
}
