import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { BlockPool, Field, frameSpan, PAGE_BYTES } from '../../src/core/block.ts';
import type { KnownEnd } from '../../src/journal/header.ts';
import {
  append,
  copyDirectory,
  filesWith,
  MEMORY_DISK,
  makeRegion,
  openJournal,
  range,
  readEverything,
  readRow,
  segmentPath,
  temporaryDirectory,
} from './frames.ts';

const SMALL = { segmentBytes: 32 << 10, maxBytes: 1 << 20, cacheBytes: 0, buffered: true } as const;

/** A closed journal of three regions: [1, 2], [3, 4], [5]. */
async function smallJournal(pool: BlockPool): Promise<string> {
  const directory = temporaryDirectory(MEMORY_DISK);
  const journal = await openJournal(directory, pool, SMALL);
  await append(journal, pool, [
    { id: 1, bytes: 60, items: 2 },
    { id: 2, bytes: 61, items: 3 },
  ]);
  await append(journal, pool, [
    { id: 3, bytes: 62, items: 4 },
    { id: 4, bytes: 63, items: 5 },
  ]);
  await append(journal, pool, [{ id: 5, bytes: 64, items: 6 }]);
  await journal.close();
  return directory;
}

const ITEMS = [0, 2, 3, 4, 5, 6];

/** Overwrites the segment in place, which is much cheaper than a directory per case. */
function spoil(directory: string, pristine: Buffer, change: (bytes: Buffer) => void): void {
  const bytes = Buffer.from(pristine);
  change(bytes);
  for (const name of fs.readdirSync(path.join(directory, 'intake'))) {
    fs.rmSync(path.join(directory, 'intake', name), { recursive: true });
  }
  fs.writeFileSync(segmentPath(directory, 1), bytes);
}

for (const options of [{}, { buffered: true }, { durability: 'written' }] as const) {
  test(`a journal that is opened again goes on with sequences and totals ${JSON.stringify(options)}`, async () => {
    const directory = temporaryDirectory();
    const pool = BlockPool.create(32 << 20);
    let id = 0;
    let last = 0;
    for (let opening = 0; opening < 5; opening++) {
      const journal = await openJournal(directory, pool, { ...options, cacheBytes: 0 });
      assert.equal(journal.total('raw', 'traces'), id * 2);
      assert.ok(journal.head > last);
      for (let i = 0; i < 20; i++) await append(journal, pool, [{ id: ++id, bytes: 20_000, items: 2 }]);
      const back = await readRow(journal, pool);
      assert.deepEqual([back.ids, back.damaged], [range(1, id), 0]);
      for (let i = 1; i < back.sequences.length; i++) {
        assert.ok((back.sequences[i] as number) > (back.sequences[i - 1] as number));
      }
      last = journal.head - 1;
      await journal.close();
    }
    assert.equal(pool.unitsInUse, 0);
  });
}

test('what a row covered and filtered is known again after a start', async () => {
  const directory = temporaryDirectory();
  const pool = BlockPool.create(8 << 20);
  const journal = await openJournal(directory, pool, SMALL);
  const region = makeRegion(pool, [{ id: 1, bytes: 30, stream: 'sampled' }]);
  pool.words[(region.first + Field.covers) >>> 2] = 77;
  pool.words[(region.first + Field.filtered) >>> 2] = 88;
  await journal.append(region);
  await journal.close();
  const again = await openJournal(directory, pool, SMALL);
  assert.deepEqual([again.covers('sampled', 'traces'), again.filtered('sampled', 'traces')], [77, 88]);
  await again.close();
});

test('a row whose last frame covers less than one before it has lost nothing', async () => {
  const directory = temporaryDirectory();
  const pool = BlockPool.create(8 << 20);
  const journal = await openJournal(directory, pool, SMALL);
  let known: KnownEnd | undefined;
  for (const covers of [187, 185]) {
    const region = makeRegion(pool, [{ id: covers, bytes: 30, stream: 'summaries' }]);
    pool.words[(region.first + Field.covers) >>> 2] = covers;
    await journal.append(region);
    known ??= journal.end;
  }
  await journal.close();
  const again = await openJournal(directory, pool, { ...SMALL, known });
  assert.equal(again.covers('summaries', 'traces'), 185);
  await again.append(makeRegion(pool, [{ id: 1, bytes: 30, stream: 'summaries' }]));
  assert.equal(again.end?.segment, known?.segment, 'its end was left for another segment');
  await again.close();
});

