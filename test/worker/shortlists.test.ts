/** Holds what main does with shortlists: by sequence, within its memory, the rest on the disk, and all of it given back. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  BlockPool,
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  payloadLength,
  readU64,
  startFrame,
  UNIT_BYTES,
  writeU64,
} from '../../src/core/block.ts';
import { diskFiles, type Files } from '../../src/journal/files.ts';
import { Spill } from '../../src/journal/spill.ts';
import { type Lent, SHELF_BYTES, Shortlists } from '../../src/worker/shortlists.ts';
import { filesWith, temporaryDirectory } from '../journal/frames.ts';

function world(mostBytes = 8 * UNIT_BYTES, spill: Spill | null = null, units = 16) {
  const pool = BlockPool.create(units * UNIT_BYTES);
  const shortlists = new Shortlists(pool, mostBytes, spill);
  const frame = pool.allocate(UNIT_BYTES);
  const lend = () => shortlists.lend() ?? assert.fail('no memory');
  /** A task's shortlists, of so many bytes each, for frames with these sequences, one after the other. Their payloads say whose they are. */
  const write = (lent: Lent, sequences: number[], bytes = 1000, unwritten: number[] = []) => {
    let at = lent.at;
    const frames = sequences.map((sequence, i) => {
      startFrame(pool, frame + i * frameSpan(0), 'raw', 'traces', 0, 0);
      writeU64(pool, frame + i * frameSpan(0) + Field.sequence, sequence);
      startFrame(pool, at, 'raw', 'traces', 0, bytes);
      pool.bytes.fill(sequence, at + FRAME_HEADER_BYTES, at + FRAME_HEADER_BYTES + bytes);
      at += frameSpan(bytes);
      return at - frameSpan(bytes);
    });
    const written = { frames, end: at };
    const committed = sequences.map((sequence, i) => (unwritten.includes(sequence) ? -1 : frame + i * frameSpan(0)));
    shortlists.keep(lent, written, committed);
    shortlists.settle(lent, written);
  };
  const take = async (position: number, most = UNIT_BYTES) => {
    const run = await shortlists.take(position, most);
    if (run === null) return null;
    const sequences = run.frames.map((at) => {
      const sequence = readU64(pool, at + Field.sequence);
      const payload = pool.bytes.subarray(at + FRAME_HEADER_BYTES, at + FRAME_HEADER_BYTES + payloadLength(pool, at));
      assert.ok(
        payload.every((byte) => byte === sequence),
        `${sequence} is not what it was`,
      );
      return sequence;
    });
    run.release();
    return { sequences, next: run.next };
  };
  const inUse = () => pool.unitsInUse - 1;
  return { pool, shortlists, lend, write, take, inUse };
}

/** Memory for four blocks, three of which are filled before anything goes to the disk. */
function spilling(files: Files = diskFiles, mostSlots = 8) {
  const told = { written: [] as number[], faults: [] as string[] };
  const directory = temporaryDirectory();
  const spill = new Spill({
    files,
    directory,
    direct: false,
    mostBytes: mostSlots * SHELF_BYTES,
    slotBytes: SHELF_BYTES,
    onWritten: (bytes) => told.written.push(bytes),
    onFault: (message) => told.faults.push(message),
  });
  const parts = world(8 * UNIT_BYTES, spill, 32);
  const { lend, write } = parts;
  /** Fills a block each with the shortlists of two frames, from `first` on, and waits for the disk. */
  const fill = async (first: number, blocks: number) => {
    for (let i = 0; i < blocks; i++) {
      const lent = parts.shortlists.lend();
      if (lent !== undefined) write(lent, [first + 2 * i, first + 2 * i + 1], 1_000_000);
      for (let turn = 0; turn < 20; turn++) await sleep(1);
    }
  };
  return { ...parts, told, directory, fill, lend };
}

test('those that follow each other come together, whatever order they were committed in', async () => {
  const { lend, write, take } = world();
  const [first, second] = [lend(), lend()];
  write(second, [4, 5]);
  write(first, [2, 3]);
  write(lend(), [7]);
  assert.deepEqual(await take(2), { sequences: [2, 3, 4, 5], next: 6 });
  assert.equal(await take(6), null);
  assert.deepEqual(await take(7), { sequences: [7], next: 8 });
});

test('of a frame that was not written there is none', async () => {
  const { lend, write, take, inUse } = world();
  write(lend(), [1, 2, 3], 650_000, [2]);
  assert.deepEqual(await take(1), { sequences: [1], next: 2 });
  assert.equal(await take(2), null);
  assert.deepEqual(await take(3), { sequences: [3], next: 4 });
  assert.equal(inUse(), 0, 'something is kept of it');
});

