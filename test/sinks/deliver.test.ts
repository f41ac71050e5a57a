/** Holds src/sinks/deliver.ts: whatever a destination does, nothing it took is counted early and nothing it did not take is lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Part } from '../../src/core/component.ts';
import { AgentError } from '../../src/core/errors.ts';
import { allNames, ended, fill, mockClock, namesOf, ROW, SECTION, started } from './delivery_bench.ts';
import { createHarness, eventually, namesIn, spans } from './harness.ts';
import { type Call, scriptedSink, wholeFrames } from './scripted.ts';

test('what may be given up is counted from 0 on, before anything was', async () => {
  const harness = createHarness(scriptedSink().definition, SECTION);
  const text = await harness.telemetry.registry.metrics();
  for (const signal of ['traces', 'metrics', 'logs'])
    for (const outcome of ['delivered', 'dead_lettered', 'damaged', 'expired'])
      assert.match(
        text,
        new RegExp(
          `^plumbline_sink_items_total\\{sink="scripted",stream="raw",signal="${signal}",outcome="${outcome}"\\} 0$`,
          'm',
        ),
      );
});

test('every frame is written once, in order, and the cursor stands at the end', async () => {
  const sink = scriptedSink();
  const harness = started(sink);
  fill(harness, 9);
  const cursor = harness.cursor(ROW);
  await eventually(() => cursor.next === 9);
  assert.deepEqual(namesOf(sink.calls), allNames(9));
  assert.equal(cursor.delivered, 9);
  assert.deepEqual([harness.delivery.state().state, harness.delivery.state().lagItems], ['ok', 0]);
  assert.match(await harness.telemetry.registry.metrics(), /sink_items_total\{.*outcome="delivered"\} 9/);
  await ended(harness);
  assert.ok(sink.closed);
});

test('what comes is sent at once, and what comes soon after it goes together', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink();
  const harness = started(sink);
  fill(harness, 1);
  await eventually(() => harness.cursor(ROW).next === 1);
  for (let more = 2; more <= 3; more++) {
    fill(harness, 1);
    await setImmediate();
  }
  assert.equal(sink.calls.length, 1);
  await eventually(
    () => harness.cursor(ROW).next === 3,
    () => tick(5),
  );
  assert.deepEqual(
    sink.calls.map(({ batch }) => batch.parts.length),
    [1, 2],
  );
  await ended(harness);
});

test('what is refused for now comes again until it is taken, and the state says so', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink();
  let isUp = false;
  sink.script = () => (isUp ? { kind: 'delivered' } : { kind: 'retry', error: 'no route to host' });
  const harness = started(sink);
  fill(harness, 6);
  await eventually(() => harness.delivery.state().state === 'retrying');
  assert.equal(harness.delivery.state().error, 'no route to host');
  await eventually(
    () => harness.delivery.state().state === 'stalled',
    () => tick(500),
  );
  assert.equal(harness.cursor(ROW).next, 0);
  isUp = true;
  await eventually(
    () => harness.cursor(ROW).next === 6,
    () => tick(500),
  );
  assert.equal(harness.delivery.state().state, 'ok');
  assert.deepEqual([...new Set(namesOf(sink.calls))].sort(), allNames(6));
  await ended(harness);
});

test('a wait that the destination asks for is kept', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink();
  sink.script = (_, index) =>
    index === 0 ? { kind: 'retry', error: 'busy', afterMs: 100_000 } : { kind: 'delivered' };
  const harness = started(sink);
  fill(harness, 1);
  await eventually(() => harness.delivery.state().state === 'retrying');
  tick(99_999);
  await eventually(() => harness.source.lent === 1);
  assert.equal(sink.calls.length, 1);
  await eventually(
    () => harness.cursor(ROW).next === 1,
    () => tick(1),
  );
  await ended(harness);
});

test('an encoder that has no memory now is asked again', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink({ encoder: () => ({ ...wholeFrames, direct: () => null }) });
  let calls = 0;
  const harness = started(sink, {
    encode: async (frames: number[]) => {
      if (calls++ < 3) throw new AgentError('OVERLOADED', 'the pool is empty', { retryable: true });
      return { parts: wholeFrames.encode(harness.pool, frames, 'raw', 'traces', null as never), release: () => {} };
    },
  });
  fill(harness, 1);
  await eventually(
    () => harness.cursor(ROW).next === 1,
    () => tick(1000),
  );
  await ended(harness);
});

test('a destination that hangs is asked again; its late answer changes nothing and until then its memory stays', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink();
  sink.script = (_, index) => (index === 0 ? null : { kind: 'delivered' });
  const harness = started(sink, { timeoutMs: 30_000 });
  fill(harness, 1);
  await eventually(() => sink.calls.length === 1);
  tick(30_000);
  await eventually(() => harness.delivery.state().state === 'retrying');
  assert.equal(harness.delivery.state().error, 'no answer within 30s');
  await eventually(
    () => harness.cursor(ROW).next === 1,
    () => tick(500),
  );
  const [hung] = sink.calls as [Call];
  const part = hung.batch.parts[0] as Part;
  assert.deepEqual(namesIn(harness.pool.bytes.subarray(part.at, part.at + part.length)), ['0']);
  assert.equal(harness.source.lent, 1);
  hung.answer({ kind: 'retry', error: 'late' });
  await eventually(() => harness.source.lent === 0);
  assert.deepEqual([harness.cursor(ROW).delivered, harness.delivery.state().state], [1, 'ok']);
  await ended(harness);
});

test('a destination that never answers anything is given only so many batches', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink();
  sink.script = () => null;
  const harness = started(sink, { timeoutMs: 1000 });
  fill(harness, 100);
  await eventually(
    () => harness.delivery.state().state === 'stalled',
    () => tick(1000),
  );
  for (let i = 0; i < 100; i++)
    await eventually(
      () => true,
      () => tick(1000),
    );
  assert.equal(harness.source.lent, 4);
  assert.ok(sink.calls.length <= 4 + 8, `${sink.calls.length} writes without an answer`);
  for (const call of sink.calls) call.answer({ kind: 'delivered' });
  await ended(harness);
});

test('a slow destination has at most `concurrency` batches, and the cursor moves only over a prefix without gaps', async () => {
  const sink = scriptedSink();
  sink.script = () => null;
  const harness = started(sink);
  fill(harness, 20);
  const cursor = harness.cursor(ROW);
  await eventually(() => sink.calls.length === 4);
  for (let turn = 0; turn < 50; turn++) await eventually(() => true);
  assert.deepEqual([sink.calls.length, harness.source.lent], [4, 4]);
  const [first, second, third] = sink.calls as [Call, Call, Call];
  third.answer({ kind: 'delivered' });
  second.answer({ kind: 'delivered' });
  await eventually(() => sink.calls.length === 6);
  assert.deepEqual([cursor.next, cursor.delivered], [0, 0]);
  first.answer({ kind: 'delivered' });
  await eventually(() => cursor.next === third.last + 1);
  assert.equal(cursor.delivered, third.last + 1);
  sink.script = () => ({ kind: 'delivered' });
  for (const call of sink.calls) call.answer({ kind: 'delivered' });
  await eventually(() => cursor.next === 20);
  await ended(harness);
});

test('a writer that throws is a writer that says not now', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink();
  sink.script = (_, index) => {
    if (index === 0) throw new Error('a bug');
    return { kind: 'delivered' };
  };
  const harness = started(sink);
  fill(harness, 1);
  await eventually(() => harness.delivery.state().error === 'a bug');
  await eventually(
    () => harness.cursor(ROW).next === 1,
    () => tick(500),
  );
  await ended(harness);
});

test('a writer that cannot be opened is opened again', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink();
  const { open } = sink.definition;
  let failures = 2;
  sink.definition.open = async (...args) => {
    if (failures-- > 0) throw new Error('no such certificate');
    return open(...args);
  };
  const harness = started(sink);
  fill(harness, 1);
  await eventually(() => harness.delivery.state().error === 'no such certificate');
  assert.equal(harness.delivery.state().state, 'retrying');
  tick(200);
  assert.deepEqual([harness.delivery.state().lagItems, harness.delivery.state().lagMs], [1, 200], 'it waits meanwhile');
  await eventually(
    () => harness.cursor(ROW).next === 1,
    () => tick(500),
  );
  assert.equal(harness.delivery.state().state, 'ok');
  await ended(harness);
});

test('a journal that cannot be read now is read again', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink();
  const harness = createHarness(sink.definition, SECTION);
  fill(harness, 1);
  harness.source.failure = new Error('EIO');
  harness.delivery.start();
  await eventually(
    () => harness.cursor(ROW).next === 1,
    () => tick(500),
  );
  await eventually(() => harness.delivery.state().state === 'ok');
  await ended(harness);
});

test('rows do not wait for each other', async () => {
  const sink = scriptedSink();
  sink.script = ({ batch }) => (batch.row.signal === 'traces' ? null : { kind: 'delivered' });
  const harness = started(sink);
  fill(harness, 2);
  harness.source.append('raw', 'logs', Buffer.from('logs'), 3);
  const logs = harness.cursor({ stream: 'raw', signal: 'logs' });
  await eventually(() => logs.next === 3);
  assert.deepEqual([logs.delivered, harness.cursor(ROW).next], [3, 0]);
  for (const call of sink.calls) call.answer({ kind: 'delivered' });
  await eventually(() => harness.cursor(ROW).next === 3);
  await ended(harness);
});

test('a row with nothing to do has no timer and reads nothing', async () => {
  const sink = scriptedSink();
  const harness = started(sink);
  fill(harness, 1);
  await harness.delivery.drain(Date.now() + 60_000);
  const reads = harness.source.reads;
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  for (let turn = 0; turn < 100; turn++) await eventually(() => true);
  assert.deepEqual([harness.source.reads, timers()], [reads, 0]);
  await ended(harness);
});

test('random faults lose nothing and count nothing twice', async (t) => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const tick = mockClock(t);
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const sink = scriptedSink();
  const safe = new Set<string>();
  const pending: Call[] = [];
  const take = (call: Call) => {
    for (const name of namesOf([call])) safe.add(name);
    call.answer({ kind: 'delivered' });
  };
  sink.script = (call) => {
    const dice = random();
    if (dice < 0.3) return { kind: 'retry', error: 'not now' };
    if (dice < 0.6) pending.push(call);
    else take(call);
    return null;
  };
  const harness = started(sink, { timeoutMs: 5000 });
  const cursor = harness.cursor(ROW);
  const check = () => {
    for (let i = 0; i < cursor.next; i++) assert.ok(safe.has(String(i)), `the cursor is past ${i}, which is not safe`);
    assert.equal(cursor.delivered, cursor.next);
  };
  for (let frame = 0; frame < 300; frame++) {
    harness.source.append('raw', 'traces', spans(frame, frame + 1, 'checkout', Math.floor(random() * 3000)));
    if (random() < 0.5)
      await eventually(
        () => true,
        () => tick(Math.floor(random() * 2000)),
      );
    if (random() < 0.5) for (const call of pending.splice(0)) take(call);
    check();
  }
  await eventually(
    () => cursor.next === 300,
    () => {
      for (const call of pending.splice(0)) take(call);
      tick(1000);
      check();
    },
  );
  for (const call of pending) call.answer({ kind: 'delivered' });
  await ended(harness);
});
