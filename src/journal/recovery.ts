/** What a journal's directory holds, found out at start: its segments, its end, its totals; drops nothing but a torn tail. */
import path from 'node:path';
import { type BlockPool, Field, Flag, PAGE_BYTES, readU64 } from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { type Extent, type LoadOptions, loadExtent, type Position } from './extents.ts';
import { O_RDONLY, readFully, withFile } from './files.ts';
import { alignUp, ROWS, rowOf } from './format.ts';
import { type KnownEnd, laterTally, newTally, readSegmentHeader, type SegmentHeader, type Tally } from './header.ts';
import { type FoundSegments, type Segment, type Spare, segmentFile } from './segments.ts';

export interface Recovered extends FoundSegments {
  /** One above all found. */
  epoch: number;
  nextSequence: number;
  tally: Tally;
  /** Damaged pieces of the newest segment, [from, to) in file offsets, flat. */
  bad: number[];
  /** Totals when records at its very end, which are gone, were durable; null when nothing is missing. */
  lost: Tally | null;
  /** Nothing may be written behind the newest segment's end: what lies there could be taken for what follows. */
  isSealed: boolean;
}

/**
 * Sequences left out at each opening of a journal that holds something. A torn tail may have been given out, and delivered, before
 * it was lost (`written`, or a bad sector): its sequences are never given to other data. More than any group can hold.
 */
const SEQUENCE_GAP = 1 << 20;
const PROBE_BYTES = 1 << 20;

/** What one file is known to hold before it is scanned. */
interface Candidate {
  number: number;
  capacity: number;
  header: SegmentHeader | null;
  /** Its first page: its own header; one of a former life, or zeros as prepared; or neither. */
  page: 'own' | 'unused' | 'damaged';
}

/** What a scan of a whole segment finds. */
interface Scan {
  /** File offset behind the last valid record. */
  end: number;
  sequence: number;
  epoch: number;
  firstSequence: number;
  startMs: number;
  records: number;
  /** Groups that begin behind something else. */
  laterGroups: number;
  /** Totals before the first record of each row, and which rows have one. */
  start: Tally;
  seen: boolean[];
  tally: Tally;
  /** Items of whole records, by row. */
  items: Float64Array;
  bad: number[];
  /** How it stood at the first bad piece that may be torn: behind it no record begins a group. */
  torn: Scan | null;
}

/** `known`: where the journal stood when that was last saved elsewhere; undefined when nobody knows. */
export async function recover(directory: string, options: LoadOptions, known?: KnownEnd): Promise<Recovered> {
  try {
    return await recoverFiles(directory, options, known);
  } catch (error) {
    if (error instanceof AgentError) throw error;
    const message = `${directory} cannot be read: ${messageOf(error)}: mend the disk or its permissions, or move the directory away`;
    throw new AgentError('JOURNAL_UNWRITABLE', message, { cause: error });
  }
}

async function recoverFiles(directory: string, options: LoadOptions, known: KnownEnd | undefined): Promise<Recovered> {
  for (const name of await options.files.list(directory)) {
    // Half-made: never renamed to its own name, so never used.
    if (name.endsWith('.seg.tmp')) await options.files.unlink(path.join(directory, name));
  }
  const { segments, spares, hasHeader } = await findSegments(directory, options, known);
  const newest = segments.at(-1);
  if (newest === undefined) return beginAnew(spares, known);
  return recoverEnd(newest, hasHeader, segments, spares, options, known);
}

/** The segments that hold something, oldest first, and the spares; changes nothing. `hasHeader`: the newest one's own page is whole. */
export async function findSegments(directory: string, options: LoadOptions, known: KnownEnd | undefined) {
  const candidates = await listCandidates(directory, options);
  for (const [i, one] of candidates.entries()) one.header ??= headerFromElsewhere(one, candidates[i + 1], known);
  let used = candidates.length;
  while (used > 0 && !(await isUsed(directory, candidates[used - 1] as Candidate, options))) used -= 1;
  const spares: Spare[] = candidates.slice(used).map(({ number, capacity }) => ({ number, capacity }));
  const segments: Segment[] = [];
  for (let i = 0; i < used; i++) {
    const segment = makeSegment(directory, candidates[i] as Candidate, candidates[i + 1]);
    if ((candidates[i] as Candidate).header === null)
      await rebuildHeader(segment, segments.at(-1), candidates[i + 1], options);
    segments.push(segment);
  }
  return { segments, spares, hasHeader: candidates[used - 1]?.page === 'own' };
}

