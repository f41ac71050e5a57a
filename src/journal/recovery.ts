/** What a journal's directory holds, found out at start: its segments, its end, its totals; drops nothing but a torn tail. */
import path from 'node:path';
import { Field, PAGE_BYTES, readU64 } from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { type LoadOptions, loadExtent, type Position } from './extents.ts';
import { type Files, O_RDONLY, O_WRONLY, readFully, withFile } from './files.ts';
import { alignUp, ROWS, rowOf } from './format.ts';
import { type KnownEnd, laterTally, newTally, readSegmentHeader, type SegmentHeader, type Tally } from './header.ts';
import { unwritable } from './making.ts';
import { scan } from './scan.ts';
import { type FoundSegments, type Segment, type Spare, segmentFile } from './segment.ts';

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

/** What was found may be in the page cache only (the agent was killed between write and sync): after this readers may count on it. */
export async function syncNewest(files: Files, { segments }: Recovered): Promise<void> {
  const newest = segments.at(-1);
  if (newest === undefined) return;
  await withFile(files, newest.file, O_WRONLY, (fd) => files.fsync(fd)).catch((error: unknown) => {
    throw unwritable(newest.file, error);
  });
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
    await cutTail(segments.at(-1), segment, candidates[i] as Candidate, options);
    segments.push(segment);
  }
  return { segments, spares, hasHeader: candidates[used - 1]?.page === 'own' };
}

/**
 * Where a segment ended stands in the header of the next. When that is lost, what exceeds the totals that the next one begins with is a torn
 * tail that an earlier start has cut off.
 */
async function cutTail(
  segment: Segment | undefined,
  { start }: Segment,
  next: Candidate,
  options: LoadOptions,
): Promise<void> {
  if (segment === undefined || next.header?.previous === segment.number) return;
  const { pool } = options;
  const position: Position = { segment, offset: PAGE_BYTES, sequence: segment.first - 1, epoch: segment.epoch };
  while (position.offset < segment.used) {
    const { frames, base, block, to, sequence, epoch } = await loadExtent(options, position, segment.used);
    const beyond = frames.find((at) => readU64(pool, at + Field.total) > (start[rowOf(pool, at)] as number));
    if (beyond !== undefined) segment.used = beyond - base;
    Object.assign(position, { offset: to, sequence, epoch });
    pool.release(block);
  }
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
  const life = { waypoints: [], readers: 0, failed: false, gone: false };
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
