/** Holds the storage sink while its bucket cannot be reached at all: nobody else waits for it, and what it says ends with the outage. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { storage } from '../../../src/sinks/storage/index.ts';
import { CREDENTIALS } from '../../support/s3/server.ts';
import { createHarness, spans, temporaryFolder, within } from '../harness.ts';

const ROW = { stream: 'raw', signal: 'traces' } as const;
/** Nobody listens there. */
const S3 = { bucket: 'telemetry', endpoint: 'http://127.0.0.1:1', force_path_style: true };

before(() => Object.assign(process.env, CREDENTIALS, { AWS_EC2_METADATA_DISABLED: 'true' }));

/** A sink whose only file waits for its upload, as a life before has left it. */
async function afterCrash(t: TestContext) {
  const directory = join(temporaryFolder(t), 'own');
  const section = { type: 'storage', subscribe: ['raw'], s3: S3, rotate: { every: '1h' } };
  const retry = { retry: { initial: '10ms', max: '50ms' }, timeout: '1s' };
  const harness = createHarness(storage, { ...section, ...retry }, { directory });
  const { delivery, source, make } = harness;
  for (let i = 0; i < 5; i++) source.append('raw', 'traces', spans(i, i + 1), 1);
  delivery.start();
  await delivery.drain(Date.now() + 5000);
  await delivery.close(Date.now() + 200);
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  assert.equal(names.filter((name) => name.endsWith('_0-4.binpb.zst')).length, 1);
  const again = make();
  t.after(() => again.close(Date.now()));
  again.start();
  await within(5000, () => again.state().state === 'retrying');
  return { ...harness, delivery: again };
}

test('what waits for its upload since before the start is waited for by nobody who makes room in the journal', async (t) => {
  const { delivery, cursor } = await afterCrash(t);
  await delivery.finish(ROW);
  assert.equal(cursor(ROW).next, 0);
});
