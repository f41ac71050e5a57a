import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { BlockPool, SIGNALS, UNIT_BYTES } from '../../src/core/block.ts';
import type { FrameBatch } from '../../src/core/component.ts';
import { AgentError } from '../../src/core/errors.ts';
import { diskFiles } from '../../src/journal/files.ts';
import {
  append,
  countingFiles,
  FOLLOWER,
  filesWith,
  idOf,
  makeRegion,
  openJournal,
  range,
  readEverything,
  readRow,
  seeded,
  temporaryDirectory,
} from './frames.ts';

const MODES = [
  { name: 'direct', options: {} },
  { name: 'buffered', options: { buffered: true } },
  { name: 'written', options: { durability: 'written' } },
] as const;

for (const { name, options } of MODES) {
  for (const cacheBytes of [16 << 20, 0]) {
    const through = cacheBytes === 0 ? 'the disk' : 'the cache';
    test(`what is appended is read back byte for byte through ${through} (${name})`, async () => {
      const pool = BlockPool.create(64 << 20);
      const journal = await openJournal(temporaryDirectory(), pool, { ...options, cacheBytes });
      if (name !== 'direct') assert.equal(journal.mode, 'buffered');
      let id = 0;
      for (const bytes of [8, 1, 4000, 4096, 70_000, 13, 100_000, 150_000, 9]) {
        const items = [bytes, 9, 8].map((size) => ({ id: ++id, bytes: Math.max(4, size), items: 3 }));
        await append(journal, pool, items);
      }
      const back = await readRow(journal, pool);
      assert.deepEqual(back.ids, range(1, id));
      assert.deepEqual(back.sequences, range(1, id));
      assert.equal(back.damaged, 0);
      assert.equal(journal.total('raw', 'traces'), id * 3);
      assert.deepEqual((await readEverything(journal, pool)).ids, range(1, id));
      await journal.close();
      assert.equal(pool.unitsInUse, 0);
    });
  }
}

test('a read anywhere in a segment begins near it', async () => {
  const pool = BlockPool.create(64 << 20);
  const { files, counts } = countingFiles();
  const journal = await openJournal(temporaryDirectory(), pool, { files, cacheBytes: 0, segmentBytes: 32 << 20 });
  for (let id = 1; id <= 200; id++) await append(journal, pool, [{ id, bytes: 100_000, items: 2 }]);
  for (const id of [150, 40, 199, 1]) {
    const before = counts.reads;
    const run = (await journal.readAll(id, 1)) ?? assert.fail('nothing');
    assert.deepEqual([...run.frames.map((at) => idOf(pool, at)), run.damaged], [id, [0, 0, 0]]);
    run.release();
    assert.ok(counts.reads - before <= 3, `${counts.reads - before} reads of a MiB for frame ${id}`);
  }
  await journal.close();
  assert.equal(pool.unitsInUse, 0);
});

test('who takes much at once reads much at once, and less where memory is short', async () => {
  const pool = BlockPool.create(16 << 20);
  const { files, counts } = countingFiles();
  const journal = await openJournal(temporaryDirectory(), pool, { files, cacheBytes: 0, segmentBytes: 32 << 20 });
  for (let id = 1; id <= 80; id++) await append(journal, pool, [{ id, bytes: 100_000 }]);
  const readsFor = async (maxBytes: number) => {
    const before = counts.reads;
    const back = await readRow(journal, pool, 0, maxBytes);
    assert.deepEqual([back.ids, back.damaged], [range(1, 80), 0]);
    return counts.reads - before;
  };
  const large = await readsFor(4 << 20);
  assert.ok(large <= 4, `${large} reads for 8 MB, 4 MiB at once`);
  const small = await readsFor(64 << 10);
  assert.ok(small >= 8, `${small} reads for 8 MB, 64 KiB at once`);
  // Every third unit is taken: no 4 MiB lie side by side.
  const units = Array.from({ length: pool.units }, () => pool.allocate(1));
  for (const unit of units.filter((_, i) => i % 3 !== 0)) pool.release(unit);
  const short = await readsFor(4 << 20);
  assert.ok(short >= 8, `${short} reads for 8 MB with little memory`);
  for (const unit of units.filter((_, i) => i % 3 === 0)) pool.release(unit);
  await journal.close();
  assert.equal(pool.unitsInUse, 0);
});

