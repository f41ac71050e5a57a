/** Holds the storage sink: names, contents, when a file is finished, and that crashes and disk errors lose and repeat nothing. */
import assert from 'node:assert/strict';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { BlockPool } from '../../../src/core/block.ts';
import type { SinkContext } from '../../../src/core/component.ts';
import { requestType } from '../../../src/otlp/schema.ts';
import { storage } from '../../../src/sinks/storage/index.ts';
import { AGENT, createHarness, eventually, type Harness, spans, temporaryFolder, validated } from '../harness.ts';
import { namesInFile } from './files.ts';

const ROW = { stream: 'raw', signal: 'traces' } as const;
const START_MS = Date.UTC(2025, 5, 1, 12, 30);
const HOUR = join('raw', 'traces', 'year=2025', 'month=06', 'day=01', 'hour=12');

interface Bench extends Harness {
  directory: string;
  tick(ms: number): void;
  /** Appends frames of one span each, received now. */
  feed(from: number, to: number, padding?: number): void;
}

function bench(t: TestContext, section: object = {}, changes = {}): Bench {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: START_MS });
  const directory = join(temporaryFolder(t), 'storage');
  // The clock stands still unless a test turns it.
  const options = { gatherMs: 0, ...changes };
  const harness = createHarness(storage, { type: 'storage', subscribe: ['raw'], directory, ...section }, options);
  const feed = (from: number, to: number, padding = 0) => {
    for (let i = from; i < to; i++) harness.source.append('raw', 'traces', spans(i, i + 1, 'checkout', padding), 1);
  };
  return { ...harness, directory, feed, tick: (ms) => t.mock.timers.tick(ms) };
}

function files(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory, { recursive: true }) as string[];
  return names.filter((name) => statSync(join(directory, name)).isFile()).sort();
}

function finished(directory: string): string[] {
  return files(directory).filter((name) => !name.endsWith('.tmp'));
}

/** Names of all spans in finished files, in the order of the file names. */
function contents(directory: string): string[] {
  const order = (name: string) => Number(/_(\d+)-/.exec(name)?.[1]);
  return finished(directory)
    .sort((a, b) => order(a) - order(b))
    .flatMap((name) => namesInFile(join(directory, name)));
}

/** Names that were known to break something somewhere, alone and together with random ones. */
function hostileNames(seed: number, count: number): string[] {
  const known = [
    '..',
    '.',
    '/',
    '\\',
    '\0',
    '\n',
    '~',
    '%2e%2e',
    '%00',
    'CON',
    ' ',
    '*',
    '?',
    '#',
    ':',
    '|',
    '$HOME',
    '`id`',
    '\u202e',
    '\u2025',
    '🔥',
    '..;/',
    'x'.repeat(300),
    'é',
    '-',
    '_',
    '_5-9.binpb',
    '.tmp',
    '//',
    'year=1',
  ];
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const piece = () =>
    random(4) === 0 ? String.fromCharCode(random(0x10000)) : (known[random(known.length)] as string);
  return Array.from({ length: count }, (_, i) =>
    i < known.length ? (known[i] as string) : Array.from({ length: 1 + random(6) }, piece).join(''),
  );
}

const SILENT = {
  name: 'storage',
  directory: '/nowhere',
  log: pino({ level: 'silent' }),
  fail: () => {},
  now: () => Date.now(),
};

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => String(from + i));
}

for (const [format, compression, extension] of [
  ['otlp_proto', 'none', '.binpb'],
  ['otlp_proto', 'gzip', '.binpb.gz'],
  ['otlp_proto', 'zstd', '.binpb.zst'],
  ['otlp_json', 'none', '.jsonl'],
  ['otlp_json', 'gzip', '.jsonl.gz'],
  ['otlp_json', 'zstd', '.jsonl.zst'],
] as const) {
  test(`${format} with ${compression}: a finished file has its name, its mode and every request`, async (t) => {
    const { source, delivery, cursor, directory, feed } = bench(t, { format, compression });
    delivery.start();
    // Three batches, so that pieces are laid end to end.
    for (let i = 0; i < 3; i++) {
      feed(i * 20, i * 20 + 20);
      await delivery.drain(Date.now() + 60_000);
    }
    assert.deepEqual(finished(directory), []);
    assert.equal(cursor(ROW).next, 0);
    await delivery.close(Date.now() + 60_000);
    assert.deepEqual(files(directory), [join(HOUR, `${AGENT}_0-59${extension}`)]);
    assert.deepEqual(contents(directory), numbers(0, 60));
    assert.deepEqual([cursor(ROW).next, cursor(ROW).delivered, source.lent], [60, 60, 0]);
    assert.equal(statSync(join(directory, HOUR)).mode & 0o777, 0o750);
    assert.equal(statSync(join(directory, files(directory)[0] as string)).mode & 0o777, 0o640);
  });
}

