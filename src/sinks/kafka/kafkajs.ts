/** Loads kafkajs 2.2.4 with its measured faults mended; docs/adr/0002-kafkajs.md has the figures. Nothing else may load it. */
import { createRequire } from 'node:module';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { crc32c } from '@node-rs/crc32';
import { GZIP_OPTIONS, ZSTD_OPTIONS } from '../compression.ts';
import { prepend } from './frontRoom.ts';
import { type BatchOptions, createBatchWriter, type PlainRecord } from './recordBatch.ts';

/** The mends replace internals: another version needs another look. */
export const KAFKAJS_VERSION = '2.2.4';
const LEAST_WAIT_MS = 10;
/** Copying less is as cheap as anything. */
const LEAST_SPARED_BYTES = 4096;
/** Codecs as record batches number them. */
const GZIP = 1;
const ZSTD = 4;

const require = createRequire(import.meta.url);

/** What the mend of the request queue uses of it. */
interface RequestQueue {
  pending: unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
}

/** What a mend uses of a message that is being written. */
interface Encoder {
  buf: Buffer;
  offset: number;
  writeBufferInternal(buffer: Buffer): void;
}

export function loadKafkajs(): typeof import('kafkajs') {
  const { version } = require('kafkajs/package.json') as { version: string };
  if (version !== KAFKAJS_VERSION) throw new Error(`kafkajs ${version}: its mends are made for ${KAFKAJS_VERSION}`);
  // Before anything of kafkajs is loaded: its record batches take the function once.
  replaceModule('kafkajs/src/protocol/recordBatch/crc32C', crc32c);
  replaceRecordBatch();
  spareCopies();
  const queue = require('kafkajs/src/network/requestQueue') as { prototype: Record<string, unknown> };
  queue.prototype.scheduleCheckPendingRequests = scheduleCheckPendingRequests;
  return require('kafkajs') as typeof import('kafkajs');
}

/** The original re-arms itself with a negative delay, about 1,000 times a second, even with nothing to do. */
function scheduleCheckPendingRequests(this: RequestQueue): void {
  if (this.pending.length === 0 || this.throttleCheckTimeoutId !== null) return;
  const waitMs = Math.max(LEAST_WAIT_MS, this.throttledUntil - Date.now());
  this.throttleCheckTimeoutId = setTimeout(() => {
    this.throttleCheckTimeoutId = null;
    this.checkPendingRequests();
  }, waitMs);
}

/** The original encodes a record, copies it, and copies it again, each time into fresh zeroed memory. */
function replaceRecordBatch(): void {
  const Encoder = require('kafkajs/src/protocol/encoder') as new (bytes: number) => Encoder;
  const write = createBatchWriter(compress);
  replaceModule('kafkajs/src/protocol/recordBatch/record/v0', (record: PlainRecord) => record);
  replaceModule('kafkajs/src/protocol/recordBatch/v0', {
    MAGIC_BYTE: 2,
    RecordBatch: async (options: BatchOptions) => {
      const encoder = new Encoder(1);
      encoder.buf = write(options);
      encoder.offset = encoder.buf.length;
      return encoder;
    },
  });
}

/**
 * The original copies a batch into its partition's message, that into the topic's, and so on until it lies in the request: five times, each
 * into fresh zeroed memory of the next power of two. What is first in its envelope and has room in front is taken over instead.
 */
function spareCopies(): void {
  const { prototype } = require('kafkajs/src/protocol/encoder') as { prototype: Encoder };
  const { writeBufferInternal } = prototype;
  prototype.writeBufferInternal = function (buffer) {
    const whole = buffer.length < LEAST_SPARED_BYTES ? null : prepend(this.buf.subarray(0, this.offset), buffer);
    if (whole === null) return writeBufferInternal.call(this, buffer);
    this.buf = whole;
    this.offset = whole.length;
  };
}

/** Synchronous on purpose: this is a thread of its own, and libuv's pool belongs to the journal. */
function compress(compression: number, records: Buffer): Buffer {
  if (compression === ZSTD) return zstdCompressSync(records, { ...ZSTD_OPTIONS, chunkSize: zstdBound(records.length) });
  return compression === GZIP ? gzipSync(records, GZIP_OPTIONS) : records;
}

/** Room with which zstd compresses in one go, an eighth cheaper than through buffers of its own: ZSTD_compressBound. */
function zstdBound(bytes: number): number {
  return bytes + (bytes >>> 8) + 64;
}

function replaceModule(name: string, exports: unknown): void {
  require(name);
  const loaded = require.cache[require.resolve(name)];
  if (loaded === undefined) throw new Error(`${name} is not where it was`);
  loaded.exports = exports;
}
