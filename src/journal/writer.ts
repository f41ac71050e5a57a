/** Group commit: collects regions while a sync runs, seals their frames, writes them at once; one write at a time. */
import type { Logger } from 'pino';
import { alignedMemory } from '../core/aligned.ts';
import { type BlockPool, Field, PAGE_BYTES, readU64 } from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import type { Extent } from './extents.ts';
import { errnoOf, type Files, isFull, writeFully } from './files.ts';
import { alignUp } from './format.ts';
import { writeSegmentHeader } from './header.ts';
import { isWellFormed, type JournalState, type Region, sealRegion } from './region.ts';
import type { Segment } from './segment.ts';
import type { SegmentStore } from './segments.ts';
import { addWaypoint } from './waypoints.ts';

export interface WriterOptions {
  pool: BlockPool;
  files: Files;
  store: SegmentStore;
  state: JournalState;
  durability: 'durable' | 'written';
  /** Writes through O_DIRECT | O_DSYNC; else buffered, with fdatasync. */
  direct: boolean;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** A region is durable and its extent readable. */
  committed(extent: Extent): void;
  /** The group is durable and `state.head` has moved; called before its appends resolve. */
  onGroup(seconds: number, regions: number, bytes: number): void;
  onFailure(error: AgentError): void;
}

interface Pending extends Required<Region> {
  resolve(): void;
  reject(error: unknown): void;
}

interface Group {
  segment: Segment;
  pending: Pending[];
  extents: Extent[];
  views: Uint8Array[];
  bytes: number;
}

const GROUP_BYTES = 16 << 20;
const GROUP_REGIONS = 64;
const LAZY_SYNC_MS = 100;

/**
 * A group that fails takes its sequences with it, because its records may be on the disk all the same; its totals are taken back,
 * because its senders are told no. The segment is given up at its last durable byte, which the next segment's header says.
 */
export class GroupWriter {
  readonly #options: WriterOptions;
  readonly #queue: Pending[] = [];
  readonly #page = alignedMemory(PAGE_BYTES);
  #segment: Segment | undefined;
  #fd = -1;
  #running: Promise<void> | undefined;
  #closed = false;
  #dirty = false;
  /** A lazy sync of it failed while it may still have been written to. */
  #spoiled: Segment | undefined;
  #syncing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  /** Counts groups; 0 while there is none in work. */
  writing = 0;
  #groups = 0;

  /** `segment` is where recovery ended, to go on with; undefined for a journal without one. */
  constructor(options: WriterOptions, segment: Segment | undefined) {
    this.#options = options;
    this.#segment = segment;
  }