test('a file is finished when its time is up, counted from its first byte', async (t) => {
  const { delivery, cursor, directory, feed, tick } = bench(t, { rotate: { every: '10s' } });
  delivery.start();
  tick(9000);
  feed(0, 3);
  await delivery.drain(Date.now() + 60_000);
  tick(9999);
  feed(3, 5);
  await delivery.drain(Date.now() + 60_000);
  assert.deepEqual(finished(directory), []);
  tick(1);
  await eventually(() => cursor(ROW).next === 5);
  assert.deepEqual(contents(directory), numbers(0, 5));
  await delivery.close(Date.now() + 60_000);
  assert.equal(files(directory).length, 1);
});

test('a file or a write that is to last longer than timers do is not ended at once', async (t) => {
  const warnings: string[] = [];
  const note = ({ name }: Error) => void warnings.push(name);
  process.on('warning', note);
  t.after(() => process.off('warning', note));
  const directory = join(temporaryFolder(t), 'storage');
  const section = { type: 'storage', subscribe: ['raw'], directory, rotate: { every: '30d' }, timeout: '30d' };
  const { delivery, source, cursor } = createHarness(storage, section);
  source.append('raw', 'traces', spans(0, 1), 1);
  delivery.start();
  await delivery.drain(Date.now() + 60_000);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([warnings, cursor(ROW).next], [[], 0]);
  await delivery.close(Date.now() + 60_000);
  assert.equal(cursor(ROW).next, 1);
});

test('a file is finished when it is large enough', async (t) => {
  const { delivery, cursor, directory, feed } = bench(t, { compression: 'none', rotate: { size: '100KiB' } });
  delivery.start();
  for (let i = 0; i < 40; i++) {
    feed(i, i + 1, 10_000);
    await delivery.drain(Date.now() + 60_000);
  }
  assert.deepEqual(finished(directory).length, 3);
  assert.equal(cursor(ROW).next, 33);
  await delivery.close(Date.now() + 60_000);
  assert.deepEqual(contents(directory), numbers(0, 40));
  assert.equal(cursor(ROW).delivered, 40);
});

/** How the open .tmp is written, by the kernel's word; undefined when there is none. */
function isPastPageCache(directory: string): boolean | undefined {
  for (const fd of readdirSync('/proc/self/fd')) {
    const link = `/proc/self/fd/${fd}`;
    // The listing's own descriptor is gone by now.
    if (!existsSync(link) || !readlinkSync(link).startsWith(directory) || !readlinkSync(link).endsWith('.tmp'))
      continue;
    const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
    return (Number.parseInt(flags, 8) & constants.O_DIRECT) !== 0;
  }
  return undefined;
}

function knowsDirect(directory: string): boolean {
  try {
    closeSync(openSync(join(directory, 'probe'), constants.O_WRONLY | constants.O_CREAT | constants.O_DIRECT));
    return true;
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EINVAL');
    return false;
  }
}

