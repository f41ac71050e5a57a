/** Holds what main does with shortlists: by sequence, within its memory, and all of it given back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockPool, Field, frameSpan, readU64, startFrame, UNIT_BYTES, writeU64 } from '../../src/core/block.ts';
import { type Lent, Shortlists } from '../../src/worker/shortlists.ts';

function world(mostBytes = 8 * UNIT_BYTES) {
  const pool = BlockPool.create(16 * UNIT_BYTES);
  const shortlists = new Shortlists(pool, mostBytes);
  const frame = pool.allocate(UNIT_BYTES);
  const lend = () => shortlists.lend() ?? assert.fail('no memory');
  /** A task's shortlists, of so many bytes each, for frames with these sequences, one after the other. */
  const write = (lent: Lent, sequences: number[], bytes = 1000, unwritten: number[] = []) => {
    let at = lent.at;
    const frames = sequences.map((sequence, i) => {
      startFrame(pool, frame + i * frameSpan(0), 'raw', 'traces', 0, 0);
      writeU64(pool, frame + i * frameSpan(0) + Field.sequence, sequence);
      startFrame(pool, at, 'raw', 'traces', 0, bytes);
      at += frameSpan(bytes);
      return at - frameSpan(bytes);
    });
    const written = { frames, end: at };
    const committed = sequences.map((sequence, i) => (unwritten.includes(sequence) ? -1 : frame + i * frameSpan(0)));
    shortlists.keep(lent, written, committed);
    shortlists.settle(lent, written);
  };
  const take = (position: number, most = UNIT_BYTES) => {
    const run = shortlists.take(position, most);
    const sequences = run?.frames.map((at) => readU64(pool, at + Field.sequence));
    run?.release();
    return run === null ? null : { sequences, next: run.next };
  };
  const inUse = () => pool.unitsInUse - 1;
  return { pool, shortlists, lend, write, take, inUse };
}

test('those that follow each other come together, whatever order they were committed in', () => {
  const { lend, write, take } = world();
  const [first, second] = [lend(), lend()];
  write(second, [4, 5]);
  write(first, [2, 3]);
  write(lend(), [7]);
  assert.deepEqual(take(2), { sequences: [2, 3, 4, 5], next: 6 });
  assert.equal(take(6), null);
  assert.deepEqual(take(7), { sequences: [7], next: 8 });
});

test('of a frame that was not written there is none', () => {
  const { lend, write, take, inUse } = world();
  write(lend(), [1, 2, 3], 650_000, [2]);
  assert.deepEqual(take(1), { sequences: [1], next: 2 });
  assert.equal(take(2), null);
  assert.deepEqual(take(3), { sequences: [3], next: 4 });
  assert.equal(inUse(), 0, 'something is kept of it');
});

test('no more than was asked for, and at least one', () => {
  const { lend, write, take } = world();
  write(lend(), [1, 2, 3], 1000);
  assert.deepEqual(take(1, 1), { sequences: [1], next: 2 });
  assert.deepEqual(take(2, 1001), { sequences: [2], next: 3 });
});

test('what the selection has passed is given back, and not taken when it comes after', () => {
  const { shortlists, lend, write, take, inUse } = world();
  const late = lend();
  write(lend(), [1, 2, 3], 300_000);
  shortlists.pass(3);
  write(late, [2]);
  assert.deepEqual(take(3), { sequences: [3], next: 4 });
  // The rest of what was lent is lent again; nothing else is held.
  const lent = [lend(), lend()];
  assert.equal(inUse(), 4);
  for (const one of lent) shortlists.settle(one, undefined);
});

test('a block is lent as long as there is room in it, and freed once it is full and everything in it was released', () => {
  const { shortlists, lend, write, inUse } = world();
  for (let sequence = 1; sequence <= 4; sequence++) write(lend(), [sequence], 470_000);
  assert.equal(inUse(), 2);
  const run = shortlists.take(1, UNIT_BYTES * 8);
  assert.equal(run?.frames.length, 4);
  assert.equal(inUse(), 2);
  run?.release();
  assert.equal(inUse(), 0);
});

test('an open block with nothing in it is used from its beginning', () => {
  const { shortlists, lend, write, take } = world();
  const { at } = lend();
  write(lend(), [1]);
  const second = lend();
  write(second, [2]);
  take(1);
  take(2);
  assert.equal(lend().at, second.block);
  assert.notEqual(at, second.block);
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
