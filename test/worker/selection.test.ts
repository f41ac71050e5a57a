/** The selection over frames in memory and scripted workers: what a deadly frame, damage and expiry do to its counts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BlockPool,
  Field,
  frameSpan,
  payloadLength,
  readU64,
  SIGNALS,
  type Signal,
  startFrame,
  UNIT_BYTES,
  writeU64,
} from '../../src/core/block.ts';
import { AgentError } from '../../src/core/errors.ts';
import { dueFrames } from '../../src/worker/due.ts';
import type { WorkerPool } from '../../src/worker/pool.ts';
import { passedOf, type SelectionProgress } from '../../src/worker/progress.ts';
import { Selection, type SelectionOptions } from '../../src/worker/selection.ts';
import { Shortlists } from '../../src/worker/shortlists.ts';
import type { SelectTask } from '../../src/worker/tasks.ts';

const NONE = [0, 0, 0];
const START_MS = 1000;

function progressAt(next: number): SelectionProgress {
  const zeros = () => [...NONE];
  return {
    next: [next, next, next],
    filtered: zeros(),
    sampledOut: zeros(),
    damaged: zeros(),
    expired: zeros(),
    kept: zeros(),
  };
}

/** Frames of `signals` with sequences 1, 2, ... and as many items as their sequence says; every item is sampled out. */
function world(
  signals: Signal[],
  changes: Partial<SelectionOptions> & {
    deadly?: number;
    /** So many tasks find no memory. */
    refused?: number;
    damaged?: number;
    receivedMs?: number[];
    /** Sequences of frames that have a shortlist, those of which it does not say enough, and one that cannot be read. */
    short?: number[];
    unsure?: number[];
    unreadable?: number;
    /** Bytes of shortlists in a run, at least one. */
    shortRun?: number;
  } = {},
) {
  const blocks = BlockPool.create(16 * UNIT_BYTES);
  const block = blocks.allocate(UNIT_BYTES);
  const frames = signals.map((signal, i) => {
    const at = block + i * frameSpan(0);
    startFrame(blocks, at, 'raw', signal, 0, 0);
    writeU64(blocks, at + Field.sequence, i + 1);
    writeU64(blocks, at + Field.receivedMs, START_MS + (changes.receivedMs?.[i] ?? 0));
    blocks.words[(at + Field.items) >>> 2] = i + 1;
    return at;
  });
  const shortlists = new Shortlists(blocks, 8 * UNIT_BYTES);
  for (const sequence of changes.short ?? []) {
    const lent = shortlists.lend() ?? assert.fail('no memory');
    const frame = frames[sequence - 1] as number;
    blocks.bytes.copyWithin(lent.at, frame, frame + frameSpan(0));
    shortlists.keep(lent, { frames: [lent.at], end: lent.at + frameSpan(0) + 16 }, [frame]);
    shortlists.settle(lent, { frames: [lent.at], end: lent.at + frameSpan(0) + 16 });
  }
  const { shortRun = UNIT_BYTES } = changes;
  const takeRun = shortlists.take.bind(shortlists);
  shortlists.take = (position) => takeRun(position, shortRun);
  const reads = { taken: 0, released: 0 };
  const runs: number[][] = [];
  const shortRuns: number[][] = [];
  let ms = START_MS;
  const workers = {
    async run({ frames: given, isShort }: SelectTask) {
      const sequences = given.map((at) => readU64(blocks, at + Field.sequence));
      (isShort ? shortRuns : runs).push(sequences);
      const isUnsure = (sequence: number) => isShort === true && changes.unsure?.includes(sequence) === true;
      if (changes.deadly !== undefined && sequences.includes(changes.deadly))
        throw new AgentError('WORKER_DIED', 'a worker died on a task', { retryable: true });
      if (changes.refused !== undefined && runs.length <= changes.refused)
        throw new AgentError('OVERLOADED', 'no memory', { retryable: true });
      const sampledOut = [...NONE];
      for (const [i, at] of given.entries()) {
        if (isUnsure(sequences[i] as number)) continue;
        const signal = blocks.bytes[at + Field.signal] as number;
        sampledOut[signal] = (sampledOut[signal] as number) + (blocks.words[(at + Field.items) >>> 2] as number);
      }
      const unsure = [...sequences.keys()].filter((i) => isUnsure(sequences[i] as number));
      const block = isShort ? blocks.allocate(1) : -1;
      return { block, selected: [], filtered: [...NONE], sampledOut, unsure };
    },
  } as unknown as WorkerPool;
  const progress = progressAt(1);
  const lost: unknown[] = [];
  const decided = { shortlist: 0, journal: 0 };
  const selection = new Selection({
    blocks,
    workers,
    waitMs: 0,
    settledMs: () => Infinity,
    guard: null,
    lookBacks: {
      readDerived: async () => null,
      mostSeen: 1000,
      since: () => ({ intake: 0, derived: 0, coveredMs: 0 }),
      begins: async () => {},
      told() {},
      passed() {},
    },
    progress,
    shortlists,
    async read(from, maxBytes) {
      const all = frames.slice(from === changes.unreadable ? from : from - 1);
      const some = maxBytes === 1 ? all.slice(0, 1) : all;
      const damaged = changes.damaged !== undefined && from === 1 ? [changes.damaged, 0, 0] : NONE;
      if (all.length === 0) return null;
      reads.taken++;
      return { frames: some, next: from + some.length, damaged, release: () => reads.released++ };
    },
    moved: () => new Promise(() => {}),
    append: async () => {},
    // Time passes with every look at the clock.
    now: () => (ms += 50),
    onError() {},
    onDecided: (count, by) => {
      decided[by] += count;
    },
    onLoss: (signal, items, poison) => lost.push([signal, items, poison === null ? null : poison.message]),
    ...changes,
  });
  selection.start(() => Infinity);
  const end = async () => selection.drain(signals.length + 1, Infinity);
  return { selection, progress, runs, shortRuns, reads, lost, decided, blocks, end };
}