test('a file goes past the page cache when its first batch is large, or the file before it was', async (t) => {
  if (!existsSync('/proc/self/fdinfo')) return t.skip('the kernel does not tell how files are open');
  if (!knowsDirect(temporaryFolder(t))) return t.skip('the file system of the temporary folder has no O_DIRECT');
  const { delivery, cursor, directory, feed, tick } = bench(t, { compression: 'none', rotate: { every: '10s' } });
  delivery.start();
  let next = 0;
  const begin = async (padding: number) => {
    feed(next, ++next, padding);
    await delivery.drain(Date.now() + 60_000);
  };
  const finish = async () => {
    tick(10_000);
    await eventually(() => cursor(ROW).next === next);
  };
  const seen: (boolean | undefined)[] = [];
  const look = () => seen.push(isPastPageCache(directory));
  await begin(1000);
  look();
  await finish();
  await begin(1000);
  for (let i = 0; i < 9; i++) await begin(1_000_000);
  look();
  await finish();
  await begin(1000);
  look();
  await finish();
  await begin(1000);
  look();
  await finish();
  await begin(300_000);
  look();
  await delivery.close(Date.now() + 60_000);
  assert.deepEqual(seen, [false, false, true, false, true]);
  assert.deepEqual(contents(directory), numbers(0, next));
});

test('a file holds one hour of receive time, by the first frame of a batch', async (t) => {
  const { delivery, directory, feed, tick } = bench(t, { compression: 'none', rotate: { every: '7d' } });
  delivery.start();
  feed(0, 2);
  await delivery.drain(Date.now() + 60_000);
  tick(3_600_000);
  feed(2, 4);
  await delivery.drain(Date.now() + 60_000);
  await delivery.close(Date.now() + 60_000);
  assert.deepEqual(files(directory), [
    join(HOUR, `${AGENT}_0-1.binpb`),
    join(HOUR.replace('hour=12', 'hour=13'), `${AGENT}_2-3.binpb`),
  ]);
});

test('after a crash the .tmp is gone and written again, what was finished is not', async (t) => {
  const first = bench(t, { rotate: { every: '1m' } });
  const { source, cursor, directory, feed, tick } = first;
  first.delivery.start();
  feed(0, 3);
  await first.delivery.drain(Date.now() + 60_000);
  tick(60_000);
  await eventually(() => cursor(ROW).next === 3);
  feed(3, 6);
  await first.delivery.drain(Date.now() + 60_000);
  tick(60_000);
  await eventually(() => cursor(ROW).next === 6);
  feed(6, 8);
  await first.delivery.drain(Date.now() + 60_000);
  // The crash: nobody closes, a .tmp stays, and the saved cursor knows nothing of the second file.
  assert.equal(files(directory).filter((name) => name.endsWith('.tmp')).length, 1);
  Object.assign(cursor(ROW), { next: 3, delivered: 3 });
  const stray = join(directory, 'raw', 'traces', `${AGENT}_99.binpb.zst.tmp`);
  writeFileSync(stray, 'torn');
  writeFileSync(join(directory, 'raw', 'traces', 'another-agent_5.binpb.tmp'), 'not ours');
  const second = first.make();
  second.start();
  await second.drain(Date.now() + 60_000);
  assert.equal(existsSync(stray), false);
  assert.deepEqual([cursor(ROW).next, cursor(ROW).delivered], [6, 6]);
  await second.close(Date.now() + 60_000);
  assert.deepEqual(contents(directory), numbers(0, 8));
  assert.deepEqual([cursor(ROW).next, cursor(ROW).delivered, source.lent], [8, 8, 0]);
  assert.ok(existsSync(join(directory, 'raw', 'traces', 'another-agent_5.binpb.tmp')));
  // Only its file handle is left of the first life.
  await first.delivery.close(Date.now() + 60_000);
});

test('a finished file that a crash has left counts when its name is on disk: the crash may have come before', async (t) => {
  const first = bench(t, { rotate: { every: '1h' } });
  const { cursor, directory, feed } = first;
  first.delivery.start();
  feed(0, 3);
  await first.delivery.drain(Date.now() + 60_000);
  await first.delivery.close(Date.now() + 60_000);
  // Killed between the name and the sync of the directories; the saved cursor knows nothing of it.
  Object.assign(cursor(ROW), { next: 0, delivered: 0 });
  const handle = await open(directory, 'r');
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const { sync } = prototype;
  const synced: string[] = [];
  t.mock.method(prototype, 'sync', function (this: FileHandle) {
    if (cursor(ROW).next === 0) synced.push(relative(directory, readlinkSync(`/proc/self/fd/${this.fd}`)));
    return sync.call(this);
  });
  const second = first.make();
  second.start();
  await second.drain(Date.now() + 60_000);
  await second.close(Date.now() + 60_000);
  assert.deepEqual([cursor(ROW).next, contents(directory)], [3, numbers(0, 3)]);
  const levels = HOUR.split('/').map((_, i, all) => all.slice(0, i + 1).join('/'));
  assert.deepEqual(synced, [...levels.reverse(), '']);
});

