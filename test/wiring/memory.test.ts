/** Holds wiring/memory.ts with real journals and cursors: what it saves is whole, whoever asks for it and when. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { BlockPool, UNIT_BYTES } from '../../src/core/block.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import { CursorTable } from '../../src/journal/cursors.ts';
import { diskFiles } from '../../src/journal/files.ts';
import { Reserve } from '../../src/journal/reserve.ts';
import { CHECKPOINT, decodeCheckpoint } from '../../src/wiring/checkpoint.ts';
import { Memory } from '../../src/wiring/memory.ts';
import type { Observers } from '../../src/worker/observers.ts';
import { openJournal, temporaryDirectory } from '../journal/frames.ts';
import { within } from '../sinks/harness.ts';

async function bench(t: TestContext) {
  const directory = temporaryDirectory();
  const pool = BlockPool.create(16 * UNIT_BYTES);
  const intake = await openJournal(directory, pool);
  const derived = await openJournal(directory, pool, { name: 'derived' });
  const table = await CursorTable.open(directory);
  const reserve = await Reserve.open(diskFiles, directory, 1 << 20);
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const telemetry = createTelemetry();
  const sizes = { segmentBytes: 256 << 10, lookBackMs: 0, waitMs: 0 };
  const memory = new Memory({
    directory,
    agent: 'a',
    pool,
    table,
    intake,
    derived,
    reserve,
    log,
    telemetry,
    ...sizes,
    now: Date.now,
  });
  t.after(async () => {
    await memory.close();
    await intake.close();
    await derived.close();
  });
  return { directory, memory, derived, telemetry, lines };
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

test('a checkpoint that cannot be written keeps no cursor from being saved, and is told once', async (t) => {
  const { directory, memory, lines } = await bench(t);
  const flush = { stream: 'summaries', signal: 'metrics', items: 1, bytes: Buffer.from('a'), timeMs: 1 } as const;
  const observers = {
    position: 0,
    // One in each tick, and each asks for a checkpoint.
    tick: () => [{ emission: { ...flush, ends: true }, processor: 0 }],
    save: () => ({ position: 0, states: [] }),
  };
  mkdirSync(join(directory, `${CHECKPOINT}.tmp`));
  memory.start(
    observers as unknown as Observers,
    () => Infinity,
    async () => {},
  );
  const saved = async (rejected: number) => {
    memory.rejected.logs = rejected;
    await within(20_000, async () => {
      const found = (await CursorTable.peek(directory)).value('rejected') as { logs: number } | undefined;
      return found?.logs === rejected;
    });
  };
  await saved(1);
  await saved(2);
  await saved(3);
  assert.deepEqual(lines.filter((line) => line.includes('not saved')).length, 1, lines.join(''));
  rmdirSync(join(directory, `${CHECKPOINT}.tmp`));
});

test('a summary that fits no segment is counted and told as an error, and does not keep an event from the journal', async (t) => {
  const { memory, derived, telemetry, lines } = await bench(t);
  const summary = { stream: 'summaries', signal: 'metrics', items: 7, timeMs: 1, ends: true } as const;
  memory.say([{ emission: { ...summary, bytes: Buffer.alloc(300_000) }, processor: 0 }], 1);
  memory.lose({ cause: 'damaged', sink: null, stream: 'raw', signal: 'logs', items: 1 });
  assert.deepEqual(await memory.unsaid.say(), { flushed: true, error: null });
  assert.equal(derived.total('events', 'logs'), 1);
  const [{ emission: told } = { emission: undefined }] = memory.unsaid.save();
  assert.match(Buffer.from(told?.bytes ?? []).toString('latin1'), /too_large.*plumbline\.loss/s);
  assert.deepEqual(await memory.unsaid.say(), { flushed: false, error: null });
  assert.equal(derived.total('events', 'logs'), 2, 'that it was given up is an event, too');
  assert.deepEqual(
    (await telemetry.toldGivenUp.get()).values.map(({ labels, value }) => [labels.stream, value]),
    [
      ['summaries', 7],
      ['events', 0],
    ],
  );
  assert.match(lines.find((line) => line.includes('given up')) ?? '', /"items":7.*raise journal\.segment_size/);
});