test('a frame that no worker survives runs alone once, is counted as damaged, and holds nothing up', async () => {
  const { progress, runs, lost, end } = world(['traces', 'logs', 'traces', 'metrics'], { deadly: 3 });
  await end();
  assert.deepEqual(progress.damaged, [3, 0, 0]);
  assert.deepEqual(progress.sampledOut, [1, 4, 2]);
  assert.deepEqual(progress.next, [5, 5, 5]);
  assert.deepEqual(lost, [['traces', 3, 'a worker died on a task']]);
  assert.deepEqual(runs[0], [1, 2, 3, 4]);
  assert.ok(runs.some((run) => run.length === 1 && run[0] === 3));
});

test('what it waits for is said once for the same frames', async () => {
  const told: string[] = [];
  const { progress, runs, end } = world(['traces', 'logs'], { refused: 3, onError: (message) => told.push(message) });
  await end();
  assert.deepEqual([runs.length, progress.next, told], [4, [3, 3, 3], ['no memory']]);
});

test('what is not due yet is read once, and decided as it comes due', async () => {
  const signals: Signal[] = ['traces', 'logs', 'traces', 'metrics'];
  const began = performance.now();
  const now = () => START_MS + performance.now() - began;
  const { progress, runs, reads, end } = world(signals, { damaged: 7, waitMs: 100, receivedMs: [0, 5, 150, 300], now });
  while ((progress.next[0] as number) < 5) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(runs.flat(), [1, 2, 3, 4]);
  assert.deepEqual(progress.damaged, [7, 0, 0]);
  assert.deepEqual([reads.taken, reads.released], [1, 1]);
  await end();
});

test('a run that is held goes back when the selection ends', async () => {
  const { reads, runs, selection } = world(['traces', 'logs'], { waitMs: 1e9 });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual([reads.taken, reads.released], [1, 0]);
  // Not even now is it decided: there is no time left.
  await selection.drain(3, 0);
  assert.deepEqual([reads.taken, reads.released, runs], [1, 1, []]);
});

test('what is due waits for what comes due soon after, but not for long', () => {
  const blocks = BlockPool.create(UNIT_BYTES);
  const block = blocks.allocate(UNIT_BYTES);
  const frames = [0, 5, 60].map((receivedMs, i) => {
    const at = block + i * frameSpan(0);
    startFrame(blocks, at, 'raw', 'traces', 0, 0);
    writeU64(blocks, at + Field.receivedMs, START_MS + receivedMs);
    return at;
  });
  const at = (nowMs: number, waitMs = 100, aheadMs = 0) =>
    dueFrames(blocks, frames, {
      nowMs: START_MS + nowMs,
      waitMs,
      aheadMs,
      oldestInFlightMs: Infinity,
      settledMs: Infinity,
      slotMs: Infinity,
    });
  assert.deepEqual(at(90), { count: 0, inMs: 11 });
  assert.deepEqual(at(110), { count: 0, inMs: 15 });
  assert.deepEqual(at(125), { count: 2, inMs: 0 });
  assert.deepEqual(at(161), { count: 3, inMs: 0 });
  assert.deepEqual(at(0, -Infinity), { count: 3, inMs: 0 });
  // The clock was set back: all of them lie in the future.
  assert.deepEqual(at(-5000), { count: 0, inMs: 101 });
  assert.deepEqual(at(-5000, 100, 90), { count: 0, inMs: 11 });
  assert.deepEqual(at(-5000, 100, 126), { count: 3, inMs: 0 });
});