test('a name made to escape stays inside the directory', async (t) => {
  const { delivery, directory, feed } = bench(t, {}, { agent: '../../../../tmp/evil\n\0-0123abcd' });
  delivery.start();
  feed(0, 1);
  await delivery.drain(Date.now() + 60_000);
  await delivery.close(Date.now() + 60_000);
  assert.deepEqual(files(directory), [join(HOUR, '_._.._.._.._tmp_evil__-0123abcd_0-0.binpb.zst')]);
});

const NAMES = Number(process.env.PLUMBLINE_NAMES ?? 500);

test(`of ${NAMES} names made to escape, none leaves the directory, and each file is found again`, async (t) => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  // Where a sync costs nothing, if there is such a place.
  const folder = temporaryFolder(t, existsSync('/dev/shm') ? '/dev/shm' : undefined);
  const [pool, source] = [BlockPool.create(8 << 20), { at: 0 }];
  source.at = pool.allocate(1);
  pool.bytes.write('x', source.at);
  const config = validated(storage, { type: 'storage', subscribe: ['raw'], directory: '/replaced' }) as object;
  const names = hostileNames(seed, NAMES);
  for (const [i, name] of names.entries()) {
    const directory = join(folder, 'roots', `${i}`);
    const confirmed: number[] = [];
    const context: SinkContext = {
      ...SILENT,
      pool,
      agent: `${name}-0123abcd`,
      confirm: (_row, last) => confirmed.push(last),
      rewind: (_row, error) => assert.fail(`${JSON.stringify(name)}: ${error}`),
    };
    const open = () => storage.open({ ...config, directory, compression: 'none' }, context);
    const writer = await open();
    const part = { at: source.at, length: 1, sequence: 7, lastSequence: 9, part: 0, items: 1, key: null };
    await writer.write({ row: ROW, parts: [part], receivedMs: START_MS, bytes: 1 });
    await writer.close(Date.now() + 1000);
    assert.deepEqual(confirmed, [9]);
    const [file = '', ...others] = files(directory);
    assert.deepEqual(others, []);
    assert.ok(file.startsWith(`${HOUR}/`) && /^[A-Za-z0-9._-]{1,255}$/.test(file.slice(HOUR.length + 1)), file);
    assert.equal(await (await open()).resume?.(ROW, 7, START_MS), 9);
  }
  assert.deepEqual(readdirSync(folder), ['roots']);
  assert.equal(readdirSync(join(folder, 'roots')).length, names.length);
});

test('50 KB/s of each signal for half an hour make one file a minute each, and one more where the hour changes', async (t) => {
  const { source, delivery, directory, tick } = bench(t, { compression: 'none', rotate: { every: '1m' } });
  // From 12:45 to 13:15.
  tick(15 * 60_000);
  delivery.start();
  const signals = ['traces', 'metrics', 'logs'] as const;
  for (let second = 0; second < 1800; second += 5) {
    for (const signal of signals) {
      source.append('raw', signal, spans(second, second + 1, 'checkout', 250_000), 1);
      source.forget(second / 5 > 2 ? source.head - 9 : 0);
    }
    await delivery.drain(Date.now() + 60_000);
    tick(5000);
  }
  await delivery.close(Date.now() + 60_000);
  for (const signal of signals) {
    const own = finished(directory).filter((name) => name.startsWith(join('raw', signal)));
    const hours = new Set(own.map((name) => name.split('hour=')[1]?.slice(0, 2)));
    assert.deepEqual([...hours], ['12', '13']);
    assert.ok(own.length <= 31, `${own.length} files of ${signal}`);
    const bytes = own.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
    assert.ok(bytes > 50_000 * 1800, `${bytes} bytes of ${signal}`);
  }
});

