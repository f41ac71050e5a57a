import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BlockPool } from '../../src/core/block.ts';
import { diskFiles } from '../../src/journal/files.ts';
import { append, filesWith, openJournal, range, readEverything, readRow, temporaryDirectory } from './frames.ts';

function diskError(code: string): Promise<never> {
  return Promise.reject(Object.assign(new Error(`${code}: the disk says no`), { code }));
}

for (const cacheBytes of [4 << 20, 0]) {
  for (const failing of ['writev', 'fdatasync'] as const) {
    test(`a group whose ${failing} fails is told so, and the journal lives on (cache of ${cacheBytes})`, async () => {
      const pool = BlockPool.create(16 << 20);
      const directory = temporaryDirectory();
      let fail = false;
      const failures: string[] = [];
      const files = filesWith({
        fdatasync: (fd) => (fail && failing === 'fdatasync' ? diskError('EIO') : diskFiles.fdatasync(fd)),
        // The bytes may be on the disk although the call has failed.
        writev: async (fd, views, position) => {
          const written = await diskFiles.writev(fd, views, position);
          return fail && failing === 'writev' ? diskError('EIO') : written;
        },
      });
      const options = { files, cacheBytes, buffered: true, onFailure: (error: Error) => failures.push(error.message) };
      const journal = await openJournal(directory, pool, options);
      await append(journal, pool, [{ id: 1, bytes: 100, items: 2 }]);
      await append(journal, pool, [{ id: 2, bytes: 100, items: 2 }]);
      fail = true;
      const refused = { code: 'JOURNAL_SYNC_FAILED', retryable: true };
      await Promise.all([3, 4].map((id) => assert.rejects(append(journal, pool, [{ id, bytes: 100 }]), refused)));
      fail = false;
      assert.equal(failures.length, 1);
      for (let id = 5; id <= 8; id++) await append(journal, pool, [{ id, bytes: 100, items: 2 }]);
      const back = await readRow(journal, pool);
      assert.deepEqual([back.ids, back.damaged], [[1, 2, 5, 6, 7, 8], 0]);
      assert.equal(back.sequences.includes(3) || back.sequences.includes(4), false, 'sequences are not given twice');
      assert.equal(journal.total('raw', 'traces'), 12);
      await journal.close();
      const again = await openJournal(directory, pool, { cacheBytes });
      const after = await readEverything(again, pool);
      assert.deepEqual([after.ids, after.damaged], [[1, 2, 5, 6, 7, 8], 0]);
      assert.deepEqual(after.sequences, back.sequences);
      await again.close();
      assert.equal(pool.unitsInUse, 0);
    });
  }
}

test('a disk that fails for long refuses every group and works when it is back', async () => {
  const pool = BlockPool.create(16 << 20);
  let fail = false;
  const files = filesWith({
    writev: (fd, views, position) => (fail ? diskError('EIO') : diskFiles.writev(fd, views, position)),
  });
  const journal = await openJournal(temporaryDirectory(), pool, { files });
  fail = true;
  for (let id = 1; id <= 10; id++) {
    await assert.rejects(append(journal, pool, [{ id, bytes: 100 }]), { code: 'JOURNAL_SYNC_FAILED', retryable: true });
  }
  fail = false;
  for (let id = 11; id <= 20; id++) await append(journal, pool, [{ id, bytes: 100 }]);
  assert.deepEqual((await readRow(journal, pool)).ids, range(11, 20));
  await journal.close();
});

test('a full disk is said to be full, nothing is lost, and room ends it', async () => {
  const pool = BlockPool.create(16 << 20);
  let free = 1 << 30;
  const files = filesWith({ free: () => Promise.resolve(free) });
  const journal = await openJournal(temporaryDirectory(), pool, { files, segmentBytes: 32 << 10, cacheBytes: 0 });
  await append(journal, pool, [{ id: 1, bytes: 100 }]);
  free = 1000;
  let id = 2;
  await assert.rejects(
    async () => {
      for (; ; id++) await append(journal, pool, [{ id, bytes: 100 }]);
    },
    { code: 'JOURNAL_FULL', retryable: true },
  );
  assert.ok(id <= 22);
  free = 1 << 30;
  await append(journal, pool, [{ id, bytes: 100 }]);
  assert.deepEqual((await readRow(journal, pool)).ids, range(1, id));
  await journal.close();
});

