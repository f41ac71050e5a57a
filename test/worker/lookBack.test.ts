/** Holds src/worker/lookBack.ts and recalls.ts, over a worker's real parts: what a look-back decides and what the selection still does are all, and once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Field, nextFrame, UNIT_BYTES, writeU64 } from '../../src/core/block.ts';
import type { FrameRun } from '../../src/core/component.ts';
import { AgentError } from '../../src/core/errors.ts';
import { thresholdOf } from '../../src/otlp/tracestate.ts';
import type { LookBack } from '../../src/worker/lookBack.ts';
import type { WorkerPool } from '../../src/worker/pool.ts';
import { note, recall } from '../../src/worker/recall.ts';
import { Recalls } from '../../src/worker/recalls.ts';
import { createSeen, Seen } from '../../src/worker/seen.ts';
import type { NoteTask, RecallTask } from '../../src/worker/tasks.ts';
import { decoded, type Plain } from '../otlp/generate.ts';
import { contentOf, createWorld, NOW_MS, plainly, service, span } from './world.ts';

const WHOSE = { service: 'checkout', namespace: null, environment: null, serviceVersion: null };
const NONE = [0, 0, 0];

interface JournalsOptions {
  receivedMs: number[];
  undecidedFrom?: number;
  /** Frames in a run. */
  perRun?: number;
  mostSeen?: number;
  /** Before `sample`. */
  before?: object[];
  mostBytes?: number | null;
  base?: LookBack['base'];
}

/** One span in each frame, received `receivedMs` after NOW_MS; the selection has decided those below `undecidedFrom`. */
function createJournals({
  receivedMs,
  undecidedFrom = 0,
  perRun = Infinity,
  mostSeen = 1000,
  before = [],
  mostBytes = null,
  base = { high: 0, low: 0 },
}: JournalsOptions) {
  const world = createWorld({ processors: [...before, { type: 'sample', base: '100%' }], units: 256 });
  const { pool, parts } = world;
  const intake: number[] = [];
  const arrive = (ms: number) => {
    const i = intake.length;
    const [at = -1] = world.observe([plainly(service('checkout', span(i)))], false, NOW_MS + ms).frames;
    writeU64(pool, at + Field.sequence, i);
    intake.push(at);
  };
  for (const ms of receivedMs) arrive(ms);
  /** What comes while a look-back notes its second part: the first is made by then. */
  let arriving: number[] = [];
  const derived: number[] = [];
  const read = (frames: number[]) => async (from: number) => runOf(frames, from);
  const runOf = (frames: number[], from: number): FrameRun | null => {
    const some = frames.slice(from, from + perRun);
    if (some.length === 0) return null;
    return { frames: some, next: from + some.length, damaged: NONE, release: () => undefined };
  };
  const workers = {
    async run(task: NoteTask | RecallTask) {
      if (task.seen !== null) seenBytes.add(task.seen.byteLength);
      if (task.kind === 'recall') gone = losing;
      if (task.kind === 'note' && new Uint32Array(task.seen)[1] === 1) for (const ms of arriving.splice(0)) arrive(ms);
      const result = task.kind === 'note' ? note(parts, task) : recall(parts, task);
      if (result.block >= 0) pool.adopt(result.block);
      if (mostUnits < pool.unitsInUse) mostUnits = pool.unitsInUse;
      return result;
    },
  } as unknown as WorkerPool;
  const zeros = () => [...NONE];
  const progress = {
    next: [undecidedFrom, undecidedFrom, undecidedFrom],
    filtered: zeros(),
    sampledOut: zeros(),
    damaged: zeros(),
    expired: zeros(),
    kept: zeros(),
  };
  /** Sizes of lists of what was kept. */
  const seenBytes = new Set<number>();
  /** Frames of the derived journal that are not there any more, and from when on it holds everything; what is once the next items are recalled. */
  let gone = { frames: 0, coveredMs: -Infinity };
  let losing = gone;
  const lose = (frames: number, coveredMs: number) => {
    losing = { frames, coveredMs };
  };
  let passed = 0;
  let mostUnits = 0;
  /** `coveredMs`: from when on the journals still hold everything, after NOW_MS. `mostRuns`: then the agent stops. */
  const lookBack = async (fromMs: number, toMs: number, coveredMs = fromMs, mostRuns = Infinity) => {
    let runs = mostRuns;
    const recalls = new Recalls(
      {
        readDerived: (from) => read(derived)(Math.max(from, gone.frames)),
        mostSeen,
        since: () => ({ intake: 0, derived: gone.frames, coveredMs: NOW_MS + Math.max(coveredMs, gone.coveredMs) }),
        begins: async () => {},
        told() {},
        passed: () => passed++,
      },
      assert.fail,
    );
    const wanted: LookBack = {
      whose: WHOSE,
      breachMs: NOW_MS + toMs,
      fromMs: NOW_MS + fromMs,
      toMs: NOW_MS + toMs,
      keep: 1,
      mostBytes,
      undecidedFrom,
      base,
    };
    recalls.add(wanted);
    await recalls.run({
      blocks: pool,
      workers,
      progress,
      readIntake: read(intake),
      async between() {
        if (runs-- <= 0) throw new AgentError('DRAINING', 'it stops', { retryable: true });
      },
      now: () => NOW_MS,
      async append({ first, end }) {
        const to = pool.allocate(UNIT_BYTES);
        pool.bytes.copyWithin(to, first, end);
        for (let at = to; at < to + end - first; at = nextFrame(pool, at)) {
          writeU64(pool, at + Field.sequence, derived.length);
          derived.push(at);
        }
      },
    });
    return recalls;
  };
  const recalled = () => derived.flatMap((at) => namesOf(contentOf(world, at)));
  /** What the selection does of the rest. */
  const selected = (recalls: Recalls) => {
    const { selected } = world.select(intake, [undecidedFrom, undecidedFrom, undecidedFrom], recalls.decided);
    return selected.flatMap(({ signal, at, length }) =>
      namesOf(decoded(signal, Buffer.from(pool.bytes.subarray(at, at + length)))),
    );
  };
  const unitsDuring = async (work: () => Promise<unknown>) => {
    const before = pool.unitsInUse;
    mostUnits = before;
    await work();
    return mostUnits - before;
  };
  const arriveMeanwhile = (...ms: number[]) => {
    arriving = ms;
  };
  return { lookBack, recalled, selected, unitsDuring, seenBytes, lose, arriveMeanwhile, passed: () => passed };
}

