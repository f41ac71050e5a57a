/** The pool over real threads: what a thread leaves behind when it dies, and which work goes first. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { it, type TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { BlockPool, FRAME_HEADER_BYTES, frameSpan, startFrame, UNIT_BYTES } from '../../src/core/block.ts';
import { AgentError } from '../../src/core/errors.ts';
import { createPolicy } from '../../src/worker/policy.ts';
import { WorkerPool } from '../../src/worker/pool.ts';
import type { ObserveTask } from '../../src/worker/tasks.ts';

type Times = ConstructorParameters<typeof WorkerPool>[4];

async function start(
  t: TestContext,
  times: Times = {},
  size = 1,
): Promise<{ blocks: BlockPool; workers: WorkerPool; restarted: Promise<void> }> {
  const blocks = BlockPool.create(32 * UNIT_BYTES);
  const restart = Promise.withResolvers<void>();
  const policy = createPolicy({ contracts: [], processors: [] });
  const setup = { pool: blocks.handle, policy, traces: null, sinks: [], maxBodyBytes: 8 << 20, maxItemBytes: Infinity };
  const workers = new WorkerPool(size, blocks, setup, restart.resolve, times);
  t.after(() => workers.close());
  await workers.ready();
  return { blocks, workers, restarted: restart.promise };
}

/** An observe task of one frame with `bytes` of payload: unknown fields, so it takes a while when there are many. */
function task(blocks: BlockPool, bytes: number): ObserveTask {
  const block = blocks.allocate(frameSpan(bytes));
  startFrame(blocks, block, 'raw', 'traces', 1, bytes);
  // Field 15, varint 0, over and over.
  for (let at = block + FRAME_HEADER_BYTES; at < block + FRAME_HEADER_BYTES + bytes; at += 2) blocks.bytes[at] = 0x78;
  return { kind: 'observe', frames: [block], receivedMs: 1, measureOnly: false };
}

it('a task whose thread dies is rejected as WORKER_DIED after the exit, what the thread had allocated is free again, and the next task runs', async (t) => {
  const { blocks, workers, restarted } = await start(t);
  const running = workers.run(task(blocks, 8 << 20));
  const [thread] = workers.threads;
  assert.ok(thread !== undefined);
  void thread.terminate();
  await assert.rejects(
    running,
    (error) => error instanceof AgentError && error.code === 'WORKER_DIED' && error.retryable,
  );
  await restarted;
  assert.equal(workers.restarts, 1);
  assert.equal(blocks.unitsInUse, 9, "main's own block alone is in use");
  assert.deepEqual((await workers.run(task(blocks, 1000))).refused, []);
});

it('a thread that ends between two tasks takes none with it', async (t) => {
  const { blocks, workers, restarted } = await start(t);
  const [thread] = workers.threads;
  await thread?.terminate();
  await restarted;
  assert.deepEqual((await workers.run(task(blocks, 1000))).refused, []);
  assert.equal(workers.restarts, 1);
});

it('threads that have nothing to do end, which is no restart, and the next task gets a new one', async (t) => {
  let rests = 0;
  const onRest = () => void rests++;
  const { blocks, workers, restarted } = await start(t, { taskMs: 500, restAfterMs: 100, onRest });
  for (let i = 0; i < 3; i++) {
    const [before] = workers.threads;
    assert.ok(before !== undefined);
    const exited = once(before, 'exit');
    // While it works it is left alone.
    const busyUntil = performance.now() + 300;
    while (performance.now() < busyUntil) await workers.run(task(blocks, 1000));
    assert.deepEqual(workers.threads, [before]);
    while (workers.threads.length > 0) await setTimeout(5);
    // It is asked to end, and may not have.
    assert.deepEqual((await workers.run(task(blocks, 1000))).refused, []);
    await exited;
  }
  rests = 0;
  while (rests === 0) await setTimeout(5);
  assert.equal(workers.threads.length, 0);
  assert.equal(workers.restarts, 0);
  await workers.run(task(blocks, 1000));
  await workers.threads[0]?.terminate();
  await restarted;
  assert.deepEqual(
    { restarts: workers.restarts, rests },
    { restarts: 1, rests: 1 },
    'one that dies is still counted, and rests nobody',
  );
});

