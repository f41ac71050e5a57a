import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { CursorRow } from '../../src/core/component.ts';
import { loadCheckpoint, saveCheckpoint } from '../../src/journal/checkpoint.ts';
import { CursorTable } from '../../src/journal/cursors.ts';
import { diskFiles } from '../../src/journal/files.ts';
import { MemoryDisk } from '../faults/disk.ts';
import { filesWith, seeded, temporaryDirectory } from './frames.ts';

const ROW: CursorRow = {
  next: 1,
  offeredFrom: 0,
  filteredFrom: 0,
  sampledOutFrom: 0,
  damagedFrom: 0,
  expiredFrom: 0,
  delivered: 0,
  filtered: 0,
  deadLettered: 0,
  expired: 0,
  damaged: 0,
};

test('a saved table is found again, rows and values', async () => {
  const directory = temporaryDirectory();
  const table = await CursorTable.open(directory);
  assert.equal(table.found, 'none');
  table.row('kafka/raw/traces', ROW).next = 7;
  table.row('kafka/raw/logs', ROW);
  table.setValue('ledger', { received: 5 });
  await table.save();
  table.delete('kafka/raw/logs');
  await table.save();
  const again = await CursorTable.open(directory);
  assert.equal(again.found, 'whole');
  assert.deepEqual([...again.rows()], [['kafka/raw/traces', { ...ROW, next: 7 }]]);
  assert.deepEqual(again.value('ledger'), { received: 5 });
  assert.equal(again.row('kafka/raw/traces', ROW).next, 7);
  assert.equal(ROW.next, 1);
});

test('a row that was saved before raw could be filtered has had nothing filtered', async () => {
  const directory = temporaryDirectory();
  const table = await CursorTable.open(directory);
  const { filtered: _, ...old } = ROW;
  // As it was written then.
  table.row('files/raw/traces', old as CursorRow);
  await table.save();
  assert.equal((await CursorTable.open(directory)).row('files/raw/traces', ROW).filtered, 0);
});

test('a save torn at any byte leaves the table as it was or as it should be', async () => {
  const directory = temporaryDirectory();
  const file = path.join(directory, 'cursors');
  const table = await CursorTable.open(directory);
  table.row('a', ROW).next = 1;
  await table.save();
  table.row('a', ROW).next = 2;
  await table.save();
  const before = fs.readFileSync(file);
  table.row('a', ROW).next = 3;
  await table.save();
  const after = fs.readFileSync(file);
  const differs = after.findIndex((byte, at) => byte !== before[at]);
  for (let length = 0; length < 300; length++) {
    const torn = Buffer.from(before);
    after.copy(torn, differs, differs, differs + length);
    fs.writeFileSync(file, torn);
    const again = await CursorTable.open(directory);
    assert.equal(again.found, 'whole');
    const next = again.row('a', ROW).next;
    assert.ok(next === 2 || next === 3, `${next} after ${length} bytes`);
  }
});

test('saves requested while one runs become one', async () => {
  let writes = 0;
  const files = filesWith({
    fdatasync: (fd) => {
      writes += 1;
      return diskFiles.fdatasync(fd);
    },
  });
  const directory = temporaryDirectory();
  const table = await CursorTable.open(directory, files);
  await table.save();
  const saves: Promise<void>[] = [];
  for (let next = 1; next <= 10; next++) {
    table.row('a', ROW).next = next;
    saves.push(table.save());
  }
  await Promise.all(saves);
  assert.equal(writes, 2);
  assert.equal((await CursorTable.open(directory)).row('a', ROW).next, 10);
});

test('a refused save is told, keeps the old table and mends itself', async () => {
  let fail = false;
  const files = filesWith({
    fdatasync: (fd) =>
      fail ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' })) : diskFiles.fdatasync(fd),
  });
  const directory = temporaryDirectory();
  const table = await CursorTable.open(directory, files);
  table.row('a', ROW);
  await table.save();
  fail = true;
  table.row('a', ROW).next = 9;
  await assert.rejects(table.save(), { code: 'JOURNAL_SYNC_FAILED', retryable: true });
  await table.save();
  assert.equal((await CursorTable.open(directory)).row('a', ROW).next, 9);
});

test('a table that has not changed is not written again, unless the last save failed', async () => {
  let writes = 0;
  let fail = false;
  const files = filesWith({
    fdatasync: (fd) => {
      writes += 1;
      if (fail) return Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }));
      return diskFiles.fdatasync(fd);
    },
    fsync: (fd) => {
      writes += 1;
      return diskFiles.fsync(fd);
    },
  });
  const directory = temporaryDirectory();
  const table = await CursorTable.open(directory, files);
  const row = table.row('a', ROW);
  table.setValue('b', { c: 1 });
  await table.save();
  writes = 0;
  table.setValue('b', { c: 1 });
  await table.save();
  assert.equal(writes, 0);
  row.next = 5;
  await table.save();
  assert.equal(writes, 1);
  fail = true;
  row.next = 6;
  await assert.rejects(table.save());
  fail = false;
  // What of 6 has come to the disk is not known: a start must find 5.
  row.next = 5;
  writes = 0;
  await table.save();
  assert.notEqual(writes, 0);
  assert.equal((await CursorTable.open(directory)).row('a', ROW).next, 5);
});

