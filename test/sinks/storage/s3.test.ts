/** Holds the storage sink's uploads against a real S3 server: the same keys as files, over outages, restarts and lost cursors. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import type { DeliveryOptions } from '../../../src/sinks/deliver.ts';
import { storage } from '../../../src/sinks/storage/index.ts';
import { CREDENTIALS, type S3Server, startS3, unavailable } from '../../support/s3/server.ts';
import { slowLink } from '../../support/slowLink.ts';
import { AGENT, createHarness, namesIn, spans, temporaryFolder, validated, within } from '../harness.ts';

const ROW = { stream: 'raw', signal: 'traces' } as const;

async function bench(t: TestContext, s3: S3Server, section: object = {}, changes: Partial<DeliveryOptions> = {}) {
  const directory = join(temporaryFolder(t), 'own');
  const config = {
    type: 'storage',
    subscribe: ['raw'],
    s3: { bucket: s3.bucket, prefix: '/edge/', endpoint: s3.url, force_path_style: true },
    rotate: { every: '300ms' },
    retry: { initial: '50ms', max: '200ms' },
    timeout: '2s',
    ...section,
  };
  const harness = createHarness(storage, config, { directory, ...changes });
  t.after(() => harness.delivery.close(Date.now() + 100));
  const feed = (from: number, to: number, padding = 0) => {
    for (let i = from; i < to; i++) harness.source.append('raw', 'traces', spans(i, i + 1, 'checkout', padding), 1);
  };
  return { ...harness, directory, feed };
}

/** Span names in all objects, by the order of their keys' sequences. */
function contents(s3: S3Server): string[] {
  const order = (key: string) => Number(/_(\d+)-\d+\.binpb/.exec(key)?.[1]);
  return s3
    .keys()
    .sort((a, b) => order(a) - order(b))
    .flatMap((key) => {
      const bytes = zstdDecompressSync(readFileSync(s3.path(key)));
      const names: string[] = [];
      for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
        names.push(...namesIn(bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at))));
      }
      return names;
    });
}

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => String(from + i));
}

/** Local files that still hold something. */
function staged(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => statSync(join(directory, name)).isFile() && statSync(join(directory, name)).size > 0);
}

