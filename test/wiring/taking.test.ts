/** Holds wiring/taking.ts with a real journal: that nothing can be taken is said without anybody who sends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { BlockPool } from '../../src/core/block.ts';
import { diskFiles } from '../../src/journal/files.ts';
import { watchTaking } from '../../src/wiring/taking.ts';
import { append, openJournal, temporaryDirectory } from '../journal/frames.ts';
import { eventually } from '../sinks/harness.ts';

const SMALL = { segmentBytes: 32 << 10, maxBytes: 128 << 10, cacheBytes: 0 } as const;

function ground() {
  const lines: string[] = [];
  const log = pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(line.trim()) });
  return { trouble: new Map<string, string>(), log, lines };
}

test('a journal that is full when it is opened is told before anything is refused, until its readers have moved on', async (t) => {
  const pool = BlockPool.create(8 << 20);
  const directory = temporaryDirectory();
  const before = await openJournal(directory, pool, SMALL);
  before.hold('sink', 0);
  await assert.rejects(
    async () => {
      for (let id = 1; ; id++) await append(before, pool, [{ id, bytes: 100 }]);
    },
    { code: 'JOURNAL_FULL' },
  );
  await before.close();
  const journal = await openJournal(directory, pool, SMALL);
  t.after(() => journal.close());
  const sink = journal.hold('sink', 0);
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { trouble, log, lines } = ground();
  t.after(watchTaking({ trouble, log }, journal));
  const second = () => t.mock.timers.tick(1000);
  await eventually(() => trouble.has('taking'), second);
  for (let i = 0; i < 10; i++) second();
  assert.match(trouble.get('taking') ?? '', /0\.1 MiB in use, limit 0\.1 MiB: raise journal\.max_size/);
  sink.advance(journal.head);
  await eventually(() => !trouble.has('taking'), second);
  assert.equal(lines.length, 2, lines.join('\n'));
  assert.match(lines[1] as string, /taken again/);
});

test('a full disk is told until there is room, though nobody sends', async (t) => {
  const pool = BlockPool.create(8 << 20);
  let free = 0;
  const files = { ...diskFiles, free: async () => free };
  const journal = await openJournal(temporaryDirectory(), pool, { ...SMALL, files });
  t.after(() => journal.close());
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { trouble, log } = ground();
  t.after(watchTaking({ trouble, log }, journal));
  const second = () => t.mock.timers.tick(1000);
  await eventually(() => trouble.has('taking'), second);
  assert.match(trouble.get('taking') ?? '', /the disk is full/);
  free = 1 << 30;
  await eventually(() => !trouble.has('taking'), second);
  await append(journal, pool, [{ id: 1, bytes: 100 }]);
});

test('a disk that hangs is told after 5 s, although nobody is refused, and no slow one before', async (t) => {
  const pool = BlockPool.create(8 << 20);
  let release = () => {};
  let hanging: Promise<void> | null = null;
  const writev: typeof diskFiles.writev = async (...args) => {
    await hanging;
    return diskFiles.writev(...args);
  };
  const journal = await openJournal(temporaryDirectory(), pool, { ...SMALL, files: { ...diskFiles, writev } });
  t.after(() => journal.close());
  await append(journal, pool, [{ id: 1, bytes: 100 }]);
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { trouble, log, lines } = ground();
  t.after(watchTaking({ trouble, log }, journal));
  for (let id = 2; id < 10; id++) {
    await append(journal, pool, [{ id, bytes: 100 }]);
    t.mock.timers.tick(1000);
  }
  assert.deepEqual(lines, []);
  hanging = new Promise((resolve) => {
    release = resolve;
  });
  const late = append(journal, pool, [{ id: 10, bytes: 100 }]);
  await eventually(() => journal.writing > 0);
  for (let i = 0; i < 5; i++) t.mock.timers.tick(1000);
  assert.equal(trouble.size, 0);
  t.mock.timers.tick(1000);
  assert.match(trouble.get('taking') ?? '', /intake: the disk has not taken a write for 5 s/);
  release();
  await late;
  t.mock.timers.tick(1000);
  assert.equal(trouble.size, 0);
});
