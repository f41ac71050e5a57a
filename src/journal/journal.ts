/** One journal: a directory of segments with one writer and any number of readers; says nothing about what the frames mean. */
import path from 'node:path';
import { type BlockPool, SIGNALS, type Signal, type Stream } from '../core/block.ts';
import type { FrameBatch, FrameSource, FrameRun as Frames, Row } from '../core/component.ts';
import { AgentError } from '../core/errors.ts';
import { Arrivals } from './arrivals.ts';
import { ExtentCache } from './cache.ts';
import type { Extent, LoadOptions } from './extents.ts';
import { diskFiles } from './files.ts';
import { ROWS, rowIndex } from './format.ts';
import { type KnownEnd, laterTally, type Tally } from './header.ts';
import { type Hold, Holds } from './holds.ts';
import { countOpening, prepareDirectory } from './making.ts';
import { OpenSegments } from './open.ts';
import { checkSizes, type JournalOptions } from './options.ts';
import { Quarantine } from './quarantine.ts';
import { ALL_ROWS, type Collected, Reader } from './reader.ts';
import { type Recovered, recover, syncNewest } from './recovery.ts';
import type { JournalState, Region } from './region.ts';
import type { Segment, SegmentSpan } from './segment.ts';
import { SegmentStore } from './segments.ts';
import { SyncTimes } from './syncTimes.ts';
import { GroupWriter } from './writer.ts';

/** Frames of every stream and signal, in one piece of memory. */
export interface FrameRun extends Frames {
  /** Addresses: of the first frame, behind the last. Void frames, padding and damage may lie between: walk `frames`. */
  first: number;
  end: number;
}

const CACHE_BYTES = 16 << 20;
const EXTENTS_PER_READ = 16;

export class Journal implements FrameSource {
  readonly durability: 'durable' | 'written';
  /** `direct`: O_DIRECT | O_DSYNC. `buffered`: through the page cache, synced with fdatasync. */
  readonly mode: 'direct' | 'buffered';
  readonly directory: string;
  /** The quota. */
  readonly maxBytes: number;
  readonly #state: JournalState;
  readonly #store: SegmentStore;
  readonly #cache: ExtentCache;
  readonly #reader: Reader;
  readonly #writer: GroupWriter;
  readonly #quarantine: Quarantine;
  readonly #pool: BlockPool;
  readonly #open: OpenSegments;
  readonly #holds: Holds;
  readonly #syncTimes = new SyncTimes();
  readonly #arrivals: Arrivals;
  #closed = false;

  /**
   * Opens or makes a journal and recovers its end; the caller has the lock. Throws JOURNAL_UNWRITABLE, or CONFIG_INVALID for its sizes.
   */
  static async open(options: JournalOptions): Promise<Journal> {
    const sized = checkSizes(options);
    const files = options.files ?? diskFiles;
    const directory = path.join(options.directory, options.name);
    const wanted = options.durability === 'durable' && options.buffered !== true;
    const direct = await prepareDirectory(files, directory, wanted);
    const cache = new ExtentCache(options.pool, options.cacheBytes ?? CACHE_BYTES);
    const open = new OpenSegments(files, direct);
    const load: LoadOptions = { pool: options.pool, files, direct, open, relieve: () => cache.clear() };
    const recovered = await recover(directory, load, options.known);
    await syncNewest(files, recovered);
    recovered.epoch = await countOpening(files, directory, recovered.epoch);
    const journal = new Journal(sized, directory, load, cache, recovered);
    if (recovered.lost !== null) await journal.#leaveDamagedEnd();
    return journal;
  }

