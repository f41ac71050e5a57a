/** What every sink of the registry must do: a definition that is complete, and the same promises to whoever delivers. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BlockPool, type Stream } from '../../src/core/block.ts';
import type { SinkDefinition, Writer } from '../../src/core/component.ts';
import { isRecord } from '../../src/core/schema.ts';
import { SIGNALS_OF } from '../../src/sinks/deliver.ts';
import { kafka } from '../../src/sinks/kafka/index.ts';
import { otlp } from '../../src/sinks/otlp/index.ts';
import { sinks } from '../../src/sinks/registry.ts';
import { deliveryOf, sinkConfig } from '../../src/sinks/sink.ts';
import { storage } from '../../src/sinks/storage/index.ts';
import {
  bytesOfRequest,
  createHarness,
  encodeHere,
  eventually,
  resource,
  temporaryFolder,
  validated,
} from './harness.ts';
import { writeFrame } from './memory_source.ts';
import { scriptedSink } from './scripted.ts';

const FOLDER = fileURLToPath(new URL('../../src/sinks/', import.meta.url));
const EVENTS = { stream: 'events', signal: 'logs' } as const;

/** The least each sink needs; a new one adds its line. */
const SECTIONS: Record<string, (t: TestContext) => object> = {
  console: () => ({ subscribe: ['events'] }),
  kafka: () => ({ brokers: ['127.0.0.1:1'], subscribe: { events: 'e' } }),
  otlp: () => ({ endpoint: 'http://127.0.0.1:1', subscribe: ['events'] }),
  storage: (t) => ({ directory: temporaryFolder(t), subscribe: ['events'] }),
};

function sectionOf(t: TestContext, { type }: SinkDefinition): object {
  const section = SECTIONS[type];
  assert.ok(section !== undefined, `SECTIONS in this file lacks ${type}`);
  return { type, ...section(t) };
}

function eventBytes(body = 'x'): Buffer {
  const logRecords = [{ eventName: 'e', body: { stringValue: body } }];
  return bytesOfRequest('logs', { resourceLogs: [{ resource: resource('checkout'), scopeLogs: [{ logRecords }] }] });
}

/** The sink's own encoder and schema with a writer that a test scripts. */
function withoutDestination(definition: SinkDefinition) {
  const sink = scriptedSink();
  return { sink, definition: { ...definition, open: sink.definition.open } };
}

