/** The segment files of one journal: prepares, opens, recycles and counts them; knows no records. */
import type { Logger } from 'pino';
import { alignedMemory } from '../core/aligned.ts';
import { PAGE_BYTES } from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { type Files, O_DIRECT, O_DSYNC, O_WRONLY, syncDirectory } from './files.ts';
import { newTally, type SegmentHeader, type Tally } from './header.ts';
import { FILL_BYTES, makeSegment, mebibytes } from './making.ts';
import { type FoundSegments, type Segment, type Spare, segmentFile } from './segment.ts';
import { SparePace } from './sparePace.ts';

export interface SegmentOptions {
  files: Files;
  directory: string;
  segmentBytes: number;
  maxBytes: number;
  /** Fill new files through O_DIRECT. */
  direct: boolean;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** A segment is read no more: its file gets another name, or goes. */
  onGone?: ((number: number) => void) | undefined;
  /** Asked when a segment cannot be made for want of room: true when something was given up and may be recycled now. */
  makeRoom?: (() => Promise<boolean>) | undefined;
}

/** A usual group: one that finds less room needs the next segment. */
const USUAL_BYTES = 512 << 10;

/**
 *   spare --roll--> current (the last of `list`) --roll--> older --every hold past it--> spare again, or unlinked
 *
 * Making, renaming and unlinking run one after the other on `#work`, so that numbers are never given twice.
 */
export class SegmentStore {
  /** Ascending; the last one is written to. */
  readonly list: Segment[];
  readonly #spares: Spare[];
  readonly #options: SegmentOptions;
  readonly #zeros: Buffer;
  #work: Promise<void> = Promise.resolve();
  /** Also of a file that was given up and is gone: whoever has one open must not take another for it. */
  #leastNumber: number;
  #making = 0;
  #keepFrom = 0;
  readonly #pace = new SparePace();
  #closed = false;
  /** Why no segment could be made ahead. */
  #lack: string | null = null;

  constructor(options: SegmentOptions, found: FoundSegments) {
    this.#options = options;
    this.#leastNumber = Math.max(found.leastNumber, ...found.spares.map(({ number }) => number));
    this.list = found.segments;
    this.#spares = found.spares.filter(({ capacity }) => capacity === options.segmentBytes);
    this.#zeros = alignedMemory(FILL_BYTES);
    const unfit = found.spares.filter(({ capacity }) => capacity !== options.segmentBytes);
    if (unfit.length > 0) this.#background(() => this.#discard(unfit));
  }

