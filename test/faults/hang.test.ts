/** A disk that hangs: the agent ends all the same when it is told to, says what it could not do, and nothing that was answered is lost. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, settledLedger, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { Client, checkIds } from '../support/owing.ts';
import { storedSpanIds } from '../support/storage.ts';

const HANG = fileURLToPath(new URL('./hang.cjs', import.meta.url));
const YAML = `
agent: { id: hang-test, workers: 1, data_dir: ./data, log_level: warn, shutdown: { serve_on: 0ms, grace: 2s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 256MiB }
processors: [ { type: summarize, every: 1s }, { type: sample, wait: 200ms, base: 100% } ]
sinks: [ { type: storage, subscribe: [raw, sampled], directory: ./data/storage, rotate: { every: 1s } } ]
`;

/** An agent that was taking data when its disk began to hang. */
async function hanging(t: TestContext) {
  const directory = temporaryDirectory(t, 'hang');
  const fifo = join(directory, 'hang');
  const agent = await startAgentProcess(directory, YAML, {
    NODE_OPTIONS: `--require ${HANG}`,
    PLUMBLINE_HANG: fifo,
  });
  t.after(() => agent.end('SIGKILL'));
  const sent = new Set<string>();
  const client = new Client(agent.ingest, sent);
  await eventually('data is taken', 30_000, () => client.owed.size > 500 || undefined);
  execFileSync('mkfifo', [fifo]);
  const told = /the disk has not taken a write for 5 s/;
  await eventually('the disk hangs', 30_000, () => told.test(agent.output()) || undefined);
  return { directory, fifo, agent, client, sent };
}

test('a stop on a disk that hangs is given up soon after the grace, and says so; the next start has all that was answered', async (t) => {
  const { directory, fifo, agent, client, sent } = await hanging(t);
  assert.equal(await agent.end('SIGTERM'), 1, agent.output());
  await client.stop();
  assert.match(
    agent.output().trimEnd().split('\n').at(-1) ?? '',
    /data\/journal: the disk hangs: .* agent\.shutdown\.grace \(2s\)/,
  );
  rmSync(fifo);
  const next = await startAgentProcess(directory, YAML);
  t.after(() => next.end('SIGKILL'));
  await settledLedger(next, 60_000);
  assert.equal(await next.end('SIGTERM'), 0, next.output());
  for (const stream of ['raw', 'sampled'])
    checkIds(stream, storedSpanIds(join(directory, 'data/storage'), stream), client.owed, sent);
});

test('a second signal ends it at once, on a disk that hangs, too', async (t) => {
  const { agent, client } = await hanging(t);
  process.kill(agent.pid, 'SIGTERM');
  await eventually('it stops', 30_000, () =>
    fetch(`${agent.admin}/health/ready`).then(async (answer) => /shutting down/.test(await answer.text()) || undefined),
  );
  assert.equal(await agent.end('SIGTERM'), 1, agent.output());
  await client.stop();
  assert.match(agent.output(), /second signal/);
});
