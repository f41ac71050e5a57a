/** Holds wiring/checkpoint.ts and what is said and not yet written: a restart finds it, and requests go between the parts of a flush. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { serialize } from 'node:v8';
import { pino } from 'pino';
import { BlockPool, Field, FRAME_HEADER_BYTES, UNIT_BYTES } from '../../src/core/block.ts';
import { saveCheckpoint } from '../../src/journal/checkpoint.ts';
import type { Emission } from '../../src/processors/processor.ts';
import { Flush } from '../../src/processors/summarize/flush.ts';
import { Identity } from '../../src/processors/summarize/group.ts';
import { CHECKPOINT, decodeCheckpoint, encodeCheckpoint, readCheckpoint } from '../../src/wiring/checkpoint.ts';
import { Unsaid } from '../../src/wiring/unsaid.ts';
import { decoded, list, type Plain } from '../otlp/generate.ts';

const NOW_MS = 1_790_000_000_000;
const SERVER = 2;

/** A flush of so many groups, of services in turn. */
function flushOf(groups: number, services: number): Flush {
  const histogram = { count: 3, sum: 30, min: 5, max: 15, scale: 3, zeroCount: 0, offset: 8, counts: [1, 2] };
  const all = Array.from({ length: groups }, (_, i) => ({
    identity: new Identity({ 'service.name': `shop-${i % services}` }, `GET /${i}`, SERVER, 0),
    histogram,
  }));
  return new Flush(all, NOW_MS - 10_000, NOW_MS, 'edge-1');
}

function nameOf(attributes: Plain[]): string {
  const value = attributes.find(({ key }) => key === 'span.name')?.value as Plain;
  return String(value.stringValue);
}

/** Names of the operations that a request counts calls of. */
function operationsOf(request: Uint8Array): string[] {
  return list(decoded('metrics', request).resourceMetrics).flatMap(({ scopeMetrics }) =>
    list(scopeMetrics)
      .flatMap(({ metrics }) => list(metrics))
      .filter(({ name }) => name === 'traces.span.metrics.calls')
      .flatMap(({ sum }) => list((sum as Plain).dataPoints))
      .map(({ attributes }) => nameOf(list(attributes))),
  );
}

function createUnsaid(append: (bytes: Buffer) => Promise<void>): Unsaid {
  const pool = BlockPool.create(8 * UNIT_BYTES);
  return new Unsaid({
    pool,
    segmentBytes: pool.units * UNIT_BYTES,
    append({ first }) {
      const from = first + FRAME_HEADER_BYTES;
      return append(Buffer.from(pool.bytes.subarray(from, from + pool.bytes.readUInt32BE(first + Field.length))));
    },
    onGivenUp: (_, cause) => assert.fail(String(cause)),
  });
}

test('a flush of many groups is made in parts, requests go between them, and all of it is one frame', async () => {
  const written: Buffer[] = [];
  const unsaid = createUnsaid(async (bytes) => void written.push(bytes));
  unsaid.add({ emission: flushOf(4000, 3), covers: 7, processor: 0 });
  let turns = 0;
  let saying = true;
  const count = () => {
    turns++;
    if (saying) setImmediate(count);
  };
  setImmediate(count);
  const said = await unsaid.say();
  saying = false;
  assert.deepEqual(said, { flushed: true, error: null });
  assert.ok(turns >= 4000 / 250, `${turns} turns of the event loop`);
  assert.equal(written.length, 1);
  const operations = operationsOf(written[0] as Buffer);
  assert.equal(operations.length, 4000);
  assert.equal(new Set(operations).size, 4000);
});

test('a flush that a checkpoint meets half-way is whole in it, and after a restart', async () => {
  const written: Buffer[] = [];
  const half = flushOf(1000, 2);
  assert.equal(half.prepare(), true);
  const unsaid = createUnsaid(async () => {});
  unsaid.add({ emission: half, covers: 7, processor: 0 });
  const saved = { observers: { position: 7, states: [] }, unsaid: unsaid.save(), derivedHead: 3 };
  const found = decodeCheckpoint(encodeCheckpoint(saved));
  assert.equal(found.derivedHead, 3);
  const after = createUnsaid(async (bytes) => void written.push(bytes));
  after.restore(found.unsaid, { flushed: [], lastEventMs: [] });
  assert.deepEqual(await after.say(), { flushed: true, error: null });
  assert.deepEqual(written, [Buffer.from(flushOf(1000, 2).bytes)]);
});

test('what the journal refused is said again, whole', async () => {
  let refusals = 1;
  const written: Buffer[] = [];
  const unsaid = createUnsaid(async (bytes) => {
    if (refusals-- > 0) throw new Error('full');
    written.push(bytes);
  });
  unsaid.add({ emission: flushOf(600, 1), covers: 7, processor: 0 });
  assert.match(String((await unsaid.say()).error), /full/);
  assert.deepEqual([...unsaid.flushing], [0]);
  assert.deepEqual(await unsaid.say(), { flushed: true, error: null });
  assert.deepEqual(written, [Buffer.from(flushOf(600, 1).bytes)]);
});

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'plumbline-checkpoint-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

const OTHERS = {
  'a checkpoint in JSON': Buffer.from('{"observers":{"position":7,"states":[]},"unsaid":[],"derivedHead":3}'),
  'a checkpoint of another form': serialize({ form: 1_000_000, saved: {} }),
  'one of a later V8': Buffer.from([0xff, 0xfe, 0x6f]),
  'an empty one': Buffer.alloc(0),
};
for (const [name, bytes] of Object.entries(OTHERS)) {
  test(`${name} is said to be another version's, and the start begins without it`, async (t) => {
    const directory = directoryOf(t);
    await saveCheckpoint(directory, CHECKPOINT, bytes);
    const lines: string[] = [];
    const log = pino({}, { write: (line: string) => void lines.push(line) });
    assert.equal(await readCheckpoint(directory, log), null);
    assert.match(
      lines.join(''),
      /written by another version .*: summaries, contract windows and what was learned begin anew/,
    );
  });
}

test('bytes, NaN and Infinity come back as they were', async (t) => {
  const directory = directoryOf(t);
  const emission: Emission = {
    stream: 'events',
    signal: 'logs',
    bytes: Buffer.from('an event'),
    items: 1,
    timeMs: NOW_MS,
    ends: false,
  };
  const state = { bytes: Uint8Array.of(0, 255), numbers: [Number.NaN, Infinity], counts: new Float32Array([0.5]) };
  const saved = {
    observers: { position: 7, states: [{ type: 'flag', state }] },
    unsaid: [{ emission, covers: 0, processor: -1 }],
    derivedHead: 3,
  };
  await saveCheckpoint(directory, CHECKPOINT, encodeCheckpoint(saved));
  assert.deepEqual(await readCheckpoint(directory, pino({ level: 'silent' })), saved);
});