  /** Spares made for another `segment_size`: a region may not fit them. */
  async #discard(spares: readonly Spare[]): Promise<void> {
    const { files, directory } = this.#options;
    for (const { number } of spares) await files.unlink(segmentFile(directory, number));
    await syncDirectory(files, directory);
  }

  /** Bytes on disk: segments, spares, and what is being made. */
  get bytes(): number {
    let sum = this.#making;
    for (const segment of this.list) sum += segment.capacity;
    for (const spare of this.#spares) sum += spare.capacity;
    return sum;
  }

  get current(): Segment | undefined {
    return this.list.at(-1);
  }

  /** What the header of a segment in the list says. */
  header({ number, epoch, first, startMs, start }: Segment): SegmentHeader {
    const before = this.list[this.list.findIndex((one) => one.number === number) - 1];
    return {
      segment: number,
      epoch,
      first,
      previous: before?.number ?? 0,
      previousUsed: before?.used ?? 0,
      previousFirst: before?.first ?? 0,
      previousStart: before?.start ?? newTally(),
      startMs,
      start,
    };
  }

  /** Most bytes one append may have. */
  get regionBytes(): number {
    return this.#options.segmentBytes - PAGE_BYTES;
  }

  /** Over the quota, by the segment that urgent records may take beyond it. */
  get isOver(): boolean {
    return this.bytes > this.#mostBytes();
  }

  /** The quota; more when one segment, of a larger `segment_size` before, takes all of it: it goes only when there is a next one. */
  #mostBytes(): number {
    const { segmentBytes, maxBytes } = this.#options;
    const last = this.list.at(-1)?.capacity ?? 0;
    return Math.max(maxBytes, last + Math.max(segmentBytes, this.list.at(-2)?.capacity ?? 0));
  }

  /** The segment that holds `sequence`, or the oldest when it is older than everything kept. */
  holding(sequence: number): Segment | undefined {
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.list[middle] as Segment).first <= sequence) low = middle + 1;
      else high = middle;
    }
    return this.list[Math.max(0, low - 1)];
  }

  /** The segment after `segment`, or undefined when it is the last. */
  after(segment: Segment): Segment | undefined {
    if (segment === this.current) return undefined;
    const index = this.list.indexOf(segment);
    return index < 0 ? undefined : this.list[index + 1];
  }

  /**
   * Makes the next segment the current one; its header page is the writer's business. Throws JOURNAL_FULL or JOURNAL_SYNC_FAILED,
   * both retryable, when there is none and none can be made.
   */
  async roll(epoch: number, first: number, startMs: number, start: Tally, urgent = false): Promise<Segment> {
    await this.#work;
    if (this.#spares.length === 0) await this.#next(() => this.#obtain(urgent));
    const spare = this.#spares.shift();
    if (spare === undefined) throw this.full();
    this.#leastNumber = Math.max(this.#leastNumber, spare.number);
    const file = segmentFile(this.#options.directory, spare.number);
    const life = { waypoints: [], readers: 0, failed: false, gone: false };
    const segment = { ...spare, file, used: 0, first, epoch, startMs, start: start.slice(), ...life };
    this.list.push(segment);
    this.#pace.begun(startMs);
    this.prepare();
    return segment;
  }

  /** Sees to a spare in the background. */
  prepare(): void {
    if (this.#spares.length === 0) this.#see(() => this.#obtain());
  }

  /** Why a usual group has nowhere to go; null when it has, as far as is known. Asking looks again, but gives nothing up for it. */
  lack(): string | null {
    if (this.isOver) return this.full().message;
    if (this.#lack === null || this.#spares.length > 0) return null;
    this.#see(async () => (this.#spares.length > 0 || this.#closed ? undefined : this.#make(false)));
    const room = this.current === undefined ? 0 : this.current.capacity - this.current.used;
    return room < USUAL_BYTES ? this.#lack : null;
  }

  #see(job: () => Promise<void>): void {
    this.#next(job).then(
      () => {
        this.#lack = null;
      },
      // It shows at the next roll, which tries again and has someone to tell.
      (error: unknown) => {
        const reason = messageOf(error);
        if (this.#lack === null) this.#options.log.warn({ reason }, 'no journal segment could be prepared ahead');
        this.#lack = reason;
      },
    );
  }

  /** Nothing is written to this segment any more; without a durable byte it goes at once. */
  seal(segment: Segment): void {
    segment.failed = true;
    if (segment.used > 0) return;
    this.list.splice(this.list.indexOf(segment), 1);
    segment.gone = true;
    this.#background(async () => {
      await this.#options.files.unlink(segment.file);
      await syncDirectory(this.#options.files, this.#options.directory);
    });
  }

  /** Sequences below this are needed by nobody, durably so: recycles what lies wholly below, now or when its readers are done. */
  recycle(keepFrom: number): void {
    this.#keepFrom = Math.max(this.#keepFrom, keepFrom);
    if (this.#closed || this.#oldestDone() === undefined) return;
    this.#background(() => this.#recycleDone());
  }

  get hasRecyclable(): boolean {
    return this.#oldestDone() !== undefined || this.#spares.length > 0;
  }

  /** A read of `segment` has ended. */
  unpin(segment: Segment): void {
    segment.readers -= 1;
    if (segment.readers === 0 && segment === this.list[0]) this.recycle(0);
  }

  /** Opens a segment for the writer. */
  openForWrite(segment: Segment): Promise<number> {
    return this.#options.files.open(segment.file, O_WRONLY | (this.#options.direct ? O_DIRECT | O_DSYNC : 0));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#work;
  }

  #next(job: () => Promise<void>): Promise<void> {
    const done = this.#work.then(job);
    this.#work = done.catch(() => undefined);
    return done;
  }

  #background(job: () => Promise<void>): void {
    this.#next(job).catch((error: unknown) => {
      // The files stay, and the next start or recycling finds them: nothing is lost but room.
      this.#options.log.warn({ reason: messageOf(error) }, 'a journal segment could not be recycled');
    });
  }

  #oldestDone(): Segment | undefined {
    const [oldest, second] = this.list;
    if (oldest === undefined || second === undefined || oldest.readers > 0) return undefined;
    // Until the next one's header is durable this one alone knows where sequences and totals stand.
    return second.used > 0 && second.first <= this.#keepFrom ? oldest : undefined;
  }

  async #recycleDone(): Promise<void> {
    const { files, directory, segmentBytes, maxBytes } = this.#options;
    const wantedSpares = this.#pace.wanted;
    const kept: Spare[] = [];
    let removed = 0;
    for (let oldest = this.#oldestDone(); oldest !== undefined; oldest = this.#oldestDone()) {
      // Taken out first, so that no read begins while the file changes its name.
      this.list.shift();
      oldest.gone = true;
      this.#options.onGone?.(oldest.number);
      removed += 1;
      const fits =
        !oldest.failed && oldest.capacity === segmentBytes && this.bytes + (kept.length + 1) * segmentBytes <= maxBytes;
      if (fits && this.#spares.length + kept.length < wantedSpares) {
        const number = this.#highest() + kept.length + 1;
        await files.rename(oldest.file, segmentFile(directory, number));
        kept.push({ number, capacity: oldest.capacity });
      } else await files.unlink(oldest.file);
    }
    if (removed === 0) return;
    await syncDirectory(files, directory);
    this.#spares.push(...kept);
  }

  async #obtain(urgent = false): Promise<void> {
    await this.#recycleDone();
    if (this.#spares.length > 0 || this.#closed) return;
    try {
      await this.#make(urgent);
    } catch (error) {
      const isFull = error instanceof AgentError && error.code === 'JOURNAL_FULL';
      if (!isFull || !(await this.#options.makeRoom?.())) throw error;
      await this.#recycleDone();
      if (this.#spares.length === 0) await this.#make(urgent);
    }
  }

  async #make(urgent: boolean): Promise<void> {
    const { segmentBytes } = this.#options;
    if (this.bytes + segmentBytes > this.#mostBytes() + (urgent ? segmentBytes : 0)) throw this.full();
    this.#making = segmentBytes;
    try {
      const number = this.#highest() + 1;
      await makeSegment(this.#options, segmentFile(this.#options.directory, number), this.#zeros);
      this.#spares.push({ number, capacity: segmentBytes });
    } finally {
      this.#making = 0;
    }
  }

  #highest(): number {
    return Math.max(this.#leastNumber, this.current?.number ?? 0, this.#spares.at(-1)?.number ?? 0);
  }

  full(): AgentError {
    const { maxBytes, directory } = this.#options;
    const numbers = `${mebibytes(this.bytes)} in use, limit ${mebibytes(maxBytes)}`;
    const message = `${directory}: ${numbers}: raise journal.max_size or see which sink is behind`;
    return new AgentError('JOURNAL_FULL', message, { retryable: true });
  }
}
