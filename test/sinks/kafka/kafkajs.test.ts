/** Holds the mends of kafkajs: that they are in place, that they compute what the originals did, and the version they are made for. */
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { KAFKAJS_VERSION, loadKafkajs } from '../../../src/sinks/kafka/kafkajs.ts';

const require = createRequire(import.meta.url);
const { CompressionCodecs, CompressionTypes } = loadKafkajs();

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

test('zstd and gzip are compressed in this thread', async () => {
  const buffer = Buffer.from('spans '.repeat(1000));
  const zstd = await CompressionCodecs[CompressionTypes.ZSTD]().compress({ buffer });
  const gzip = await CompressionCodecs[CompressionTypes.GZIP]().compress({ buffer });
  assert.ok(zstdDecompressSync(zstd).equals(buffer));
  assert.ok(gunzipSync(gzip).equals(buffer));
});
