/** Frames with known content, journals in temporary directories, and a disk that fails on demand, for the journal's tests. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  BlockPool,
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  payloadLength,
  readU64,
  SIGNALS,
  type Signal,
  STREAMS,
  type Stream,
  startFrame,
} from '../../src/core/block.ts';
import { diskFiles, type Files } from '../../src/journal/files.ts';
import { sealPayload } from '../../src/journal/format.ts';
import { Journal } from '../../src/journal/journal.ts';
import type { JournalOptions } from '../../src/journal/options.ts';
import type { Region } from '../../src/journal/region.ts';

export interface Item {
  id: number;
  bytes: number;
  items?: number;
  stream?: Stream;
  signal?: Signal;
  void?: boolean;
}

export const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

const made: string[] = [];
// Only what this process made: other tests may be running in the same place.
process.once('exit', () => {
  for (const directory of made) fs.rmSync(directory, { recursive: true, force: true });
});

/** A fresh directory that goes with the process. */
export function temporaryDirectory(parent = os.tmpdir()): string {
  const directory = fs.mkdtempSync(path.join(parent, 'plumbline-journal-'));
  made.push(directory);
  return directory;
}

/** For tests of thousands of openings, where a real disk's syncs would be all the time. */
export const MEMORY_DISK = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();

/** Follows each journal that is opened here from its beginning, so that the cache keeps all it may, until a test moves it on. */
export const FOLLOWER = {};

/** Opens a journal of small segments; a quiet one, unless told otherwise. */
export async function openJournal(
  directory: string,
  pool: BlockPool,
  options: Partial<JournalOptions> = {},
): Promise<Journal> {
  const journal = await Journal.open({
    directory,
    name: 'intake',
    pool,
    segmentBytes: 256 << 10,
    maxBytes: 64 << 20,
    durability: 'durable',
    log: quiet,
    ...options,
  });
  journal.follow(FOLLOWER, 0);
  return journal;
}

/** The payload that belongs to an id: anything changed in it is found by `idOf`. */
function payloadOf(id: number, bytes: number): Buffer {
  const seed = createHash('sha256').update(String(id)).digest();
  const payload = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) payload[i] = (seed[i % 32] as number) ^ (i >> 5);
  payload.writeUInt32LE(id, 0);
  return payload;
}

/** A block with these frames; the caller has one reference. */
export function makeRegion(pool: BlockPool, items: Item[]): Region {
  let bytes = 0;
  for (const item of items) bytes += frameSpan(item.bytes);
  const first = pool.allocate(bytes + 4096);
  assert.ok(first >= 0, 'the pool is empty');
  // What lay there before must not matter.
  pool.bytes.fill(0xa5, first, first + bytes + 4096);
  let at = first;
  for (const item of items) {
    startFrame(pool, at, item.stream ?? 'raw', item.signal ?? 'traces', 1_000_000 + item.id, item.bytes);
    payloadOf(item.id, item.bytes).copy(pool.bytes, at + FRAME_HEADER_BYTES);
    pool.words[(at + Field.items) >>> 2] = item.items ?? 1;
    if (item.void === true) pool.bytes[at + Field.flags] = 1;
    else sealPayload(pool, at);
    at += frameSpan(item.bytes);
  }
  return { first, end: at };
}

/** Appends one region and gives the caller's reference back when it is settled. */
export async function append(journal: Journal, pool: BlockPool, items: Item[]): Promise<void> {
  const region = makeRegion(pool, items);
  try {
    await journal.append(region);
  } finally {
    pool.release(region.first);
  }
}

/** The id of a frame; fails when a byte of its payload is not what it was. */
export function idOf(pool: BlockPool, at: number): number {
  const payload = at + FRAME_HEADER_BYTES;
  const bytes = pool.bytes.subarray(payload, payload + payloadLength(pool, at));
  const id = bytes.readUInt32LE(0);
  assert.ok(payloadOf(id, bytes.length).equals(bytes), `frame ${id} is not what it was`);
  return id;
}

export interface ReadBack {
  ids: number[];
  sequences: number[];
  damaged: number;
  next: number;
}

/** Everything of a row from `from` to the head, in reads of `maxBytes`. */
export async function readRow(
  journal: Journal,
  pool: BlockPool,
  from = 0,
  maxBytes = 64 << 10,
  stream: Stream = 'raw',
  signal: Signal = 'traces',
  total = 0,
): Promise<ReadBack> {
  const all: ReadBack = { ids: [], sequences: [], damaged: 0, next: from };
  for (;;) {
    const batch = await journal.read(all.next, { stream, signal }, maxBytes, total);
    if (batch === null) return all;
    assert.ok(batch.next > all.next, `a read from ${all.next} goes on at ${batch.next}`);
    for (const at of batch.frames) {
      assert.equal(STREAMS[pool.bytes[at + Field.stream] as number], stream);
      assert.equal(SIGNALS[pool.bytes[at + Field.signal] as number], signal);
      all.ids.push(idOf(pool, at));
      all.sequences.push(readU64(pool, at + Field.sequence));
    }
    all.damaged += batch.damaged;
    all.next = batch.next;
    batch.release();
  }
}

/** Everything of every row from `from` to the head. */
export async function readEverything(journal: Journal, pool: BlockPool, from = 0): Promise<ReadBack> {
  const all: ReadBack = { ids: [], sequences: [], damaged: 0, next: from };
  for (;;) {
    const run = await journal.readAll(all.next, 64 << 10);
    if (run === null) return all;
    for (const at of run.frames) {
      assert.ok(run.first <= at && at < run.end);
      all.ids.push(idOf(pool, at));
      all.sequences.push(readU64(pool, at + Field.sequence));
    }
    for (const items of run.damaged) all.damaged += items;
    all.next = run.next;
    run.release();
  }
}

/** From `first` to `last`, both included. */
export function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** The disk, but for the methods given. */
export function filesWith(changes: Partial<Files>): Files {
  return { ...diskFiles, ...changes };
}

/** The disk, and how often it was read. */
export function countingFiles() {
  const counts = { reads: 0 };
  const files = filesWith({
    read: (...given) => {
      counts.reads += 1;
      return diskFiles.read(...given);
    },
  });
  return { files, counts };
}

/** A copy of the directory, to spoil. */
export function copyDirectory(directory: string): string {
  const copy = temporaryDirectory(MEMORY_DISK);
  fs.cpSync(directory, copy, { recursive: true });
  return copy;
}

export function segmentPath(directory: string, number: number): string {
  return path.join(directory, 'intake', `${String(number).padStart(16, '0')}.seg`);
}

export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 0x1_0000_0000;
  };
}

export { BlockPool };
