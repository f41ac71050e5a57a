/** Uploads with a bucket that misbehaves; s3.test.ts holds them against a real one. */
import assert from 'node:assert/strict';
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Uploads } from '../../../src/sinks/storage/uploads.ts';
import { temporaryDirectory } from '../../support/agent.ts';

const ROW = { stream: 'raw', signal: 'traces' } as const;

test('a file that is deleted while it is uploaded lies in the bucket, once', async (t) => {
  const directory = temporaryDirectory(t, 'uploads');
  const put: string[] = [];
  const bucket = {
    async put(path: string, key: string) {
      put.push(key);
      if (put.length === 1) rmSync(path);
    },
    close() {},
  };
  const failed: string[] = [];
  const uploads = new Uploads(bucket, directory, 'x', { initialMs: 1, maxMs: 1 }, (_, error) => failed.push(error));
  for (const name of ['a_0-9.binpb', 'a_10-19.binpb']) {
    writeFileSync(join(directory, name), name);
    await uploads.add(ROW, join(directory, name));
  }
  assert.deepEqual([put, failed], [['x/a_0-9.binpb', 'x/a_10-19.binpb'], []]);
  assert.equal(await uploads.mend(ROW), false);
  assert.equal(existsSync(join(directory, 'a_0-9.binpb')), false);
  assert.equal(statSync(join(directory, 'a_10-19.binpb')).size, 0);
  await uploads.close(0);
});
