/** Holds src/worker/intake.ts over a worker in this thread: who is answered what, when, and what is merged. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Encoding, Field, isVoid, nextFrame, readU64, UNIT_BYTES } from '../../src/core/block.ts';
import { AgentError } from '../../src/core/errors.ts';
import { checkFrame, Found, sealHeader } from '../../src/journal/format.ts';
import { Intake } from '../../src/worker/intake.ts';
import { observe } from '../../src/worker/observe.ts';
import type { Outcome } from '../../src/worker/openBlock.ts';
import type { ObserveSource, WorkerPool } from '../../src/worker/pool.ts';
import type { ObserveResult, ObserveTask } from '../../src/worker/tasks.ts';
import { createWorld, gzipped, logs, NOW_MS, plainly, type Sent, span, traces, type WorldOptions } from './world.ts';

interface Faults {
  append?: () => void;
  /** What an append waits for. */
  writing?: Promise<void>;
  /** Throws to play measurements that cannot be merged. */
  merge?: () => void;
  /** Throws to play a worker that dies on the task. */
  die?: (task: ObserveTask) => void;
}

function createBench(options: WorldOptions = {}, faults: Faults = {}) {
  const world = createWorld(options);
  const { pool, parts, walk } = world;
  let source: ObserveSource = () => null;
  const log: string[] = [];
  const merged: { measured: ObserveResult['measured']; first: number; next: number }[] = [];
  const poison: string[] = [];
  const mergeFaults: string[] = [];
  const tasks: number[] = [];
  let sequence = 100;
  /** The records as a recovery would judge them. */
  const found: number[] = [];
  const workers = {
    setObserveSource(given: ObserveSource) {
      source = given;
    },
    kick() {},
  } as unknown as WorkerPool;
  const intake = new Intake({
    blocks: pool,
    workers,
    editing: () => (options.processors ?? []).length > 0,
    mostRegionBytes: Infinity,
    async append({ first, end }) {
      faults.append?.();
      await faults.writing;
      for (let at = first; at < end; at = nextFrame(pool, at)) {
        const isHole = isVoid(pool, at);
        sealHeader(pool, at, 1, 1, isHole ? 0 : ++sequence, 0);
        found.push(checkFrame(pool, at, end, 1, 1, 0));
      }
      log.push('append');
    },
    merge(measured, _receivedMs, first, next) {
      faults.merge?.();
      log.push('merge');
      merged.push({ measured, first, next });
    },
    onPoison: (message) => void poison.push(message),
    onMergeFault: (message) => void mergeFaults.push(message),
    now: () => NOW_MS,
  });
  /** Runs everything that waits, as a free worker would; results are taken over as pool.ts does. */
  function work(): void {
    for (let job = source(); job !== null; job = source()) {
      const task = job.task as ObserveTask;
      tasks.push(task.frames.length);
      try {
        faults.die?.(task);
      } catch (error) {
        job.reject(error as AgentError);
        continue;
      }
      const result = observe(parts, walk, task);
      for (const block of new Set(result.moved.map((region) => region.block))) pool.adopt(block);
      if (result.measured !== null) pool.adopt(result.measured.block);
      job.resolve(result);
    }
  }
  const submit = ({ signal, bytes, encoding }: Sent) =>
    intake.submit({ signal, encoding: encoding ?? Encoding.protobuf, chunks: [bytes], bytes: bytes.length });
  async function send(...sent: Sent[]): Promise<Outcome[]> {
    const outcomes = sent.map(submit);
    for (let round = 0; round < 3; round++) {
      work();
      await Promise.resolve();
    }
    const answers = await Promise.all(outcomes);
    await intake.drained();
    return answers;
  }
  return { ...world, intake, send, submit, work, log, merged, poison, mergeFaults, tasks, found };
}

const good = (n: number) => plainly(traces(span(n)));
const broken = plainly(Buffer.from('0aff', 'hex'));
const badIds = (n: number) => traces(span(n), { name: 'no ids' });

