/** Holds what of the selection goes on while it looks back: the agent ends in time, and a journal that is full gets its room. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockPool, Field, frameSpan, readU64, startFrame, UNIT_BYTES, writeU64 } from '../../src/core/block.ts';
import type { FrameRun } from '../../src/core/component.ts';
import type { LookBack } from '../../src/worker/lookBack.ts';
import type { WorkerPool } from '../../src/worker/pool.ts';
import { Selection } from '../../src/worker/selection.ts';
import type { NoteTask, RecallTask, SelectTask } from '../../src/worker/tasks.ts';

const WANTED: LookBack = {
  whose: { service: 'checkout', namespace: null, environment: null, serviceVersion: null },
  breachMs: 2,
  fromMs: 0,
  toMs: 2,
  keep: 1,
  mostBytes: null,
  undecidedFrom: null,
  base: { high: 0, low: 0 },
};
const zeros = () => [0, 0, 0];

/** `count` frames with sequences 1, 2, ..., each a run of its own; each run that a look-back is given waits until `step` lets it go. */
function world(count: number) {
  const blocks = BlockPool.create(4 * UNIT_BYTES);
  const block = blocks.allocate(UNIT_BYTES);
  const frames = Array.from({ length: count }, (_, i) => {
    const at = block + i * frameSpan(0);
    startFrame(blocks, at, 'raw', 'traces', 1, 0);
    writeU64(blocks, at + Field.sequence, i + 1);
    return at;
  });
  const progress = {
    next: [1, 1, 1],
    filtered: zeros(),
    sampledOut: zeros(),
    damaged: zeros(),
    expired: zeros(),
    kept: zeros(),
  };
  let ms = 1000;
  const recalled: number[] = [];
  const held = { runs: 0 };
  const told: string[] = [];
  const errors: string[] = [];
  let given = Promise.withResolvers<() => void>();
  const workers = {
    async run(task: SelectTask | NoteTask | RecallTask) {
      if (task.kind === 'recall') {
        const { promise, resolve } = Promise.withResolvers<void>();
        given.resolve(resolve);
        await promise;
        recalled.push(...task.frames.map((at) => readU64(blocks, at + Field.sequence)));
      }
      return { block: -1, selected: [], filtered: zeros(), sampledOut: zeros() };
    },
  } as unknown as WorkerPool;
  const selection = new Selection({
    blocks,
    workers,
    waitMs: 1e9,
    settledMs: () => Infinity,
    guard: null,
    progress,
    lookBacks: {
      readDerived: async () => null,
      mostSeen: 1000,
      since: () => ({ intake: 1, derived: 1, coveredMs: 0 }),
      begins: async () => {},
      told: () => told.push('told'),
      passed: () => told.push('passed'),
    },
    async read(from): Promise<FrameRun | null> {
      const at = frames[from - 1];
      if (at === undefined) return null;
      held.runs++;
      return { frames: [at], next: from + 1, damaged: zeros(), release: () => held.runs-- };
    },
    moved: () => new Promise(() => {}),
    append: async () => {},
    // Time passes with every look at the clock.
    now: () => (ms += 50),
    onError: (message) => errors.push(message),
    onDecided() {},
    onLoss() {},
  });
  /** Waits until a run is with a worker; lets it go. */
  const step = async () => {
    const go = await given.promise;
    given = Promise.withResolvers();
    return go;
  };
  return { selection, progress, recalled, held, told, errors, step };
}

test('a look-back that is not finished when the grace ends stops after the run it is at, and is not given up', async () => {
  const { selection, recalled, held, told, errors, step } = world(10);
  selection.start(() => Infinity);
  selection.recall({ ...WANTED });
  (await step())();
  const go = await step();
  const drained = selection.drain(11, 0);
  go();
  await drained;
  assert.deepEqual(recalled, [1, 2]);
  assert.deepEqual([told, errors, held.runs], [[], [], 0]);
});

test('room that a journal asks for is given between two runs of a look-back, which goes on where it was', async () => {
  const { selection, progress, recalled, held, told, errors, step } = world(5);
  selection.start(() => Infinity);
  selection.recall({ ...WANTED });
  (await step())();
  const go = await step();
  const expired = selection.expire(3, [7, 0, 0]);
  go();
  assert.deepEqual(await expired, [7, 0, 0]);
  assert.deepEqual(
    [progress.next, progress.expired],
    [
      [3, 3, 3],
      [7, 0, 0],
    ],
  );
  assert.deepEqual([recalled, told], [[1, 2], []]);
  for (let i = 3; i <= 5; i++) (await step())();
  await selection.drain(6, Infinity);
  assert.deepEqual(recalled, [1, 2, 3, 4, 5]);
  assert.deepEqual([told, errors, held.runs], [['told', 'passed'], [], 0]);
});
