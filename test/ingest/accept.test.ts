/** Holds src/ingest/accept.ts: what is handed on is what was read, and a body that is refused or broken off hands on nothing. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { Encoding } from '../../src/core/block.ts';
import { AgentError } from '../../src/core/errors.ts';
import { readBody, readClaim } from '../../src/ingest/accept.ts';

// readBody uses what every readable stream has.
const stream = () => new PassThrough() as unknown as IncomingMessage & PassThrough;
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a body is its chunks, and is asked about as it grows', async () => {
  const source = stream();
  const asked: number[] = [];
  const body = readBody(source, (bytes) => {
    asked.push(bytes);
    return null;
  });
  source.write(Buffer.alloc(30, 1));
  await turn();
  source.end(Buffer.alloc(20, 2));
  const { bytes, chunks } = await body;
  assert.deepEqual([bytes, Buffer.concat(chunks).length, asked], [50, 50, [30, 50]]);
});

test('a client that goes away rejects the body', async () => {
  const source = stream();
  const body = readBody(source, () => null);
  source.write(Buffer.alloc(3));
  source.destroy();
  await assert.rejects(body, (error) => error instanceof AgentError && error.code === 'CLIENT_GONE');
});

test('after a refusal nothing more is asked or kept', async () => {
  const source = stream();
  let asked = 0;
  const body = readBody(source, () => {
    asked++;
    return new AgentError('OVERLOADED', 'full');
  });
  source.write(Buffer.alloc(20));
  await assert.rejects(body, (error) => error instanceof AgentError && error.code === 'OVERLOADED');
  source.write(Buffer.alloc(20));
  source.end();
  await turn();
  assert.equal(asked, 1);
});

test('one coding is taken, a chain of them or an unknown one is not', () => {
  const codings: [string, number | null][] = [
    ['', 0],
    ['identity', 0],
    [' GZIP ', Encoding.gzip],
    ['x-gzip', Encoding.gzip],
    ['zstd', Encoding.zstd],
    ['Deflate', Encoding.deflate],
    ['gzip, gzip', null],
    ['gzip,identity', null],
    ['br', null],
  ];
  for (const [coding, encoding] of codings) {
    const claim = readClaim('application/x-protobuf', coding);
    assert.equal(claim.refusal, encoding === null ? 'content_encoding' : null, coding);
    if (encoding !== null) assert.equal(claim.encoding, encoding, coding);
  }
});