test('a directory that cannot be written makes the sink retry, and it recovers', async (t) => {
  const { delivery, cursor, directory, feed, tick } = bench(t);
  writeFileSync(directory, 'a file where the directory should be');
  delivery.start();
  feed(0, 3);
  await eventually(() => delivery.state().state === 'retrying');
  assert.match(String(delivery.state().error), /ENOTDIR|EEXIST/);
  await eventually(
    () => delivery.state().state === 'stalled',
    () => tick(1000),
  );
  rmSync(directory);
  await eventually(
    () => delivery.state().state === 'ok',
    () => tick(1000),
  );
  await delivery.close(Date.now() + 60_000);
  assert.deepEqual(contents(directory), numbers(0, 3));
  assert.equal(cursor(ROW).delivered, 3);
});

/** A writer of its own, without a deliverer in front of it, and batches of one span for each sequence. */
async function bareWriter(t: TestContext, changes: Partial<SinkContext> = {}) {
  const directory = join(temporaryFolder(t), 'storage');
  const pool = BlockPool.create(16 << 20);
  const confirmed: number[] = [];
  const context: SinkContext = {
    ...{ name: 'storage', agent: AGENT, pool, directory, log: pino({ level: 'silent' }), now: Date.now },
    ...{ fail: () => {}, rewind: () => {}, confirm: (_row, last) => void confirmed.push(last) },
    ...changes,
  };
  const writer = await storage.open(validated(storage, { type: 'storage', subscribe: ['raw'], directory }), context);
  const batch = (...sequences: number[]) => {
    const parts = sequences.map((sequence) => {
      const bytes = spans(sequence, sequence + 1);
      const at = pool.allocate(bytes.length + 4);
      pool.bytes.writeUInt32BE(bytes.length, at);
      pool.bytes.set(bytes, at + 4);
      return { at, length: bytes.length + 4, sequence, lastSequence: sequence, part: 0, items: 1, key: null };
    });
    return { row: ROW, parts, receivedMs: START_MS, bytes: parts.reduce((sum, { length }) => sum + length, 0) };
  };
  return { directory, writer, batch, confirmed };
}

test('frames that come again in other batches, after older ones were given up, stand in the file once, and new ones with them', async (t) => {
  const { directory, writer, batch } = await bareWriter(t);
  assert.deepEqual(await writer.write(batch(0, 1, 2)), { kind: 'held' });
  assert.deepEqual(await writer.write(batch(1, 2, 3, 4)), { kind: 'held' });
  await writer.close(Date.now() + 5000);
  assert.deepEqual(contents(directory), numbers(0, 5));
});

test('a batch whose answer was late is not written again, nor when its file was finished meanwhile', async (t) => {
  const { directory, writer, batch, confirmed } = await bareWriter(t);
  const one = batch(0);
  await Promise.all([writer.write(one), writer.finish?.(ROW), writer.write(one), writer.write(batch(1))]);
  await writer.close(Date.now() + 5000);
  assert.deepEqual(
    [confirmed, contents(directory)],
    [
      [0, 1],
      ['0', '1'],
    ],
  );
});

