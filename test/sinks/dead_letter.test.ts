/** Holds src/sinks/dead_letter.ts: what is refused for good is kept with its reason, counted, and blocks nothing. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AgentError } from '../../src/core/errors.ts';
import { ended, fill, mockClock, namesOf, ROW, SECTION, started } from './delivery_bench.ts';
import { createHarness, eventually, namesIn, temporaryFolder } from './harness.ts';
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
    reason: 'schema 7 is unknown',
  });
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
