/** Flips every byte of a small journal's files, and cuts them at every length: a start loses only the record that was hit, and counts it. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Field, FRAME_HEADER_BYTES, PAGE_BYTES } from '../../src/core/block.ts';
import type { CursorRow } from '../../src/core/component.ts';
import { loadCheckpoint, saveCheckpoint } from '../../src/journal/checkpoint.ts';
import { CursorTable } from '../../src/journal/cursors.ts';
import { openDirectory } from '../../src/journal/directory.ts';
import type { KnownEnd } from '../../src/journal/header.ts';
import type { Journal } from '../../src/journal/journal.ts';
import { passedOf } from '../../src/sinks/progress.ts';
import {
  append,
  BlockPool,
  MEMORY_DISK,
  openJournal,
  type ReadBack,
  range,
  readRow,
  temporaryDirectory,
} from '../journal/frames.ts';

/** Every byte takes minutes; the default leaves out most of the zeros, the middle of headers and of padding. */
const ALL = process.env.PLUMBLINE_EVERY_BYTE === '1';
const MOST_START_MS = 5000;
const SIZES = { segmentBytes: 16 << 10, maxBytes: 1 << 20, cacheBytes: 0, buffered: true } as const;
const ROW = { next: 0, offeredFrom: 0, filteredFrom: 0, sampledOutFrom: 0, damagedFrom: 0, expiredFrom: 0 };
const COUNTS = { delivered: 0, filtered: 0, deadLettered: 0, expired: 0, damaged: 0 };
const LAST_ID = 7;
/** The cursor stands behind this one. */
const READ_ID = 2;
const itemsOf = (id: number) => id + 1;

interface Opened {
  journal: Journal;
  table: CursorTable;
  close(): Promise<void>;
}

/** A journal as an agent opens it: lock, identity, cursors with the known end, segments. */
async function open(where: string, pool: BlockPool): Promise<Opened> {
  const root = await openDirectory({ path: where, agent: 'bytes', lockWaitMs: 0 });
  const table = await CursorTable.open(where);
  const known = table.value('ends') as { intake: KnownEnd } | undefined;
  const journal = await openJournal(where, pool, { ...SIZES, known: known?.intake });
  const close = async () => {
    table.setValue('ends', { intake: journal.end });
    await table.save();
    await journal.close();
    await root.close();
  };
  return { journal, table, close };
}

/** Two segments: 1 and 2, 3, 4 in the first; 5, 6 and 7 in the second. */
async function makeJournal(pool: BlockPool): Promise<string> {
  const where = temporaryDirectory(MEMORY_DISK);
  const { journal, table, close } = await open(where, pool);
  const add = (...ids: number[]) =>
    append(
      journal,
      pool,
      ids.map((id) => ({ id, bytes: 60 + id, items: itemsOf(id) })),
    );
  await add(1, 2);
  const next = journal.head;
  for (const id of [3, 4, 5]) await add(id);
  await add(6, 7);
  Object.assign(table.row('sink', { ...ROW, ...COUNTS }), { next, delivered: itemsOf(1) + itemsOf(2) });
  await table.save();
  await saveCheckpoint(where, 'checkpoint', Buffer.from('{"position":3}'));
  await close();
  return where;
}

/** Every regular file below a directory, by its path. */
function filesBelow(where: string): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const entry of fs.readdirSync(where, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (entry.isFile()) found.set(path.relative(where, file), fs.readFileSync(file));
  }
  return found;
}

interface Record {
  id: number;
  from: number;
  /** Behind the payload, and behind the padding that follows it. */
  end: number;
  padded: number;
}

/** The records of an undamaged segment, found by their layout alone. */
function recordsOf(bytes: Buffer): Record[] {
  const found: Record[] = [];
  for (let at = PAGE_BYTES; at + FRAME_HEADER_BYTES < bytes.length; at += 8) {
    if (bytes.toString('latin1', at, at + 4) !== 'PLMB') continue;
    const end = at + FRAME_HEADER_BYTES + bytes.readUInt32BE(at + Field.length);
    found.push({ id: bytes.readUInt32LE(at + FRAME_HEADER_BYTES), from: at, end, padded: (end + 7) & ~7 });
  }
  return found;
}

