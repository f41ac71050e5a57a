import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockPool } from '../../src/core/block.ts';
import { O_CREAT } from '../../src/journal/files.ts';
import type { Journal } from '../../src/journal/journal.ts';
import { History, MOST_REBUILD_BYTES, type Reach } from '../../src/wiring/history.ts';
import { append, filesWith, MEMORY_DISK, openJournal, temporaryDirectory } from '../journal/frames.ts';

const SEGMENT_BYTES = 32 << 10;
const QUOTA = 32 * SEGMENT_BYTES;
const PER_SECOND = 20;
/** On the disk. */
const FRAME_BYTES = 4096;

/** Journals that take a frame of a page's worth each, with a hold as main has it; time is what the test says. */
async function bench(lookBackMs: number) {
  const pool = BlockPool.create(8 << 20);
  const done = { made: 0, unlinked: 0 };
  const files = filesWith({});
  const { open, unlink } = files;
  files.open = (file, flags) => {
    if (file.endsWith('.seg.tmp') && (flags & O_CREAT) !== 0) done.made++;
    return open(file, flags);
  };
  files.unlink = (file) => {
    if (file.endsWith('.seg')) done.unlinked++;
    return unlink(file);
  };
  const options = { segmentBytes: SEGMENT_BYTES, maxBytes: QUOTA, cacheBytes: 0, files };
  const intake = await openJournal(temporaryDirectory(MEMORY_DISK), pool, options);
  const derived = await openJournal(temporaryDirectory(MEMORY_DISK), pool, options);
  const clock = { ms: 0 };
  const history = new History({ intake, derived, lookBackMs, waitMs: 1000, now: () => clock.ms });
  const hold = intake.hold('look_back', history.lookBackFrom().intake);
  let id = 0;
  /** A second of load, and what main does at its end. */
  const second = async (frames = PER_SECOND) => {
    for (let i = 0; i < frames; i++) await append(intake, pool, [{ id: ++id, bytes: FRAME_BYTES - 100 }]);
    clock.ms += 1000;
    history.note();
    hold.advance(history.lookBackFrom().intake);
  };
  const close = () => Promise.all([intake.close(), derived.close()]);
  return { intake, history, hold, clock, done, second, close };
}

const keptBytes = (journal: Journal) => journal.bytesFrom(journal.first);

test('a look-back that wants more than half of the quota loses its oldest, never all of it, and segments go round', async () => {
  const { intake, history, done, second, close } = await bench(3_600_000);
  for (let i = 0; i < 20; i++) await second();
  const { made } = done;
  for (let i = 0; i < 60; i++) {
    await second();
    // What the next second brings has its place, too.
    const wanted = intake.bytesFrom(history.lookBackFrom().intake) + PER_SECOND * FRAME_BYTES;
    assert.ok(wanted <= QUOTA / 2, `${wanted} bytes with the next second`);
    const share = keptBytes(intake) / QUOTA;
    assert.ok(share > 0.3 && share <= 0.5 + PER_SECOND / 200, `${share} of the quota is kept`);
  }
  assert.ok(intake.bytes <= QUOTA);
  assert.deepEqual(done, { made, unlinked: 0 }, 'what is freed is written again');
  await close();
});

test('a look-back goes by time where there is room', async () => {
  const { intake, history, clock, second, close } = await bench(3_600_000);
  await second(3);
  const { head } = intake;
  clock.ms += 3_600_000;
  await second(3);
  assert.equal(history.lookBackFrom().intake, 1, 'a margin is kept beyond it');
  clock.ms += 15_000;
  assert.equal(history.lookBackFrom().intake, head);
  await close();
});

test('nothing is kept without a look-back, or when the journal has no room', async () => {
  const without = await bench(0);
  await without.second(3);
  assert.equal(without.history.lookBackFrom().intake, without.intake.head);
  await without.close();
  const { intake, history, second, close } = await bench(3_600_000);
  await second(3);
  history.pressed = true;
  assert.deepEqual(history.lookBackFrom().intake, intake.head);
  assert.equal(history.rebuildFrom(intake.head - 1, 1), intake.head - 1, 'what is not selected yet stays');
  history.pressed = false;
  assert.equal(history.lookBackFrom().intake, 1);
  await close();
});

test('a start measures again from where traces still matter, which is a minute before the selection, within the room', async () => {
  const { intake, history, second, close } = await bench(0);
  intake.hold('everything', 0);
  const heads = [intake.head];
  for (let i = 0; i < 70; i++) {
    await second(1);
    heads.push(intake.head);
  }
  const next = intake.head - 2;
  assert.equal(history.rebuildFrom(next, 1), heads[7], 'a second of waiting and a minute before it');
  for (let i = 0; i < 7; i++) await second();
  const from = history.rebuildFrom(intake.head, 1);
  assert.ok(intake.bytesFrom(from) <= QUOTA / 2 && intake.bytesFrom(from) > QUOTA / 4, `from ${from}`);
  await close();
});

test('where the journal stood before this start is what was saved', async () => {
  const { intake, history, close } = await bench(0);
  assert.equal(history.rebuildFrom(5, 3), 3);
  assert.equal(history.rebuildFrom(2, 3), 2);
  assert.equal(history.since(0).intake, intake.first);
  await close();
});

test('of a large journal a start measures some hundred megabytes again', () => {
  const segmentBytes = 64 << 20;
  const spans = Array.from({ length: 64 }, (_, i) => ({ first: i * 100, startMs: 0, total: () => 0 }));
  const intake: Reach = {
    first: 0,
    head: 6400,
    oldestMs: 0,
    maxBytes: 128 * segmentBytes,
    bytesFrom: (sequence) => ((6400 - sequence) / 100) * segmentBytes,
    spans: () => spans,
  };
  const history = new History({ intake, derived: intake, lookBackMs: 0, waitMs: 0, now: () => 0 });
  const from = history.rebuildFrom(6400, 0);
  assert.equal(intake.bytesFrom(from), MOST_REBUILD_BYTES);
});
