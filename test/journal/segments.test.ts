import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BlockPool } from '../../src/core/block.ts';
import { diskFiles } from '../../src/journal/files.ts';
import type { Journal } from '../../src/journal/journal.ts';
import {
  append,
  filesWith,
  MEMORY_DISK,
  openJournal,
  range,
  readEverything,
  readRow,
  segmentPath,
  temporaryDirectory,
} from './frames.ts';

const SMALL = { segmentBytes: 32 << 10, maxBytes: 128 << 10, cacheBytes: 0 } as const;

function segmentNames(directory: string): string[] {
  return fs.readdirSync(path.join(directory, 'intake')).filter((name) => name.endsWith('.seg'));
}

/** Appends one frame per page until the journal is full; returns the next id. */
async function fillUp(journal: Journal, pool: BlockPool, first: number): Promise<number> {
  for (let id = first; ; id++) {
    try {
      await append(journal, pool, [{ id, bytes: 100 }]);
    } catch (error) {
      assert.equal((error as { code: string }).code, 'JOURNAL_FULL');
      assert.equal((error as { retryable: boolean }).retryable, true);
      return id;
    }
  }
}

test('segments that every reader is past are recycled, and the disk use stays within bounds', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = temporaryDirectory();
  const journal = await openJournal(directory, pool, SMALL);
  const slow = journal.hold('slow', journal.head);
  const fast = journal.hold('fast', journal.head);
  for (let id = 1; id <= 200; id++) {
    await append(journal, pool, [{ id, bytes: 100 }]);
    fast.advance(journal.head);
    if (id % 5 === 0) slow.advance(journal.head - 4);
    assert.ok(journal.bytes <= SMALL.maxBytes);
  }
  assert.ok(journal.first > 150);
  // Recycling goes on in the background.
  const { first } = journal;
  const back = await readRow(journal, pool, first);
  assert.deepEqual(back.ids, range(first, 200));
  assert.equal(back.damaged, 0);
  await journal.close();
  assert.ok(segmentNames(directory).length <= 4);
  assert.ok(segmentNames(directory).every((name) => Number.parseInt(name, 10) > 20));
});

test('a full journal says so, and goes on by itself when its readers have moved on', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = temporaryDirectory();
  const journal = await openJournal(directory, pool, SMALL);
  const hold = journal.hold('reader', 0);
  const next = await fillUp(journal, pool, 1);
  assert.equal(next, 29, '4 segments of 7 regions');
  await assert.rejects(append(journal, pool, [{ id: next, bytes: 100 }]), { code: 'JOURNAL_FULL' });
  const back = await readRow(journal, pool);
  assert.deepEqual(back.ids, range(1, 28));
  hold.advance(back.next);
  await append(journal, pool, [{ id: next, bytes: 100 }]);
  assert.deepEqual((await readRow(journal, pool, back.next)).ids, [29]);
  await journal.close();
});

test('a journal goes on when its newest segment, of a larger segment_size, takes up all of the new max_size', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = temporaryDirectory();
  const before = await openJournal(directory, pool, { segmentBytes: 256 << 10, maxBytes: 1 << 20, cacheBytes: 0 });
  await append(before, pool, [{ id: 1, bytes: 100 }]);
  await before.close();
  const journal = await openJournal(directory, pool, SMALL);
  const hold = journal.hold('reader', 0);
  let last = 1;
  // Through the large one, and round and round in the small ones.
  for (let full = 0; full < 5; full++) {
    const next = await fillUp(journal, pool, last + 1);
    assert.ok(next > last + 1, `something was taken after ${full} times`);
    last = next - 1;
    hold.advance(journal.head);
  }
  await append(journal, pool, [{ id: last + 1, bytes: 100 }]);
  assert.ok(journal.bytes <= SMALL.maxBytes, 'the large one is gone');
  await journal.close();
});

test('a journal that nobody holds keeps everything', async () => {
  const pool = BlockPool.create(8 << 20);
  const journal = await openJournal(temporaryDirectory(), pool, SMALL);
  await fillUp(journal, pool, 1);
  assert.equal(journal.first, 1);
  await journal.close();
});

test("the bytes of a segment's former life are never given", async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = temporaryDirectory();
  for (let opening = 0, id = 1; opening < 30; opening++) {
    const journal = await openJournal(directory, pool, SMALL);
    const hold = journal.hold('reader', 0);
    const from = journal.head;
    const first = id;
    for (let i = 0; i < 1 + (opening % 11); i++) {
      await append(journal, pool, [{ id: id++, bytes: 100 + ((opening * 977) % 3000) }]);
      hold.advance(journal.head);
    }
    assert.ok(first < id && journal.head > from);
    const kept = (await readEverything(journal, pool)).ids;
    assert.deepEqual(kept, range(kept[0] as number, id - 1));
    assert.equal(journal.total('raw', 'traces'), id - 1);
    await journal.close();
  }
});

test('sequences and totals go on when everything was consumed and recycled before a start', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = temporaryDirectory();
  const journal = await openJournal(directory, pool, SMALL);
  const hold = journal.hold('reader', 0);
  await append(journal, pool, [{ id: 1, bytes: 10, items: 5, signal: 'logs' }]);
  for (let id = 2; id <= 60; id++) {
    await append(journal, pool, [{ id, bytes: 100 }]);
    hold.advance(journal.head);
  }
  const { head } = journal;
  await journal.close();
  const again = await openJournal(directory, pool, SMALL);
  assert.ok(again.head >= head && again.first > 40);
  assert.deepEqual([again.total('raw', 'traces'), again.total('raw', 'logs')], [59, 5]);
  await again.close();
});

