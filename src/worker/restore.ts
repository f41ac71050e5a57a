/** After a restart: finds what the derived journal says was already told, and measures again what was committed after the checkpoint. */
import { type BlockPool, Field, readU64, SIGNALS, STREAMS } from '../core/block.ts';
import type { FrameRun } from '../core/component.ts';
import { messageOf } from '../core/errors.ts';
import type { Observers } from './observers.ts';
import type { WorkerPool } from './pool.ts';
import { passedOf, type SelectionProgress } from './progress.ts';

type ReadAll = (from: number, maxBytes: number, totals?: readonly number[]) => Promise<FrameRun | null>;

const READ_BYTES = 1 << 20;
const SUMMARIES = STREAMS.indexOf('summaries');
const EVENTS = STREAMS.indexOf('events');

/** What was appended to the derived journal after the checkpoint. */
export interface Told {
  /** By processor index: the intake position its last flush covers. */
  flushed: number[];
  /** By processor index: receive time of its newest event; its events of that time and before are not told again. */
  lastEventMs: number[];
}

/** Reads the derived journal from `from` on, headers only. */
export async function findTold(pool: BlockPool, read: ReadAll, from: number): Promise<Told> {
  const told: Told = { flushed: [], lastEventMs: [] };
  const raise = (of: number[], index: number, value: number) => {
    of[index] = Math.max(of[index] ?? 0, value);
  };
  await forEachFrame(read, from, (at) => {
    const stream = pool.bytes[at + Field.stream];
    const speaker = readU64(pool, at + Field.filtered) - 1;
    if (speaker < 0) return;
    if (stream === SUMMARIES) raise(told.flushed, speaker, readU64(pool, at + Field.covers));
    else if (stream === EVENTS) raise(told.lastEventMs, speaker, readU64(pool, at + Field.receivedMs));
  });
  return told;
}

async function forEachFrame(
  read: ReadAll,
  from: number,
  visit: (at: number) => void,
  damage: (items: readonly number[], first: number) => void = () => {},
  totals: readonly number[] = [],
): Promise<void> {
  for (let next = from; ; ) {
    const run = await read(next, READ_BYTES, next === from ? totals : []);
    if (run === null) return;
    damage(run.damaged, next);
    for (const at of run.frames) visit(at);
    next = run.next;
    run.release();
  }
}

/**
 * Measures the frames from `from` on again, without changing them. `before` is called ahead of each run of frames with its receive
 * time, so that the seconds in between can be judged as they were. Frames that cannot be measured are told and passed: a start must
 * not fail for them each time.
 */
export async function measureAgain(
  pool: BlockPool,
  workers: WorkerPool,
  read: ReadAll,
  from: number,
  observers: Observers,
  before: (receivedMs: number) => void,
  onFault: (message: string) => void,
): Promise<void> {
  const sequence = (at: number) => readU64(pool, at + Field.sequence);
  const { cuts } = observers;
  for (let next = from; ; ) {
    const run = await read(next, READ_BYTES);
    if (run === null) return;
    for (let i = 0; i < run.frames.length; ) {
      const receivedMs = readU64(pool, (run.frames[i] as number) + Field.receivedMs);
      const continues = (at: number) =>
        readU64(pool, at + Field.receivedMs) === receivedMs && !cuts.includes(sequence(at));
      let end = i;
      do end++;
      while (end < run.frames.length && continues(run.frames[end] as number));
      const frames = run.frames.slice(i, end);
      before(receivedMs);
      try {
        const { measured } = await workers.run({ kind: 'observe', frames, receivedMs, measureOnly: true });
        try {
          const after = sequence(frames.at(-1) as number) + 1;
          observers.merge(measured, receivedMs, sequence(frames[0] as number), after);
        } finally {
          if (measured !== null) pool.release(measured.block);
        }
      } catch (error) {
        onFault(messageOf(error));
      }
      i = end;
    }
    next = run.next;
    run.release();
  }
}

/**
 * Brings the saved progress of the selection up to what the derived journal covers. Items between the two that are neither there nor
 * filtered were sampled out.
 */
export async function restoreProgress(
  pool: BlockPool,
  read: ReadAll,
  saved: SelectionProgress,
  derived: { covers: number[]; filtered: number[]; total: number[] },
): Promise<SelectionProgress> {
  const progress = structuredClone(saved);
  // A look-back adds frames without moving on.
  const behind = SIGNALS.map(
    (_, i) =>
      (derived.covers[i] as number) > (saved.next[i] as number) ||
      (derived.total[i] as number) > (saved.kept[i] as number),
  );
  if (!behind.includes(true)) return progress;
  const seen = SIGNALS.map(() => 0);
  const lost = SIGNALS.map(() => 0);
  const visit = (at: number) => {
    const signal = pool.bytes[at + Field.signal] as number;
    const sequence = readU64(pool, at + Field.sequence);
    if (!behind[signal] || sequence < (saved.next[signal] as number) || sequence >= (derived.covers[signal] as number))
      return;
    seen[signal] = (seen[signal] as number) + (pool.words[(at + Field.items) >>> 2] as number);
  };
  const damage = (items: readonly number[], first: number) => {
    for (const [i, count] of items.entries())
      if (first < (derived.covers[i] as number)) lost[i] = (lost[i] as number) + count;
  };
  await forEachFrame(read, Math.min(...saved.next), visit, damage, passedOf(saved));
  SIGNALS.forEach((_, i) => {
    if (!behind[i]) return;
    const kept = (derived.total[i] as number) - (saved.kept[i] as number);
    const filtered = Math.max(0, (derived.filtered[i] as number) - (saved.filtered[i] as number));
    progress.next[i] = Math.max(saved.next[i] as number, derived.covers[i] as number);
    progress.kept[i] = derived.total[i] as number;
    progress.filtered[i] = (saved.filtered[i] as number) + filtered;
    progress.damaged[i] = (saved.damaged[i] as number) + (lost[i] as number);
    progress.sampledOut[i] = (saved.sampledOut[i] as number) + (seen[i] as number) - kept - filtered;
  });
  return progress;
}
