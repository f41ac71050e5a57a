/** Holds src/ingest/accept.ts and its byte budget: what is reserved is what was read, and it is given back once. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { AgentError } from '../../src/core/errors.ts';
import { readBody } from '../../src/ingest/accept.ts';
import { createAdmission } from '../../src/ingest/admission.ts';

const stream = () => new PassThrough() as unknown as IncomingMessage & PassThrough;
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a body without an announced length reserves as it comes', async () => {
  const admission = createAdmission(100, () => 0);
  const source = stream();
  const held = { bytes: 0 };
  const body = readBody(source, 1000, admission, held);
  source.write(Buffer.alloc(30, 1));
  source.end(Buffer.alloc(20, 2));
  const { bytes, chunks } = await body;
  assert.deepEqual([bytes, Buffer.concat(chunks).length, held.bytes, admission.used], [50, 50, 50, 50]);
});

test('a client that goes away rejects the body', async () => {
  const source = stream();
  const body = readBody(
    source,
    1000,
    createAdmission(100, () => 0),
    { bytes: 0 },
  );
  source.write(Buffer.alloc(3));
  source.destroy();
  await assert.rejects(body, (error) => error instanceof AgentError && error.code === 'BODY_UNDECODABLE');
});

test('after a refusal nothing more is reserved for that body', {}, async () => {
  const admission = createAdmission(100, () => 0);
  admission.reserve(90);
  const source = stream();
  const held = { bytes: 0 };
  const body = readBody(source, 1000, admission, held);
  source.write(Buffer.alloc(20));
  await assert.rejects(body, (error) => error instanceof AgentError && error.code === 'OVERLOADED' && error.retryable);
  // As server.ts does: what it held is given back with the reply; the others finish too.
  admission.release(held.bytes);
  admission.release(90);
  source.write(Buffer.alloc(20));
  await turn();
  assert.equal(admission.used, 0);
});

test('the first request is let in whatever its size, the second only if it fits', () => {
  const admission = createAdmission(100, () => 0);
  assert.equal(admission.reserve(500), true);
  assert.equal(admission.reserve(1), false);
  assert.equal(admission.used, 500);
  admission.release(500);
  assert.equal(admission.reserve(60), true);
  assert.equal(admission.reserve(40), true);
  assert.equal(admission.reserve(1), false);
});

test('how long to wait follows the rate at which bytes are given back, from 1 to 30 seconds', () => {
  let now = 0;
  const admission = createAdmission(10_000, () => now);
  assert.equal(admission.retryAfterS(), 1);
  admission.reserve(8000);
  now = 1000;
  admission.release(1000);
  // 1,000 bytes a second, half believed: 7,000 left take 14 s.
  assert.equal(admission.retryAfterS(), 14);
  now = 100_000;
  admission.release(1);
  assert.equal(admission.retryAfterS(), 28);
  now = 1_000_000;
  admission.release(1);
  assert.equal(admission.retryAfterS(), 30);
});
