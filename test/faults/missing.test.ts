/** Files that are gone from the journal's directory: a start goes on without any one of them, and loses nothing of what was acknowledged. */
import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, settledLedger, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { Client, checkIds } from '../support/owing.ts';
import { storedSpanIds } from '../support/storage.ts';

const yaml = (every: string) => `
agent: { id: missing-test, workers: 1, data_dir: ./data, log_level: warn, shutdown: { serve_on: 0ms, grace: 20s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0", max_request_body_size: 1MiB } }
journal: { segment_size: 4MiB, max_size: 64MiB }
processors: [ { type: summarize, every: 1s }, { type: sample, wait: 200ms, base: 100% } ]
sinks: [ { type: storage, subscribe: [raw, sampled], directory: ./data/storage, rotate: { every: ${every} } } ]
`;

const GONE: [string, ...string[]][] = [
  ['cursors'],
  ['cursors', 'checkpoint', 'checkpoint.copy'],
  ['identity', 'identity.copy'],
  ['checkpoint'],
  ['reserve', 'lock', 'intake/epoch', 'derived/epoch'],
];

for (const names of GONE)
  test(`without ${names.join(', ')} nothing is lost that was acknowledged`, async (t) => {
    const directory = temporaryDirectory(t, 'missing');
    const journal = join(directory, 'data/journal');
    const sent = new Set<string>();
    // Its files are not finished before it is killed, so that all of it is queued.
    const before = await startAgentProcess(directory, yaml('1h'));
    t.after(() => before.end('SIGKILL'));
    const client = new Client(before.ingest, sent);
    await eventually('a checkpoint', 30_000, () => readdirSync(journal).includes('checkpoint.copy') || undefined);
    await eventually('data is taken', 30_000, () => client.owed.size > 500 || undefined);
    await before.end('SIGKILL');
    await client.stop();
    for (const name of names) rmSync(join(journal, name));
    const agent = await startAgentProcess(directory, yaml('1s'));
    t.after(() => agent.end('SIGKILL'));
    await settledLedger(agent, 60_000);
    assert.equal(await agent.end('SIGTERM'), 0, agent.output());
    for (const stream of ['raw', 'sampled'])
      checkIds(stream, storedSpanIds(join(directory, 'data/storage'), stream), client.owed, sent);
    assert.equal(/cursors in .* are gone/.test(agent.output()), names.includes('cursors'), agent.output());
  });
