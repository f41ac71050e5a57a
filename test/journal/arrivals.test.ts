import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockPool, type Signal } from '../../src/core/block.ts';
import { diskFiles } from '../../src/journal/files.ts';
import type { Journal } from '../../src/journal/journal.ts';
import {
  append,
  countingFiles,
  FOLLOWER,
  filesWith,
  openJournal,
  range,
  readRow,
  seeded,
  temporaryDirectory,
} from './frames.ts';

const LOGS = { stream: 'raw', signal: 'logs' } as const;

/** Waits for logs from the head on; what it was told meanwhile is in `passed`. */
function waitForLogs(journal: Journal, from = journal.head) {
  const waiting = { passed: [] as number[], isOver: false, over: Promise.resolve() };
  waiting.over = journal
    .arrival(LOGS, from, (next) => {
      waiting.passed.push(next);
      return true;
    })
    .then(() => {
      waiting.isOver = true;
    });
  return waiting;
}

test('a row of which nothing comes is passed by, reads nothing, and goes on at what comes without the disk', async () => {
  const pool = BlockPool.create(64 << 20);
  const { files, counts } = countingFiles();
  const journal = await openJournal(temporaryDirectory(), pool, { files });
  await append(journal, pool, [{ id: 1, bytes: 100, ...LOGS }]);
  const waiting = waitForLogs(journal);
  const heads: number[] = [];
  // Over several segments, and nobody keeps what has passed.
  for (let id = 2; id <= 20; id++) {
    await append(journal, pool, [{ id, bytes: 60_000 }]);
    heads.push(journal.head);
    assert.equal(await journal.read(journal.head - 1, LOGS, 1 << 20, 1), null);
    journal.follow(FOLLOWER, journal.head);
  }
  assert.equal(waiting.isOver, false);
  assert.deepEqual(waiting.passed, heads);
  counts.reads = 0;
  await append(journal, pool, [{ id: 21, bytes: 100, ...LOGS }]);
  await waiting.over;
  const back = await readRow(journal, pool, heads.at(-1), 64 << 10, 'raw', 'logs', 1);
  assert.deepEqual([back.ids, back.damaged, counts.reads], [[21], 0, 0]);
  await journal.close();
  assert.equal(pool.unitsInUse, 0);
});

test('who comes late to a row without anything new is told at once how far that is; what is there resolves at once', async () => {
  const pool = BlockPool.create(16 << 20);
  const journal = await openJournal(temporaryDirectory(), pool);
  await append(journal, pool, [{ id: 1, bytes: 10, ...LOGS }]);
  await append(journal, pool, [{ id: 2, bytes: 10 }]);
  const late = waitForLogs(journal, 2);
  assert.deepEqual(late.passed, [3]);
  const there = waitForLogs(journal, 1);
  await there.over;
  assert.deepEqual(there.passed, []);
  await journal.close();
  await late.over;
});

test('who does not wait any more is let go', async () => {
  const pool = BlockPool.create(16 << 20);
  const journal = await openJournal(temporaryDirectory(), pool);
  let asked = 0;
  const gone = journal.arrival(LOGS, journal.head, () => {
    asked++;
    return false;
  });
  await append(journal, pool, [{ id: 1, bytes: 10 }]);
  await gone;
  await append(journal, pool, [{ id: 2, bytes: 10 }]);
  assert.equal(asked, 1);
  await journal.close();
});

test('what was there before a start is found, and what follows a group that failed', async () => {
  const directory = temporaryDirectory();
  const pool = BlockPool.create(16 << 20);
  const before = await openJournal(directory, pool);
  await append(before, pool, [{ id: 1, bytes: 10, ...LOGS }]);
  await append(before, pool, [{ id: 2, bytes: 10 }]);
  await before.close();
  let isBroken = false;
  const files = filesWith({
    writev: async (...given) => {
      if (isBroken) throw Object.assign(new Error('EIO'), { code: 'EIO' });
      return diskFiles.writev(...given);
    },
  });
  const journal = await openJournal(directory, pool, { files });
  assert.deepEqual((await readRow(journal, pool, 1, 64 << 10, 'raw', 'logs')).ids, [1]);
  assert.deepEqual((await readRow(journal, pool, 2)).ids, [2]);
  const waiting = waitForLogs(journal);
  isBroken = true;
  await assert.rejects(append(journal, pool, [{ id: 3, bytes: 10, ...LOGS }]));
  isBroken = false;
  await append(journal, pool, [{ id: 4, bytes: 10, ...LOGS }]);
  await waiting.over;
  const back = await readRow(journal, pool, waiting.passed.at(-1) ?? 3, 64 << 10, 'raw', 'logs', 1);
  assert.deepEqual([back.ids, back.damaged], [[4], 0]);
  await journal.close();
});

for (const cacheBytes of [4 << 20, 0]) {
  test(`rows that wait for their own miss nothing and see nothing twice (cache of ${cacheBytes})`, async () => {
    const seed = 20_261_130 + cacheBytes;
    console.log(`seed ${seed}`);
    const random = seeded(seed);
    const pool = BlockPool.create(64 << 20);
    const journal = await openJournal(temporaryDirectory(), pool, { cacheBytes });
    const signals: Signal[] = ['traces', 'metrics', 'logs'];
    const wanted = new Map<Signal, number[]>(signals.map((signal) => [signal, []]));
    const count = 500;
    let isOver = false;
    const follow = async (signal: Signal) => {
      const ids: number[] = [];
      const row = { stream: 'raw', signal } as const;
      for (let next = 0; ; ) {
        const back = await readRow(journal, pool, next, 1 + Math.floor(random() * 100_000), 'raw', signal, ids.length);
        ids.push(...back.ids);
        assert.equal(back.damaged, 0);
        next = back.next;
        if (isOver && ids.length >= (wanted.get(signal) as number[]).length) return ids;
        await journal.arrival(row, next, (passed) => {
          assert.ok(passed > next);
          next = passed;
          return true;
        });
      }
    };
    const readers = signals.map(follow);
    for (let id = 1; id <= count; ) {
      const group: Promise<void>[] = [];
      for (let i = 0; i < 1 + random() * 6 && id <= count; i++, id++) {
        // Mostly traces, few logs.
        const signal = signals[Math.min(2, Math.floor(random() ** 3 * 4))] as Signal;
        (wanted.get(signal) as number[]).push(id);
        group.push(append(journal, pool, [{ id, bytes: 4 + Math.floor(random() * 40_000), signal }]));
      }
      await Promise.all(group);
      if (random() < 0.3) await new Promise((resolve) => setImmediate(resolve));
    }
    // One more of each, so that nobody waits for ever.
    for (const [i, signal] of signals.entries()) (wanted.get(signal) as number[]).push(count + 1 + i);
    isOver = true;
    for (const [i, signal] of signals.entries())
      await append(journal, pool, [{ id: count + 1 + i, bytes: 10, signal }]);
    const seen = await Promise.all(readers);
    assert.deepEqual(
      seen,
      signals.map((signal) => wanted.get(signal)),
    );
    assert.deepEqual(
      seen.flat().sort((a, b) => a - b),
      range(1, count + signals.length),
    );
    await journal.close();
  });
}
