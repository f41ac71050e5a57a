/** What a journal's directory holds, for people: segments, ranges, damage. Only reads, so that it may be asked beside a running agent. */
import { BlockPool, SIGNALS, type Signal, STREAMS, type Stream } from '../core/block.ts';
import type { LoadOptions } from './extents.ts';
import { diskFiles } from './files.ts';
import { ROWS } from './format.ts';
import type { KnownEnd, Tally } from './header.ts';
import { OpenSegments } from './open.ts';
import { findSegments } from './recovery.ts';
import { scan } from './scan.ts';
import type { Segment } from './segment.ts';

export interface Verified {
  records: number;
  lastSequence: number;
  /** Items by stream and signal, those that are not 0. */
  items: { stream: Stream; signal: Signal; items: number }[];
  /** Bytes that are no record: file offsets. */
  damage: { from: number; to: number }[];
  /** Items that damaged records held, as the totals around them say. */
  damagedItems: number;
}

export interface SegmentReport {
  number: number;
  /** The first sequence it may hold. */
  first: number;
  /** Receive time of its first record, Unix milliseconds. */
  startMs: number;
  /** Bytes in use, header page included, and of the file. */
  used: number;
  capacity: number;
  /** Of `verify` alone. */
  verified?: Verified;
}

export interface JournalReport {
  segments: SegmentReport[];
  spares: number;
  bytes: number;
}

const POOL_BYTES = 64 << 20;

/** `verify` reads every byte and checks every CRC. Rejects with Node's file errors, ENOENT when there is no such journal. */
export async function inspectJournal(
  directory: string,
  known: KnownEnd | undefined,
  verify: boolean,
): Promise<JournalReport> {
  const files = diskFiles;
  const open = new OpenSegments(files, false);
  const options: LoadOptions = { pool: BlockPool.create(POOL_BYTES), files, direct: false, open, relieve: () => {} };
  try {
    const { segments, spares } = await findSegments(directory, options, known);
    const newest = segments.at(-1);
    const isKnown = known !== undefined && known.segment === newest?.number;
    if (newest !== undefined && isKnown) newest.used = known.used;
    const reports: SegmentReport[] = [];
    for (const [i, segment] of segments.entries()) {
      const end = segments[i + 1]?.start ?? (isKnown ? known.tally : undefined);
      const { number, first, startMs, used, capacity } = segment;
      const report: SegmentReport = { number, first, startMs, used, capacity };
      if (verify) report.verified = await verifySegment(segment, end, options);
      reports.push(report);
    }
    const bytes = [...segments, ...spares].reduce((sum, { capacity }) => sum + capacity, 0);
    return { segments: reports, spares: spares.length, bytes };
  } finally {
    open.close();
  }
}

/** `end`: totals behind its last record, when somebody knows them. */
async function verifySegment(
  segment: Segment,
  end: Tally | number[] | undefined,
  options: LoadOptions,
): Promise<Verified> {
  const found = await scan(segment, segment.used, segment.start, options);
  const isNewest = end === undefined;
  const items: { stream: Stream; signal: Signal; items: number }[] = [];
  let damagedItems = 0;
  for (let row = 0; row < ROWS; row++) {
    const whole = found.items[row] as number;
    const total = Math.max(found.tally[row] as number, end?.[row] ?? 0);
    damagedItems += Math.max(0, total - (segment.start[row] as number) - whole);
    const stream = STREAMS[Math.floor(row / SIGNALS.length)] as Stream;
    if (whole > 0) items.push({ stream, signal: SIGNALS[row % SIGNALS.length] as Signal, items: whole });
  }
  const damage: { from: number; to: number }[] = [];
  for (let i = 0; i < found.bad.length; i += 2) {
    const [from, to] = found.bad.slice(i, i + 2) as [number, number];
    // Behind the last record of one whose end nobody knows lies its torn tail.
    if (!isNewest || from < found.end) damage.push({ from, to });
  }
  return { records: found.records, lastSequence: found.sequence, items, damage, damagedItems };
}