test('a group torn at any byte is dropped, and only that group', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = await smallJournal(pool);
  const pristine = fs.readFileSync(segmentPath(directory, 1));
  const from = PAGE_BYTES * 3;
  const end = frameSpan(64);
  const work = copyDirectory(directory);
  for (let length = 0; length <= end; length++) {
    spoil(work, pristine, (bytes) => bytes.fill(0, from + length, from + PAGE_BYTES));
    const journal = await openJournal(work, pool, SMALL);
    // The last bytes of the payload's padding are zeros anyway.
    const whole = length >= 80 + 64;
    const back = await readRow(journal, pool);
    assert.deepEqual([back.ids, back.damaged], [range(1, whole ? 5 : 4), 0], `torn after ${length} bytes`);
    await append(journal, pool, [{ id: 6, bytes: 10 }]);
    assert.deepEqual((await readRow(journal, pool)).ids, [...range(1, whole ? 5 : 4), 6]);
    await journal.close();
  }
  assert.equal(pool.unitsInUse, 0);
});

test('a first group torn at any byte leaves an empty journal that works', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = await smallJournal(pool);
  const pristine = fs.readFileSync(segmentPath(directory, 1));
  const work = copyDirectory(directory);
  for (let length = 0; length < PAGE_BYTES + 80 + 60; length += length > 400 && length < 2048 ? 97 : 7) {
    spoil(work, pristine, (bytes) => bytes.fill(0, length));
    const journal = await openJournal(work, pool, SMALL);
    assert.deepEqual((await readRow(journal, pool)).ids, []);
    await append(journal, pool, [{ id: 6, bytes: 10 }]);
    assert.deepEqual((await readRow(journal, pool)).ids, [6]);
    await journal.close();
  }
});

test('a flipped bit anywhere loses only the record it hit, and counts it', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = await smallJournal(pool);
  const pristine = fs.readFileSync(segmentPath(directory, 1));
  const places = recordsOf();
  const work = copyDirectory(directory);
  for (let at = 0; at < PAGE_BYTES * 4; at++) {
    // The middle of the padding and of the header page say nothing that their ends do not.
    if (at % PAGE_BYTES > 420 && at % 64 !== 0) continue;
    spoil(work, pristine, (bytes) => {
      bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
    });
    const journal = await openJournal(work, pool, SMALL);
    // A record after the hit one, without which it cannot be told from a tail.
    await append(journal, pool, [{ id: 6, bytes: 10 }]);
    const hit = places.findIndex(([from, to]) => at >= from && at < to) + 1;
    const back = await readRow(journal, pool);
    assert.deepEqual(
      back.ids,
      range(1, 6).filter((id) => id !== hit),
      `bit flipped at ${at}`,
    );
    assert.equal(back.damaged, hit === 5 ? 0 : (ITEMS[hit] as number), `bit flipped at ${at}`);
    const again = await readEverything(journal, pool);
    assert.deepEqual([again.ids, again.damaged], [back.ids, back.damaged]);
    await journal.close();
    if (hit > 0 && hit < 5) assert.equal(fs.readdirSync(path.join(work, 'intake', 'quarantine')).length, 1);
  }
  assert.equal(pool.unitsInUse, 0);
});

/** File offsets of the five records, the padding of the payload left out. */
function recordsOf(): [number, number][] {
  const second = PAGE_BYTES + frameSpan(60);
  const fourth = PAGE_BYTES * 2 + frameSpan(62);
  return [
    [PAGE_BYTES, PAGE_BYTES + 80 + 60],
    [second, second + 80 + 61],
    [PAGE_BYTES * 2, PAGE_BYTES * 2 + 80 + 62],
    [fourth, fourth + 80 + 63],
    [PAGE_BYTES * 3, PAGE_BYTES * 3 + 80 + 64],
  ];
}

test('a damaged record in an older segment is skipped and counted, also at the end of the segment', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = temporaryDirectory();
  const journal = await openJournal(directory, pool, SMALL);
  for (let id = 1; id <= 20; id++) await append(journal, pool, [{ id, bytes: 100, items: 10 }]);
  await journal.close();
  const first = segmentPath(directory, 1);
  const bytes = fs.readFileSync(first);
  // 7 regions fit into 32 KiB beside the header: the third and the last are hit.
  bytes[PAGE_BYTES * 3 + 100] = (bytes[PAGE_BYTES * 3 + 100] as number) ^ 1;
  bytes[PAGE_BYTES * 7 + 4] = (bytes[PAGE_BYTES * 7 + 4] as number) ^ 1;
  fs.writeFileSync(first, bytes);
  for (const maxBytes of [1, 1 << 20]) {
    const again = await openJournal(directory, pool, SMALL);
    const back = await readRow(again, pool, 0, maxBytes);
    assert.deepEqual([back.ids, back.damaged], [range(1, 20).filter((id) => id !== 3 && id !== 7), 20]);
    await again.close();
  }
});