function restore(where: string, pristine: Map<string, Buffer>): void {
  for (const name of fs.readdirSync(where)) fs.rmSync(path.join(where, name), { recursive: true });
  for (const [name, bytes] of pristine) {
    fs.mkdirSync(path.dirname(path.join(where, name)), { recursive: true });
    fs.writeFileSync(path.join(where, name), bytes);
  }
}

/** As a sink reads: from its cursor, with the total that it has passed. */
function read(journal: Journal, pool: BlockPool, row: CursorRow): Promise<ReadBack> {
  return readRow(journal, pool, row.next, 64 << 10, 'raw', 'traces', passedOf(row));
}

/** Starts on what is there: exactly `lost` is missing and counted, once; and the journal goes on. */
async function checkStart(where: string, pool: BlockPool, lost: number[], what: string): Promise<void> {
  const began = performance.now();
  const first = await open(where, pool);
  assert.ok(performance.now() - began < MOST_START_MS, `${what}: a start took ${performance.now() - began} ms`);
  const row = first.table.row('sink', { ...ROW, ...COUNTS, next: first.journal.first });
  assert.ok(row.next > 0, `${what}: a cursor before everything`);
  const { ids, damaged, next } = await read(first.journal, pool, row);
  const owed = range(READ_ID + 1, LAST_ID).filter((id) => !lost.includes(id));
  // An older table of cursors, or none, brings what was read before once more.
  assert.deepEqual(
    ids.filter((id) => id > READ_ID),
    owed,
    what,
  );
  const counted = lost.filter((id) => id > READ_ID).reduce((sum, id) => sum + itemsOf(id), 0);
  assert.equal(damaged, counted, `${what}: items counted as damaged`);
  const total = first.journal.total('raw', 'traces');
  Object.assign(row, { next, delivered: total - damaged, damaged });
  await append(first.journal, pool, [{ id: LAST_ID + 1, bytes: 10 }]);
  await first.table.save();
  await first.close();
  const second = await open(where, pool);
  const again = await read(second.journal, pool, second.table.row('sink', { ...ROW, ...COUNTS }));
  assert.deepEqual([again.ids, again.damaged], [[LAST_ID + 1], 0], `${what}: after another start`);
  await second.close();
}

/** Offsets worth a case: all of them, or those that are not in the middle of something that says the same everywhere. */
function places(name: string, bytes: Buffer, records: Record[]): number[] {
  const near = (at: number) => records.some(({ from, padded }) => at >= from - 8 && at < padded + 8);
  const all = range(0, bytes.length);
  if (ALL) return all;
  if (name.endsWith('.seg')) return all.filter((at) => near(at) || at % 509 === 0 || at < 12);
  return all.filter((at) => at < 64 || at % 4093 === 0);
}

test('a flipped byte and a cut anywhere in any file lose only the record that was hit, and count it exactly, once', async (t) => {
  const pool = BlockPool.create(8 << 20);
  const where = await makeJournal(pool);
  const pristine = filesBelow(where);
  const counts = { flips: 0, cuts: 0, hits: 0 };
  for (const [name, bytes] of pristine) {
    const records = name.endsWith('.seg') ? recordsOf(bytes) : [];
    for (const at of places(name, bytes, records)) {
      if (at < bytes.length) {
        restore(where, pristine);
        const flipped = Buffer.from(bytes);
        flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
        fs.writeFileSync(path.join(where, name), flipped);
        const hit = records.filter(({ from, end }) => at >= from && at < end).map(({ id }) => id);
        await checkStart(where, pool, hit, `${name}, byte ${at} flipped`);
        counts.flips++;
        counts.hits += hit.length;
      }
      restore(where, pristine);
      fs.writeFileSync(path.join(where, name), bytes.subarray(0, at));
      const cut = records.filter(({ padded }) => padded > at).map(({ id }) => id);
      await checkStart(where, pool, cut, `${name}, cut to ${at} bytes`);
      counts.cuts++;
      counts.hits += cut.length;
    }
  }
  assert.equal(pool.unitsInUse, 0);
  assert.ok(counts.hits > 500, 'records really were hit');
  assert.equal((await loadCheckpoint(where, 'checkpoint')).kind, 'found');
  t.diagnostic(`${counts.flips} flips, ${counts.cuts} cuts, ${counts.hits} records hit`);
});