describe('with a real S3 server', { skip: unavailable() ?? false }, () => {
  before(() => Object.assign(process.env, CREDENTIALS, { AWS_EC2_METADATA_DISABLED: 'true' }));

  test('files go to the bucket under the keys they have on disk, and count when they are there', async (t) => {
    const s3 = await startS3(t);
    const { delivery, cursor, source, feed, directory } = await bench(t, s3);
    delivery.start();
    feed(0, 20, 500);
    await delivery.drain(Date.now() + 5000);
    assert.equal(cursor(ROW).next, 0);
    await within(5000, () => cursor(ROW).next === 20);
    feed(20, 30);
    await delivery.drain(Date.now() + 5000);
    await delivery.close(Date.now() + 5000);
    assert.deepEqual([cursor(ROW).next, cursor(ROW).delivered, source.lent], [30, 30, 0]);
    assert.deepEqual(contents(s3), numbers(0, 30));
    const [first = ''] = s3.keys();
    assert.match(
      first,
      /^edge\/raw\/traces\/year=\d{4}\/month=\d\d\/day=\d\d\/hour=\d\d\/edge-1-0123abcd_0-19\.binpb\.zst$/,
    );
    assert.deepEqual(staged(directory), []);
  });

  test('a file of many parts arrives whole', async (t) => {
    const s3 = await startS3(t);
    const { delivery, cursor, feed } = await bench(t, s3, { compression: 'none', rotate: { every: '1h' } });
    delivery.start();
    feed(0, 20, 1_000_000);
    await delivery.drain(Date.now() + 20_000);
    await delivery.close(Date.now() + 20_000);
    assert.equal(cursor(ROW).next, 20);
    const [key = '', ...others] = s3.keys();
    assert.deepEqual(others, []);
    const bytes = readFileSync(s3.path(key));
    const names: string[] = [];
    for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
      names.push(...namesIn(bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at))));
    }
    assert.deepEqual(names, numbers(0, 20));
    assert.ok(bytes.length > 16 << 20);
  });

  test('while the server is down the state says so, disk and memory are bounded, and all arrives when it is back', async (t) => {
    const s3 = await startS3(t);
    const { delivery, cursor, source, feed, directory } = await bench(t, s3);
    delivery.start();
    feed(0, 10);
    await within(5000, () => cursor(ROW).next === 10);
    await s3.halt();
    for (let i = 1; i < 12; i++) {
      feed(i * 10, i * 10 + 10);
      await new Promise((resolve) => setTimeout(resolve, 320));
    }
    const { state, error, lagItems } = delivery.state();
    assert.equal(state, 'retrying');
    assert.match(String(error), /^s3:\/\/telemetry: .*(ECONNREFUSED|ECONNRESET)/);
    assert.equal(lagItems, 110);
    assert.ok(staged(directory).length <= 5, `${staged(directory).length} files`);
    assert.ok(source.lent <= 2);
    await s3.restart();
    await within(10_000, () => cursor(ROW).next === 120);
    assert.equal(delivery.state().state, 'ok');
    await delivery.close(Date.now() + 5000);
    assert.deepEqual(contents(s3), numbers(0, 120));
  });

  test('a server that hangs is given up and asked again', async (t) => {
    const s3 = await startS3(t);
    const { delivery, cursor, feed } = await bench(t, s3, { timeout: '500ms' });
    delivery.start();
    s3.freeze();
    feed(0, 10);
    await within(10_000, () => delivery.state().state === 'retrying');
    s3.thaw();
    await within(10_000, () => cursor(ROW).next === 10);
    await delivery.close(Date.now() + 5000);
    assert.deepEqual(contents(s3), numbers(0, 10));
  });

  test('a link on which a request takes longer than the timeout, but moves, carries it at once', async (t) => {
    const s3 = await startS3(t);
    const endpoint = await slowLink(t, Number(new URL(s3.url).port), 1_500_000);
    const { delivery, cursor, feed } = await bench(t, s3, {
      s3: { bucket: s3.bucket, endpoint, force_path_style: true },
      compression: 'none',
      timeout: '4s',
    });
    const errors = new Set<string | null>();
    delivery.start();
    feed(0, 8, 1_000_000);
    await within(30_000, () => {
      errors.add(delivery.state().error);
      return cursor(ROW).next === 8;
    });
    assert.deepEqual([...errors], [null]);
    await delivery.close(Date.now() + 5000);
    assert.equal(s3.keys().length, 1);
  });

  test('a part goes to its connection in pieces: over TLS each that ends is a sign that it moves', async (t) => {
    const s3 = await startS3(t);
    const { delivery, cursor, feed } = await bench(t, s3, { compression: 'none' });
    const waiting: number[] = [];
    const { write } = Socket.prototype;
    t.mock.method(Socket.prototype, 'write', function (this: Socket, ...args: Parameters<typeof write>) {
      waiting.push(Buffer.byteLength(args[0]) + this.writableLength);
      return write.apply(this, args);
    });
    delivery.start();
    feed(0, 8, 1_000_000);
    await within(10_000, () => cursor(ROW).next === 8);
    await delivery.close(Date.now() + 5000);
    assert.ok(Math.max(...waiting) < 200_000, `${Math.max(...waiting)} bytes`);
    assert.ok(waiting.length > 100, `${waiting.length} writes`);
    assert.equal(statSync(s3.path(s3.keys()[0] ?? '')).size > 8_000_000, true);
  });

  test('a start behind a crash uploads what was finished, and never twice what had been', async (t) => {
    const s3 = await startS3(t);
    const first = await bench(t, s3);
    const { cursor, feed } = first;
    first.delivery.start();
    feed(0, 10);
    await within(5000, () => cursor(ROW).next === 10);
    feed(10, 20);
    await within(5000, () => cursor(ROW).next === 20);
    await s3.halt();
    feed(20, 30);
    await within(5000, () => staged(first.directory).some((name) => name.endsWith('_20-29.binpb.zst')));
    feed(30, 40);
    await within(5000, () => staged(first.directory).some((name) => name.endsWith('_30-39.binpb.zst')));
    await first.delivery.close(Date.now() + 300);
    assert.equal(cursor(ROW).next, 20);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await s3.restart();
    const times = s3.keys().map((key) => statSync(s3.path(key)).mtimeMs);
    // The cursor that was saved knows nothing of the second object.
    Object.assign(cursor(ROW), { next: 10, delivered: 10 });
    feed(40, 45);
    const second = first.make();
    second.start();
    await within(10_000, () => cursor(ROW).next === 45);
    await second.close(Date.now() + 5000);
    assert.equal(cursor(ROW).delivered, 45);
    assert.deepEqual(contents(s3), numbers(0, 45));
    assert.deepEqual(
      s3
        .keys()
        .filter((key) => /_(0|10)-/.test(key))
        .map((key) => statSync(s3.path(key)).mtimeMs),
      times,
    );
  });

  for (const gone of [10, 20, 30])
    test(`a finished file that is deleted before its upload is written again, and those behind it (${gone})`, async (t) => {
      const s3 = await startS3(t);
      const { delivery, cursor, feed, directory } = await bench(t, s3);
      delivery.start();
      feed(0, 10);
      await within(5000, () => cursor(ROW).next === 10);
      await s3.halt();
      for (const from of [10, 20, 30]) {
        feed(from, from + 10);
        const end = `_${from}-${from + 9}.binpb.zst`;
        await within(5000, () => staged(directory).some((name) => name.endsWith(end)));
      }
      const name = staged(directory).find((one) => one.includes(`_${gone}-`));
      rmSync(join(directory, name as string));
      feed(40, 45);
      await s3.restart();
      await within(10_000, () => cursor(ROW).next === 45);
      assert.equal(delivery.state().state, 'ok');
      await delivery.close(Date.now() + 5000);
      assert.equal(cursor(ROW).delivered, 45);
      assert.deepEqual(contents(s3), numbers(0, 45));
      assert.deepEqual(staged(directory), []);
    });

  test('a file of a life before that is deleted while it waits for its upload is written again', async (t) => {
    const s3 = await startS3(t);
    const first = await bench(t, s3);
    const { cursor, feed } = first;
    await s3.halt();
    first.delivery.start();
    feed(0, 10);
    await within(5000, () => staged(first.directory).some((name) => name.endsWith('_0-9.binpb.zst')));
    await first.delivery.close(Date.now() + 300);
    const second = first.make();
    t.after(() => second.close(Date.now() + 100));
    second.start();
    await within(5000, () => second.state().state === 'retrying');
    for (const name of staged(first.directory)) rmSync(join(first.directory, name));
    await s3.restart();
    await within(10_000, () => cursor(ROW).next === 10);
    await second.close(Date.now() + 5000);
    assert.deepEqual(contents(s3), numbers(0, 10));
  });

  test('a wrong secret, a bucket that is missing and a refused encryption are said in words and retried', async (t) => {
    const s3 = await startS3(t);
    const missing = { bucket: 'nowhere', endpoint: s3.url, force_path_style: true };
    const sink = await bench(t, s3, { s3: missing });
    sink.delivery.start();
    sink.feed(0, 1);
    await within(10_000, () => sink.delivery.state().state === 'retrying');
    assert.match(String(sink.delivery.state().error), /^s3:\/\/nowhere: NoSuchBucket/);
    await sink.delivery.close(Date.now());
    process.env.AWS_SECRET_ACCESS_KEY = 'wrong';
    t.after(() => Object.assign(process.env, CREDENTIALS));
    const stranger = await bench(t, s3);
    stranger.delivery.start();
    stranger.feed(0, 1);
    await within(10_000, () => stranger.delivery.state().state === 'retrying');
    assert.match(String(stranger.delivery.state().error), /^s3:\/\/telemetry: SignatureDoesNotMatch/);
    await stranger.delivery.close(Date.now());
    assert.deepEqual(s3.keys(), []);
  });

  test('names of what was uploaded do not pile up, and starts that ask for them lose none', async (t) => {
    const s3 = await startS3(t);
    const { delivery, cursor, feed, directory, make } = await bench(t, s3, {
      rotate: { size: '1B', every: '1h' },
      compression: 'none',
    });
    delivery.start();
    for (let i = 0; i < 70; i++) {
      feed(i, i + 1, 200);
      await within(5000, () => cursor(ROW).next === i + 1);
    }
    await delivery.close(Date.now() + 5000);
    const names = () =>
      readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes(AGENT));
    assert.equal(names().length, 64);
    assert.equal(s3.keys().length, 70);
    // Lives that end before the cursor is saved.
    for (let life = 0; life < 2; life++) {
      Object.assign(cursor(ROW), { next: 10, delivered: 10 });
      const again = make();
      again.start();
      await within(10_000, () => cursor(ROW).next === 70);
      await again.close(Date.now() + 5000);
    }
    assert.equal(names().length, 64);
    assert.equal(s3.keys().length, 70);
  });
});

test('one of directory and s3 has to be set', () => {
  const section = { type: 'storage', subscribe: ['raw'] };
  assert.throws(
    () => validated(storage, section),
    /agent\.yaml:1:\d+: sinks\[0\] \(storage\): directory or s3 has to be set/,
  );
  const both = { ...section, directory: '/d', s3: { bucket: 'b' } };
  assert.throws(() => validated(storage, both), /directory and s3 are both set: use two sinks/);
});

test('an agent without a bucket loads nothing of the SDK', () => {
  const code = (file: string) => `
    import { createRequire } from 'node:module';
    await import(${JSON.stringify(new URL(`../../../src/${file}`, import.meta.url).href)});
    const { cache } = createRequire(process.cwd() + '/');
    console.log(Object.keys(cache).filter((name) => /@aws-sdk|@smithy/.test(name)).length);
  `;
  const loaded = (file: string) => Number(execFileSync(process.execPath, ['--input-type=module', '-e', code(file)]));
  assert.equal(loaded('agent.ts'), 0);
  assert.equal(loaded('sinks/storage/writer.ts'), 0);
  assert.ok(loaded('sinks/storage/s3.ts') > 10);
});