for (const definition of sinks) {
  const { type } = definition;

  test(`${type}: folder, type and files agree, and every key is described`, (t) => {
    for (const file of ['index.ts', 'encode.ts', 'writer.ts']) assert.ok(existsSync(join(FOLDER, type, file)), file);
    assert.equal(basename(join(FOLDER, type)), type);
    for (const [key, schema] of Object.entries(sinkConfig(definition).properties)) {
      assert.ok(isRecord(schema) && typeof schema.description === 'string', `${key} has no description`);
    }
    const config = validated(definition, sectionOf(t, definition));
    assert.deepEqual(deliveryOf(config, '/d'), {
      streams: ['events'],
      retry: { initialMs: 1000, maxMs: 30_000 },
      timeoutMs: 30_000,
      maxLagBytes: Number.POSITIVE_INFINITY,
      concurrency: definition.concurrency,
      deadLetter: '/d',
      letterLimits: { bytes: 1 << 30, ageMs: 30 * 86_400_000 },
    });
  });

  test(`${type}: accepted events are counted, in every answer a destination can give, and memory is given back`, async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 });
    const { sink, definition: scripted } = withoutDestination(definition);
    // For now, hang, for good, then taken.
    sink.script = (_call, index) => {
      if (index === 0) return { kind: 'retry', error: 'busy' };
      if (index === 1) return null;
      return index === 2 ? { kind: 'refused', parts: [0], reason: 'no' } : { kind: 'delivered' };
    };
    const { source, delivery, cursor, pool } = createHarness(scripted, { ...sectionOf(t, definition), concurrency: 1 });
    source.append('events', 'logs', eventBytes(), 1);
    delivery.start();
    await eventually(
      () => cursor(EVENTS).next === 1,
      () => t.mock.timers.tick(1000),
    );
    for (let i = 0; i < 5; i++) source.append('events', 'logs', eventBytes(), 1);
    await eventually(() => cursor(EVENTS).next === 6);
    assert.deepEqual([cursor(EVENTS).delivered, cursor(EVENTS).deadLettered], [5, 1]);
    for (const call of sink.calls) call.answer({ kind: 'delivered' });
    await delivery.close(Date.now() + 1000);
    assert.deepEqual([source.lent, pool.unitsInUse], [0, 0]);
  });

  test(`${type}: its encoder is a pure function of the frames, and its parts name them all in order`, (t) => {
    const encoder = definition.encoder(validated(definition, sectionOf(t, definition)));
    const pool = BlockPool.create(8 << 20);
    const block = pool.allocate(1);
    const frames = [0, 1, 2].map((i) => block + i * 4096);
    for (const [i, frame] of frames.entries()) {
      const payload = eventBytes(`${i}`);
      writeFrame(pool, frame, { ...EVENTS, sequence: 10 + i, payload, items: 1, receivedMs: 0 });
    }
    const encode = () => encodeHere(pool, (out) => encoder.encode(pool, frames, 'events', 'logs', out));
    const first = encode();
    const bytesOf = ({ parts }: typeof first) =>
      parts.map(({ at, length }) => pool.bytes.toString('latin1', at, at + length));
    const before = bytesOf(first);
    const second = encode();
    assert.deepEqual(bytesOf(second), before);
    assert.deepEqual([first.parts[0]?.sequence, first.parts.at(-1)?.lastSequence], [10, 12]);
    assert.equal(
      first.parts.reduce((sum, { items }) => sum + items, 0),
      3,
    );
    first.release();
    second.release();
  });

  test(`${type}: a writer that was never used closes at once`, async (t) => {
    const { sink, definition: scripted } = withoutDestination(definition);
    const { delivery } = createHarness(scripted, sectionOf(t, definition));
    delivery.start();
    await eventually(() => sink.context !== undefined);
    const config = validated(definition, sectionOf(t, definition));
    const writer: Writer = await definition.open(config, sink.context);
    await writer.close(Date.now() + 5000);
    await delivery.close(Date.now() + 5000);
  });
}

test('every stream has the signals that can lie in it', () => {
  const streams: Stream[] = ['raw', 'sampled', 'summaries', 'events'];
  assert.deepEqual(
    streams.map((stream) => SIGNALS_OF[stream].length),
    [3, 3, 1, 1],
  );
});

test('0 is no word for no bound: a sink has time for an attempt, pauses, and keeps something', (t) => {
  const section = sectionOf(t, storage);
  for (const bad of [
    { timeout: '0s' },
    { retry: { initial: '0s' } },
    { retry: { max: '0ms' } },
    { max_lag: '0KiB' },
    { dead_letter_retain: { age: '0d' } },
    { retain: { size: '0GiB' } },
    { retain: { age: '0d' } },
    { rotate: { every: '0s' } },
  ])
    assert.throws(() => validated(storage, { ...section, ...bad }), /must be .*above 0 such as/, JSON.stringify(bad));
});

test('a stream that is named twice is told by its name', (t) => {
  const section = { ...sectionOf(t, storage), subscribe: ['raw', 'events', 'raw'] };
  assert.throws(() => validated(storage, section), /sinks\[0\]\.subscribe \(storage\) has "raw" twice$/);
});

for (const definition of [kafka, otlp])
  test(`${definition.type}: a certificate without its key, and a key without its certificate, are faults`, (t) => {
    const made = (tls: object) => validated(definition, { ...sectionOf(t, definition), tls });
    for (const tls of [{ cert_file: 'c' }, { key_file: 'k', ca_file: 'a' }])
      assert.throws(() => made(tls), /tls needs both cert_file and key_file, or neither$/);
    for (const tls of [{ ca_file: 'a' }, { cert_file: 'c', key_file: 'k' }]) made(tls);
  });