test('a segment whose header is lost in both copies is read all the same', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = temporaryDirectory();
  const journal = await openJournal(directory, pool, SMALL);
  await append(journal, pool, [{ id: 1, bytes: 100, items: 10, signal: 'logs' }]);
  for (let id = 2; id <= 20; id++) await append(journal, pool, [{ id, bytes: 100, items: 10 }]);
  await journal.close();
  for (const number of [1, 2, 3]) {
    const work = copyDirectory(directory);
    const bytes = fs.readFileSync(segmentPath(work, number));
    bytes.fill(0x77, 0, PAGE_BYTES);
    fs.writeFileSync(segmentPath(work, number), bytes);
    const again = await openJournal(work, pool, SMALL);
    const back = await readEverything(again, pool);
    assert.deepEqual([back.ids, back.damaged], [range(1, 20), 0], `header of segment ${number}`);
    assert.deepEqual([again.total('raw', 'traces'), again.total('raw', 'logs')], [190, 10]);
    await again.close();
  }
});

test('a torn tail that an earlier start has cut off stays away when the header that says so is lost', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = await smallJournal(pool);
  // The last group [3, 4] was torn in its first record, so that 4 is whole.
  const torn = fs.readFileSync(segmentPath(directory, 1));
  torn.fill(0, PAGE_BYTES * 3);
  torn.fill(0x77, PAGE_BYTES * 2 + 8, PAGE_BYTES * 2 + 16);
  fs.writeFileSync(segmentPath(directory, 1), torn);
  const journal = await openJournal(directory, pool, SMALL);
  assert.deepEqual((await readRow(journal, pool)).ids, [1, 2]);
  // Two more segments: the second one's header stands, but for that, in the third one's.
  for (let id = 6; id <= 15; id++) await append(journal, pool, [{ id, bytes: 10, items: 1 }]);
  await journal.close();
  const bytes = fs.readFileSync(segmentPath(directory, 2));
  bytes.fill(0x77, 0, PAGE_BYTES);
  fs.writeFileSync(segmentPath(directory, 2), bytes);
  const again = await openJournal(directory, pool, SMALL);
  const back = await readRow(again, pool);
  assert.deepEqual([back.ids, back.damaged, again.total('raw', 'traces')], [[1, 2, ...range(6, 15)], 0, 15]);
  await again.close();
});

test('a record of a lower epoch than its predecessor is stale and never given', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = await smallJournal(pool);
  // The last record as a second opening would have written it, the one before it torn off.
  const bytes = fs.readFileSync(segmentPath(directory, 1));
  const stale = Buffer.from(bytes.subarray(PAGE_BYTES * 3, PAGE_BYTES * 4));
  bytes.fill(0, PAGE_BYTES * 3, PAGE_BYTES * 4);
  fs.writeFileSync(segmentPath(directory, 1), bytes);
  const journal = await openJournal(directory, pool, SMALL);
  await append(journal, pool, [{ id: 6, bytes: 10 }]);
  await journal.close();
  const after = fs.readFileSync(segmentPath(directory, 1));
  // Its sequence is made to fit, so that the epoch alone speaks against it.
  stale.writeUInt32LE(0x7fff_ffff, Field.sequence);
  stale.writeUInt32LE(crc32(stale.subarray(8, 80)), Field.headerCrc);
  stale.copy(after, PAGE_BYTES * 4);
  fs.writeFileSync(segmentPath(directory, 1), after);
  const again = await openJournal(directory, pool, SMALL);
  assert.deepEqual((await readRow(again, pool)).ids, [1, 2, 3, 4, 6]);
  await again.close();
  // With the epoch of its predecessor it would have been taken.
  stale.writeUInt32LE(2, Field.epoch);
  stale.writeUInt32LE(crc32(stale.subarray(8, 80)), Field.headerCrc);
  stale.copy(after, PAGE_BYTES * 4);
  fs.writeFileSync(segmentPath(directory, 1), after);
  const control = await openJournal(directory, pool, SMALL);
  assert.deepEqual((await readRow(control, pool)).ids, [1, 2, 3, 4, 6, 5]);
  await control.close();
});

test('a directory that cannot be read is an error, never an empty journal', async () => {
  const pool = BlockPool.create(8 << 20);
  const directory = await smallJournal(pool);
  const files = filesWith({
    list: () => Promise.reject(Object.assign(new Error('EIO: input/output'), { code: 'EIO' })),
  });
  await assert.rejects(openJournal(directory, pool, { ...SMALL, files }), { code: 'JOURNAL_UNWRITABLE' });
});
