/** Holds src/ingest/tokens.ts, pressure.ts and inflated.ts: who may send what, how much, and what a body will take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { Encoding } from '../../src/core/block.ts';
import { AgentError } from '../../src/core/errors.ts';
import { inflatedBytes } from '../../src/ingest/inflated.ts';
import { createPressure } from '../../src/ingest/pressure.ts';
import { charge, parseTokens, type Quota, quotaRetryAfterS } from '../../src/ingest/tokens.ts';

test('a token is found whole and as a bearer alone, with what it may', () => {
  const tokens = parseTokens(
    ['# rotated weekly', '', 'abc.DEF-1~+/== name=payments signals=traces,logs quota=20MiB/s', 'other  '].join('\r\n'),
    'f',
  );
  const payments = tokens.find('Bearer abc.DEF-1~+/==');
  assert.equal(payments?.name, 'payments');
  assert.deepEqual([...(payments?.signals ?? [])], ['traces', 'logs']);
  assert.equal(payments?.quota?.rate, 20 * 2 ** 20);
  assert.equal(tokens.find('bearer   other')?.name, 'line 4');
  assert.equal(tokens.find('Bearer other')?.quota, null);
  for (const wrong of [
    undefined,
    '',
    'other',
    'Basic other',
    'Bearer othe',
    'Bearer otherr',
    'Bearer ',
    'Bearer # rotated',
  ])
    assert.equal(tokens.find(wrong), null, String(wrong));
});

test('tokens of one name use up one quota', () => {
  const tokens = parseTokens('old name=a quota=10B/s\nnew name=a\n', 'f');
  assert.equal(tokens.find('Bearer old')?.quota, tokens.find('Bearer new')?.quota);
  assert.ok(tokens.find('Bearer new')?.quota !== null);
});

test('every fault is named with its line, and no token is', () => {
  const text = 'good\nsecret1 signals=traces,spans\nsecret2 quota=fast\nsecret3 colour=blue\nse"cret4\n';
  assert.throws(
    () => parseTokens(text, 'tokens'),
    (error) => {
      assert.ok(error instanceof AgentError && error.code === 'CONFIG_INVALID');
      assert.deepEqual(
        error.message.split('\n').map((line) => line.split(':').slice(0, 2).join(':')),
        ['tokens:2', 'tokens:3', 'tokens:4', 'tokens:5'],
      );
      assert.ok(!error.message.includes('cret'), error.message);
      return true;
    },
  );
  assert.throws(() => parseTokens('# nothing\n', 'tokens'), { code: 'CONFIG_INVALID' });
});

test('a quota is a rate: what was sent too much is waited for', () => {
  const quota: Quota = { rate: 100, level: 100, filledMs: 0 };
  assert.equal(charge(quota, 350, 0), true);
  assert.equal(charge(quota, 1, 0), false);
  assert.equal(quotaRetryAfterS(quota), 3);
  assert.equal(charge(quota, 1, 2500), false);
  assert.equal(charge(quota, 50, 2600), true);
  // However long it was silent: never more than a second's worth.
  assert.equal(charge(quota, 0, 1e9), true);
  assert.equal(quota.level, 100);
});

test('near the limit of the container nothing is admitted; the number is read four times a second at most', () => {
  let now = 0;
  let resident = 800;
  let reads = 0;
  const pressure = createPressure(
    1000,
    () => {
      reads++;
      return resident;
    },
    () => now,
  );
  assert.equal(pressure(), null);
  resident = 950;
  assert.equal(pressure(), null);
  now = 250;
  assert.match(pressure() ?? '', /950 bytes resident of 1000/);
  now = 499;
  pressure();
  assert.equal(reads, 2);
  resident = 100;
  now = 500;
  assert.equal(pressure(), null);
  assert.equal(
    createPressure(
      null,
      () => 1e12,
      () => 0,
    )(),
    null,
  );
});

test('a compressed body says how much it will take, or is guessed', () => {
  const plain = Buffer.alloc(5000, 'telemetry ');
  const of = (encoding: number, body: Buffer) => inflatedBytes(encoding, [body], body.length, 1e6);
  assert.equal(of(0, plain), 0);
  assert.equal(of(Encoding.json, plain), 0);
  assert.equal(of(Encoding.gzip, gzipSync(plain)), 5000);
  assert.equal(of(Encoding.zstd | Encoding.json, zstdCompressSync(plain)), 5000);
  assert.equal(of(Encoding.zstd, zstdCompressSync(Buffer.alloc(100_000))), 100_000);
  const deflated = deflateSync(plain);
  assert.equal(of(Encoding.deflate, deflated), deflated.length * 10);
  assert.equal(inflatedBytes(Encoding.gzip, [Buffer.from('short')], 5, 1e6), 50);
  assert.equal(inflatedBytes(Encoding.gzip, [gzipSync(plain)], 60, 1000), 1000);
});