/** Nothing is there; when something was, sequences and totals go on all the same. */
function beginAnew(spares: Spare[], known: KnownEnd | undefined): Recovered {
  const lost = known === undefined ? null : Float64Array.from(known.tally);
  const nextSequence = known === undefined ? 1 : known.next + SEQUENCE_GAP;
  const epoch = (known?.epoch ?? 0) + 1;
  const found = { segments: [], spares, leastNumber: known?.segment ?? 0 };
  return { ...found, epoch, nextSequence, tally: newTally(), bad: [], lost, isSealed: false };
}

/** A header that is lost stands also in the next segment's, and the newest one's where the journal's owner keeps it. */
function headerFromElsewhere(
  { number }: Candidate,
  next: Candidate | undefined,
  known: KnownEnd | undefined,
): SegmentHeader | null {
  if (known?.segment === number) {
    const { start, previousStart, ...header } = known;
    return { ...header, start: Float64Array.from(start), previousStart: Float64Array.from(previousStart) };
  }
  if (next?.header?.previous !== number) return null;
  const { startMs, previousFirst, previousStart } = next.header;
  const before = { previous: 0, previousUsed: 0, previousFirst: 0, previousStart: newTally() };
  // Epoch 0 lets every record of its own pass.
  return { segment: number, epoch: 0, first: previousFirst, ...before, startMs, start: previousStart };
}

async function recoverEnd(
  newest: Segment,
  hasHeader: boolean,
  segments: Segment[],
  spares: Spare[],
  options: LoadOptions,
  known: KnownEnd | undefined,
): Promise<Recovered> {
  const safe = known?.segment === newest.number ? known.used : 0;
  const whole = await scan(newest, newest.capacity, newest.start, options, { safe });
  // Records behind the torn one belong to the same group, which nobody was told of.
  const scanned = whole.torn !== null && whole.torn.end < whole.end ? whole.torn : whole;
  // One that was prepared and never written to has no header yet; the first group brings it.
  const end = scanned === whole ? alignUp(scanned.end) : scanned.end;
  newest.used = scanned.records === 0 && !hasHeader && safe === 0 ? 0 : Math.max(end, safe);
  const nextSequence = Math.max(newest.first, whole.sequence + 1, known?.next ?? 0) + SEQUENCE_GAP;
  const bad: number[] = [];
  for (let i = 0; i < whole.bad.length; i += 2) {
    // What comes behind the last valid record is the tail, not damage, unless it is known to have been durable.
    const [from, to] = whole.bad.slice(i, i + 2) as [number, number];
    if (from < newest.used) bad.push(from, Math.min(to, newest.used));
  }
  const { tally } = scanned;
  const isLost = known?.tally.slice(0, ROWS).some((total, row) => total > (tally[row] as number)) ?? false;
  const lost = known !== undefined && isLost ? laterTally(tally, known.tally) : null;
  const epoch = Math.max(newest.epoch, whole.epoch) + 1;
  const found = { segments, spares, leastNumber: known?.segment ?? 0 };
  return { ...found, epoch, nextSequence, tally, bad, lost, isSealed: lost !== null || scanned !== whole };
}

async function listCandidates(directory: string, options: LoadOptions): Promise<Candidate[]> {
  const { files } = options;
  const candidates: Candidate[] = [];
  for (const name of (await files.list(directory)).sort()) {
    const match = /^(\d{16})\.seg$/.exec(name);
    if (match === null) continue;
    const number = Number(match[1]);
    const file = segmentFile(directory, number);
    const page = Buffer.alloc(PAGE_BYTES);
    await withFile(files, file, O_RDONLY, (fd) => readFully(files, fd, page, 0));
    const header = readSegmentHeader(page);
    const own = header !== null && header.segment === number ? header : null;
    const unused = header !== null || page.every((byte) => byte === 0);
    const state = own !== null ? 'own' : unused ? 'unused' : 'damaged';
    candidates.push({ number, capacity: await files.size(file), header: own, page: state });
  }
  return candidates;
}

/**
 * Whether a segment holds anything that was acknowledged. Its header is written with its first group: without one there must be a second
 * group, which was not begun before the first was safe. A page that looks unused is believed after one look behind it.
 */
async function isUsed(directory: string, candidate: Candidate, options: LoadOptions): Promise<boolean> {
  if (candidate.header !== null) return true;
  const segment = makeSegment(directory, candidate, undefined);
  const limit = candidate.page === 'unused' ? Math.min(PROBE_BYTES, segment.capacity) : segment.capacity;
  return (await scan(segment, limit, newTally(), options, { probe: true })).laterGroups > 0;
}

