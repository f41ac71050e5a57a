/** Holds src/journal/cache.ts, through a journal: what is kept in memory, for whom, and for how long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockPool, UNIT_BYTES } from '../../src/core/block.ts';
import type { Journal } from '../../src/journal/journal.ts';
import {
  append,
  countingFiles,
  FOLLOWER,
  openJournal,
  range,
  readEverything,
  readRow,
  temporaryDirectory,
} from './frames.ts';

/** Frames that have a block each: too large to be copied together. */
const LARGE_BYTES = 700_000;

async function openCounted(cacheBytes: number) {
  const pool = BlockPool.create(64 << 20);
  const { files, counts } = countingFiles();
  const journal = await openJournal(temporaryDirectory(), pool, { files, cacheBytes, segmentBytes: 32 << 20 });
  return { pool, counts, journal };
}

async function appendLarge(journal: Journal, pool: BlockPool, ids: number[]): Promise<void> {
  for (const id of ids) await append(journal, pool, [{ id, bytes: LARGE_BYTES }]);
}

test('what everybody has read is given back at once, what somebody has still to read stays', async () => {
  const { pool, counts, journal } = await openCounted(16 << 20);
  await appendLarge(journal, pool, range(1, 6));
  const [fast, slow] = [{}, {}];
  journal.follow(fast, journal.head);
  journal.follow(slow, 3);
  assert.equal(pool.unitsInUse, 6, 'somebody begins at the first');
  journal.leave(FOLLOWER);
  // Sequences begin at 1: of those from 3 on four are left.
  assert.equal(pool.unitsInUse, 4);
  counts.reads = 0;
  assert.deepEqual((await readRow(journal, pool, 3)).ids, [3, 4, 5, 6]);
  assert.equal(counts.reads, 0, 'read from the disk');
  journal.follow(slow, 5);
  assert.equal(pool.unitsInUse, 2);
  journal.leave(slow);
  assert.equal(pool.unitsInUse, 0);
  assert.deepEqual((await readRow(journal, pool)).ids, range(1, 6), 'from the disk it can be read again');
  await journal.close();
  assert.equal(pool.unitsInUse, 0);
});

test('where nobody follows, or all who do have been told to be further, nothing is kept', async () => {
  const { pool, journal } = await openCounted(16 << 20);
  journal.follow(FOLLOWER, 4);
  await appendLarge(journal, pool, range(1, 3));
  await append(journal, pool, [{ id: 4, bytes: 100 }]);
  // Sequences 1 to 3 are passed; the fourth is small and has a block that may grow.
  assert.equal(pool.unitsInUse, 1);
  journal.leave(FOLLOWER);
  await appendLarge(journal, pool, [5]);
  await append(journal, pool, [{ id: 6, bytes: 100 }]);
  assert.equal(pool.unitsInUse, 0);
  assert.deepEqual((await readRow(journal, pool)).ids, range(1, 6));
  await journal.close();
});

test('small groups that were read leave their block, and the next begin another', async () => {
  const { pool, journal } = await openCounted(4 << 20);
  for (let id = 1; id <= 20; id++) {
    await append(journal, pool, [{ id, bytes: 100 }]);
    assert.equal(pool.unitsInUse, 1);
    assert.deepEqual((await readRow(journal, pool, id)).ids, [id]);
    journal.follow(FOLLOWER, journal.head);
    assert.equal(pool.unitsInUse, 0);
  }
  await journal.close();
});

test('who does not follow and reads in small pieces has each piece of the disk read once', async () => {
  const { pool, counts, journal } = await openCounted(4 << 20);
  journal.leave(FOLLOWER);
  for (const id of range(1, 40)) await append(journal, pool, [{ id, bytes: 4000 }]);
  counts.reads = 0;
  assert.deepEqual((await readEverything(journal, pool)).ids, range(1, 40));
  assert.equal(counts.reads, 1);
  // A follower's step on does not take it away.
  journal.follow({}, journal.head);
  assert.deepEqual((await readEverything(journal, pool)).ids, range(1, 40));
  assert.equal(counts.reads, 1);
  await journal.close();
  assert.equal(pool.unitsInUse, 0);
});

test('readers far behind do not push out what those near the head have still to read, nor the other way round', async () => {
  const { pool, counts, journal } = await openCounted(8 << 20);
  await appendLarge(journal, pool, range(1, 20));
  // 8 blocks of the newest lie in memory: 13 to 20. Half of the room stays theirs.
  counts.reads = 0;
  assert.deepEqual((await readRow(journal, pool, 1, 2 * UNIT_BYTES)).ids, range(1, 20));
  const loaded = counts.reads;
  assert.ok(loaded > 0);
  assert.deepEqual((await readRow(journal, pool, 17)).ids, [17, 18, 19, 20]);
  assert.equal(counts.reads, loaded, 'the newest were pushed out');
  assert.ok(pool.unitsInUse <= 8, `${pool.unitsInUse} blocks`);
  await appendLarge(journal, pool, range(21, 24));
  const again = (await readRow(journal, pool, 11, 1)).ids;
  assert.deepEqual(again, range(11, 24));
  assert.ok(pool.unitsInUse <= 8, `${pool.unitsInUse} blocks`);
  await journal.close();
  assert.equal(pool.unitsInUse, 0);
});

test('a region that fills the cache alone is kept although something else lies there', async () => {
  const { pool, counts, journal } = await openCounted(2 * UNIT_BYTES);
  journal.leave(FOLLOWER);
  await append(journal, pool, [{ id: 1, bytes: 1000 }]);
  await readEverything(journal, pool);
  assert.equal(pool.unitsInUse, 1);
  journal.follow(FOLLOWER, 0);
  await append(journal, pool, [{ id: 2, bytes: 1_500_000 }]);
  assert.equal(pool.unitsInUse, 2);
  counts.reads = 0;
  assert.deepEqual((await readEverything(journal, pool, 2)).ids, [2]);
  assert.equal(counts.reads, 0, 'read from the disk');
  await journal.close();
});
