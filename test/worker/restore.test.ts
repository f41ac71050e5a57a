/** Holds src/worker/restore.ts: after a crash the counts add up to what was received, whatever was told before it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BlockPool,
  Field,
  frameSpan,
  type Signal,
  type Stream,
  startFrame,
  UNIT_BYTES,
  writeU64,
} from '../../src/core/block.ts';
import { AgentError } from '../../src/core/errors.ts';
import type { Observers } from '../../src/worker/observers.ts';
import type { WorkerPool } from '../../src/worker/pool.ts';
import { findTold, measureAgain, restoreProgress } from '../../src/worker/restore.ts';
import { seeded } from '../otlp/generate.ts';

interface Made {
  stream: Stream;
  signal: Signal;
  items: number;
  fields?: Partial<Record<'covers' | 'filtered' | 'receivedMs', number>>;
}

/** A journal of frames with sequences 0, 1, ..., read three at a time; counts what is not given back. */
function journal(frames: Made[]) {
  const pool = BlockPool.create(4 * UNIT_BYTES);
  const block = pool.allocate(1);
  const addresses = frames.map(({ stream, signal, items, fields = {} }, i) => {
    const at = block + i * frameSpan(0);
    startFrame(pool, at, stream, signal, 0, 0);
    writeU64(pool, at + Field.sequence, i);
    pool.words[(at + Field.items) >>> 2] = items;
    for (const [name, value] of Object.entries(fields)) writeU64(pool, at + Field[name as 'covers'], value);
    return at;
  });
  const open = { runs: 0 };
  const read = async (from: number) => {
    const run = addresses.slice(from, from + 3);
    if (run.length === 0) return null;
    open.runs++;
    return { frames: run, next: from + run.length, damaged: [0, 0, 0], release: () => void open.runs-- };
  };
  return { pool, read, open };
}

const SIGNALS: Signal[] = ['traces', 'metrics', 'logs'];

test('progress is brought up to what the derived journal covers: what is neither there nor filtered was sampled out', async (t) => {
  const random = seeded(t, 100);
  for (let round = 0; round < 100; round++) {
    const frames = Array.from({ length: 5 + random.below(20) }, () => ({
      stream: 'raw' as const,
      signal: random.pick(SIGNALS),
      items: random.below(50),
    }));
    const { pool, read, open } = journal(frames);
    const from = random.below(frames.length);
    const saved = {
      next: [from, from, from],
      filtered: [1, 2, 3],
      sampledOut: [10, 20, 30],
      damaged: [0, 0, 0],
      expired: [0, 0, 0],
      kept: [100, 200, 300],
    };
    const covers = SIGNALS.map(() => random.below(frames.length + 1));
    const kept = [0, 0, 0];
    const filtered = [0, 0, 0];
    const seen = SIGNALS.map((signal, i) =>
      frames.reduce(
        (sum, one, at) => (one.signal === signal && at >= from && at < (covers[i] ?? 0) ? sum + one.items : sum),
        0,
      ),
    );
    seen.forEach((items, i) => {
      kept[i] = random.below(items + 1);
      filtered[i] = random.below(items - (kept[i] ?? 0) + 1);
    });
    const add = (to: number[], more: number[]) => to.map((value, i) => value + (more[i] ?? 0));
    const derived = { covers, total: add(saved.kept, kept), filtered: add(saved.filtered, filtered) };
    const progress = await restoreProgress(pool, read, saved, derived);
    SIGNALS.forEach((_, i) => {
      const moved = (covers[i] ?? 0) > from;
      assert.equal(progress.next[i], moved ? covers[i] : from);
      if (!moved) return;
      const told = (progress.kept[i] ?? 0) + (progress.filtered[i] ?? 0) + (progress.sampledOut[i] ?? 0);
      const before = (saved.kept[i] ?? 0) + (saved.filtered[i] ?? 0) + (saved.sampledOut[i] ?? 0);
      assert.equal(told - before, seen[i], `round ${round}`);
    });
    assert.equal(open.runs, 0, 'memory was not given back');
    assert.deepEqual(saved.next, [from, from, from], 'what was handed in was changed');
  }
});

test('the last flush of each observer and the newest event are found', async () => {
  const frames: Made[] = [
    { stream: 'summaries', signal: 'metrics', items: 1, fields: { filtered: 3, covers: 10 } },
    { stream: 'events', signal: 'logs', items: 1, fields: { receivedMs: 5000, filtered: 2 } },
    { stream: 'summaries', signal: 'metrics', items: 1, fields: { filtered: 0, covers: 99 } },
    { stream: 'sampled', signal: 'traces', items: 1, fields: { filtered: 7, covers: 50 } },
    { stream: 'summaries', signal: 'metrics', items: 1, fields: { filtered: 3, covers: 30 } },
    { stream: 'events', signal: 'logs', items: 1, fields: { receivedMs: 4000, filtered: 2 } },
  ];
  const { pool, read } = journal(frames);
  const told = await findTold(pool, read, 0);
  assert.deepEqual([told.flushed[2], told.flushed.filter(() => true).length, told.lastEventMs[1]], [30, 1, 5000]);
  const later = await findTold(pool, read, 5);
  assert.deepEqual([later.flushed, later.lastEventMs[1]], [[], 4000]);
});

test('frames that cannot be measured again are told and passed: the others are merged, and the start goes on', async () => {
  const pool = BlockPool.create(4 * UNIT_BYTES);
  const block = pool.allocate(UNIT_BYTES);
  const frames = [1, 2, 3].map((sequence) => {
    const at = block + (sequence - 1) * frameSpan(0);
    startFrame(pool, at, 'raw', 'traces', 1000 + sequence, 0);
    writeU64(pool, at + Field.sequence, sequence);
    return at;
  });
  const deadly = frames[1];
  const workers = {
    run: async (task: { frames: readonly number[] }) => {
      if (task.frames[0] === deadly) throw new AgentError('WORKER_DIED', 'a worker died on a task');
      return { moved: [], refused: [], measured: null };
    },
  } as unknown as WorkerPool;
  const merged: number[] = [];
  const observers = {
    cuts: [],
    merge: (_measured: null, _receivedMs: number, first: number) => void merged.push(first),
  } as unknown as Observers;
  const faults: string[] = [];
  const read = async (from: number) => (from > 1 ? null : { frames, next: 4, damaged: [0, 0, 0], release() {} });
  await measureAgain(
    pool,
    workers,
    read,
    1,
    observers,
    () => {},
    (message) => void faults.push(message),
  );
  assert.deepEqual({ merged, faults }, { merged: [1, 3], faults: ['a worker died on a task'] });
});