test('no more than was asked for, and at least one', async () => {
  const { lend, write, take } = world();
  write(lend(), [1, 2, 3], 1000);
  assert.deepEqual(await take(1, 1), { sequences: [1], next: 2 });
  assert.deepEqual(await take(2, 1001), { sequences: [2], next: 3 });
});

test('what the selection has passed is given back, and not taken when it comes after', async () => {
  const { shortlists, lend, write, take, inUse } = world();
  const late = lend();
  write(lend(), [1, 2, 3], 300_000);
  shortlists.pass(3);
  write(late, [2]);
  assert.deepEqual(await take(3), { sequences: [3], next: 4 });
  // The rest of what was lent is lent again; nothing else is held.
  const lent = [lend(), lend()];
  assert.equal(inUse(), 4);
  for (const one of lent) shortlists.settle(one, undefined);
});

test('a block is lent as long as there is room in it, and freed once it is full and everything in it was released', async () => {
  const { shortlists, lend, write, inUse } = world();
  for (let sequence = 1; sequence <= 4; sequence++) write(lend(), [sequence], 470_000);
  assert.equal(inUse(), 2);
  const run = await shortlists.take(1, UNIT_BYTES * 8);
  assert.equal(run?.frames.length, 4);
  assert.equal(inUse(), 2);
  run?.release();
  assert.equal(inUse(), 0);
});

test('an open block with nothing in it is used from its beginning', async () => {
  const { shortlists, lend, write, take } = world();
  const { at } = lend();
  write(lend(), [1]);
  const second = lend();
  write(second, [2]);
  await take(1);
  await take(2);
  assert.equal(lend().at, second.shelf.block);
  assert.notEqual(at, second.shelf.block);
  shortlists.pass(3);
});

test('no more memory than it may take, or than there is', () => {
  const { shortlists, lend } = world(4 * UNIT_BYTES);
  const lent = [lend(), lend()];
  assert.equal(shortlists.lend(), undefined);
  for (const one of lent) shortlists.settle(one, undefined);
  assert.equal(lend().at, lent[1]?.at);
  const { shortlists: others, pool } = world();
  while (pool.allocate(UNIT_BYTES) >= 0);
  assert.equal(others.lend(), undefined);
});

test('what comes when memory is nearly full goes to the disk, and comes back as it was', async () => {
  const { shortlists, fill, take, inUse, told, directory } = spilling();
  await fill(1, 8);
  assert.equal(told.written.length, 5);
  assert.equal(inUse(), 6, 'three blocks stay in memory');
  assert.deepEqual(readdirSync(directory), [], 'its file has no name');
  const taken: number[] = [];
  for (let next = 1; next < 17; ) {
    const run = (await take(next, 1)) ?? assert.fail(`nothing from ${next} on`);
    taken.push(...run.sequences);
    next = run.next;
  }
  assert.deepEqual(
    taken,
    Array.from({ length: 16 }, (_, i) => i + 1),
  );
  assert.equal(inUse(), 0);
  assert.deepEqual(told.faults, []);
  assert.equal(await take(17), null);
  shortlists.pass(Infinity);
});

test('a run ends before what lies on the disk', async () => {
  const { fill, take } = spilling();
  await fill(1, 4);
  assert.deepEqual(await take(1, 64 * UNIT_BYTES), { sequences: [1, 2, 3, 4, 5, 6], next: 7 });
  assert.deepEqual(await take(7, 64 * UNIT_BYTES), { sequences: [7, 8], next: 9 });
});

test('beyond the room on the disk memory is filled, and then there are none', async () => {
  const { shortlists, fill, told, inUse } = spilling(diskFiles, 2);
  await fill(1, 6);
  assert.equal(told.written.length, 2);
  assert.equal(inUse(), 8);
  assert.equal(shortlists.lend(), undefined);
  // What was passed on the disk makes room there.
  shortlists.pass(9);
  assert.equal(inUse(), 2);
  await fill(13, 5);
  assert.equal(told.written.length, 3);
});

test('the file is closed when nothing lies in it any more, and opened again', async () => {
  const fds = new Set<number>();
  const files = filesWith({
    open: async (...given) => {
      const fd = await diskFiles.open(...given);
      fds.add(fd);
      return fd;
    },
    close: async (fd) => {
      fds.delete(fd);
      await diskFiles.close(fd);
    },
  });
  const { shortlists, fill, take } = spilling(files);
  await fill(1, 5);
  assert.equal(fds.size, 1);
  shortlists.pass(11);
  await sleep(1);
  assert.equal(fds.size, 0);
  await fill(11, 5);
  assert.equal(fds.size, 1);
  shortlists.pass(17);
  assert.deepEqual(await take(17, 1), { sequences: [17], next: 18 });
  shortlists.pass(Infinity);
  await sleep(1);
  assert.equal(fds.size, 0);
});