it('short tasks now and then are work: the thread stays, also after one that had ended', async (t) => {
  const { blocks, workers } = await start(t, { taskMs: 500, restAfterMs: 200 });
  while (workers.threads.length > 0) await setTimeout(5);
  await workers.run(task(blocks, 100));
  const [thread] = workers.threads;
  assert.ok(thread !== undefined);
  // Seldom enough that whoever looks every 50 ms finds nothing under way.
  for (let i = 0; i < 12; i++) {
    await setTimeout(100);
    await workers.run(task(blocks, 100));
    assert.deepEqual(workers.threads, [thread], `after ${i} pauses`);
  }
});

it('a task that comes while the thread is told to end waits for the next one', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const onRest = () => assert.fail('there is something to do');
  const { blocks, workers } = await start(t, { taskMs: 500, restAfterMs: 50, onRest });
  for (let i = 0; i < 3; i++) {
    const [before] = workers.threads;
    assert.ok(before !== undefined);
    t.mock.timers.tick(50);
    assert.deepEqual((await workers.run(task(blocks, 1000))).refused, []);
    assert.ok(!workers.threads.includes(before));
  }
  assert.equal(workers.restarts, 0);
});

it('the pool rests when the last of its threads has ended', async (t) => {
  const left: number[] = [];
  let workers: WorkerPool | null = null;
  const onRest = () => void left.push(workers?.threads.length ?? -1);
  ({ workers } = await start(t, { taskMs: 500, restAfterMs: 100, onRest }, 2));
  while (left.length === 0) await setTimeout(5);
  await setTimeout(200);
  assert.deepEqual(left, [0]);
});

it('a task that throws is rejected with what it threw, and its thread takes the next', async (t) => {
  const { blocks, workers } = await start(t);
  const [thread] = workers.threads;
  const { frames } = task(blocks, 100);
  while (blocks.allocate(UNIT_BYTES) >= 0);
  await assert.rejects(workers.run({ kind: 'select', frames, from: [0, 0, 0], decided: [] }), {
    code: 'OVERLOADED',
    retryable: true,
  });
  const unknown = { kind: 'encode', sink: 7, frames, stream: 'raw', signal: 'traces' } as const;
  await assert.rejects(workers.run(unknown), { code: 'WORKER_DIED', retryable: false });
  const again = { kind: 'observe', frames, receivedMs: 1, measureOnly: true } as const;
  assert.deepEqual((await workers.run(again)).refused, []);
  assert.deepEqual([workers.threads, workers.restarts, workers.busy], [[thread], 0, 0]);
});

it('observe work goes first, and other work gets at least every second turn', async (t) => {
  const { blocks, workers } = await start(t);
  const order: string[] = [];
  let left = 6;
  const done = Promise.withResolvers<void>();
  const note = (kind: string) => {
    if (order.push(kind) === 9) done.resolve();
  };
  workers.setObserveSource(() => {
    if (left === 0) return null;
    left--;
    return { task: task(blocks, 100), resolve: () => note('observe'), reject: assert.fail };
  });
  const frames = (task(blocks, 100) as ObserveTask).frames;
  const others = Array.from({ length: 3 }, () =>
    workers.run({ kind: 'select', frames, from: [0, 0, 0], decided: [] }).then(() => note('select')),
  );
  await Promise.all([...others, done.promise]);
  assert.equal(order[0], 'observe');
  assert.deepEqual(order.slice(0, 6), ['observe', 'select', 'observe', 'select', 'observe', 'select']);
});

it('every thread gives back what its start left', async (t) => {
  const { workers } = await start(t);
  const heaps = await workers.shrink();
  assert.equal(heaps.length, 1);
  // Measured 9 MiB, and 20 after a usual collection.
  for (const bytes of heaps) assert.ok(bytes < 13 << 20, `${bytes} bytes`);
});
