/** Holds that a large buffer's memory is gone at once, and that what Buffers share is never touched. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { freeLarge } from '../../src/core/freeLarge.ts';

test('a large buffer is freed', () => {
  const large = gunzipSync(gzipSync(Buffer.alloc(1 << 20)));
  freeLarge(large);
  assert.equal(large.length, 0);
});

test('a small part of large memory takes all of it along: what a compressor was given room for', () => {
  const small = zstdCompressSync(Buffer.alloc(1000), { chunkSize: 1 << 20 });
  assert.ok(small.length < 100 && small.buffer.byteLength >= 1 << 20);
  freeLarge(small);
  assert.equal(small.length, 0);
});

test('small buffers, which share memory, stay as they are', () => {
  const neighbours = Array.from({ length: 20 }, (_, i) => Buffer.from(`neighbour ${i}`));
  for (const length of [0, 1, 100, 4000, 30_000, 60_000]) freeLarge(gunzipSync(gzipSync(Buffer.alloc(length, 1))));
  for (const [i, neighbour] of neighbours.entries()) freeLarge(neighbour.subarray(0, i));
  assert.deepEqual(
    neighbours.map(String),
    Array.from({ length: 20 }, (_, i) => `neighbour ${i}`),
  );
});