test('small groups share blocks of the cache: more than it would hold one by one are read without the disk', async () => {
  const pool = BlockPool.create(16 << 20);
  const { files, counts } = countingFiles();
  // A segment ends within the run: what follows it does not lie behind what came before.
  const options = { files, cacheBytes: 3 << 20, segmentBytes: 3 << 19 };
  const journal = await openJournal(temporaryDirectory(), pool, options);
  const opened = counts.reads;
  const early: FrameBatch[] = [];
  for (let id = 1; id <= 100; id++) {
    await append(journal, pool, [{ id, bytes: 20_000 + id }]);
    // What was read stays as it is while more is copied behind it.
    if (id % 25 === 0)
      early.push((await journal.read(id, { stream: 'raw', signal: 'traces' }, 1, id - 1)) ?? assert.fail('nothing'));
  }
  assert.ok(pool.unitsInUse <= 3, `${pool.unitsInUse} blocks`);
  assert.deepEqual((await readRow(journal, pool)).ids, range(1, 100));
  assert.equal(counts.reads, opened, 'read from the disk');
  assert.deepEqual(
    early.map(({ frames }) => frames.map((at) => idOf(pool, at))),
    [[25], [50], [75], [100]],
  );
  // Each says what it keeps, whoever else keeps it.
  assert.deepEqual(
    early.map(({ blockBytes }) => blockBytes),
    [1 << 20, 1 << 20, 1 << 20, 1 << 20],
  );
  for (const batch of early) batch.release();
  await journal.close();
  assert.equal(pool.unitsInUse, 0);
});

test('a block of small groups that was given back is not written to again', async () => {
  const pool = BlockPool.create(8 << 20);
  const journal = await openJournal(temporaryDirectory(), pool);
  await append(journal, pool, [{ id: 1, bytes: 100 }]);
  const others: number[] = [];
  journal.follow(FOLLOWER, journal.head);
  for (let block = pool.allocate(UNIT_BYTES); block >= 0; block = pool.allocate(UNIT_BYTES)) others.push(block);
  for (const block of others) pool.bytes.fill(7, block, block + UNIT_BYTES);
  // Room for the next region alone.
  pool.release(others.pop() as number);
  await append(journal, pool, [{ id: 2, bytes: 100 }]);
  for (const block of others) assert.ok(pool.bytes.subarray(block, block + UNIT_BYTES).every((byte) => byte === 7));
  for (const block of others) pool.release(block);
  assert.deepEqual((await readRow(journal, pool)).ids, [1, 2]);
  await journal.close();
  assert.equal(pool.unitsInUse, 0);
});

test('small groups around a large one are read in their order', async () => {
  const pool = BlockPool.create(16 << 20);
  const { files, counts } = countingFiles();
  const journal = await openJournal(temporaryDirectory(), pool, { files, segmentBytes: 4 << 20 });
  const opened = counts.reads;
  for (const [i, bytes] of [100, 200, 700_000, 300, 400].entries()) await append(journal, pool, [{ id: i + 1, bytes }]);
  assert.deepEqual((await readRow(journal, pool)).ids, range(1, 5));
  assert.equal(counts.reads, opened, 'read from the disk');
  await journal.close();
});

test('a journal on a tmpfs works in whatever mode it allows', { skip: !fs.existsSync('/dev/shm') }, async () => {
  const pool = BlockPool.create(16 << 20);
  const directory = temporaryDirectory('/dev/shm');
  const journal = await openJournal(directory, pool, { cacheBytes: 0 });
  await append(journal, pool, [{ id: 1, bytes: 100 }]);
  assert.deepEqual((await readRow(journal, pool)).ids, [1]);
  await journal.close();
  fs.rmSync(directory, { recursive: true });
});

test('a disk that refuses O_DIRECT is written through the page cache and synced', async () => {
  const pool = BlockPool.create(16 << 20);
  let syncs = 0;
  const files = filesWith({
    open: (file, flags) => {
      if ((flags & fs.constants.O_DIRECT) === 0) return diskFiles.open(file, flags);
      return Promise.reject(Object.assign(new Error('refused'), { code: 'EINVAL' }));
    },
    fdatasync: (fd) => {
      syncs += 1;
      return diskFiles.fdatasync(fd);
    },
  });
  const journal = await openJournal(temporaryDirectory(), pool, { files });
  assert.equal(journal.mode, 'buffered');
  await append(journal, pool, [{ id: 1, bytes: 100 }]);
  assert.equal(syncs, 1);
  await journal.close();
});