test('while a group is written, what comes waits and goes together, until it is half a block', async () => {
  const writing = Promise.withResolvers<void>();
  const bench = createBench({}, { writing: writing.promise });
  const answers = [bench.submit(good(1))];
  bench.work();
  await setImmediate();
  for (const n of [2, 3]) {
    answers.push(bench.submit(good(n)));
    bench.work();
  }
  assert.deepEqual(bench.tasks, [1]);
  const large = Array.from({ length: 8000 }, (_, n) => span(n, { name: 'x'.repeat(100) }));
  answers.push(bench.submit(plainly(traces(...large))));
  bench.work();
  assert.deepEqual(bench.tasks, [1, 3], 'half a block does not wait');
  await setImmediate();
  answers.push(bench.submit(good(4)));
  bench.work();
  assert.deepEqual(bench.tasks, [1, 3]);
  writing.resolve();
  await setImmediate();
  bench.work();
  assert.deepEqual(bench.tasks, [1, 3, 1]);
  for (const { kind } of await Promise.all(answers)) assert.equal(kind, 'accepted');
  await bench.intake.drained();
});

test('each request gets its own answer, in any mix of good, broken and partly good', async () => {
  const bench = createBench();
  const answers = await bench.send(good(1), plainly(badIds(2)), broken, good(3));
  assert.deepEqual(
    answers.map(({ kind }) => kind),
    ['accepted', 'accepted', 'refused', 'accepted'],
  );
  assert.deepEqual(answers[0], { kind: 'accepted', items: 1, rejected: 0, warned: 0 });
  assert.deepEqual(answers[1], { kind: 'accepted', items: 1, rejected: 1, warned: 0 });
  assert.equal(answers[2]?.kind === 'refused' && answers[2].code, 'BODY_UNDECODABLE');
  const warned = await bench.send({ signal: 'logs', bytes: logs({ traceId: Buffer.alloc(3, 1) }, {}) });
  assert.deepEqual(warned, [{ kind: 'accepted', items: 2, rejected: 0, warned: 1 }]);
  assert.deepEqual(bench.tasks, [4, 1], 'one task for what came together');
  assert.equal(bench.pool.unitsInUse, 0, 'memory was not given back');
});

test('in JSON, a log record whose id is no hex is kept and warned of, as one of a wrong length is', async () => {
  for (const id of ['abc', 'xyz', '00'.repeat(15), '0'.repeat(31)]) {
    const bench = createBench();
    const record = { traceId: id, body: { stringValue: 'x' } };
    const bytes = Buffer.from(JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [record, {}] }] }] }));
    const [answer] = await bench.send({ signal: 'logs', bytes, encoding: Encoding.json });
    assert.deepEqual(answer, { kind: 'accepted', items: 2, rejected: 0, warned: 1 }, id);
  }
});

test('a broken request before one that was inflated takes nothing from its answer', {}, async () => {
  const bench = createBench();
  const [refused, accepted] = await bench.send(
    { signal: 'traces', bytes: Buffer.from('no gzip'), encoding: Encoding.gzip },
    gzipped(badIds(1)),
  );
  assert.equal(refused?.kind, 'refused');
  assert.deepEqual(accepted, { kind: 'accepted', items: 1, rejected: 1, warned: 0 });
  assert.deepEqual(
    bench.merged.map(({ first, next }) => [first, next]),
    [[101, 102]],
  );
});

test('a request that is inflated and then refused leaves no record behind', {}, async () => {
  const bench = createBench({ processors: [{ type: 'redact', attributes: [{ match: 'x', action: 'mask' }] }] });
  const [refused, accepted] = await bench.send(gzipped(Buffer.from('0aff', 'hex')), gzipped(traces(span(1))));
  assert.equal(refused?.kind, 'refused');
  assert.deepEqual(accepted, { kind: 'accepted', items: 1, rejected: 0, warned: 0 });
  assert.deepEqual(
    bench.found.filter((one) => one === Found.bad),
    [],
    'a record with a wrong CRC was written',
  );
  assert.equal(bench.found.filter((one) => one === Found.whole).length, 1);
});