test('a write that ends short is a refused one', async () => {
  const pool = BlockPool.create(16 << 20);
  let cut = false;
  const files = filesWith({
    writev: async (fd, views, position) => (await diskFiles.writev(fd, views, position)) - (cut ? 4096 : 0),
  });
  const journal = await openJournal(temporaryDirectory(), pool, { files });
  await append(journal, pool, [{ id: 1, bytes: 100 }]);
  cut = true;
  await assert.rejects(append(journal, pool, [{ id: 2, bytes: 100 }]), { code: 'JOURNAL_FULL', retryable: true });
  cut = false;
  await append(journal, pool, [{ id: 3, bytes: 100 }]);
  assert.deepEqual((await readRow(journal, pool)).ids, [1, 3]);
  await journal.close();
});

test('what is only written is synced before its file is left or closed', async () => {
  const pool = BlockPool.create(16 << 20);
  let dirty = 0;
  const files = filesWith({
    writev: (fd, views, position) => {
      dirty += 1;
      return diskFiles.writev(fd, views, position);
    },
    fdatasync: (fd) => {
      dirty = 0;
      return diskFiles.fdatasync(fd);
    },
    fsync: (fd) => {
      dirty = 0;
      return diskFiles.fsync(fd);
    },
  });
  const journal = await openJournal(temporaryDirectory(), pool, { files, durability: 'written' });
  assert.deepEqual([journal.mode, journal.durability], ['buffered', 'written']);
  for (let id = 1; id <= 5; id++) await append(journal, pool, [{ id, bytes: 100 }]);
  await journal.close();
  assert.equal(dirty, 0);
});

test('after a failed late sync the next group goes to another file', async () => {
  const pool = BlockPool.create(16 << 20);
  const syncs: (() => void)[] = [];
  let fail = true;
  const failed = new Promise<void>((resolve) => syncs.push(resolve));
  const files = filesWith({ fdatasync: (fd) => (fail ? diskError('EIO') : diskFiles.fdatasync(fd)) });
  const onFailure = () => syncs[0]?.();
  const journal = await openJournal(temporaryDirectory(), pool, { files, durability: 'written', onFailure });
  await append(journal, pool, [{ id: 1, bytes: 100 }]);
  await failed;
  fail = false;
  await append(journal, pool, [{ id: 2, bytes: 100 }]);
  assert.equal(journal.segments, 2);
  assert.deepEqual((await readRow(journal, pool)).ids, [1, 2]);
  await journal.close();
});

test('durability `written`: what was acknowledged is synced, too, when the next write fails', async () => {
  const pool = BlockPool.create(16 << 20);
  let fails = false;
  const calls: string[] = [];
  const files = filesWith({
    async writev(fd, views, position) {
      // Spares are filled meanwhile.
      const isGroup = views.some(({ buffer }) => buffer === pool.bytes.buffer);
      if (isGroup && fails) return diskError('EIO');
      if (isGroup) calls.push(`write ${fd}`);
      return diskFiles.writev(fd, views, position);
    },
    async fdatasync(fd) {
      calls.push(`sync ${fd}`);
      return diskFiles.fdatasync(fd);
    },
    async close(fd) {
      calls.push(`close ${fd}`);
      return diskFiles.close(fd);
    },
  });
  const journal = await openJournal(temporaryDirectory(), pool, { files, durability: 'written' });
  await append(journal, pool, [{ id: 1, bytes: 100 }]);
  const fd = calls.findLast((call) => call.startsWith('write'))?.slice(6);
  while (!calls.includes(`sync ${fd}`)) await sleep(5);
  calls.length = 0;
  await append(journal, pool, [{ id: 2, bytes: 100 }]);
  fails = true;
  await assert.rejects(append(journal, pool, [{ id: 3, bytes: 100 }]));
  fails = false;
  await append(journal, pool, [{ id: 4, bytes: 100 }]);
  await journal.close();
  const ofSegment = calls.filter((call) => call.endsWith(` ${fd}`)).slice(0, 3);
  assert.deepEqual(ofSegment, [`write ${fd}`, `sync ${fd}`, `close ${fd}`]);
});
