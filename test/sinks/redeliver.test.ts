/** Holds src/sinks/redeliver.ts and `plumbline redeliver`: dead letters go out as what they were, and none is removed before it arrived. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { processContext } from '../../src/cli/context.ts';
import { BlockPool } from '../../src/core/block.ts';
import { messageType } from '../../src/otlp/schema.ts';
import { otlp } from '../../src/sinks/otlp/index.ts';
import { sequenceText } from '../../src/sinks/parts.ts';
import { type RedeliverOptions, redeliver } from '../../src/sinks/redeliver.ts';
import { storage } from '../../src/sinks/storage/index.ts';
import { fakeWorld } from '../cli/context.ts';
import { CREDENTIALS, startS3, unavailable } from '../support/s3/server.ts';
import { readAllStored, spansOf } from '../support/storage.ts';
import { ended, ROW, SECTION } from './delivery_bench.ts';
import { AGENT, createHarness, eventually, namesIn, spans, temporaryFolder, validated, within } from './harness.ts';
import { type Receiver, reply, startReceiver } from './otlp/receiver.ts';
import { type Scripted, scriptedSink, wholeFrames } from './scripted.ts';

function options(folder: string, sink: Scripted, changes: Partial<RedeliverOptions> = {}): RedeliverOptions {
  return {
    definition: sink.definition,
    name: 'scripted',
    config: SECTION,
    pool: BlockPool.create(64 << 20),
    deadLetter: folder,
    directory: folder,
    retry: { initialMs: 1, maxMs: 10 },
    timeoutMs: 1000,
    deadlineMs: Date.now() + 1000,
    partial: false,
    now: Date.now,
    ...changes,
  };
}

/** Letters of a sink that takes no span of an even number, in requests of ten. */
async function letters(t: TestContext): Promise<string> {
  const sink = scriptedSink({ batchBytes: 1 << 20 });
  const folder = join(temporaryFolder(t), 'dead');
  sink.script = ({ batch, payloads }) =>
    payloads.flatMap(namesIn).some((name) => Number(name) % 2 === 0)
      ? { kind: 'refused', parts: batch.parts.map((_, i) => i), reason: 'even', divide: true }
      : { kind: 'delivered' };
  const harness = createHarness(sink.definition, SECTION, { deadLetter: folder });
  for (let i = 0; i < 3; i++) harness.source.append('raw', 'traces', spans(i * 10, i * 10 + 10), 10);
  harness.delivery.start();
  await eventually(() => harness.cursor(ROW).next === 3);
  await ended(harness);
  return folder;
}

const EVEN = Array.from({ length: 15 }, (_, i) => `${2 * i}`);

test('letters arrive with the row and the sequence they had, and are gone', async (t) => {
  const folder = await letters(t);
  assert.equal(readdirSync(folder).length, 30);
  const sink = scriptedSink();
  const given = options(folder, sink);
  const result = await redeliver(given);
  assert.deepEqual(result, { letters: 15, items: 15, partial: 0, left: [] });
  const payloads = sink.calls.flatMap((call) => call.payloads.flatMap(namesIn));
  assert.deepEqual(
    payloads.sort((a, b) => Number(a) - Number(b)),
    EVEN,
  );
  const sequences = sink.calls.flatMap(({ batch }) => batch.parts.map(sequenceText));
  assert.equal(new Set(sequences).size, 15);
  for (const one of sequences) assert.match(one, /^[012]\/\d+(\.\d+)*$/);
  assert.deepEqual(new Set(sink.calls.map(({ batch }) => batch.row.stream)), new Set(['raw']));
  assert.deepEqual([readdirSync(folder), given.pool.unitsInUse, sink.context.agent], [[], 0, AGENT]);
});

test('what is refused again stays, what is not taken now stays, what is no letter is said', async (t) => {
  const folder = await letters(t);
  writeFileSync(join(folder, 'x.json'), '{"agent": "a"');
  writeFileSync(join(folder, 'y.json'), '{"agent": "a", "stream": "raw"}');
  const sink = scriptedSink();
  sink.script = ({ payloads }) => {
    const [name] = payloads.flatMap(namesIn);
    if (name === '4') return { kind: 'refused', parts: [0], reason: 'still even' };
    return name === '6' ? { kind: 'retry', error: 'busy' } : { kind: 'delivered' };
  };
  const { letters: sent, left } = await redeliver(options(folder, sink, { deadlineMs: Date.now() + 100 }));
  assert.equal(sent, 13);
  assert.equal(left.length, 4);
  assert.match(left.join('\n'), /x\.json: .*\n.*y\.json: .*missing key.*\n.*refused again\n.*: busy/s);
  assert.equal(readdirSync(folder).length, 2 + 4);
  // Nothing was lost by the first try.
  const rest = scriptedSink();
  assert.equal((await redeliver(options(folder, rest))).letters, 2);
});