test('what is half prepared when the agent dies is removed at the start', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = temporaryDirectory();
  const journal = await openJournal(directory, pool, SMALL);
  await append(journal, pool, [{ id: 1, bytes: 10 }]);
  await journal.close();
  fs.writeFileSync(`${segmentPath(directory, 9)}.tmp`, Buffer.alloc(1000, 1));
  const again = await openJournal(directory, pool, SMALL);
  assert.deepEqual((await readRow(again, pool)).ids, [1]);
  await again.close();
  assert.equal(fs.existsSync(`${segmentPath(directory, 9)}.tmp`), false);
});

test('segments of another size than configured are read, and not recycled', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = temporaryDirectory();
  const journal = await openJournal(directory, pool, SMALL);
  for (let id = 1; id <= 10; id++) await append(journal, pool, [{ id, bytes: 100 }]);
  await journal.close();
  const again = await openJournal(directory, pool, { ...SMALL, segmentBytes: 48 << 10, maxBytes: 512 << 10 });
  const hold = again.hold('reader', 0);
  for (let id = 11; id <= 60; id++) await append(again, pool, [{ id, bytes: 100 }]);
  const back = await readRow(again, pool);
  assert.deepEqual(back.ids, range(1, 60));
  hold.advance(back.next);
  await again.close();
  const sizes = segmentNames(directory).map((name) => fs.statSync(path.join(directory, 'intake', name)).size);
  assert.ok(
    sizes.every((size) => size === 48 << 10),
    String(sizes),
  );
});

/** A journal of 64 small segments on a disk that counts what is made and removed. */
async function countingJournal(pool: BlockPool) {
  const done = { made: 0, unlinked: 0 };
  const files = filesWith({
    rename: (from, to) => {
      if (from.endsWith('.tmp')) done.made++;
      return diskFiles.rename(from, to);
    },
    unlink: (file) => {
      if (file.endsWith('.seg')) done.unlinked++;
      return diskFiles.unlink(file);
    },
  });
  const options = { segmentBytes: 32 << 10, maxBytes: 64 * (32 << 10), cacheBytes: 0, files };
  return { done, journal: await openJournal(temporaryDirectory(MEMORY_DISK), pool, options) };
}

test('all that one second has filled is written again in the next one', async () => {
  const pool = BlockPool.create(8 << 20);
  const { done, journal } = await countingJournal(pool);
  const hold = journal.hold('reader', 0);
  // An id is a millisecond; seven frames fill a segment, so six are filled in a second.
  let id = 0;
  const second = async () => {
    for (let i = 0; i < 42; i++, id += 24) await append(journal, pool, [{ id, bytes: 100 }]);
    hold.advance(journal.head);
  };
  for (let i = 0; i < 4; i++) await second();
  const { made } = done;
  for (let i = 4; i < 20; i++) await second();
  assert.deepEqual(done, { made, unlinked: 0 });
  await journal.close();
});

test('of a backlog that goes at once eight segments stay as spares', async () => {
  const pool = BlockPool.create(8 << 20);
  const { done, journal } = await countingJournal(pool);
  const hold = journal.hold('reader', 0);
  for (let id = 1; id <= 300; id++) await append(journal, pool, [{ id, bytes: 100 }]);
  hold.advance(journal.head);
  await append(journal, pool, [{ id: 301, bytes: 100 }]);
  await journal.close();
  assert.ok(done.unlinked > 30, `${done.unlinked} removed`);
  assert.equal(journal.bytes - journal.segments * (32 << 10), 8 * (32 << 10));
});

test('spares of another segment_size are given up: no region is larger than the file it goes to', async () => {
  const pool = BlockPool.create(32 << 20);
  const directory = temporaryDirectory();
  const before = await openJournal(directory, pool, {});
  const hold = before.hold('x', 0);
  for (let id = 0; id < 12; id++) await append(before, pool, [{ id, bytes: 200_000 }]);
  hold.advance(before.head);
  await until(() => before.segments === 1);
  await before.close();
  const journal = await openJournal(directory, pool, { segmentBytes: 4 << 20, maxBytes: 16 << 20 });
  journal.hold('x', 0);
  for (let id = 100; id < 103; id++) await append(journal, pool, [{ id, bytes: 3 << 20 }]);
  await journal.close();
  const sizes = segmentNames(directory).map((name) => fs.statSync(path.join(directory, 'intake', name)).size);
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    journal.bytes,
  );
});

test('segments that are gone are not held open, so that the disk gets their room back', async () => {
  const pool = BlockPool.create(16 << 20);
  const directory = temporaryDirectory();
  const journal = await openJournal(directory, pool, { cacheBytes: 0 });
  const hold = journal.hold('x', 0);
  for (let id = 0; id < 200; id++) await append(journal, pool, [{ id, bytes: 60_000 }]);
  await readRow(journal, pool);
  hold.advance(journal.head);
  const held = () =>
    fs.readdirSync('/proc/self/fd').filter((fd) => {
      const link = `/proc/self/fd/${fd}`;
      return readLink(link).startsWith(directory) && readLink(link).endsWith('(deleted)');
    });
  await until(() => journal.segments < 4 && held().length === 0);
  await journal.close();
});

function readLink(link: string): string {
  try {
    return fs.readlinkSync(link);
  } catch {
    return '';
  }
}

async function until(holds: () => boolean): Promise<void> {
  for (let round = 0; !holds(); round++) {
    assert.ok(round < 500, 'not within five seconds');
    await sleep(10);
  }
}
