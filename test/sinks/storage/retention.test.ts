import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Retention } from '../../../src/sinks/storage/retention.ts';

const FILE_BYTES = 10_000;
const NO_AGE = Number.POSITIVE_INFINITY;

function bench(t: TestContext, retainBytes: number, retainMs = NO_AGE) {
  const root = mkdtempSync(join(tmpdir(), 'plumbline-retention-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const errors: unknown[] = [];
  const limits = { retainBytes, retainMs };
  const retention = new Retention(
    root,
    limits,
    (name) => name.startsWith('ours'),
    (error) => errors.push(error),
  );
  const finish = (name: string, second: number) => {
    const path = join(root, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, Buffer.alloc(FILE_BYTES));
    utimesSync(path, second, second);
    return path;
  };
  const names = () =>
    readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.includes('ours'))
      .sort();
  return { root, retention, errors, finish, names };
}

test('files that are finished together are counted once each', async (t) => {
  const { retention, errors, finish, names } = bench(t, 4.5 * FILE_BYTES);
  for (const [i, name] of ['traces/ours0', 'traces/ours1', 'logs/ours2'].entries()) finish(name, i);
  const added = ['traces/ours3', 'logs/ours4', 'metrics/ours5'].map((name, i) => finish(name, 10 + i));
  for (const [i, path] of added.entries()) retention.add(path, FILE_BYTES, 10_000 + i);
  assert.equal(names().length, 6, 'nobody waits for what is deleted');
  await retention.settled();
  assert.deepEqual(names(), ['logs/ours2', 'logs/ours4', 'metrics/ours5', 'traces/ours3']);
  retention.add(finish('traces/ours6', 20), FILE_BYTES, 20_000);
  await retention.settled();
  assert.deepEqual(names(), ['logs/ours4', 'metrics/ours5', 'traces/ours3', 'traces/ours6']);
  assert.deepEqual(errors, []);
});

test('a file that cannot be deleted is told of, and goes with the next one', async (t) => {
  const { root, retention, errors, finish, names } = bench(t, 1.5 * FILE_BYTES);
  // A directory under the name of a file, which `rm` without `recursive` refuses.
  const bad = join(root, 'traces/ours0');
  mkdirSync(bad, { recursive: true });
  utimesSync(bad, 0, 0);
  finish('traces/ours1', 1);
  retention.add(finish('logs/ours2', 2), FILE_BYTES, 2000);
  await retention.settled();
  assert.equal(errors.length, 1);
  rmSync(bad, { recursive: true });
  retention.add(finish('logs/ours3', 3), FILE_BYTES, 3000);
  await retention.settled();
  assert.deepEqual(names(), ['logs/ours3']);
  assert.equal(errors.length, 1);
});

test('files go at their age where no other is finished, those that are there from before, too', async (t) => {
  const { retention, errors, finish, names } = bench(t, 1.5 * FILE_BYTES, 10_000);
  for (const [i, name] of ['traces/ours0', 'logs/ours1', 'traces/ours2'].entries()) finish(name, i * 5);
  retention.expire(9000);
  await retention.settled();
  assert.equal(names().length, 3, 'or for their size, of which nobody asked');
  retention.expire(16_000);
  await retention.settled();
  assert.deepEqual(names(), ['traces/ours2']);
  retention.expire(60_000);
  await retention.settled();
  assert.deepEqual(names(), []);
  assert.deepEqual(errors, []);
});

test('hours, days, months and years that are empty go with their last file, and nothing else', async (t) => {
  const { root, retention, errors, finish } = bench(t, 1.5 * FILE_BYTES);
  const old = 'raw/logs/year=2025/month=12/day=31/hour=23';
  for (const [i, name] of [
    `${old}/ours0`,
    `${old}/ours1`,
    'raw/logs/year=2026/month=01/day=01/hour=00/ours2',
  ].entries())
    finish(name, i);
  mkdirSync(join(root, 'raw/logs/year=2026/month=01/day=01/hour=01'));
  retention.add(finish('raw/logs/year=2026/month=01/day=02/hour=00/ours3', 3), FILE_BYTES, 3000);
  await retention.settled();
  assert.deepEqual(readdirSync(join(root, 'raw/logs'), { recursive: true, encoding: 'utf8' }).sort(), [
    'year=2026',
    'year=2026/month=01',
    'year=2026/month=01/day=01',
    'year=2026/month=01/day=01/hour=01',
    'year=2026/month=01/day=02',
    'year=2026/month=01/day=02/hour=00',
    'year=2026/month=01/day=02/hour=00/ours3',
  ]);
  retention.expire(Infinity);
  await retention.settled();
  assert.deepEqual(errors, []);
});

test('a directory that does not exist yet has nothing to delete, which is no fault', async (t) => {
  const { root, retention, errors, finish, names } = bench(t, 1.5 * FILE_BYTES, 10_000);
  rmSync(root, { recursive: true });
  retention.expire(60_000);
  await retention.settled();
  assert.deepEqual(errors, []);
  retention.add(finish('traces/ours0', 61), FILE_BYTES, 61_000);
  retention.add(finish('traces/ours1', 62), FILE_BYTES, 62_000);
  await retention.settled();
  assert.deepEqual(names(), ['traces/ours1']);
});