test('a disk that does not take it is told of once, and left alone; nothing is lost of what lies in memory', async () => {
  let writes = 0;
  const files = filesWith({
    writev: () => {
      writes++;
      return Promise.reject(new Error('no room on it'));
    },
  });
  const { fill, take, told, inUse } = spilling(files);
  await fill(1, 6);
  assert.deepEqual(told, { written: [], faults: ['no room on it'] });
  assert.equal(inUse(), 8);
  assert.deepEqual(await take(1, 64 * UNIT_BYTES), { sequences: [1, 2, 3, 4, 5, 6, 7, 8], next: 9 });
  assert.equal(inUse(), 0);
  await fill(9, 4);
  assert.equal(inUse(), 8);
  assert.equal(writes, 1);
});

for (const [what, read] of [
  ['fails', () => Promise.reject(new Error('a bad sector'))],
  [
    'gives something else',
    async (...given: Parameters<Files['read']>) => {
      const got = await diskFiles.read(...given);
      given[1][5000] = 1 + (given[1][5000] as number);
      return got;
    },
  ],
  ['gives less', async (fd: number, view: Uint8Array, at: number) => diskFiles.read(fd, view.subarray(0, 100), at)],
] as [string, Files['read']][])
  test(`there is none of what a disk that ${what} does not bring back`, async () => {
    let reads = 0;
    const counted: Files['read'] = (...given) => {
      reads++;
      return read(...given);
    };
    const { fill, take, told, inUse, shortlists } = spilling(filesWith({ read: counted }));
    await fill(1, 4);
    assert.equal(told.written.length, 1);
    assert.deepEqual(await take(1, 64 * UNIT_BYTES), { sequences: [1, 2, 3, 4, 5, 6], next: 7 });
    assert.equal(await take(7), null);
    const once = reads;
    assert.equal(await take(8), null);
    assert.equal(reads, once);
    assert.equal(told.faults.length, 1);
    assert.equal(inUse(), 0);
    shortlists.pass(Infinity);
  });

test('there is none of what no memory is left to read it into', async () => {
  const { fill, take, pool, told } = spilling();
  await fill(1, 4);
  while (pool.allocate(UNIT_BYTES) >= 0);
  assert.deepEqual(await take(1, 64 * UNIT_BYTES), { sequences: [1, 2, 3, 4, 5, 6], next: 7 });
  while (pool.allocate(UNIT_BYTES) >= 0);
  assert.equal(await take(7), null);
  assert.deepEqual(told.faults, []);
});

test('what is asked for while it is written stays in memory', async () => {
  const writing = Promise.withResolvers<void>();
  const files = filesWith({
    writev: async (...given) => {
      await writing.promise;
      return await diskFiles.writev(...given);
    },
  });
  const { shortlists, fill, inUse, pool } = spilling(files);
  await fill(1, 4);
  shortlists.pass(7);
  const run = (await shortlists.take(7, 1)) ?? assert.fail('nothing');
  writing.resolve();
  await sleep(20);
  assert.equal(inUse(), 2);
  assert.equal(readU64(pool, (run.frames[0] as number) + Field.sequence), 7);
  run.release();
  // The other half of the block.
  assert.equal(inUse(), 2);
  shortlists.pass(9);
  assert.equal(inUse(), 0);
});

test('one block is written at a time: what is filled meanwhile stays in memory', async () => {
  const writing = Promise.withResolvers<void>();
  const files = filesWith({
    writev: async (...given) => {
      await writing.promise;
      return await diskFiles.writev(...given);
    },
  });
  const { shortlists, fill, inUse, told } = spilling(files);
  await fill(1, 4);
  // The one that is written takes the last of the memory.
  assert.equal(shortlists.lend(), undefined);
  shortlists.pass(3);
  await fill(9, 1);
  assert.equal(inUse(), 8);
  writing.resolve();
  await sleep(20);
  assert.equal(inUse(), 6);
  assert.equal(told.written.length, 1);
});

test('what was passed while it was written is gone from the disk, too', async () => {
  const { shortlists, fill, write, lend, inUse, told } = spilling();
  await fill(1, 3);
  write(lend(), [7, 8], 1_000_000);
  shortlists.pass(9);
  await sleep(20);
  assert.equal(told.written.length, 1);
  assert.equal(inUse(), 0);
});
