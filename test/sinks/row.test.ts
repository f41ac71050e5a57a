/** Holds src/sinks/row.ts: drain and close, data that a writer holds, rewinds, and starts after a crash. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockPool } from '../../src/core/block.ts';
import type { Encoder } from '../../src/core/component.ts';
import type { EncodeTask } from '../../src/sinks/parts.ts';
import { ended, fill, mockClock, namesOf, ROW, SECTION, started } from './delivery_bench.ts';
import { createHarness, encodeHere, eventually, type Harness } from './harness.ts';
import { type Call, scriptedSink, wholeFrames } from './scripted.ts';

test('close waits for what is in flight, counts it, and reads nothing more', async () => {
  const sink = scriptedSink({ concurrency: 1 });
  sink.script = () => null;
  const harness = started(sink);
  fill(harness, 20);
  await eventually(() => sink.calls.length === 1);
  const closing = harness.delivery.close(Date.now() + 60_000);
  const [call] = sink.calls as [Call];
  assert.equal(sink.closed, false);
  call.answer({ kind: 'delivered' });
  await closing;
  assert.deepEqual([sink.closed, sink.calls.length, harness.cursor(ROW).next], [true, 1, call.last + 1]);
  await ended(harness);
});

test('where batches wait for one another the next is read while one is written, and follows it', async () => {
  const sink = scriptedSink({ concurrency: 1 });
  sink.script = () => null;
  const harness = started(sink);
  fill(harness, 6);
  for (const [i, lent] of [2, 2, 1].entries()) {
    await eventually(() => sink.calls.length === i + 1 && harness.source.lent === lent);
    for (let turn = 0; turn < 20; turn++) await eventually(() => true);
    assert.deepEqual([sink.calls.length, harness.source.lent], [i + 1, lent]);
    sink.calls[i]?.answer({ kind: 'delivered' });
  }
  await eventually(() => harness.cursor(ROW).next === 6);
  assert.deepEqual(
    sink.calls.map(({ first }) => first),
    [0, 2, 4],
  );
  await ended(harness);
});

test('what comes while all there was is written is not read before that is done, so that it goes together', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink({ concurrency: 1 });
  sink.script = () => null;
  const harness = started(sink);
  fill(harness, 2);
  await eventually(() => sink.calls.length === 1);
  for (let frame = 0; frame < 2; frame++) {
    fill(harness, 1);
    tick(1000);
    for (let turn = 0; turn < 20; turn++) await eventually(() => true);
    assert.equal(harness.source.lent, 1);
  }
  sink.calls[0]?.answer({ kind: 'delivered' });
  await eventually(() => sink.calls.length === 2);
  assert.deepEqual([sink.calls[1]?.first, sink.calls[1]?.last], [2, 3]);
  sink.calls[1]?.answer({ kind: 'delivered' });
  await ended(harness);
});

test('what was read while data was lost is read again behind that', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink({ holds: true });
  sink.script = () => null;
  const harness = started(sink);
  fill(harness, 2);
  tick(1000);
  fill(harness, 4);
  await eventually(() => sink.calls.length === 1 && harness.source.lent === 2);
  sink.context.rewind(ROW, 'disk full');
  await eventually(() => harness.source.lent === 1);
  assert.equal(harness.delivery.state().lagMs, 1000);
  sink.script = () => ({ kind: 'held' });
  sink.calls[0]?.answer({ kind: 'held' });
  await eventually(
    () => sink.calls.at(-1)?.last === 5,
    () => tick(500),
  );
  assert.deepEqual(
    sink.calls.map(({ first }) => first),
    [0, 0, 2, 4],
  );
  await ended(harness);
});

test('close gives up at its deadline and counts nothing that was not answered', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink();
  sink.script = () => null;
  const harness = started(sink);
  fill(harness, 2);
  await eventually(() => sink.calls.length === 1);
  const closing = harness.delivery.close(Date.now() + 5000);
  let isClosed = false;
  void closing.then(() => {
    isClosed = true;
  });
  await eventually(
    () => isClosed,
    () => tick(1000),
  );
  assert.deepEqual([sink.closed, harness.cursor(ROW).next], [true, 0]);
  for (const call of sink.calls) call.answer({ kind: 'delivered' });
});

test('a row that waits to try again is closed at once', async (t) => {
  mockClock(t);
  const sink = scriptedSink();
  sink.script = () => ({ kind: 'retry', error: 'down' });
  const harness = started(sink);
  fill(harness, 2);
  await eventually(() => harness.delivery.state().state === 'retrying');
  await harness.delivery.close(Date.now() + 60_000);
  assert.equal(harness.cursor(ROW).next, 0);
  await ended(harness);
});

test('what a destination does not answer keeps no more blocks than the sink may have, and one batch of each row', async () => {
  const sink = scriptedSink({ batchBytes: 1 });
  sink.script = () => null;
  const harness = started(sink, { mostBlockBytes: 2 << 20 });
  fill(harness, 8);
  await eventually(() => sink.calls.length === 2);
  // Another row has its one, though there is no room left.
  harness.source.append('raw', 'logs', new Uint8Array(8));
  harness.source.append('raw', 'logs', new Uint8Array(8));
  await eventually(() => sink.calls.length === 3);
  for (let turn = 0; turn < 50; turn++) await eventually(() => true);
  assert.deepEqual([sink.calls.length, harness.pool.unitsInUse], [3, 3]);
  // It goes on as room comes back.
  sink.script = () => ({ kind: 'delivered' });
  for (const call of sink.calls) call.answer({ kind: 'delivered' });
  await harness.delivery.drain(Date.now() + 60_000);
  assert.equal(harness.cursor(ROW).delivered, 8);
  await ended(harness);
});

test('drain ends when everything was sent', async () => {
  const sink = scriptedSink();
  const harness = started(sink);
  fill(harness, 30);
  await harness.delivery.drain(Date.now() + 60_000);
  assert.equal(harness.cursor(ROW).next, 30);
  await ended(harness);
});

test('what comes of other rows moves the cursor of one at rest, and is not read for it', async () => {
  const sink = scriptedSink();
  const harness = started(sink);
  fill(harness, 1);
  await harness.delivery.drain(Date.now() + 60_000);
  const { source, pool } = harness;
  const { reads } = source;
  for (let i = 0; i < 5; i++) {
    source.append('summaries', 'metrics', new Uint8Array(8));
    await eventually(() => harness.cursor(ROW).next === source.head);
  }
  const places = [...new Set(source.followers.values())];
  assert.deepEqual([source.reads, places, source.lent, pool.unitsInUse], [reads, [source.head], 0, 0]);
  fill(harness, 1);
  await harness.delivery.drain(Date.now() + 60_000);
  assert.deepEqual([harness.cursor(ROW).next, harness.cursor(ROW).delivered], [7, 2]);
  await ended(harness);
});

test('what was lost at the destination is sent again, whatever comes of other rows before that', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink({ holds: true });
  sink.script = () => ({ kind: 'held' });
  const harness = started(sink);
  fill(harness, 2);
  await eventually(() => sink.calls.at(-1)?.last === 1);
  // It rests: what comes of others passes it by.
  harness.source.append('summaries', 'metrics', new Uint8Array(8));
  await eventually(
    () => [...harness.source.followers.values()].every((next) => next === 3),
    () => tick(100),
  );
  sink.context.rewind(ROW, 'gone');
  harness.source.append('summaries', 'metrics', new Uint8Array(8));
  const before = sink.calls.length;
  await eventually(
    () => sink.calls.length > before && sink.calls.at(-1)?.last === 1,
    () => tick(1000),
  );
  await ended(harness);
});

test('held data counts when it is confirmed, and its memory is free before that', async () => {
  const sink = scriptedSink({ holds: true });
  sink.script = () => ({ kind: 'held' });
  const harness = started(sink);
  fill(harness, 6);
  const cursor = harness.cursor(ROW);
  await eventually(() => sink.calls.at(-1)?.last === 5);
  await eventually(() => harness.source.lent === 0);
  assert.deepEqual([cursor.next, cursor.delivered, harness.delivery.state().lagItems], [0, 0, 6]);
  const middle = sink.calls[0] as Call;
  sink.context.confirm(ROW, middle.last);
  assert.deepEqual([cursor.next, cursor.delivered], [middle.last + 1, middle.last + 1]);
  sink.context.confirm(ROW, 5);
  assert.deepEqual([cursor.next, cursor.delivered], [6, 6]);
  await ended(harness);
});

test('while the destination fails, however it does, the lag is as old as what waits', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink({ holds: true });
  sink.script = () => ({ kind: 'held' });
  let isBroken = true;
  sink.resume = async () => {
    if (isBroken) throw new Error('no directory');
    return null;
  };
  const harness = started(sink);
  fill(harness, 2);
  const lag = () => [harness.delivery.state().lagItems, harness.delivery.state().lagMs];
  await eventually(() => harness.delivery.state().error === 'no directory');
  tick(400);
  assert.deepEqual(lag(), [2, 400], 'it was read, and not yet sent');
  isBroken = false;
  await eventually(
    () => sink.calls.length > 0,
    () => tick(100),
  );
  const [, before = 0] = lag();
  sink.context.rewind(ROW, 'disk full');
  tick(300);
  assert.deepEqual(lag(), [2, before + 300], 'it was given back, and not yet read again');
  await eventually(
    () => sink.calls.length > 1,
    () => tick(100),
  );
  sink.context.confirm(ROW, 1);
  tick(1000);
  assert.deepEqual(lag(), [0, 0]);
  await ended(harness);
});

test('held data that was lost is read again from the cursor', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink({ holds: true });
  sink.script = () => ({ kind: 'held' });
  const harness = started(sink);
  fill(harness, 6);
  await eventually(() => sink.calls.at(-1)?.last === 5);
  const confirmed = (sink.calls[0] as Call).last;
  sink.context.confirm(ROW, confirmed);
  const before = sink.calls.length;
  sink.context.rewind(ROW, 'disk full');
  assert.deepEqual([harness.delivery.state().state, harness.delivery.state().error], ['retrying', 'disk full']);
  await eventually(
    () => sink.calls.length > before && sink.calls.at(-1)?.last === 5,
    () => tick(500),
  );
  assert.equal(sink.calls[before]?.first, confirmed + 1);
  sink.context.confirm(ROW, 5);
  assert.deepEqual([harness.cursor(ROW).delivered, harness.delivery.state().state], [6, 'ok']);
  await ended(harness);
});

test('what was still being encoded when held data was lost is not written before what is read again', async (t) => {
  const tick = mockClock(t);
  const encoder: Encoder = { ...wholeFrames, direct: () => null };
  const sink = scriptedSink({ holds: true, encoder: () => encoder });
  sink.script = () => ({ kind: 'held' });
  const slow = Promise.withResolvers<void>();
  let encodes = 0;
  const pool = BlockPool.create(64 << 20);
  const encode: EncodeTask = async (frames, ...of) => {
    if (encodes++ === 1) await slow.promise;
    return encodeHere(pool, (out) => encoder.encode(pool, frames, ...of, out));
  };
  const harness = started(sink, { pool, encode });
  fill(harness, 2);
  await eventually(() => sink.calls.at(-1)?.last === 1);
  fill(harness, 2);
  await eventually(
    () => encodes === 2,
    () => tick(500),
  );
  const before = sink.calls.length;
  sink.context.rewind(ROW, 'disk full');
  slow.resolve();
  await eventually(
    () => sink.calls.length > before && sink.calls.at(-1)?.last === 3,
    () => tick(500),
  );
  assert.equal(sink.calls[before]?.first, 0);
  await ended(harness);
});

test('what is held is given up only when the destination says that it is safe nowhere', async () => {
  const sink = scriptedSink({ holds: true });
  sink.script = () => ({ kind: 'held' });
  const harness = started(sink);
  fill(harness, 6);
  await harness.delivery.drain(Date.now() + 60_000);
  assert.equal(harness.delivery.expire(ROW, 3, 3), 0);
  sink.context.fail(ROW, 'the bucket is away');
  assert.equal(harness.delivery.expire(ROW, 3, 3), 3);
  await harness.delivery.drain(Date.now() + 60_000);
  assert.equal(sink.calls.at(-1)?.last, 5);
  sink.context.confirm(ROW, 5);
  const { next, expired, delivered } = harness.cursor(ROW);
  assert.deepEqual([next, expired, delivered], [6, 3, 3]);
  await ended(harness);
});

test('a row tells its source where it goes on, back again after a rewind, and that it is gone', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink({ holds: true });
  sink.script = () => ({ kind: 'held' });
  const harness = started(sink);
  const { followers } = harness.source;
  const furthest = () => [...followers.values()].toSorted((a, b) => a - b).at(-1);
  await eventually(() => furthest() === 0);
  const rows = followers.size;
  fill(harness, 6);
  await eventually(() => sink.calls.at(-1)?.last === 5);
  // All rows read on, those that have nothing of it too.
  await eventually(() => [...followers.values()].every((next) => next === 6));
  sink.context.confirm(ROW, 1);
  sink.context.rewind(ROW, 'disk full');
  assert.deepEqual(
    [...followers.values()].filter((next) => next < 6),
    [2],
  );
  await eventually(
    () => furthest() === 6 && [...followers.values()].every((next) => next === 6),
    () => tick(500),
  );
  assert.equal(followers.size, rows);
  await ended(harness);
  assert.equal(followers.size, 0);
  sink.context.rewind(ROW, 'late');
  assert.equal(followers.size, 0);
});

test('what a row holds is completed before its time only when it has read everything', async () => {
  const sink = scriptedSink({ holds: true });
  let finished = 0;
  sink.finish = async () => {
    finished++;
  };
  // The first batch is not answered yet, and more lies behind it.
  sink.script = (_call, index) => (index === 0 ? null : { kind: 'held' });
  const harness = started(sink);
  fill(harness, 6);
  await eventually(() => sink.calls.length === 1);
  assert.ok((sink.calls[0]?.last ?? 5) < 5);
  await harness.delivery.finish(ROW);
  assert.equal(finished, 0);
  sink.calls[0]?.answer({ kind: 'held' });
  await eventually(() => sink.calls.at(-1)?.last === 5);
  await harness.delivery.finish(ROW);
  assert.equal(finished, 1);
  // It rests.
  await harness.delivery.drain(Date.now() + 60_000);
  await harness.delivery.finish(ROW);
  assert.equal(finished, 2);
  await ended(harness);
});

test('pieces that were finished before a crash are counted and not written again', async () => {
  const sink = scriptedSink({ holds: true });
  const asked: number[] = [];
  sink.resume = async (_row, first) => {
    asked.push(first);
    // Two pieces: 0 to 2, and 3 to 4.
    return first === 0 ? 2 : first === 3 ? 4 : null;
  };
  const harness = createHarness(sink.definition, SECTION);
  fill(harness, 8);
  harness.delivery.start();
  const cursor = harness.cursor(ROW);
  await eventually(() => cursor.next === 8);
  assert.deepEqual(asked, [0, 3, 5]);
  assert.deepEqual(namesOf(sink.calls), ['5', '6', '7']);
  assert.equal(cursor.delivered, 8);
  await ended(harness);
});

test('what went wrong until a piece from before the start was safe is not said any more when it is', async () => {
  const sink = scriptedSink({ holds: true });
  sink.resume = async (row, first) => {
    if (first > 0) return null;
    sink.context.fail(row, 'the bucket is away');
    return 2;
  };
  const harness = createHarness(sink.definition, SECTION);
  fill(harness, 3);
  harness.delivery.start();
  await eventually(() => harness.cursor(ROW).next === 3);
  const { state, error } = harness.delivery.state();
  assert.deepEqual([state, error], ['ok', null]);
  await ended(harness);
});

test('a cursor is never saved in the middle of a piece, whatever comes first: its last answer or its confirmation', async () => {
  const sink = scriptedSink({ holds: true });
  const saved: number[] = [];
  sink.script = ({ last }) => {
    if (last < 5) return { kind: 'held' };
    // As a writer does that finishes its file within the write.
    sink.context.confirm(ROW, last);
    return null;
  };
  const harness: Harness = createHarness(sink.definition, SECTION, {
    changed: ({ signal }) => signal === 'traces' && saved.push(harness.cursor(ROW).next),
  });
  fill(harness, 6);
  harness.delivery.start();
  await eventually(() => sink.calls.at(-1)?.last === 5);
  assert.deepEqual(saved, []);
  sink.calls.at(-1)?.answer({ kind: 'held' });
  await eventually(() => harness.cursor(ROW).next === 6);
  assert.deepEqual(saved, [6]);
  await ended(harness);
});

test('of pieces that were finished before a crash the cursor passes each as a whole', async () => {
  const sink = scriptedSink({ holds: true });
  const saved: number[] = [];
  // One piece over several batches.
  sink.resume = async (_row, first) => (first === 0 ? 6 : null);
  const harness: Harness = createHarness(sink.definition, SECTION, {
    changed: ({ signal }) => signal === 'traces' && saved.push(harness.cursor(ROW).next),
  });
  fill(harness, 9);
  harness.delivery.start();
  await eventually(() => harness.cursor(ROW).next === 9);
  assert.equal(saved[0], 7);
  assert.deepEqual(namesOf(sink.calls), ['7', '8']);
  await ended(harness);
});
