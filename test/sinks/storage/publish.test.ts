/** Holds src/sinks/storage/files.ts: which directories are on disk when a file has its final name. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { publish } from '../../../src/sinks/storage/files.ts';
import { temporaryFolder, watchSyncs } from '../harness.ts';

const HOUR = join('raw', 'traces', 'year=2025', 'month=06', 'day=01', 'hour=12');
const EVERY_LEVEL = [HOUR, ...parentsOf(HOUR)];

function parentsOf(path: string): string[] {
  return path === '.' ? [] : [dirname(path), ...parentsOf(dirname(path))];
}

/** A directory for files; `publishOne` returns the names below it of what was synced. */
async function watched(t: TestContext) {
  const top = temporaryFolder(t);
  const synced = await watchSyncs(t, top);
  const publishOne = async (name: string, isSynced: boolean) => {
    writeFileSync(join(top, `${name}.tmp`), name);
    await publish(join(top, `${name}.tmp`), join(top, HOUR, name), top, isSynced);
    return synced.splice(0);
  };
  return { top, publishOne };
}

const skip = process.platform === 'linux' ? false : 'names of open directories are read from /proc';

test('the first file of an hour has every directory above it synced, the next ones their own', { skip }, async (t) => {
  const { publishOne } = await watched(t);
  assert.deepEqual(await publishOne('a', false), EVERY_LEVEL);
  assert.deepEqual(await publishOne('b', true), [HOUR]);
});

test('after a start the directories are synced though they are there: a crash may have come before', {
  skip,
}, async (t) => {
  const { top, publishOne } = await watched(t);
  mkdirSync(join(top, HOUR), { recursive: true });
  assert.deepEqual(await publishOne('a', false), EVERY_LEVEL);
});

test('directories that were deleted meanwhile are made and synced again', { skip }, async (t) => {
  const { top, publishOne } = await watched(t);
  await publishOne('a', false);
  rmSync(join(top, 'raw', 'traces', 'year=2025'), { recursive: true });
  assert.deepEqual(await publishOne('b', true), EVERY_LEVEL);
});