test('letters that the bound deletes meanwhile are not said to stay: one that was on its way has arrived', async (t) => {
  const folder = await letters(t);
  const remove = (path: string) => {
    for (const end of ['.binpb', '.json']) rmSync(`${path}${end}`);
  };
  const paths = () =>
    readdirSync(folder).flatMap((name) => (name.endsWith('.json') ? [join(folder, name.slice(0, -5))] : []));
  const sink = scriptedSink();
  sink.script = (_call, index) => {
    // Its own, and all that come after it.
    if (index === 2) for (const path of paths()) remove(path);
    return { kind: 'delivered' };
  };
  const result = await redeliver(options(folder, sink));
  assert.deepEqual(result, { letters: 3, items: 3, partial: 0, left: [] });
  assert.equal(sink.calls.length, 3);
});

test('an encoder that cuts a letter further numbers its pieces below it', async (t) => {
  const folder = await letters(t);
  const sink = scriptedSink({
    encoder: () => ({
      direct: () => null,
      encode: (pool, frames) => {
        const [part] = wholeFrames.encode(pool, frames, 'raw', 'traces', null as never);
        // Two pieces of one frame, as a smaller limit makes them.
        return part === undefined ? [] : [1, 2].map((i) => ({ ...part, part: i, items: 1 }));
      },
    }),
  });
  await redeliver(options(folder, sink));
  const sequences = sink.calls.flatMap(({ batch }) => batch.parts.map(sequenceText));
  assert.equal(new Set(sequences).size, 30);
  for (const one of sequences) assert.match(one, /^\d\/\d+(\.\d+)*\.[12]$/);
});

test('a sink that holds files gets a name of its own, and letters go when the file is finished', async (t) => {
  const folder = await letters(t);
  const directory = join(temporaryFolder(t), 'storage');
  const config = validated(storage, { type: 'storage', subscribe: ['raw'], directory });
  const whole = scriptedSink();
  whole.script = () => ({ kind: 'refused', parts: [0], reason: 'no' });
  const harness = createHarness(whole.definition, SECTION, { deadLetter: folder });
  harness.source.append('raw', 'traces', spans(100, 103), 3);
  harness.delivery.start();
  await eventually(() => harness.cursor(ROW).next === 1);
  await ended(harness);
  const only = join(temporaryFolder(t), 'only');
  mkdirSync(only);
  for (const name of readdirSync(folder))
    if (name.includes('traces_0.')) renameSync(join(folder, name), join(only, name));
  const result = await redeliver(options(only, whole, { definition: storage, config }));
  assert.deepEqual(result, { letters: 1, items: 3, partial: 0, left: [] });
  const found = spansOf(readAllStored(directory, 'raw', 'traces')).map(({ name }) => name);
  assert.deepEqual(found, ['100', '101', '102']);
  const [file = ''] = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.zst'),
  );
  assert.match(file, /edge-1-0123abcd\.redelivered_0-0/);
});

test('letters whose file does not get to its bucket stay, with the reason', async (t) => {
  const folder = await letters(t);
  Object.assign(process.env, CREDENTIALS, { AWS_EC2_METADATA_DISABLED: 'true' });
  // Nobody listens there.
  const s3 = { bucket: 'telemetry', endpoint: 'http://127.0.0.1:1', force_path_style: true };
  const retry = { initial: '10ms', max: '50ms' };
  const config = validated(storage, { type: 'storage', subscribe: ['raw'], s3, retry, timeout: '1s' });
  const directory = join(temporaryFolder(t), 'own');
  const given = options(folder, scriptedSink(), { definition: storage, config, directory, timeoutMs: 100 });
  const result = await redeliver({ ...given, deadlineMs: Date.now() + 100 });
  assert.deepEqual([result.letters, result.items, result.left.length], [0, 0, 15]);
  assert.match(String(result.left[0]), /: (s3:\/\/telemetry: .*ECONNREFUSED|not taken in time)/);
  assert.equal(readdirSync(folder).length, 30);
});

test('letters whose file is in its bucket are gone', { skip: unavailable() ?? false }, async (t) => {
  const folder = await letters(t);
  Object.assign(process.env, CREDENTIALS, { AWS_EC2_METADATA_DISABLED: 'true' });
  const server = await startS3(t);
  const s3 = { bucket: server.bucket, endpoint: server.url, force_path_style: true };
  const config = validated(storage, { type: 'storage', subscribe: ['raw'], s3 });
  const directory = join(temporaryFolder(t), 'own');
  const given = options(folder, scriptedSink(), { definition: storage, config, directory, timeoutMs: 20_000 });
  assert.deepEqual(await redeliver(given), { letters: 15, items: 15, partial: 0, left: [] });
  assert.deepEqual([readdirSync(folder).length, server.keys().length], [0, 1]);
});

