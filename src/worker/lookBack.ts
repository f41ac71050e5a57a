/**
 * A look-back, on main: goes over the intake journal again for one service and appends what the selection had dropped of it.
 *
 *   weigh      what the service sent, so that the budget becomes a threshold before anything is added
 *   note       what of that time the derived journal has: nothing is added twice, whatever crashed in between
 *   recall     cut out what is missing and append it
 *
 * Where more was kept than there is room to note, it notes and recalls a part of all items, and then the next.
 */
import type { Whose } from '../contracts/plan.ts';
import { type BlockPool, Field, readU64, SIGNALS, STREAMS, UNIT_BYTES } from '../core/block.ts';
import type { FrameRun } from '../core/component.ts';
import { hashOfService } from '../otlp/resource.ts';
import { adjustedCount, type Bits56, thresholdOf } from '../otlp/tracestate.ts';
import { DecidedRanges } from './decidedRanges.ts';
import { dropResults, Pending } from './pending.ts';
import type { WorkerPool } from './pool.ts';
import type { SelectionProgress } from './progress.ts';
import { createSeen } from './seen.ts';
import type { DecidedBefore, RecallTask } from './tasks.ts';

/** Plain data: it is saved with the cursors. */
export interface LookBack {
  whose: Whose;
  /** When the contract broke, Unix ms; with the service it says which look-back this is. */
  breachMs: number;
  /** What was received from then to before then. */
  fromMs: number;
  toMs: number;
  /** Most of it that is wanted, and most bytes; Infinity is none, which JSON has not. */
  keep: number;
  mostBytes: number | null;
  /** Where the selection stood when it began; null before. */
  undecidedFrom: number | null;
  /** The base share's threshold for what it had not decided. */
  base: Bits56;
}

/** What came of it. */
export interface LookedBack {
  /** What is still there begins here. */
  coveredMs: number;
  items: number;
  bytes: number;
  /** Share of the service's items that are kept by it. */
  share: number;
  /** Into so many parts its work was cut, each of which read both journals. */
  parts: number;
  /** What it decided first: the selection passes it over. */
  decided: DecidedBefore[];
}

export interface LookBackSources {
  blocks: BlockPool;
  workers: WorkerPool;
  progress: SelectionProgress;
  readIntake(from: number, maxBytes: number): Promise<FrameRun | null>;
  readDerived(from: number, maxBytes: number): Promise<FrameRun | null>;
  /** Sequences at which the journals stood then or earlier, and from when on both still hold everything. */
  since(ms: number): { intake: number; derived: number; coveredMs: number };
  append(region: { first: number; end: number }): Promise<void>;
  /** Items of the derived journal that may be noted at once. */
  mostSeen: number;
  /** Comes before each run: does what cannot wait for the end of a look-back, and throws DRAINING when it has to stop. */
  between(): Promise<void>;
  now(): number;
}

/** What of the intake journal it goes over. */
interface Part {
  from: number;
  /** What is still there begins here. */
  coveredMs: number;
  toMs: number;
  /** May hold something of the service. */
  isHolder(at: number): boolean;
  /** Came in its time. */
  isInTime(at: number): boolean;
}

const SAMPLED = STREAMS.indexOf('sampled');
const METRICS = SIGNALS.indexOf('metrics');
const CUT_BYTES = 512 << 10;
/** Results of a few MiB each, however little is in them. */
const MOST_HELD = 8;
/** What resources, scopes and the mark add to what was weighed, about. */
const OVERHEAD = 1.1;

export async function lookBack(sources: LookBackSources, wanted: LookBack): Promise<LookedBack> {
  const { blocks } = sources;
  const { whose, base, fromMs } = wanted;
  const undecidedFrom = wanted.undecidedFrom ?? 0;
  const kept = await countDerived(sources, sources.since(fromMs).derived);
  const parts = Math.max(1, Math.ceil(kept / sources.mostSeen));
  const task = { kind: 'recall' as const, whose, undecidedFrom, base, seen: null };
  const share = await shareOf(sources, wanted, partOf(sources, wanted), task);
  const threshold = thresholdOf(share).bits;
  const added = { items: 0, bytes: 0 };
  const decided = new DecidedRanges(whose);
  const pending = new Pending(sources.blocks);
  const { workers, progress, now, append } = sources;
  let held = 0;
  let end = 0;
  let coveredMs = fromMs;
  const flush = async () => {
    await pending.flush(progress, [...progress.next], now(), append);
    held = 0;
  };
  try {
    for (let p = 0; p < parts; p++) {
      const seen = await noteDerived(
        sources,
        sources.since(fromMs).derived,
        createSeen(Math.ceil(kept / parts), parts, p),
      );
      // After that: what was gone by then of the derived journal may not have been noted.
      const part = partOf(sources, wanted);
      coveredMs = part.coveredMs;
      await eachRun(sources, part, async (all, holders) => {
        // What came since the first part was made is the selection's.
        const frames = p === 0 ? all : all.filter((at) => readU64(blocks, at + Field.sequence) < end);
        if (p === 0)
          for (const at of holders) {
            const sequence = readU64(blocks, at + Field.sequence);
            end = Math.max(end, sequence + 1);
            if (sequence >= undecidedFrom) decided.add(sequence, part.isInTime(at));
          }
        if (frames.length === 0) return;
        const result = await workers.run({ ...task, seen, frames, threshold, weighs: false });
        for (const { items, length } of result.selected) {
          added.items += items;
          added.bytes += length;
        }
        const one = { result, damaged: [0, 0, 0], receivedMs: 0 };
        if (result.selected.length === 0) return dropResults(blocks, [one]);
        pending.add(one, now());
        if (++held >= MOST_HELD || pending.bytes >= CUT_BYTES) await flush();
      });
      if (!pending.isEmpty) await flush();
    }
    return { coveredMs, ...added, share, parts, decided: decided.all };
  } finally {
    pending.drop();
  }
}

