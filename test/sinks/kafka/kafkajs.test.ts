/** Holds the mends of kafkajs: that they are in place, that they compute what the originals did, and the version they are made for. */
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { KAFKAJS_VERSION, loadKafkajs } from '../../../src/sinks/kafka/kafkajs.ts';
import type { PlainRecord } from '../../../src/sinks/kafka/recordBatch.ts';

const require = createRequire(import.meta.url);
loadKafkajs();

test('the installed kafkajs is the one the mends are made for', () => {
  assert.equal(require('kafkajs/package.json').version, KAFKAJS_VERSION);
  assert.equal(KAFKAJS_VERSION, '2.2.4');
});

test('the CRC is native, is the one record batches use, and equals the original on random input', () => {
  const original = require('kafkajs/src/protocol/recordBatch/crc32C/crc32C.js') as (bytes: Buffer) => number;
  const mended = require('kafkajs/src/protocol/recordBatch/crc32C') as (bytes: Buffer) => number;
  assert.match(Function.prototype.toString.call(mended), /native code/);
  for (let round = 0; round < 200; round++) {
    const bytes = randomBytes(randomInt(0, 5000));
    assert.equal(mended(bytes), original(bytes), bytes.toString('hex'));
  }
});

test('an idle request queue sets no timer; one with requests waits at least 10 ms, then looks again', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1000 });
  const RequestQueue = require('kafkajs/src/network/requestQueue');
  const logger = { debug() {} };
  const queue = new RequestQueue({ maxInFlightRequests: 1, requestTimeout: 1000, logger });
  let sent = 0;
  const push = () => {
    const entry = { correlationId: sent, resolve() {}, reject() {} };
    queue.push({ entry, expectResponse: false, sendRequest: () => sent++ });
  };
  queue.scheduleCheckPendingRequests();
  assert.equal(queue.throttleCheckTimeoutId, null);
  queue.throttledUntil = 1050;
  push();
  assert.equal(sent, 0);
  t.mock.timers.tick(49);
  assert.equal(sent, 0);
  t.mock.timers.tick(10);
  assert.equal(sent, 1);
  assert.equal(queue.throttleCheckTimeoutId, null);
});

test('record batches are byte for byte those of the original, whatever keys, values and headers', async () => {
  const folder = dirname(require.resolve('kafkajs/package.json'));
  const original = (path: string) => {
    const file = join(folder, 'src/protocol/recordBatch', path);
    const loaded = require.cache[file];
    delete require.cache[file];
    const found = require(file);
    // Back to the mended one for whoever comes next.
    if (loaded !== undefined) require.cache[file] = loaded;
    return found;
  };
  const record = original('record/v0/index.js') as (message: PlainRecord) => unknown;
  const { RecordBatch } = original('v0/index.js') as {
    RecordBatch(options: object): Promise<{ buffer: Buffer }>;
  };
  const mended = require('kafkajs/src/protocol/recordBatch/v0') as {
    RecordBatch(options: object): Promise<{ buffer: Buffer }>;
  };
  assert.notEqual(mended.RecordBatch, RecordBatch);
  for (let round = 0; round < 100; round++) {
    const messages = Array.from({ length: randomInt(1, 8) }, (_, offsetDelta) => ({
      offsetDelta,
      timestampDelta: 0,
      key: [null, '', 'caf\u00e9', 'k'.repeat(randomInt(1, 300))][randomInt(0, 4)] ?? null,
      value: randomBytes([0, 1, 63, 64, 8191, 8192, 70_000][randomInt(0, 7)] ?? 0),
      headers: { 'plumbline.sequence': `${randomInt(0, 1e9)}`, empty: '' },
    }));
    const options = {
      compression: 0,
      firstTimestamp: 1_750_000_000_000 + round,
      maxTimestamp: 1_750_000_000_000 + round,
      lastOffsetDelta: messages.length - 1,
      producerEpoch: 0,
      firstSequence: 0,
    };
    const wanted = await RecordBatch({ ...options, records: messages.map(record) });
    const found = await mended.RecordBatch({ ...options, records: messages });
    assert.equal(found.buffer.toString('hex'), wanted.buffer.toString('hex'));
  }
});

test('zstd and gzip are compressed in this thread, and say so', async () => {
  const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0') as {
    RecordBatch(options: object): Promise<{ buffer: Buffer }>;
  };
  const batch = async (compression: number) => {
    const records = [{ key: null, value: Buffer.from('spans '.repeat(1000)) }];
    const rest = { firstTimestamp: 0, maxTimestamp: 0, lastOffsetDelta: 0, producerEpoch: 0, firstSequence: 0 };
    return (await RecordBatch({ compression, records, ...rest })).buffer;
  };
  const plain = (await batch(0)).subarray(61);
  assert.ok(gunzipSync((await batch(1)).subarray(61)).equals(plain));
  assert.ok(zstdDecompressSync((await batch(4)).subarray(61)).equals(plain));
  assert.deepEqual([(await batch(1)).readInt16BE(21), (await batch(4)).readInt16BE(21)], [1, 4]);
});

interface Encoder {
  buf: Buffer;
  buffer: Buffer;
  writeBufferInternal(buffer: Buffer): void;
}

/** A whole request, as it goes to the socket. */
async function requestOf(topicData: object[], compression: number): Promise<Encoder> {
  const produce = require('kafkajs/src/protocol/requests/produce/v7/request');
  const request = produce({ acks: -1, timeout: 1000, compression, topicData });
  return require('kafkajs/src/protocol/request')({ correlationId: 7, clientId: 'caf\u00e9', request });
}

test('requests are byte for byte those of the original, whatever they hold', async (t) => {
  const { prototype } = require('kafkajs/src/protocol/encoder') as { prototype: Encoder };
  t.mock.timers.enable({ apis: ['Date'], now: 1_750_000_000_000 });
  for (let round = 0; round < 60; round++) {
    const topicData = Array.from({ length: randomInt(1, 3) }, () => ({
      topic: 't'.repeat(randomInt(1, 250)),
      partitions: Array.from({ length: randomInt(1, 3) }, (_, partition) => ({
        partition,
        messages: [{ key: null, value: randomBytes([0, 500, 4096, 70_000][randomInt(0, 4)] ?? 0), headers: {} }],
      })),
    }));
    const compression = [0, 1, 4][randomInt(0, 3)] ?? 0;
    const found = (await requestOf(topicData, compression)).buffer;
    const mended = t.mock.method(
      prototype,
      'writeBufferInternal',
      function (this: Encoder & { offset: number }, buffer: Buffer) {
        this.buf = Buffer.concat([this.buffer, buffer]);
        this.offset += buffer.length;
      },
    );
    const wanted = (await requestOf(topicData, compression)).buffer;
    mended.mock.restore();
    assert.equal(found.toString('hex'), wanted.toString('hex'));
  }
});

test('a large batch is not copied into what goes around it', async () => {
  const messages = [{ key: null, value: randomBytes(300_000), headers: {} }];
  const { buf, buffer } = await requestOf([{ topic: 'otlp_traces', partitions: [{ partition: 0, messages }] }], 0);
  // Copied it would lie in memory of a power of two.
  assert.ok(buf.buffer.byteLength < buffer.length + 1024, `${buf.buffer.byteLength} bytes for ${buffer.length}`);
});