  private constructor(
    options: JournalOptions,
    directory: string,
    load: LoadOptions,
    cache: ExtentCache,
    found: Recovered,
  ) {
    const { pool, durability, log } = options;
    const { files, direct } = load;
    this.#open = load.open;
    this.directory = directory;
    this.maxBytes = options.maxBytes;
    this.durability = durability;
    this.mode = direct ? 'direct' : 'buffered';
    this.#pool = pool;
    this.#cache = cache;
    const { nextSequence: head, tally } = found;
    const newest = new Float64Array(ROWS).fill(head - 1);
    const { epoch, lost } = found;
    this.#state = { epoch, head, nextSequence: head, tally, sealed: tally.slice(), newest, lost };
    const onGone = (number: number) => this.#open.forget(number);
    this.#store = new SegmentStore({ ...options, files, directory, direct, onGone }, found);
    this.#holds = new Holds((keepFrom) => this.#store.recycle(keepFrom));
    this.#quarantine = new Quarantine(files, directory, log, options.onDamage);
    const onDamage = (segment: Segment, bad: number[]) => this.#quarantine.take(segment, bad);
    this.#reader = new Reader({ ...load, store: this.#store, state: this.#state, cache, onDamage });
    this.#arrivals = new Arrivals(this.#state, () => this.#reader.noteHead());
    const committed = (extent: Extent) => cache.addCommitted(extent);
    const onGroup = (seconds: number, regions: number, bytes: number) => {
      this.#syncTimes.add(seconds);
      this.#arrivals.wake();
      options.onSync?.(seconds, regions, bytes);
    };
    const onFailure = (error: AgentError) => options.onFailure?.(error);
    const shared = { pool, files, store: this.#store, state: this.#state, durability, direct, log };
    const last = found.segments.at(-1);
    this.#writer = new GroupWriter({ ...shared, committed, onGroup, onFailure }, found.isSealed ? undefined : last);
    if (last !== undefined && found.bad.length > 0) this.#quarantine.take(last, found.bad);
    this.#store.prepare();
  }

  /**
   * Writes a region and resolves when it is safe as `durability` says. The caller keeps its own reference of the block until this
   * settles, and nobody changes the region's bytes from now on: the journal seals the headers and keeps the block in its read cache
   * with a reference of its own. Rejects with JOURNAL_FULL or JOURNAL_SYNC_FAILED (retryable), JOURNAL_CLOSED, BODY_TOO_LARGE.
   */
  append(region: Region): Promise<void> {
    return this.#writer.append(region);
  }

  get head(): number {
    return this.#state.head;
  }

  /** The first sequence still kept. */
  get first(): number {
    return this.#store.list[0]?.first ?? this.#state.head;
  }

  /** Bytes on disk, spare segments included. */
  get bytes(): number {
    return this.#store.bytes;
  }

  get segments(): number {
    return this.#store.list.length;
  }

  /** Oldest first; the last one is written to. */
  spans(): SegmentSpan[] {
    return this.#store.list.map(({ first, startMs, start }) => {
      const total = (stream: Stream, signal: Signal) => start[rowIndex(stream, signal)] as number;
      return { first, startMs, total };
    });
  }

  /** About how many bytes lie from `sequence` on; within a segment by the share of its sequences. */
  bytesFrom(sequence: number): number {
    const { list } = this.#store;
    let bytes = 0;
    for (const [i, { first, used }] of list.entries()) {
      const end = list[i + 1]?.first ?? this.#state.head;
      if (sequence < end) bytes += sequence <= first ? used : (used * (end - sequence)) / (end - first);
    }
    return Math.round(bytes);
  }

  /** Receive time of the oldest record kept, Unix ms, or 0. */
  get oldestMs(): number {
    return this.#store.list[0]?.startMs ?? 0;
  }

  /** Where it stands now, to be saved with the cursors; undefined before the first append. */
  get end(): KnownEnd | undefined {
    const { current } = this.#store;
    if (current === undefined) return undefined;
    const { start, previousStart, ...header } = this.#store.header(current);
    return {
      ...header,
      start: [...start],
      previousStart: [...previousStart],
      used: current.used,
      next: this.#state.head,
      tally: [...this.#totals()],
    };
  }

  /** 99th percentile of the last 256 groups, milliseconds; 0 before the first. */
  get syncMsP99(): number {
    return this.#syncTimes.p99() * 1000;
  }

  /** Number of the group that is being written, from 1 on; 0 when there is none. */
  get writing(): number {
    return this.#writer.writing;
  }

  /** Why requests find no room; null when they do, as far as is known. Asking looks whether there is room again. */
  lack(): string | null {
    return this.#store.lack();
  }

  total(stream: Stream, signal: Signal): number {
    return this.#totals()[rowIndex(stream, signal)] as number;
  }

  /** `covers` of the row's last durable frame; 0 when there is none. */
  covers(stream: Stream, signal: Signal): number {
    return this.#state.tally[ROWS + rowIndex(stream, signal)] as number;
  }

  /** `filtered` of the row's last durable frame; 0 when there is none. */
  filtered(stream: Stream, signal: Signal): number {
    return this.#state.tally[ROWS * 2 + rowIndex(stream, signal)] as number;
  }

  async read(from: number, { stream, signal }: Row, maxBytes: number, total: number): Promise<FrameBatch | null> {
    const row = rowIndex(stream, signal);
    if (this.#closed || (this.#state.newest[row] as number) < from) return null;
    const found = await this.#reader.collect(from, row, maxBytes, EXTENTS_PER_READ, new Map([[row, total]]));
    if (found === null) return null;
    const { frames, next } = found;
    return { frames, next, damaged: found.damaged[row] as number, filtered: 0, ...this.#lend(found) };
  }

  /**
   * Frames of every stream and signal from `from` on, about `maxBytes`, at least one; null when nothing is there yet. `totals`: items of
   * stream `raw` by signal index that are known to lie before `from`.
   */
  async readAll(from: number, maxBytes: number, totals: readonly number[] = []): Promise<FrameRun | null> {
    if (this.#closed) return null;
    const rows = new Map(totals.map((total, i) => [rowIndex('raw', SIGNALS[i] as Signal), total]));
    const found = await this.#reader.collect(from, ALL_ROWS, maxBytes, 1, rows);
    if (found === null) return null;
    const { frames, next, end } = found;
    const damaged = SIGNALS.map((signal) => found.damaged[rowIndex('raw', signal)] as number);
    return { first: frames[0] ?? end, end, frames, next, damaged, ...this.#lend(found) };
  }

  /** Resolves when `head` has moved past `from`, or at once when it has; also when the journal closes. */
  moved(from: number): Promise<void> {
    return this.#arrivals.next(from, ALL_ROWS, () => true);
  }

  arrival({ stream, signal }: Row, from: number, pass: (next: number) => boolean): Promise<void> {
    return this.#arrivals.next(from, rowIndex(stream, signal), pass);
  }

  follow(reader: object, next: number): void {
    this.#cache.follow(reader, next);
  }

  leave(reader: object): void {
    this.#cache.leave(reader);
  }

  /** Keeps everything from `sequence` on under this name; a second call with the name replaces the first. */
  hold(name: string, sequence: number): Hold {
    return this.#holds.add(name, sequence);
  }

  /** A segment is needed by nobody any more and may be written anew. */
  get hasRecyclable(): boolean {
    return this.#store.hasRecyclable;
  }

  /** Keeps bytes that do harm, such as a request that kills workers, as `quarantine/NAME.bin`; they are copied at once. */
  quarantine(name: string, bytes: Uint8Array): void {
    this.#quarantine.keep(name, bytes);
  }

  /** Commits what was appended, then frees everything. Batches that were read must be released by those who hold them. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#writer.close();
    this.#closed = true;
    this.#arrivals.close();
    await this.#quarantine.close();
    await this.#store.close();
    this.#open.close();
    this.#cache.clear();
  }

  /** What a damaged end held is queued until there is room for the segment that readers cross into. */
  #totals(): Tally {
    const { tally, lost } = this.#state;
    return lost === null ? tally : laterTally(tally, lost);
  }

  /** Goes on in another segment, whose start says what the damaged end should have held: readers count it when they cross. */
  async #leaveDamagedEnd(): Promise<void> {
    try {
      await this.#writer.roll(this.#store.current?.startMs ?? 0, false);
    } catch (error) {
      // No room: the first append that finds some rolls, and readers count it then.
      if (!(error instanceof AgentError && error.retryable)) throw error;
    }
  }

  #lend({ blocks }: Collected) {
    const blockBytes = blocks.reduce((sum, block) => sum + this.#pool.capacity(block), 0);
    const release = () => blocks.splice(0).forEach((block) => void this.#pool.release(block));
    return { blockBytes, release };
  }
}