/** What there is of it at this moment. */
function partOf(sources: LookBackSources, wanted: LookBack): Part {
  const { blocks } = sources;
  const { intake, coveredMs: heldMs } = sources.since(wanted.fromMs);
  const coveredMs = Math.max(wanted.fromMs, heldMs);
  const isInTime = inTimeOf(blocks, wanted, coveredMs);
  return { from: intake, coveredMs, toMs: wanted.toMs, isHolder: holderOf(blocks, wanted.whose), isInTime };
}

/** Items that were kept, of all services. */
async function countDerived(sources: LookBackSources, from: number): Promise<number> {
  const { blocks } = sources;
  let items = 0;
  await eachFrames(sources, sources.readDerived, from, async (frames) => {
    for (const at of frames) if (isNoted(blocks, at)) items += blocks.words[(at + Field.items) >>> 2] as number;
    return true;
  });
  return items;
}

/** What is appended meanwhile is this look-back's own: the selection waits for it. */
async function noteDerived(
  sources: LookBackSources,
  from: number,
  seen: SharedArrayBuffer,
): Promise<SharedArrayBuffer> {
  const { blocks, workers } = sources;
  await eachFrames(sources, sources.readDerived, from, async (all) => {
    const frames = all.filter((at) => isNoted(blocks, at));
    if (frames.length > 0) await workers.run({ kind: 'note', frames, seen });
    return true;
  });
  return seen;
}

/** Metrics pass whole, so that there is nothing to add to them. */
function isNoted({ bytes }: BlockPool, at: number): boolean {
  return bytes[at + Field.stream] === SAMPLED && bytes[at + Field.signal] !== METRICS;
}

/** The share that the budget has room for; of all that the service sent, so that it is the same after a crash. */
async function shareOf(
  sources: LookBackSources,
  wanted: LookBack,
  part: Part,
  task: Omit<RecallTask, 'frames' | 'threshold' | 'weighs'>,
): Promise<number> {
  const { keep, mostBytes, base } = wanted;
  if (mostBytes === null) return keep;
  let weight = 0;
  const threshold = { high: 0, low: 0 };
  await eachRun(sources, part, async (frames) => {
    if (frames.length === 0) return;
    const result = await sources.workers.run({ ...task, frames, threshold, seen: null, weighs: true });
    weight += result.sampledOut[0] as number;
  });
  // The base share has been kept without it.
  return weight === 0 ? keep : Math.min(keep, 1 / adjustedCount(base) + mostBytes / (weight * OVERHEAD));
}

/** Whether a frame of the intake journal may hold something of the service: most hold one service's alone, and say whose. */
function holderOf(blocks: BlockPool, { service }: Whose): (at: number) => boolean {
  const meant = hashOfService(service) >>> 0;
  return (at) => {
    const key = blocks.words[(at + Field.serviceKey) >>> 2] as number;
    return key === 0 || key === meant;
  };
}

/** Whether a frame came in the look-back's time. What is not decided yet cannot be added twice for want of what was kept before `coveredMs`. */
function inTimeOf(
  blocks: BlockPool,
  { fromMs, toMs, undecidedFrom }: LookBack,
  coveredMs: number,
): (at: number) => boolean {
  return (at) => {
    const receivedMs = readU64(blocks, at + Field.receivedMs);
    const isUndecided = readU64(blocks, at + Field.sequence) >= (undecidedFrom ?? 0);
    return receivedMs >= (isUndecided ? fromMs : coveredMs) && receivedMs < toMs;
  };
}

/**
 * Runs of the intake journal, to the end of the one whose last frame came at `toMs` or later: of those that may hold something of the
 * service (`holders`) the frames that came in time.
 */
function eachRun(
  sources: LookBackSources,
  { from, toMs, isHolder, isInTime }: Part,
  visit: (frames: readonly number[], holders: readonly number[]) => Promise<void>,
): Promise<void> {
  return eachFrames(sources, sources.readIntake, from, async (all) => {
    const holders = all.filter(isHolder);
    await visit(holders.filter(isInTime), holders);
    const last = all.at(-1);
    return last === undefined || readU64(sources.blocks, last + Field.receivedMs) < toMs;
  });
}

/** While one run is worked on, the next is read: the selection waits for all of it, and the journal fills. */
async function eachFrames(
  { between }: LookBackSources,
  read: (from: number, maxBytes: number) => Promise<FrameRun | null>,
  from: number,
  visit: (frames: readonly number[]) => Promise<boolean>,
): Promise<void> {
  const begin = (at: number) => {
    const run = read(at, UNIT_BYTES);
    // A rejection that comes before it is awaited is kept for then.
    run.catch(() => undefined);
    return run;
  };
  let next = from;
  let ahead = begin(next);
  try {
    for (;;) {
      await between();
      // What came meanwhile is read, too.
      const found = (await ahead) ?? (await read(next, UNIT_BYTES));
      if (found === null) return;
      next = found.next;
      ahead = begin(next);
      try {
        if (!(await visit(found.frames))) return;
      } finally {
        found.release();
      }
    }
  } finally {
    // Why it failed, if it did, is said already.
    (await ahead.catch(() => null))?.release();
  }
}