/** The numbers of the spans. */
function namesOf(request: Plain): number[] {
  const { resourceSpans = [] } = request as { resourceSpans?: { scopeSpans?: { spans?: { name: string }[] }[] }[] };
  return resourceSpans.flatMap(({ scopeSpans = [] }) =>
    scopeSpans.flatMap(({ spans = [] }) => spans.map(({ name }) => Number(name.slice('span '.length)))),
  );
}

const SECONDS = Array.from({ length: 10 }, (_, i) => i * 1000);

test('what came after the time of a look-back, in a run that it has read, is left to the selection', async () => {
  const { lookBack, recalled, selected } = createJournals({ receivedMs: SECONDS });
  const recalls = await lookBack(-60_000, 5000);
  assert.deepEqual(recalled(), [0, 1, 2, 3, 4]);
  assert.deepEqual(selected(recalls), [5, 6, 7, 8, 9]);
});

test('what came before the time of a look-back, and is not decided yet, is left to the selection', async () => {
  const { lookBack, recalled, selected } = createJournals({ receivedMs: SECONDS });
  const recalls = await lookBack(5000, 10_000);
  assert.deepEqual(recalled(), [5, 6, 7, 8, 9]);
  assert.deepEqual(selected(recalls), [0, 1, 2, 3, 4]);
});

test('frames that stand in the journal in another order than they came are decided once each', async () => {
  const { lookBack, recalled, selected } = createJournals({
    receivedMs: [0, 3000, 1000, 5010, 4990, 5020, 5001, 4999],
  });
  const recalls = await lookBack(1000, 5000);
  assert.deepEqual(recalled(), [1, 2, 4, 7]);
  assert.deepEqual(selected(recalls), [0, 3, 5, 6]);
});