test('a write that comes while a failed file is closed is not taken for one of what is read again', async (t) => {
  const rewound: string[] = [];
  const { directory, writer, batch } = await bareWriter(t, { rewind: (_row, error) => void rewound.push(error) });
  await writer.write(batch(0, 1));
  const bad = batch(2);
  Object.defineProperty(bad.parts[0], 'length', {
    get: () => {
      throw new Error('EIO');
    },
  });
  const failed = writer.write(bad);
  // Always the same one: how often it comes until the file is closed is the disk's business, and the pool is small.
  const next = batch(3);
  const late: unknown[] = [];
  while (rewound.length === 0) {
    late.push(writer.write(next));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(await failed, { kind: 'retry', error: 'EIO' });
  const none = late.map(() => ({ kind: 'retry', error: 'an earlier piece was lost' }));
  assert.deepEqual(await Promise.all(late), none);
  await writer.write(batch(0, 1, 2, 3));
  await writer.close(Date.now() + 5000);
  assert.deepEqual(contents(directory), numbers(0, 4));
});

test('a file that cannot get its final name is written again in full', async (t) => {
  const { delivery, cursor, directory, feed, tick } = bench(t, { rotate: { every: '10s' } });
  delivery.start();
  feed(0, 2);
  await delivery.drain(Date.now() + 60_000);
  feed(2, 4);
  await delivery.drain(Date.now() + 60_000);
  const blocker = join(directory, 'raw', 'traces', 'year=2025');
  writeFileSync(blocker, '');
  tick(10_000);
  await eventually(() => delivery.state().state === 'retrying');
  assert.match(String(delivery.state().error), /ENOTDIR|EEXIST/);
  assert.equal(cursor(ROW).next, 0);
  rmSync(blocker);
  await eventually(
    () => cursor(ROW).next === 4,
    () => tick(1000),
  );
  assert.equal(delivery.state().state, 'ok');
  await delivery.close(Date.now() + 60_000);
  assert.deepEqual(contents(directory), numbers(0, 4));
  assert.equal(cursor(ROW).delivered, 4);
});

test('the oldest finished files of this agent go beyond the size, and no others', async (t) => {
  const retain = { size: '25KB', age: 'none' };
  const { delivery, cursor, directory, feed } = bench(t, { compression: 'none', rotate: { size: '1KiB' }, retain });
  mkdirSync(join(directory, HOUR), { recursive: true });
  writeFileSync(join(directory, HOUR, 'other_0-9.binpb'), 'x'.repeat(100_000));
  delivery.start();
  for (let i = 0; i < 6; i++) {
    feed(i, i + 1, 10_000);
    await eventually(() => cursor(ROW).next === i + 1);
  }
  await delivery.close(Date.now() + 60_000);
  assert.deepEqual(files(directory), [
    join(HOUR, `${AGENT}_4-4.binpb`),
    join(HOUR, `${AGENT}_5-5.binpb`),
    join(HOUR, 'other_0-9.binpb'),
  ]);
  assert.equal(cursor(ROW).delivered, 6);
});

test('finished files go at their age', async (t) => {
  const retain = { size: 'none', age: '2h' };
  // The files' own times are the machine's, so the clock begins there.
  const startMs = Date.now();
  const now = () => startMs + Date.now() - START_MS;
  const { delivery, cursor, directory, feed, tick } = bench(t, { rotate: { every: '1h' }, retain }, { now });
  delivery.start();
  for (let i = 0; i < 5; i++) {
    feed(i, i + 1);
    await delivery.drain(Date.now() + 60_000);
    tick(3_600_000);
    await eventually(() => cursor(ROW).next === i + 1);
  }
  await delivery.close(now() + 60_000);
  assert.deepEqual(contents(directory), numbers(2, 5));
});

test('a request whose JSON no memory can hold is a dead letter and holds nothing up', async (t) => {
  const deadLetter = temporaryFolder(t);
  const pool = BlockPool.create(8 << 20);
  const { delivery, source, cursor, feed } = bench(t, { format: 'otlp_json' }, { pool, deadLetter });
  // Eleven bytes each, and a hundred as JSON.
  const counted = { kind: 1, droppedAttributesCount: 1, droppedEventsCount: 1, droppedLinksCount: 1 };
  const type = requestType('traces');
  const resourceSpans = [{ scopeSpans: [{ spans: Array.from({ length: 120_000 }, () => counted) }] }];
  feed(0, 1);
  source.append('raw', 'traces', type.encode(type.fromObject({ resourceSpans })).finish(), 120_000);
  feed(2, 3);
  delivery.start();
  await delivery.drain(START_MS + 5000);
  await delivery.close(START_MS + 5000);
  assert.deepEqual([cursor(ROW).next, cursor(ROW).delivered, cursor(ROW).deadLettered], [3, 2, 120_000]);
  const [words = ''] = readdirSync(deadLetter).filter((name) => name.endsWith('.json'));
  assert.match(JSON.parse(readFileSync(join(deadLetter, words), 'utf8')).reason, /as JSON it takes \d+ bytes/);
});