  append(region: Region): Promise<void> {
    if (this.#closed)
      return Promise.reject(new AgentError('JOURNAL_CLOSED', 'the journal is closing', { retryable: true }));
    const bytes = alignUp(region.end) - region.first;
    if (!isWellFormed(this.#options.pool, region)) {
      return Promise.reject(new RangeError(`a region from ${region.first} to ${region.end} cannot be journalled`));
    }
    if (bytes > this.#options.store.regionBytes) {
      const limit = this.#options.store.regionBytes;
      const message = `${bytes} bytes in one piece, limit ${limit}: raise journal.segment_size`;
      return Promise.reject(new AgentError('BODY_TOO_LARGE', message));
    }
    return new Promise((resolve, reject) => {
      const { first, end, urgent = false } = region;
      this.#queue.push({ first, end, urgent, resolve, reject });
      // In a microtask, so that what is appended in one turn becomes one group.
      this.#running ??= Promise.resolve().then(() => this.#run());
    });
  }

  /** Writes what was appended, takes nothing more, closes the file. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    clearTimeout(this.#timer);
    await this.#syncLazily();
    await this.#closeFile();
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      this.writing = ++this.#groups;
      const group = await this.#form();
      if (group !== undefined) await this.#write(group);
    }
    this.writing = 0;
    this.#running = undefined;
  }

  /** The next group, sealed; or undefined when the first region was rejected because it has nowhere to go. */
  async #form(): Promise<Group | undefined> {
    const head = this.#queue[0] as Pending;
    let segment: Segment;
    try {
      segment = await this.#segmentFor(alignUp(head.end) - head.first, head.urgent);
    } catch (error) {
      this.#queue.shift();
      head.reject(error);
      return undefined;
    }
    const group: Group = { segment, pending: [], extents: [], views: [], bytes: 0 };
    if (segment.used === 0) this.#addHeader(group);
    let taken = 0;
    for (; taken < Math.min(this.#queue.length, GROUP_REGIONS); taken++) {
      const region = this.#queue[taken] as Pending;
      const bytes = alignUp(region.end) - region.first;
      const fits = segment.used + group.bytes + bytes <= segment.capacity;
      if (taken > 0 && (!fits || group.bytes + bytes > GROUP_BYTES || region.urgent !== head.urgent)) break;
      this.#addRegion(group, region, bytes);
    }
    group.pending = this.#queue.splice(0, taken);
    return group;
  }

  async #segmentFor(bytes: number, urgent: boolean): Promise<Segment> {
    if (!urgent && this.#options.store.isOver) throw this.#options.store.full();
    if (this.#spoiled !== undefined && this.#spoiled === this.#segment) this.#abandon(this.#spoiled);
    const current = this.#segment;
    const room = current === undefined ? 0 : current.capacity - Math.max(current.used, PAGE_BYTES);
    const receivedMs = readU64(this.#options.pool, (this.#queue[0] as Pending).first + Field.receivedMs);
    const segment = current === undefined || room < bytes ? await this.roll(receivedMs, urgent) : current;
    if (this.#fd < 0) this.#fd = await this.#open(segment);
    return segment;
  }

  /** Goes on in a new segment. Throws JOURNAL_FULL or JOURNAL_SYNC_FAILED, both retryable, when there is none. */
  async roll(startMs: number, urgent: boolean): Promise<Segment> {
    const { store, state } = this.#options;
    // What was only written must be safe before its file is closed.
    await this.#syncLazily();
    // What a damaged end had held is part of the totals from here on: readers count it when they cross.
    const { tally, lost } = state;
    const start = tally.map((total, i) => Math.max(total, lost?.[i] ?? 0));
    const next = await store.roll(state.epoch, state.nextSequence, startMs, start, urgent);
    state.tally.set(start);
    state.sealed.set(start);
    state.lost = null;
    await this.#closeFile();
    this.#segment = next;
    return next;
  }

  async #open(segment: Segment): Promise<number> {
    try {
      return await this.#options.store.openForWrite(segment);
    } catch (error) {
      this.#abandon(segment);
      throw failure(error, segment.file);
    }
  }

  #addHeader(group: Group): void {
    writeSegmentHeader(this.#page, this.#options.store.header(group.segment));
    group.views.push(this.#page);
    group.bytes += PAGE_BYTES;
  }

  #addRegion(group: Group, region: Region, bytes: number): void {
    const { pool, state } = this.#options;
    const from = group.segment.used + group.bytes;
    const begins = group.extents.every(({ frames }) => frames.length === 0);
    const frames = sealRegion(pool, state, group.segment.number, region, begins);
    pool.bytes.fill(0, region.end, region.first + bytes);
    group.views.push(pool.bytes.subarray(region.first, region.first + bytes));
    group.extents.push({
      segment: group.segment.number,
      from,
      to: from + bytes,
      base: region.first - from,
      block: region.first,
      frames,
      sequence: state.nextSequence - 1,
      epoch: state.epoch,
      validEnd: from + bytes,
      bad: [],
    });
    group.bytes += bytes;
  }

  async #write(group: Group): Promise<void> {
    const { files, durability, direct } = this.#options;
    const started = performance.now();
    try {
      await writeFully(files, this.#fd, group.views, group.segment.used);
      if (durability === 'written') this.#planSync();
      else if (!direct) await files.fdatasync(this.#fd);
    } catch (error) {
      return this.#fail(group, error);
    }
    this.#commit(group, (performance.now() - started) / 1000);
  }

  #commit(group: Group, seconds: number): void {
    const { state, committed, onGroup } = this.#options;
    const isFirst = group.segment.used === 0;
    if (!isFirst) addWaypoint(group.segment, state);
    group.segment.used += group.bytes;
    // The one before it may have waited for that.
    if (isFirst) this.#options.store.recycle(0);
    state.head = state.nextSequence;
    state.tally.set(state.sealed);
    for (const extent of group.extents) committed(extent);
    onGroup(seconds, group.pending.length, group.bytes);
    for (const pending of group.pending) pending.resolve();
  }

  #fail(group: Group, cause: unknown): void {
    const { state, onFailure } = this.#options;
    state.sealed.set(state.tally);
    const error = failure(cause, group.segment.file);
    this.#abandon(group.segment);
    onFailure(error);
    for (const pending of group.pending) pending.reject(error);
  }

  /** The segment is not written to again: the kernel may have dropped the pages it could not write. */
  #abandon(segment: Segment): void {
    this.#options.log.error(
      { segment: segment.file, durable: segment.used },
      'journal segment given up after a failed write',
    );
    this.#options.store.seal(segment);
    this.#segment = undefined;
    // With `written`, what was acknowledged before is owed a sync.
    const isOwed = this.#dirty;
    this.#dirty = false;
    void this.#closeFile(isOwed ? segment : null);
  }

  #planSync(): void {
    this.#dirty = true;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#syncLazily();
    }, LAZY_SYNC_MS);
  }

  /** Durability `written` alone: makes durable what was acknowledged before. One at a time, so that no file is closed under it. */
  #syncLazily(): Promise<void> {
    this.#syncing = this.#syncing.then(() => this.#syncNow());
    return this.#syncing;
  }

  async #syncNow(): Promise<void> {
    const segment = this.#segment;
    if (!this.#dirty || segment === undefined || this.#fd < 0) return;
    this.#dirty = false;
    try {
      await this.#options.files.fdatasync(this.#fd);
    } catch (error) {
      // Nobody is left to be told no; this is what the operator chose. What follows goes to another file.
      this.#options.onFailure(failure(error, segment.file));
      this.#spoiled = segment;
    }
  }

  async #closeFile(owed: Segment | null = null): Promise<void> {
    const { files, onFailure } = this.#options;
    const fd = this.#fd;
    this.#fd = -1;
    if (fd < 0) return;
    if (owed !== null) await files.fdatasync(fd).catch((error: unknown) => onFailure(failure(error, owed.file)));
    await files.close(fd).catch(() => undefined);
  }
}

function failure(cause: unknown, file: string): AgentError {
  const options = { retryable: true, cause };
  if (isFull(cause)) {
    return new AgentError('JOURNAL_FULL', `${file}: the disk is full (${errnoOf(cause)}): free room`, options);
  }
  return new AgentError('JOURNAL_SYNC_FAILED', `${file}: ${messageOf(cause)}: look at the disk`, options);
}
