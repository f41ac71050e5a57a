/** Holds wiring/memory.ts with real journals and cursors: what it saves is whole, whoever asks for it and when. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { BlockPool, UNIT_BYTES } from '../../src/core/block.ts';
import { CursorTable } from '../../src/journal/cursors.ts';
import { diskFiles } from '../../src/journal/files.ts';
import { Reserve } from '../../src/journal/reserve.ts';
import { CHECKPOINT, decodeCheckpoint } from '../../src/wiring/checkpoint.ts';
import { Memory } from '../../src/wiring/memory.ts';
import type { Observers } from '../../src/worker/observers.ts';
import { openJournal, temporaryDirectory } from '../journal/frames.ts';

async function bench(t: TestContext) {
  const directory = temporaryDirectory();
  const pool = BlockPool.create(16 * UNIT_BYTES);
  const intake = await openJournal(directory, pool);
  const derived = await openJournal(directory, pool, { name: 'derived' });
  const table = await CursorTable.open(directory);
  const reserve = await Reserve.open(diskFiles, directory, 1 << 20);
  const log = pino({ level: 'silent' });
  const sizes = { lookBackMs: 0, waitMs: 0 };
  const memory = new Memory({
    directory,
    agent: 'a',
    pool,
    table,
    intake,
    derived,
    reserve,
    log,
    ...sizes,
    now: Date.now,
  });
  t.after(async () => {
    await memory.close();
    await intake.close();
    await derived.close();
  });
  return { directory, memory };
}

test('checkpoints that are asked for at once are written one after the other, each whole and the newest last', async (t) => {
  const { directory, memory } = await bench(t);
  const observers = {
    position: 0,
    tick: () => [],
    save: () => ({ position: observers.position, states: [{ type: 'x', state: 'y'.repeat(200_000) }] }),
  };
  // Of the observers memory asks no more than this.
  memory.start(
    observers as unknown as Observers,
    () => Infinity,
    async () => {},
  );
  for (let round = 0; round < 20; round++) {
    const asked = [1, 2, 3].map(() => {
      observers.position++;
      return memory.checkpoint();
    });
    await Promise.all(asked);
    const saved = decodeCheckpoint(readFileSync(join(directory, CHECKPOINT)).subarray(16));
    assert.equal(saved.observers.position, observers.position);
  }
});