test('a look-back that begins again when less is there of the time before adds nothing twice, and nothing is missing', async () => {
  const { lookBack, recalled, selected } = createJournals({ receivedMs: SECONDS, undecidedFrom: 2 });
  await lookBack(-60_000, 8000);
  assert.deepEqual(recalled(), [0, 1, 2, 3, 4, 5, 6, 7]);
  const recalls = await lookBack(-60_000, 8000, 5000);
  assert.deepEqual(recalled(), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(selected(recalls), [8, 9]);
});

test('what is gone of the time before keeps a look-back from adding what was decided, not from deciding the rest', async () => {
  const { lookBack, recalled, selected } = createJournals({ receivedMs: SECONDS, undecidedFrom: 2 });
  const recalls = await lookBack(-60_000, 8000, 5000);
  assert.deepEqual([...recalled(), ...selected(recalls)], [2, 3, 4, 5, 6, 7, 8, 9]);
});

test('a look-back is passed when the selection is past what it decided, at once when that is nothing', async () => {
  const some = createJournals({ receivedMs: SECONDS, undecidedFrom: 2 });
  const recalls = await some.lookBack(-60_000, 8000);
  recalls.pass(7);
  assert.equal(some.passed(), 0);
  recalls.pass(8);
  assert.deepEqual([some.passed(), recalls.decided], [1, []]);
  const none = createJournals({ receivedMs: SECONDS, undecidedFrom: 8 });
  (await none.lookBack(-60_000, 8000)).pass(8);
  assert.equal(none.passed(), 1);
});

test('a look-back holds the memory of few results, also when there is little in each or nothing', async () => {
  const receivedMs = Array.from({ length: 60 }, (_, i) => i);
  const { lookBack, recalled, unitsDuring } = createJournals({ receivedMs, undecidedFrom: 60, perRun: 1 });
  const little = await unitsDuring(() => lookBack(0, 1000));
  assert.equal(recalled().length, 60);
  // All of it is there already.
  const none = await unitsDuring(() => lookBack(0, 1000));
  assert.equal(recalled().length, 60);
  assert.ok(Math.max(little, none) < 20, `${little} and ${none} units of 60 runs`);
});

test('a look-back that an ending agent stops is still wanted, and the next start adds what is missing', async () => {
  const receivedMs = Array.from({ length: 40 }, (_, i) => i);
  const { lookBack, recalled, selected, passed } = createJournals({ receivedMs, undecidedFrom: 30, perRun: 1 });
  const stopped = await lookBack(0, 35, 0, 25);
  assert.ok(recalled().length > 0 && recalled().length < 25, `${recalled().length} recalled`);
  assert.deepEqual([stopped.isWaiting, stopped.decided, passed()], [true, [], 0]);
  const recalls = await lookBack(0, 35);
  assert.deepEqual([recalls.isWaiting, [...recalled(), ...selected(recalls)]], [false, receivedMs]);
});

test('a look-back with more kept than it may note takes no more memory: it is made in parts, and adds each item once', async () => {
  const receivedMs = Array.from({ length: 60 }, (_, i) => i);
  const { lookBack, recalled, selected, seenBytes } = createJournals({
    receivedMs,
    undecidedFrom: 30,
    perRun: 7,
    mostSeen: 16,
  });
  await lookBack(0, 40);
  assert.deepEqual(recalled().sort(ascending), receivedMs.slice(0, 40));
  const stopped = await lookBack(0, 50, 0, 24);
  assert.ok(stopped.isWaiting && recalled().length > 40 && recalled().length < 50, `${recalled().length} recalled`);
  const recalls = await lookBack(0, 50);
  assert.deepEqual([...recalled(), ...selected(recalls)].sort(ascending), receivedMs);
  assert.deepEqual([...seenBytes], [createSeen(16).byteLength]);
});

test('what is gone of the derived journal while a look-back is made in parts is not added again', async () => {
  const receivedMs = Array.from({ length: 60 }, (_, i) => i);
  const { lookBack, recalled, lose } = createJournals({ receivedMs, undecidedFrom: 60, perRun: 1, mostSeen: 16 });
  await lookBack(0, 60);
  assert.deepEqual(recalled(), receivedMs);
  // Eight spans in each.
  lose(3, 24);
  await lookBack(0, 60);
  assert.deepEqual(recalled(), receivedMs);
});

test('what comes while a look-back is made in parts is left to the selection, in each of them', async () => {
  const receivedMs = Array.from({ length: 40 }, (_, i) => i);
  const { lookBack, recalled, selected, arriveMeanwhile } = createJournals({
    ...{ receivedMs, undecidedFrom: 40, perRun: 7, mostSeen: 16 },
  });
  await lookBack(0, 40);
  arriveMeanwhile(41, 42, 43, 44, 45, 46);
  const recalls = await lookBack(0, 60);
  assert.deepEqual(recalled(), receivedMs);
  assert.deepEqual(selected(recalls), [40, 41, 42, 43, 44, 45]);
});

test('what a filter drops takes nothing of the budget of a look-back', async () => {
  const receivedMs = Array.from({ length: 40 }, (_, i) => i);
  const { lookBack, recalled } = createJournals({
    receivedMs,
    undecidedFrom: 40,
    before: [{ type: 'filter', drop: [{ of: 'spans', where: { 'span.name': { not: ['span 3', 'span 30'] } } }] }],
    // Of about ten spans.
    mostBytes: 1500,
    base: thresholdOf(0.01).bits,
  });
  await lookBack(0, 1000);
  assert.deepEqual(recalled(), [3, 30]);
});

test('a list of what was kept that is nearly full says so', () => {
  const { pool, parts } = createWorld();
  const seen = new Seen(createSeen(16), pool.bytes);
  const { span: view } = parts.views;
  view.traceIdAt = 0;
  assert.throws(() => {
    for (let at = 16; at < 8192; at += 8) {
      pool.bytes.writeUInt32LE(at, at);
      view.spanIdAt = at;
      seen.addSpan(view);
    }
  }, /the keys of \d+ items fall into one part of 1: span ids are not random/);
});

const ascending = (a: number, b: number) => a - b;