test('appends that arrive while a sync runs are written as one group', async () => {
  const pool = BlockPool.create(64 << 20);
  const groups: number[] = [];
  const journal = await openJournal(temporaryDirectory(), pool, {
    onSync: (_seconds, regions) => groups.push(regions),
  });
  await append(journal, pool, [{ id: 1, bytes: 50 }]);
  const first = append(journal, pool, [{ id: 2, bytes: 50 }]);
  await Promise.resolve();
  await Promise.all([first, ...range(3, 12).map((id) => append(journal, pool, [{ id, bytes: 50 }]))]);
  assert.deepEqual((await readRow(journal, pool)).ids, range(1, 12));
  assert.equal(groups.length < 5, true, `12 appends became ${groups.length} groups`);
  assert.equal(
    groups.reduce((sum, regions) => sum + regions, 0),
    12,
  );
  await journal.close();
});

test('a void frame is passed and counts nothing', async () => {
  for (const cacheBytes of [16 << 20, 0]) {
    const pool = BlockPool.create(16 << 20);
    const journal = await openJournal(temporaryDirectory(), pool, { cacheBytes });
    await append(journal, pool, [
      { id: 1, bytes: 50, void: true },
      { id: 2, bytes: 50 },
      { id: 3, bytes: 500, void: true },
      { id: 4, bytes: 50 },
      { id: 5, bytes: 50, void: true },
    ]);
    await append(journal, pool, [{ id: 6, bytes: 50, void: true }]);
    await append(journal, pool, [{ id: 7, bytes: 50 }]);
    const back = await readRow(journal, pool);
    assert.deepEqual([back.ids, back.sequences, back.damaged], [[2, 4, 7], [1, 2, 3], 0]);
    assert.equal(journal.total('raw', 'traces'), 3);
    await journal.close();
  }
});

test('each row sees its own frames and its own totals', async () => {
  const pool = BlockPool.create(32 << 20);
  const journal = await openJournal(temporaryDirectory(), pool, { cacheBytes: 0 });
  for (let id = 1; id <= 30; id++) {
    await append(journal, pool, [
      { id, bytes: 20_000, items: id, signal: SIGNALS[id % 3] as (typeof SIGNALS)[number] },
    ]);
  }
  for (const [index, signal] of SIGNALS.entries()) {
    const ids = range(1, 30).filter((id) => id % 3 === index);
    const back = await readRow(journal, pool, 0, 30_000, 'raw', signal);
    assert.deepEqual([back.ids, back.damaged], [ids, 0]);
    assert.equal(
      journal.total('raw', signal),
      ids.reduce((sum, id) => sum + id, 0),
    );
  }
  await journal.close();
});

test('a read gives at most maxBytes of frames, and at least one', async () => {
  const pool = BlockPool.create(32 << 20);
  const journal = await openJournal(temporaryDirectory(), pool);
  await append(
    journal,
    pool,
    range(1, 20).map((id) => ({ id, bytes: 920 })),
  );
  const two = await journal.read(0, { stream: 'raw', signal: 'traces' }, 2500, 0);
  assert.deepEqual([two?.frames.length, two?.next], [2, 3]);
  two?.release();
  const one = await journal.read(3, { stream: 'raw', signal: 'traces' }, 10, 0);
  assert.deepEqual([one?.frames.map((at) => idOf(pool, at)), one?.next], [[3], 4]);
  one?.release();
  assert.equal(await journal.read(21, { stream: 'raw', signal: 'traces' }, 10, 0), null);
  await journal.close();
  assert.equal(pool.unitsInUse, 0);
});

test('a batch keeps its memory until it is released, whatever the cache does', async () => {
  const pool = BlockPool.create(16 << 20);
  const journal = await openJournal(temporaryDirectory(), pool, { cacheBytes: UNIT_BYTES });
  await append(journal, pool, [{ id: 1, bytes: 5000 }]);
  const batch = await journal.read(0, { stream: 'raw', signal: 'traces' }, 1000, 0);
  for (let id = 2; id < 10; id++) await append(journal, pool, [{ id, bytes: 5000 }]);
  assert.equal(idOf(pool, batch?.frames[0] as number), 1);
  batch?.release();
  batch?.release();
  await journal.close();
  assert.equal(pool.unitsInUse, 0);
});

test('a frame larger than a read chunk is read from the disk', async () => {
  const pool = BlockPool.create(32 << 20);
  const journal = await openJournal(temporaryDirectory(), pool, { cacheBytes: 0, segmentBytes: 8 << 20 });
  await append(journal, pool, [
    { id: 1, bytes: 900_000 },
    { id: 2, bytes: 3_000_000 },
    { id: 3, bytes: 10 },
  ]);
  await append(
    journal,
    pool,
    range(4, 40).map((id) => ({ id, bytes: 60_001 })),
  );
  assert.deepEqual((await readRow(journal, pool)).ids, range(1, 40));
  await assert.rejects(append(journal, pool, [{ id: 41, bytes: 9 << 20 }]), { code: 'BODY_TOO_LARGE' });
  await journal.close();
});