test('replies go out after the append, and merging waits for it too', async () => {
  const bench = createBench();
  let answered = false;
  const outcome = bench.submit(good(1)).then((answer) => {
    answered = true;
    assert.deepEqual(bench.log, ['append', 'merge']);
    return answer;
  });
  assert.equal(answered, false);
  bench.work();
  assert.equal((await outcome).kind, 'accepted');
});

test('when the journal refuses, everybody is told its code and nothing is merged', async () => {
  const fail = () => {
    throw new AgentError('JOURNAL_FULL', 'full', { retryable: true });
  };
  const bench = createBench({ processors: [{ type: 'summarize' }] }, { append: fail });
  const answers = await bench.send(good(1), broken, good(2));
  assert.deepEqual(
    answers.map((one) => one.kind === 'refused' && one.code),
    ['JOURNAL_FULL', 'BODY_UNDECODABLE', 'JOURNAL_FULL'],
  );
  assert.deepEqual(bench.merged, []);
  assert.equal(bench.pool.unitsInUse, 0);
});

test('after a worker died its requests run again one by one; the one that kills again is refused alone', async () => {
  const bench: ReturnType<typeof createBench> = createBench(
    {},
    {
      die(task) {
        for (const at of task.frames)
          if (
            bench.pool.bytes.includes('poison', at) &&
            bench.pool.bytes.indexOf('poison', at) < nextFrame(bench.pool, at)
          )
            throw new AgentError('WORKER_DIED', 'died');
      },
    },
  );
  const answers = await bench.send(good(1), plainly(traces(span(2, { name: 'poison' }))), good(3));
  assert.deepEqual(
    answers.map((one) => (one.kind === 'refused' ? one.code : one.kind)),
    ['accepted', 'WORKER_DIED', 'accepted'],
  );
  assert.deepEqual(bench.tasks, [3, 1, 1, 1]);
  assert.equal(bench.poison.length, 1);
  assert.equal(bench.pool.unitsInUse, 0);
});

test('without a free block a request is refused for now', async () => {
  const bench = createBench({ units: 4 });
  const held = Array.from({ length: 4 }, () => bench.pool.allocate(UNIT_BYTES));
  assert.equal(((await bench.submit(good(1))) as { code: string }).code, 'OVERLOADED');
  for (const block of held) bench.pool.release(block);
  assert.equal((await bench.send(good(1)))[0]?.kind, 'accepted');
});

test('a body larger than a block gets one of its own, and committed headers carry no notes between threads', async () => {
  const bench = createBench({ maxBodyBytes: 8 << 20 });
  const large = traces(span(1, { name: 'x'.repeat(UNIT_BYTES + 5) }));
  const outcome = bench.submit({ signal: 'traces', bytes: large });
  const source = bench.submit(good(2));
  bench.work();
  assert.deepEqual([(await outcome).kind, (await source).kind], ['accepted', 'accepted']);
  await bench.intake.drained();
  assert.deepEqual(bench.found, [Found.whole, Found.whole]);
  assert.equal(readU64(bench.pool, Field.covers), 0);
});

test('the oldest receive time in flight is known until the merge', async () => {
  const bench = createBench();
  assert.equal(bench.intake.oldestInFlightMs, Infinity);
  const outcome = bench.submit(good(1));
  bench.work();
  assert.equal(bench.intake.oldestInFlightMs, NOW_MS);
  await outcome;
  await bench.intake.drained();
  assert.equal(bench.intake.oldestInFlightMs, Infinity);
});

test('measurements that cannot be merged are told, and change no answer: the frames are committed', async () => {
  const merge = () => {
    throw new Error('unreadable');
  };
  const bench = createBench({}, { merge });
  assert.equal((await bench.send(good(1)))[0]?.kind, 'accepted');
  assert.deepEqual(bench.mergeFaults, ['unreadable']);
});
