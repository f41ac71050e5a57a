/** A process of its own that does nothing but write files, to be killed: frames of one span each, named by their sequence, without end. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { BlockPool, frameSpan } from '../../../src/core/block.ts';
import type { FrameBatch, FrameSource } from '../../../src/core/component.ts';
import { storage } from '../../../src/sinks/storage/index.ts';
import { createHarness, freshCursor, spans } from '../harness.ts';
import { writeFrame } from '../memory_source.ts';

const ROW = { stream: 'raw', signal: 'traces' } as const;
/** A frame's time is the journal's, and the same whenever it is read. */
const RECEIVED_MS = Date.UTC(2025, 5, 1, 12, 30);
const [directory = '', cursorFile = '', lastText = ''] = process.argv.slice(2);
/** Where it ends by itself; without it it goes on until it is killed. */
const last = lastText === '' ? Number.POSITIVE_INFINITY : Number(lastText);

const pool = BlockPool.create(32 << 20);
const cursor = { ...freshCursor(), ...readCursor() };

const source: FrameSource = {
  head: Math.min(last, Number.MAX_SAFE_INTEGER),
  total: () => 0,
  // There is always more, but for the end.
  arrival: () => new Promise(() => {}),
  follow: () => {},
  leave: () => {},
  async read(from, row): Promise<FrameBatch | null> {
    if (from >= source.head) return null;
    if (row.signal !== ROW.signal)
      return { frames: [], next: source.head, damaged: 0, filtered: 0, blockBytes: 0, release: () => {} };
    const count = Math.min(last - from, 1 + Math.floor(Math.random() * 20));
    const payloads = Array.from({ length: count }, (_, i) => spans(from + i, from + i + 1, 'checkout', 500));
    const block = pool.allocate(payloads.reduce((sum, { length }) => sum + frameSpan(length), 0));
    let at = block;
    const frames = payloads.map((payload, i) => {
      const frame = at;
      writeFrame(pool, frame, { ...ROW, sequence: from + i, payload, items: 1, receivedMs: RECEIVED_MS });
      at += frameSpan(payload.length);
      return frame;
    });
    const blockBytes = pool.capacity(block);
    return { frames, next: from + count, damaged: 0, filtered: 0, blockBytes, release: () => pool.release(block) };
  },
};

const section = { type: 'storage', subscribe: ['raw'], directory, rotate: { size: '16KiB', every: '20ms' } };
const { delivery } = createHarness(storage, section, {
  pool,
  source: () => source,
  cursor: (row) => (row.signal === ROW.signal ? cursor : freshCursor()),
  // The agent saves cursors now and then: what is on disk is behind what was finished.
  changed: ({ signal }) => {
    if (signal !== ROW.signal) return;
    process.stdout.write('a file is finished\n');
    if (Math.random() < 0.2) saveCursor();
  },
});
delivery.start();
if (last !== Number.POSITIVE_INFINITY) {
  await delivery.drain(Date.now() + 60_000);
  await delivery.close(Date.now() + 60_000);
  saveCursor();
}

function readCursor(): object {
  try {
    return JSON.parse(readFileSync(cursorFile, 'utf8'));
  } catch (error) {
    // None before the first was saved.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
}

function saveCursor(): void {
  writeFileSync(`${cursorFile}.new`, JSON.stringify(cursor));
  renameSync(`${cursorFile}.new`, cursorFile);
}