test('a table that has outgrown its slots is saved all the same', async () => {
  const directory = temporaryDirectory();
  const table = await CursorTable.open(directory);
  await table.save();
  for (let i = 0; i < 2000; i++) table.row(`sink ${i}`, ROW).next = i;
  await table.save();
  table.row('sink 5', ROW).next = 77;
  await table.save();
  const again = await CursorTable.open(directory);
  assert.equal(again.rows().size, 2000);
  assert.equal(again.row('sink 5', ROW).next, 77);
});

test('a table that is damaged in both slots says so', async () => {
  const directory = temporaryDirectory();
  const table = await CursorTable.open(directory);
  await table.save();
  fs.writeFileSync(path.join(directory, 'cursors'), Buffer.alloc(1000, 7));
  const again = await CursorTable.open(directory);
  assert.equal(again.found, 'damaged');
  await again.save();
  assert.equal((await CursorTable.open(directory)).found, 'whole');
});

test('a checkpoint is found as it was saved, and one damaged in both copies is told from none', async () => {
  const directory = temporaryDirectory();
  assert.deepEqual(await loadCheckpoint(directory, 'checkpoint'), { kind: 'none' });
  for (const bytes of [Buffer.alloc(0), Buffer.from('first'), Buffer.from('second')]) {
    await saveCheckpoint(directory, 'checkpoint', bytes);
    assert.deepEqual(await loadCheckpoint(directory, 'checkpoint'), { kind: 'found', bytes });
  }
  const file = path.join(directory, 'checkpoint');
  const whole = fs.readFileSync(file);
  for (let at = 0; at < whole.length; at++) {
    const flipped = Buffer.from(whole);
    flipped[at] = (flipped[at] as number) ^ 1;
    fs.writeFileSync(file, flipped);
    assert.equal((await loadCheckpoint(directory, 'checkpoint')).kind, 'found', `byte ${at}, and the copy is whole`);
    fs.writeFileSync(`${file}.copy`, flipped);
    const { kind } = await loadCheckpoint(directory, 'checkpoint');
    fs.writeFileSync(`${file}.copy`, whole);
    assert.equal(kind, at >= 14 && at < 16 ? 'found' : 'damaged', `byte ${at}`);
    fs.writeFileSync(file, whole.subarray(0, at));
    assert.equal((await loadCheckpoint(directory, 'checkpoint')).kind, 'found', `cut at ${at}, and the copy is whole`);
  }
});

test('a slot whose sync failed before a kill is durable before the next save may tear the other one', async () => {
  const root = '/disk';
  for (let seed = 1; seed <= 50; seed++) {
    const disk = new MemoryDisk(seeded(seed));
    const table = await CursorTable.open(root, disk.files());
    for (const next of [1, 2]) {
      table.row('a', ROW).next = next;
      await table.save();
    }
    table.row('a', ROW).next = 3;
    disk.faults.push({ operation: 'fdatasync', errno: 'EIO', after: 0 });
    await assert.rejects(table.save(), { code: 'JOURNAL_SYNC_FAILED' });
    disk.restart('kill');
    const second = await CursorTable.open(root, disk.files());
    const found = second.row('a', ROW).next;
    second.row('a', ROW).next = 4;
    // The file is opened, then written.
    disk.crashAt = disk.operations + 2;
    await Promise.race([second.save(), disk.crashed]);
    disk.restart('power');
    const third = await CursorTable.open(root, disk.files());
    assert.equal(third.found, 'whole', `seed ${seed}`);
    assert.ok(third.row('a', ROW).next >= found, `went back from ${found} to ${third.row('a', ROW).next}`);
  }
});

test('a start on a disk that refuses to write over what is there goes on, and the next save leaves both slots alone', async () => {
  const directory = temporaryDirectory();
  const file = path.join(directory, 'cursors');
  const table = await CursorTable.open(directory);
  for (const next of [1, 2]) {
    table.row('a', ROW).next = next;
    await table.save();
  }
  const before = fs.statSync(file).ino;
  let isFull = true;
  const files = filesWith({
    writev: (fd, views, position) =>
      isFull
        ? Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }))
        : diskFiles.writev(fd, views, position),
  });
  const again = await CursorTable.open(directory, files);
  assert.equal(again.row('a', ROW).next, 2);
  again.row('a', ROW).next = 3;
  isFull = false;
  await again.save();
  assert.equal((await CursorTable.peek(directory)).row('a', ROW).next, 3);
  assert.notEqual(fs.statSync(file).ino, before, 'the file was made anew');
});
