/** kill -9 of the agent and outages of a real S3 server: what was answered 200 is in the bucket once, in objects that are whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settledLedger, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { Client, checkIds } from '../support/owing.ts';
import { CREDENTIALS, startS3, unavailable } from '../support/s3/server.ts';
import { readStored, spansOf } from '../support/storage.ts';

const KILLS = Number(process.env.PLUMBLINE_KILLS ?? 8);

test('an agent that is killed again and again fills a bucket without a gap, a tear or a double', {
  skip: unavailable() ?? false,
}, async (t) => {
  const s3 = await startS3(t);
  const directory = temporaryDirectory(t, 's3');
  const config = `
agent: { id: kill-test, workers: 1, data_dir: ./data, log_level: warn, shutdown: { serve_on: 0ms, grace: 20s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
sinks:
  - type: storage
    subscribe: [raw]
    s3: { bucket: ${s3.bucket}, prefix: edge, endpoint: "${s3.url}", force_path_style: true }
    rotate: { every: 50ms }
    retry: { initial: 50ms, max: 300ms }
    timeout: 2s
`;
  const env = { ...CREDENTIALS, AWS_EC2_METADATA_DISABLED: 'true' };
  const owed = new Set<string>();
  const sent = new Set<string>();
  let agent = await startAgentProcess(directory, config, env);
  t.after(() => agent.end('SIGKILL'));
  for (let kill = 0; kill < KILLS; kill++) {
    const clients = Array.from({ length: 3 }, () => new Client(agent.ingest, sent));
    // Every third life has no server, or one that has just come back.
    if (kill % 3 === 1) await s3.halt();
    await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 900));
    await agent.end('SIGKILL');
    await Promise.all(clients.map((client) => client.stop()));
    for (const client of clients) for (const id of client.owed) owed.add(id);
    if (kill % 3 === 1) await s3.restart();
    agent = await startAgentProcess(directory, config, env);
  }
  await settledLedger(agent, 60_000);
  assert.equal(await agent.end('SIGTERM'), 0);
  assert.ok(owed.size > 100, `only ${owed.size} spans were owed`);
  const ids = s3.keys().flatMap((key) => spansOf(readStored(s3.path(key), 'traces')).map(({ spanId }) => spanId));
  checkIds('spans in the bucket', ids, owed, sent);
  assert.equal(ids.length, new Set(ids).size, 'a span lies in two objects');
  t.diagnostic(`${KILLS} kills, ${owed.size} spans owed, ${s3.keys().length} objects`);
});