test('readers wait for memory instead of failing', async () => {
  const pool = BlockPool.create(4 << 20);
  const journal = await openJournal(temporaryDirectory(), pool, { cacheBytes: 0 });
  await append(journal, pool, [{ id: 1, bytes: 5000 }]);
  const taken = range(1, 4).map(() => pool.allocate(1));
  const reading = readRow(journal, pool);
  await new Promise((resolve) => setImmediate(resolve));
  for (const block of taken) pool.release(block);
  assert.deepEqual((await reading).ids, [1]);
  await journal.close();
});

test('readers of one place share one read', async () => {
  const pool = BlockPool.create(32 << 20);
  const { files, counts } = countingFiles();
  const journal = await openJournal(temporaryDirectory(), pool, { files });
  await append(
    journal,
    pool,
    range(1, 20).map((id) => ({ id, bytes: 920 })),
  );
  journal.follow(FOLLOWER, journal.head);
  counts.reads = 0;
  const all = await Promise.all(range(1, 8).map(() => readRow(journal, pool)));
  for (const { ids } of all) assert.deepEqual(ids, range(1, 20));
  assert.equal(counts.reads, 1);
  await journal.close();
  assert.equal(pool.unitsInUse, 0);
});

test('a reader that waits is woken by the commit, and by the close', async () => {
  const pool = BlockPool.create(16 << 20);
  const journal = await openJournal(temporaryDirectory(), pool);
  const moved = journal.moved(journal.head);
  await append(journal, pool, [{ id: 1, bytes: 10 }]);
  await moved;
  await journal.moved(1);
  const closing = journal.moved(journal.head);
  await journal.close();
  await closing;
  await assert.rejects(append(journal, pool, [{ id: 2, bytes: 10 }]), { code: 'JOURNAL_CLOSED' });
});

for (const cacheBytes of [4 << 20, 0]) {
  test(`readers that follow a writer over many segments miss nothing (cache of ${cacheBytes})`, async () => {
    const seed = 20_240_601 + cacheBytes;
    console.log(`seed ${seed}`);
    const random = seeded(seed);
    const pool = BlockPool.create(64 << 20);
    const journal = await openJournal(temporaryDirectory(), pool, { cacheBytes });
    const count = 400;
    const follow = async (maxBytes: number) => {
      const reader = {};
      const hold = journal.hold(`reader of ${maxBytes}`, 0);
      const ids: number[] = [];
      for (let next = 0; ids.length < count; ) {
        const back = await readRow(journal, pool, next, maxBytes);
        ids.push(...back.ids);
        assert.equal(back.damaged, 0);
        next = back.next;
        hold.advance(next);
        journal.follow(reader, next);
        if (ids.length < count) await journal.moved(next);
      }
      return ids;
    };
    journal.leave(FOLLOWER);
    const readers = [1, 20_000, 200_000].map(follow);
    for (let id = 1; id <= count; ) {
      const group: Promise<void>[] = [];
      for (let i = 0; i < 1 + random() * 6 && id <= count; i++, id++) {
        group.push(append(journal, pool, [{ id, bytes: 4 + Math.floor(random() * 40_000) }]));
      }
      await Promise.all(group);
    }
    for (const ids of await Promise.all(readers)) assert.deepEqual(ids, range(1, count));
    await journal.close();
    assert.equal(journal.segments < 3, true, `${journal.segments} segments are left`);
    assert.equal(pool.unitsInUse, 0);
  });
}

test('a region that is not whole frames from a page on is refused and harms nobody', async () => {
  const pool = BlockPool.create(16 << 20);
  const journal = await openJournal(temporaryDirectory(), pool);
  const region = makeRegion(pool, [{ id: 1, bytes: 100 }]);
  await assert.rejects(journal.append({ first: region.first, end: region.end + 8 }), RangeError);
  await assert.rejects(journal.append({ first: region.first + 8, end: region.end }), RangeError);
  await journal.append(region);
  await journal.close();
});

test('a directory that cannot be written is named, with the reason and the way out', async () => {
  const pool = BlockPool.create(4 << 20);
  const files = filesWith({
    makeDirectory: () => Promise.reject(Object.assign(new Error('EROFS: read-only'), { code: 'EROFS' })),
  });
  const error = await openJournal('/nowhere', pool, { files }).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof AgentError);
  assert.equal(error.code, 'JOURNAL_UNWRITABLE');
  assert.match(error.message, /nowhere.*read-only.*journal\.directory/);
});
