/** Holds src/worker/filter.ts and filteredSource.ts: sinks of raw get frames without what a filter drops, and every item is counted once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Field, readU64, type Signal, writeU64 } from '../../src/core/block.ts';
import type { FrameBatch, FrameSource, Row } from '../../src/core/component.ts';
import { AgentError } from '../../src/core/errors.ts';
import { ItemChooser } from '../../src/worker/choose.ts';
import { filter } from '../../src/worker/filter.ts';
import { FilteredSource } from '../../src/worker/filteredSource.ts';
import type { WorkerPool } from '../../src/worker/pool.ts';
import type { FilterTask } from '../../src/worker/tasks.ts';
import { contentOf, createWorld, logs, payload, type Sent, service, span } from './world.ts';

const HEALTH = { attributes: [{ key: 'http.route', value: { stringValue: '/health' } }] };
const DROP = [
  { of: 'spans', where: { 'http.route': '/health' } },
  { of: 'logs', where: { body: { like: 'noise*' } } },
];
const ROW: Row = { stream: 'raw', signal: 'traces' };

function createFiltered(streams: string[]) {
  const world = createWorld({ processors: [{ type: 'filter', drop: DROP, streams }] });
  const chooser = new ItemChooser(world.parts.views, world.parts.rawSelectors);
  const run = (frames: readonly number[]) => filter(world.parts, chooser, { kind: 'filter', frames });
  const commit = (signal: Signal, ...bodies: Uint8Array[]) => {
    const { frames } = world.observe(bodies.map((bytes): Sent => ({ signal, bytes })));
    frames.forEach((at, i) => {
      writeU64(world.pool, at + Field.sequence, 10 + i);
    });
    return frames;
  };
  return { world, run, commit };
}

test('a frame loses what matches and nothing else; one of which nothing is left is gone, the others lie where they were', () => {
  const { world, run, commit } = createFiltered(['raw']);
  const frames = commit(
    'traces',
    service('shop', span(1), span(2)),
    service('shop', span(3, HEALTH), span(4), span(5, HEALTH)),
    service('shop', span(6, HEALTH)),
  );
  const before = frames.map((at) => payload(world, at));
  const result = run(frames);
  assert.deepEqual([result.filtered, result.frames.length, result.frames[0]], [3, 2, frames[0]]);
  const [, cut = 0] = result.frames;
  const header = (at: number) => world.pool.bytes.subarray(at + Field.version, at + Field.items);
  assert.deepEqual(header(cut), header(frames[1] ?? 0));
  assert.equal(readU64(world.pool, cut + Field.sequence), 11);
  assert.equal(world.pool.words[(cut + Field.items) >>> 2], 1);
  assert.deepEqual(payload(world, cut), Buffer.from(service('shop', span(4))));
  assert.deepEqual(
    frames.map((at) => payload(world, at)),
    before,
    'the journal reads the same memory',
  );
  assert.equal(result.blocks.length, 1);
});

test('log records go by their own rules, data points and streams that are not said stay', () => {
  const { world, run, commit } = createFiltered(['raw', 'sampled']);
  const [at = 0] = commit('logs', logs({ body: { stringValue: 'noise 1' } }, { body: { stringValue: 'said' } }));
  const result = run([at]);
  assert.equal(result.filtered, 1);
  assert.match(JSON.stringify(contentOf(world, result.frames[0] ?? 0, 'logs')), /said/);
  assert.equal(world.parts.selectors.length, 1);
  const alone = createFiltered(['raw']);
  assert.deepEqual([alone.world.parts.selectors.length, alone.world.parts.rawSelectors.length], [0, 1]);
  const usual = createWorld({ processors: [{ type: 'filter', drop: DROP }, { type: 'sample' }] });
  assert.deepEqual([usual.parts.selectors.length, usual.parts.rawSelectors.length], [2, 0]);
});

/** `kills`: frames at which the thread dies. */
function createSource(kills: (frames: readonly number[]) => boolean = () => false) {
  const { world, run, commit } = createFiltered(['raw']);
  const frames = commit('traces', service('shop', span(1, HEALTH), span(2)), service('shop', span(3, HEALTH)));
  const seen = { released: 0, poison: [] as string[], tasks: 0, isFiltering: true };
  const source = {
    head: 12,
    read: async (): Promise<FrameBatch> => ({
      frames: [...frames],
      next: 12,
      damaged: 4,
      filtered: 0,
      blockBytes: 1 << 20,
      release: () => void seen.released++,
    }),
  };
  const workers = {
    async run(task: FilterTask) {
      seen.tasks++;
      if (kills(task.frames)) throw new AgentError('WORKER_DIED', 'it died');
      const result = run(task.frames);
      for (const block of result.blocks) world.pool.adopt(block);
      return result;
    },
  };
  const filtered = new FilteredSource({
    // Nothing else of them is used here.
    source: source as unknown as FrameSource,
    workers: workers as unknown as WorkerPool,
    blocks: world.pool,
    isFiltering: () => seen.isFiltering,
    onPoison: (message) => void seen.poison.push(message),
  });
  return { world, filtered, frames, seen, read: (row = ROW) => filtered.read(10, row, 1000, 0) };
}

test('a source gives what is left, says how much went, and gives all memory back', async () => {
  const { world, seen, read } = createSource();
  const inUse = world.pool.unitsInUse;
  const batch = await read();
  assert.deepEqual([batch?.frames.length, batch?.filtered, batch?.damaged, batch?.next], [1, 2, 4, 12]);
  assert.equal(world.pool.unitsInUse, inUse + 1);
  batch?.release();
  assert.deepEqual([world.pool.unitsInUse, seen.released], [inUse, 1]);
});

test('without a filter of raw, and for metrics, no worker is asked', async () => {
  const { frames, seen, read } = createSource();
  const metrics = await read({ stream: 'raw', signal: 'metrics' });
  seen.isFiltering = false;
  const plain = await read();
  assert.deepEqual([metrics?.frames, plain?.frames, seen.tasks], [frames, frames, 0]);
});

test('a frame that no worker survives leaves as it is, the others are filtered', async () => {
  const fatal = { at: -1 };
  const { frames, seen, read } = createSource((run) => run.includes(fatal.at));
  fatal.at = frames[0] ?? 0;
  const batch = await read();
  assert.deepEqual([batch?.frames, batch?.filtered, seen.poison], [[fatal.at], 1, ['it died']]);
});

test('when no memory is left the batch is given back, and comes again', async () => {
  const { seen, read, world, filtered } = createSource();
  const inUse = world.pool.unitsInUse;
  const full = new FilteredSource({
    ...{ blocks: world.pool, isFiltering: () => true, onPoison: () => assert.fail('it is no poison') },
    source: filtered,
    workers: {
      run: () => Promise.reject(new AgentError('OVERLOADED', 'no memory')),
    } as unknown as WorkerPool,
  });
  seen.isFiltering = false;
  await assert.rejects(full.read(10, ROW, 1000, 0), { code: 'OVERLOADED' });
  assert.deepEqual([world.pool.unitsInUse, seen.released], [inUse, 1]);
  assert.ok((await read())?.frames.length);
});