function makeSegment(directory: string, candidate: Candidate, next: Candidate | undefined): Segment {
  const { number, capacity, header } = candidate;
  const known = next?.header?.previous === number ? next.header.previousUsed : capacity;
  const life = { readers: 0, failed: false, gone: false };
  const { first, epoch, startMs, start } = header ?? { first: 1, epoch: 0, startMs: 0, start: newTally() };
  return { number, file: segmentFile(directory, number), capacity, used: known, first, epoch, startMs, start, ...life };
}

/** Both copies of a header are lost: what it said is derived from the segment's records and its neighbours. */
async function rebuildHeader(
  segment: Segment,
  before: Segment | undefined,
  next: Candidate | undefined,
  options: LoadOptions,
): Promise<void> {
  const own = await scan(segment, segment.used, newTally(), options);
  const previous = before === undefined ? undefined : await scan(before, before.used, before.start, options);
  segment.startMs = own.startMs;
  segment.first = previous === undefined ? own.firstSequence : previous.sequence + 1;
  for (let i = 0; i < ROWS * 3; i++) {
    // A row without a record here starts as it ends, so as the next segment starts.
    const elsewhere = next?.header?.start[i] ?? previous?.tally[i] ?? 0;
    segment.start[i] = own.seen[i] === true ? (own.start[i] as number) : elsewhere;
  }
}

/**
 * Reads and verifies a segment from its first record to `limit`; `probe` stops once a second group is found. Bad pieces before `safe`
 * are not torn.
 */
export async function scan(
  segment: Segment,
  limit: number,
  start: Tally,
  options: LoadOptions,
  { probe = false, safe = 0 } = {},
): Promise<Scan> {
  const found = emptyScan(segment, start);
  const position: Position = { segment, offset: PAGE_BYTES, sequence: segment.first - 1, epoch: segment.epoch };
  while (position.offset < limit && !(probe && found.laterGroups > 0)) {
    const extent = await loadExtent(options, position, limit);
    addExtent(options.pool, extent, found, safe);
    if (extent.validEnd > extent.from) found.end = extent.validEnd;
    Object.assign(position, { offset: extent.to, sequence: extent.sequence, epoch: extent.epoch });
    options.pool.release(extent.block);
  }
  return found;
}

function emptyScan(segment: Segment, start: Tally): Scan {
  const { first, epoch } = segment;
  const counts = {
    end: PAGE_BYTES,
    sequence: first - 1,
    epoch,
    firstSequence: first,
    startMs: 0,
    records: 0,
    laterGroups: 0,
  };
  return {
    ...counts,
    start: newTally(),
    seen: [],
    tally: start.slice(),
    items: new Float64Array(ROWS),
    bad: [],
    torn: null,
  };
}

/** Frames and bad pieces in the order in which they lie. */
function addExtent(pool: BlockPool, extent: Extent, found: Scan, safe: number): void {
  const { bad, frames, base } = extent;
  let i = 0;
  const passBad = (before: number) => {
    for (; i < bad.length && (bad[i] as number) < before; i += 2) {
      const [from, to] = bad.slice(i, i + 2) as [number, number];
      if (found.torn === null && from >= safe) found.torn = { ...found, end: from, tally: found.tally.slice() };
      found.bad.push(from, to);
    }
  };
  for (const at of frames) {
    passBad(at - base);
    if (((pool.bytes[at + Field.flags] as number) & Flag.group) !== 0) {
      // One write begins when the one before it is safe.
      if (found.records > 0 || found.bad.length > 0) found.laterGroups += 1;
      found.torn = null;
    }
    addFrame(pool, at, found);
  }
  passBad(Infinity);
}

function addFrame(pool: BlockPool, at: number, found: Scan): void {
  const row = rowOf(pool, at);
  const total = readU64(pool, at + Field.total);
  const items = pool.words[(at + Field.items) >>> 2] as number;
  found.items[row] = (found.items[row] as number) + items;
  if (found.records === 0) {
    found.firstSequence = readU64(pool, at + Field.sequence);
    found.startMs = readU64(pool, at + Field.receivedMs);
  }
  if (found.seen[row] !== true) {
    found.seen[row] = true;
    found.start[row] = total - items;
  }
  found.records += 1;
  found.sequence = readU64(pool, at + Field.sequence);
  found.epoch = pool.words[(at + Field.epoch) >>> 2] as number;
  found.tally[row] = total;
  found.tally[ROWS + row] = readU64(pool, at + Field.covers);
  found.tally[ROWS * 2 + row] = readU64(pool, at + Field.filtered);
}