test('pieces of one frame are each sent to a sink that holds files, and none is taken for another', async (t) => {
  const folder = await letters(t);
  const directory = join(temporaryFolder(t), 'storage');
  const config = validated(storage, { type: 'storage', subscribe: ['raw'], directory });
  const result = await redeliver(options(folder, scriptedSink(), { definition: storage, config }));
  assert.deepEqual(result, { letters: 15, items: 15, partial: 0, left: [] });
  const found = spansOf(readAllStored(directory, 'raw', 'traces')).map(({ name }) => name);
  assert.deepEqual(
    found.sort((a, b) => Number(a) - Number(b)),
    EVEN,
  );
});

test('of a letter that is taken but for a piece that piece stays, is listed and does not count as arrived', async (t) => {
  const whole = scriptedSink();
  whole.script = () => ({ kind: 'refused', parts: [0], reason: 'no' });
  const folder = join(temporaryFolder(t), 'dead');
  const harness = createHarness(whole.definition, SECTION, { deadLetter: folder });
  harness.source.append('raw', 'traces', spans(0, 4), 4);
  harness.delivery.start();
  await eventually(() => harness.cursor(ROW).next === 1);
  await ended(harness);
  const sink = scriptedSink();
  sink.script = ({ batch, payloads }) =>
    payloads.flatMap(namesIn).includes('3')
      ? { kind: 'refused', parts: batch.parts.map((_, i) => i), reason: 'three', divide: true }
      : { kind: 'delivered' };
  const { letters: sent, items, left } = await redeliver(options(folder, sink));
  assert.deepEqual([sent, items, left.length], [0, 3, 1]);
  assert.match(String(left[0]), /traces_0: 1 of 4 items refused again, kept as pieces of it$/);
  assert.equal(readdirSync(folder).length, 2);
  const rest = scriptedSink();
  assert.deepEqual(await redeliver(options(folder, rest)), { letters: 1, items: 1, partial: 0, left: [] });
  assert.deepEqual(
    rest.calls.flatMap((call) => call.payloads.flatMap(namesIn)),
    ['3'],
  );
});

async function command(receiver: Receiver, deadLetter: string, ...more: string[]) {
  const folder = join(deadLetter, '..');
  const file = join(folder, 'agent.yaml');
  const sink = { type: 'otlp', endpoint: receiver.url, subscribe: ['raw'], dead_letter: deadLetter };
  writeFileSync(file, JSON.stringify({ agent: { data_dir: folder }, sinks: [{ ...sink, retry: { initial: '1ms' } }] }));
  const world = fakeWorld({ components: processContext().components });
  const status = await runCommand(['redeliver', '--config', file, ...more], world.context);
  return { status, said: world.stdout() + world.stderr() };
}

test('plumbline redeliver says what arrived, what stays and why, by words and exit status', async (t) => {
  const receiver = await startReceiver(t);
  const deadLetter = join(temporaryFolder(t), 'dead');
  const section = { type: 'otlp', endpoint: receiver.url, subscribe: ['raw'], concurrency: 1 };
  const harness = createHarness(otlp, section, { deadLetter });
  const type = messageType('ExportTraceServiceResponse');
  const partial = type.encode(type.fromObject({ partialSuccess: { rejectedSpans: 1, errorMessage: 'one' } })).finish();
  receiver.answer = (response, { body }) =>
    namesIn(body).includes('0')
      ? reply(response, 400)
      : reply(response, 200, { 'content-type': 'application/x-protobuf' }, partial);
  harness.source.append('raw', 'traces', spans(0, 1), 1);
  harness.delivery.start();
  await within(5000, () => harness.cursor(ROW).next === 1);
  harness.source.append('raw', 'traces', spans(1, 3), 2);
  await within(5000, () => harness.cursor(ROW).next === 2);
  await harness.delivery.close(Date.now() + 1000);
  receiver.requests.length = 0;
  receiver.answer = (response) => reply(response, 503);
  const down = await command(receiver, deadLetter, '--within', '100ms');
  assert.equal(down.status, 1);
  assert.match(
    down.said,
    /^otlp: 0 dead letters delivered \(0 items\), 1 left\n {2}1 were taken in part.*\n.*answered 503\n$/,
  );
  receiver.answer = (response) => reply(response, 200);
  const up = await command(receiver, deadLetter);
  assert.deepEqual([up.status, readdirSync(deadLetter).length], [0, 2]);
  assert.match(up.said, /^otlp: 1 dead letters delivered \(1 items\), 0 left\n {2}1 were taken in part/);
  const all = await command(receiver, deadLetter, '--partial');
  assert.deepEqual([all.status, readdirSync(deadLetter)], [0, []]);
  assert.match(all.said, /^otlp: 1 dead letters delivered \(2 items\), 0 left\n$/);
  assert.deepEqual(
    receiver.requests.slice(-2).flatMap(({ body }) => namesIn(body)),
    ['0', '1', '2'],
  );
  const unknown = await command(receiver, deadLetter, '--sink', 'otpl');
  assert.equal(unknown.status, 2);
  assert.match(unknown.said, /no sink "otpl": known are otlp/);
});
