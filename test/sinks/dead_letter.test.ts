/** Holds src/sinks/dead_letter.ts: what is refused for good is kept with its reason, counted, and blocks nothing. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AgentError } from '../../src/core/errors.ts';
import { sequenceText } from '../../src/sinks/parts.ts';
import { ended, fill, mockClock, namesOf, ROW, SECTION, started } from './delivery_bench.ts';
import { createHarness, eventually, namesIn, spans, temporaryFolder, watchSyncs } from './harness.ts';
import { scriptedSink, wholeFrames } from './scripted.ts';

test('what is refused for good goes to the dead letters and blocks nothing', async (t) => {
  const sink = scriptedSink({ batchBytes: 1 << 16 });
  const deadLetter = join(temporaryFolder(t), 'dead');
  sink.script = () => ({ kind: 'refused', parts: [1], reason: 'schema 7 is unknown' });
  const harness = createHarness(sink.definition, SECTION, { deadLetter });
  fill(harness, 4);
  harness.delivery.start();
  const cursor = harness.cursor(ROW);
  await eventually(() => cursor.next === 4);
  assert.deepEqual([cursor.delivered, cursor.deadLettered], [3, 1]);
  const names = readdirSync(deadLetter).sort();
  assert.deepEqual(names, ['edge-1-0123abcd_raw_traces_1.binpb', 'edge-1-0123abcd_raw_traces_1.json']);
  const record = readFileSync(join(deadLetter, names[0] as string));
  assert.equal(record.readUInt32BE(0), record.length - 4);
  assert.deepEqual(namesIn(record.subarray(4)), ['1']);
  const said = JSON.parse(readFileSync(join(deadLetter, names[1] as string), 'utf8'));
  assert.deepEqual(said, {
    agent: 'edge-1-0123abcd',
    sink: 'scripted',
    ...ROW,
    sequence: '1',
    items: 1,
    key: null,
    received_ms: said.received_ms,
    reason: 'schema 7 is unknown',
  });
  await ended(harness);
});

test('the directory of the first dead letter is synced in those above it', {
  skip: process.platform === 'linux' ? false : 'names of open directories are read from /proc',
}, async (t) => {
  const sink = scriptedSink();
  const folder = temporaryFolder(t);
  const synced = await watchSyncs(t, folder);
  sink.script = () => ({ kind: 'refused', parts: [0], reason: 'too large' });
  const harness = started(sink, { deadLetter: join(folder, 'data', 'dead') });
  fill(harness, 1);
  await eventually(() => harness.cursor(ROW).next === 1);
  assert.deepEqual(
    synced.filter((name) => !name.endsWith('.tmp')),
    ['data', '.', 'data/dead'],
  );
  await ended(harness);
});

test('dead letters that cannot be written hold the cursor, and the destination is not asked again', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink();
  const folder = temporaryFolder(t);
  const deadLetter = join(folder, 'file', 'dead');
  writeFileSync(join(folder, 'file'), '');
  sink.script = () => ({ kind: 'refused', parts: [0], reason: 'too large' });
  const harness = started(sink, { deadLetter });
  fill(harness, 1);
  await eventually(() => harness.delivery.state().state === 'retrying');
  await eventually(
    () => harness.delivery.state().state === 'stalled',
    () => tick(1000),
  );
  assert.equal(harness.cursor(ROW).next, 0);
  assert.equal(sink.calls.length, 1);
  await ended(harness);
});

test('the longest name of an agent leaves room for a piece of a piece in the name of its dead letter', async (t) => {
  const sink = scriptedSink({ batchBytes: 1 << 20 });
  sink.script = ({ batch, payloads }) =>
    payloads.flatMap(namesIn).includes('0')
      ? { kind: 'refused', parts: batch.parts.map((_, i) => i), reason: 'zero', divide: true }
      : { kind: 'delivered' };
  const deadLetter = join(temporaryFolder(t), 'dead');
  // agent.id has at most 200 characters.
  const agent = `${'x'.repeat(200)}-0123abcd`;
  const harness = createHarness(sink.definition, SECTION, { deadLetter, agent, retry: { initialMs: 1, maxMs: 1 } });
  harness.source.append('raw', 'traces', spans(0, 1 << 14), 1 << 14);
  harness.delivery.start();
  await eventually(() => harness.cursor(ROW).next === 1 || harness.delivery.state().error !== null);
  assert.equal(harness.delivery.state().error, null);
  assert.equal(harness.cursor(ROW).deadLettered, 1);
  const [name = ''] = readdirSync(deadLetter);
  assert.match(name, /^x+-0123abcd_raw_traces_0_1(\.\d)+\.(json|binpb)$/);
  await ended(harness);
});

test('a frame that cannot be encoded is set aside alone', async (t) => {
  const encoder = () => ({ ...wholeFrames, direct: () => null });
  const sink = scriptedSink({ encoder, batchBytes: 1 << 16 });
  const deadLetter = join(temporaryFolder(t), 'dead');
  const harness = createHarness(sink.definition, SECTION, {
    deadLetter,
    encode: async (frames) => {
      const parts = frames.map((frame) => wholeFrames.direct(harness.pool, frame)).filter((part) => part !== null);
      if (parts.some(({ sequence }) => sequence === 2))
        throw new AgentError('SINK_REFUSED', 'cannot be written as JSON');
      return { parts, release: () => {} };
    },
  });
  fill(harness, 4);
  harness.delivery.start();
  const cursor = harness.cursor(ROW);
  await eventually(() => cursor.next === 4);
  assert.deepEqual(namesOf(sink.calls), ['0', '1', '3']);
  assert.deepEqual([cursor.delivered, cursor.deadLettered], [3, 1]);
  assert.equal(readdirSync(deadLetter).length, 2);
  await ended(harness);
});

test('what is refused is cut down to the one item at fault, and all others arrive once', async (t) => {
  const sink = scriptedSink({ batchBytes: 1 << 20 });
  const deadLetter = join(temporaryFolder(t), 'dead');
  const taken: string[] = [];
  const sequences = new Set<string>();
  sink.script = ({ batch, payloads }) => {
    const names = payloads.flatMap(namesIn);
    if (names.includes('137')) {
      return { kind: 'refused', parts: batch.parts.map((_, i) => i), reason: 'bad span', divide: true };
    }
    for (const part of batch.parts) {
      assert.ok(!sequences.has(sequenceText(part)), `${sequenceText(part)} names two records`);
      sequences.add(sequenceText(part));
    }
    taken.push(...names);
    return { kind: 'delivered' };
  };
  const harness = createHarness(sink.definition, SECTION, { deadLetter });
  for (let i = 0; i < 4; i++) harness.source.append('raw', 'traces', spans(i * 50, i * 50 + 50), 50);
  harness.delivery.start();
  const cursor = harness.cursor(ROW);
  await eventually(() => cursor.next === 4);
  assert.deepEqual([cursor.delivered, cursor.deadLettered], [199, 1]);
  assert.deepEqual(
    taken.sort((a, b) => Number(a) - Number(b)),
    Array.from({ length: 200 }, (_, i) => `${i}`).filter((name) => name !== '137'),
  );
  const [file = '', said = ''] = readdirSync(deadLetter).sort();
  assert.deepEqual(namesIn(readFileSync(join(deadLetter, file)).subarray(4)), ['137']);
  const letter = JSON.parse(readFileSync(join(deadLetter, said), 'utf8'));
  assert.match(letter.sequence, /^2\/\d(\.\d)+$/);
  assert.equal(letter.items, 1);
  await ended(harness);
});

test('a cut that met "not now" goes on where it stopped', async (t) => {
  const tick = mockClock(t);
  const sink = scriptedSink({ batchBytes: 1 << 20 });
  const taken: string[] = [];
  sink.script = ({ batch, payloads }, index) => {
    if (index % 2 === 1) return { kind: 'retry', error: 'not now' };
    const names = payloads.flatMap(namesIn);
    if (names.includes('5'))
      return { kind: 'refused', parts: batch.parts.map((_, i) => i), reason: 'bad', divide: true };
    taken.push(...names);
    return { kind: 'delivered' };
  };
  const harness = started(sink);
  harness.source.append('raw', 'traces', spans(0, 20), 20);
  const cursor = harness.cursor(ROW);
  await eventually(
    () => cursor.next === 1,
    () => tick(30_000),
  );
  assert.deepEqual([cursor.delivered, cursor.deadLettered, taken.length, new Set(taken).size], [19, 1, 19, 19]);
  await ended(harness);
});

test('a destination that refuses everything is not asked about each item for ever', async (t) => {
  const sink = scriptedSink({ batchBytes: 1 << 20 });
  // Where a sync costs nothing, if there is such a place: hundreds of letters are synced.
  const deadLetter = join(temporaryFolder(t, existsSync('/dev/shm') ? '/dev/shm' : undefined), 'dead');
  sink.script = ({ batch }) => ({ kind: 'refused', parts: batch.parts.map((_, i) => i), reason: 'no', divide: true });
  const harness = createHarness(sink.definition, SECTION, { deadLetter });
  harness.source.append('raw', 'traces', spans(0, 2000), 2000);
  harness.delivery.start();
  const cursor = harness.cursor(ROW);
  await eventually(() => cursor.next === 1);
  assert.deepEqual([cursor.delivered, cursor.deadLettered], [0, 2000]);
  assert.ok(sink.calls.length <= 150, `${sink.calls.length} writes`);
  const buried = readdirSync(deadLetter).filter((name) => name.endsWith('.binpb'));
  const names = buried.flatMap((name) => namesIn(readFileSync(join(deadLetter, name)).subarray(4)));
  assert.equal(new Set(names).size, 2000);
  await ended(harness);
});

test('items that were refused without a word which are counted, and the request is kept with the reason', async (t) => {
  const sink = scriptedSink({ batchBytes: 1 << 20 });
  const deadLetter = join(temporaryFolder(t), 'dead');
  sink.script = () => ({ kind: 'partial', items: 3, reason: 'attribute too long' });
  const harness = createHarness(sink.definition, SECTION, { deadLetter });
  for (let i = 0; i < 2; i++) harness.source.append('raw', 'traces', spans(i * 10, i * 10 + 10), 10);
  harness.delivery.start();
  const cursor = harness.cursor(ROW);
  await eventually(() => cursor.next === 2);
  assert.deepEqual([cursor.delivered, cursor.deadLettered], [17, 3]);
  const said = JSON.parse(readFileSync(join(deadLetter, 'edge-1-0123abcd_raw_traces_0-1.json'), 'utf8'));
  assert.deepEqual([said.items, said.rejected, said.reason], [20, 3, 'attribute too long']);
  await ended(harness);
});

test('dead letters are held within a size: the oldest go, are counted as expired and told; the newest stays', async (t) => {
  const sink = scriptedSink({ batchBytes: 1 });
  const deadLetter = join(temporaryFolder(t), 'dead');
  sink.script = () => ({ kind: 'refused', parts: [0], reason: 'no' });
  const told: object[] = [];
  // Each letter takes two blocks of 4 KiB.
  const harness = createHarness(sink.definition, SECTION, {
    deadLetter,
    letterLimits: { bytes: 5 * 8192, ageMs: Infinity },
    lettersDeleted: (said) => told.push(said),
  });
  fill(harness, 12);
  harness.delivery.start();
  const cursor = harness.cursor(ROW);
  await eventually(() => cursor.next === 12);
  await ended(harness);
  const left = readdirSync(deadLetter).filter((name) => name.endsWith('.binpb'));
  assert.equal(left.length, 12 - told.length);
  assert.ok(left.length >= 4 && left.length <= 5, `${left.length} letters in a directory that has room for five`);
  assert.deepEqual([cursor.delivered, cursor.deadLettered, cursor.expired], [0, left.length, told.length]);
  assert.deepEqual(told[0], { ...ROW, sink: 'scripted', items: 1 });
  const { values } = await harness.telemetry.sinkItems.get();
  assert.equal(values.find(({ labels }) => labels.outcome === 'expired')?.value, told.length);
});

test('dead letters go at an age, of a partial success what was rejected counts, and a file that is none is left alone', async (t) => {
  const sink = scriptedSink({ batchBytes: 1 });
  const deadLetter = join(temporaryFolder(t), 'dead');
  const told: { items: number }[] = [];
  let nowMs = Date.now();
  const harness = createHarness(sink.definition, SECTION, {
    deadLetter,
    letterLimits: { bytes: Infinity, ageMs: 60_000 },
    lettersDeleted: (said) => told.push(said),
    now: () => nowMs,
  });
  mkdirSync(deadLetter);
  writeFileSync(join(deadLetter, 'foreign.json'), '{}');
  const old = new Date(nowMs - 3_600_000);
  utimesSync(join(deadLetter, 'foreign.json'), old, old);
  sink.script = () => ({ kind: 'partial', items: 1, reason: 'one is bad' });
  fill(harness, 1);
  harness.delivery.start();
  const cursor = harness.cursor(ROW);
  await eventually(() => cursor.next === 1);
  assert.equal(told.length, 0);
  nowMs += 61_000;
  sink.script = () => ({ kind: 'refused', parts: [0], reason: 'no' });
  fill(harness, 1);
  await eventually(() => cursor.next === 2 && told.length > 0);
  assert.deepEqual(
    told.map(({ items }) => items),
    [1],
  );
  assert.deepEqual([cursor.deadLettered, cursor.expired], [1, 1]);
  assert.ok(existsSync(join(deadLetter, 'foreign.json')));
  await ended(harness);
});