test('an idle selection asks its journal once to be woken, however long it rests, and is woken', async () => {
  const asked: { from: number; resolve(): void }[] = [];
  let reads = 0;
  let head = 1;
  const { selection, progress } = world([], {
    // A gap: there is nothing in it to decide.
    async read(from) {
      reads++;
      return from < head ? { frames: [], next: head, damaged: NONE, release() {} } : null;
    },
    moved: (from) => new Promise((resolve) => asked.push({ from, resolve })),
  });
  const reading = async (more: number) => {
    const until = reads + more;
    while (reads < until) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await reading(4);
  assert.deepEqual(
    asked.map(({ from }) => from),
    [1],
  );
  const began = performance.now();
  head = 2;
  asked[0]?.resolve();
  await reading(1);
  assert.ok(performance.now() - began < 400, 'it was not woken');
  while (progress.next[0] !== 2) await new Promise((resolve) => setTimeout(resolve, 5));
  await reading(3);
  assert.deepEqual(
    asked.map(({ from }) => from),
    [1, 2],
  );
  // A journal that closes answers at once, each time: nothing else may starve by that.
  asked[1]?.resolve();
  await reading(1);
  await selection.drain(2, 0);
});

test('what is asked of a selection while it works is not slept over', async () => {
  const { selection } = world(['traces'], { waitMs: 1e9 });
  // It reads, to find that nothing is due.
  const began = performance.now();
  await selection.expire(2, [1, 0, 0]);
  assert.ok(performance.now() - began < 400);
  await selection.drain(2, 0);
});

test('a clock that is set back holds up what came before for one wait, and nothing behind it', async () => {
  const signals: Signal[] = ['traces', 'logs', 'traces'];
  const waitMs = 200;
  const began = performance.now();
  const HOUR_MS = 3_600_000;
  const now = () => START_MS + performance.now() - began;
  // The first came an hour later by the clock of then, the others just now.
  const { progress, runs, end } = world(signals, { waitMs, receivedMs: [HOUR_MS, 0, 5], now });
  while ((progress.next[0] as number) < 4) {
    if (runs.length === 0) assert.ok(performance.now() - began < 1500, 'it waits for the clock');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(performance.now() - began >= waitMs);
  assert.deepEqual(runs.flat(), [1, 2, 3]);
  await end();
});

test('what was decided when the clock is set back is not kept from the derived journal until it has caught up', async () => {
  let setBackMs = 0;
  const now = () => START_MS + performance.now() - setBackMs;
  const { progress, runs, end } = world(['traces'], { waitMs: -1, now });
  while (runs.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const began = performance.now();
  setBackMs = 3_600_000;
  while ((progress.next[0] as number) < 2 && performance.now() - began < 1500)
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(progress.next[0], 2);
  await end();
});

test('damage that the journal passed counts once, and is part of what was passed', async () => {
  const { progress, end } = world(['traces', 'logs'], { damaged: 7 });
  await end();
  assert.deepEqual(progress.damaged, [7, 0, 0]);
  assert.deepEqual(passedOf(progress), [8, 0, 2]);
});

test('what is given up before it was decided counts as expired, what was decided does not', async () => {
  const never = new Promise<never>(() => {});
  let reads = 0;
  const { selection, progress } = world(['traces', 'traces'], {
    read: () => (++reads === 1 ? Promise.resolve(null) : never),
    moved: () => Promise.resolve(),
  });
  progress.kept[0] = 5;
  assert.deepEqual(await selection.expire(100, [50, 0, 7]), [45, 0, 7]);
  assert.deepEqual({ next: progress.next, expired: progress.expired }, { next: [100, 100, 100], expired: [45, 0, 7] });
  assert.deepEqual(
    SIGNALS.map((_, i) => passedOf(progress)[i]),
    [50, 0, 7],
  );
});

const FRAMES_AND_OPEN = 3;
const FOUR: Signal[] = ['traces', 'traces', 'traces', 'traces'];

test('what has shortlists is decided by them, whole frames are read where they do not say enough, and for the rest', async () => {
  const { progress, runs, shortRuns, reads, decided, blocks, end } = world(FOUR, { short: [1, 2, 4], unsure: [2] });
  await end();
  assert.deepEqual(decided, { shortlist: 1, journal: 3 });
  assert.deepEqual(progress.sampledOut, [10, 0, 0]);
  assert.deepEqual(progress.next, [5, 5, 5]);
  assert.deepEqual(shortRuns, [[1, 2]]);
  assert.deepEqual(runs, [[2], [3, 4]]);
  assert.equal(reads.taken, reads.released);
  // Results and shortlists are given back, but for the block that waits for more; the frames themselves are this test's.
  assert.equal(blocks.unitsInUse, FRAMES_AND_OPEN);
});

test('with all of them shortlists nothing is read', async () => {
  const { progress, reads, blocks, end } = world(FOUR, { short: [1, 2, 3, 4] });
  await end();
  assert.deepEqual(progress.sampledOut, [10, 0, 0]);
  assert.equal(reads.taken, 0);
  assert.equal(blocks.unitsInUse, FRAMES_AND_OPEN);
});

test('what is kept goes into frames that sinks send in one piece', async () => {
  const lengths = [400_000, 600_000, 300_000, 200_000];
  const appended: number[] = [];
  const workers = {
    async run() {
      const block = made.blocks.allocate(UNIT_BYTES);
      const selected = [{ signal: 'traces', at: block, length: lengths.shift(), items: 1 }];
      return { block, selected, filtered: [...NONE], sampledOut: [...NONE], unsure: [] };
    },
  } as unknown as WorkerPool;
  const append: SelectionOptions['append'] = async ({ first }) => {
    appended.push(payloadLength(made.blocks, first));
  };
  const signals: Signal[] = ['traces', 'traces', 'traces', 'traces'];
  const made = world(signals, { workers, append, short: [1, 2, 3, 4], shortRun: 1 });
  await made.end();
  assert.deepEqual(appended, [400_000, 600_000, 500_000]);
  assert.deepEqual(made.progress.kept, [4, 0, 0]);
});

test('what the journal lost is told once, when it is counted; a frame that no worker survives beside it by itself', async () => {
  const { progress, lost, end } = world(['traces', 'logs'], { damaged: 7, deadly: 1 });
  await end();
  assert.deepEqual(progress.damaged, [8, 0, 0]);
  assert.deepEqual(lost, [
    ['traces', 1, 'a worker died on a task'],
    ['traces', 7, null],
  ]);
});

test('a whole frame that is gone when its shortlist does not say enough counts as damaged', async () => {
  const { progress, blocks, reads, end } = world(FOUR, { short: [1, 2, 3, 4], unsure: [2], unreadable: 2 });
  await end();
  assert.deepEqual(progress.sampledOut, [8, 0, 0]);
  assert.deepEqual(progress.damaged, [2, 0, 0]);
  assert.equal(reads.taken, reads.released);
  assert.equal(blocks.unitsInUse, FRAMES_AND_OPEN);
});

test('a frame that no worker survives is passed also when its shortlist killed first', async () => {
  const { progress, lost, blocks, end } = world(FOUR, { short: [1, 2, 3, 4], deadly: 3 });
  await end();
  assert.deepEqual(progress.damaged, [3, 0, 0]);
  assert.deepEqual(progress.sampledOut, [7, 0, 0]);
  assert.deepEqual(lost, [['traces', 3, 'a worker died on a task']]);
  assert.equal(blocks.unitsInUse, FRAMES_AND_OPEN);
});

test('where shortlists say too little the journal is read on', async () => {
  const signals = Array.from({ length: 40 }, (): Signal => 'traces');
  const all = signals.map((_, i) => i + 1);
  const { progress, runs, shortRuns, end } = world(signals, { short: all, unsure: all, shortRun: 1 });
  await end();
  assert.deepEqual(progress.sampledOut, [820, 0, 0]);
  // Those that were under way when the first came back.
  assert.ok(shortRuns.length <= 5, `${shortRuns.length} runs of shortlists`);
  assert.ok(runs.length <= 6, `${runs.length} runs of whole frames`);
});
