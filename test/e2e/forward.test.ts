/** One agent sends to another with the otlp sink: what the first answered 200 is in the second's files, over kill -9 of either. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { settledLedger, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { Client, checkIds } from '../support/owing.ts';
import { storedSpanIds } from '../support/storage.ts';

const config = (id: string, port: number, sink: string) => `
agent: { id: ${id}, workers: 1, data_dir: ./data, log_level: warn, shutdown: { serve_on: 0ms, grace: 20s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:${port}" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
sinks: [ ${sink} ]
`;

test('an agent forwards to another over kill -9 of both', async (t) => {
  const [near, far] = [temporaryDirectory(t, 'near'), temporaryDirectory(t, 'far')];
  const storage = '{ type: storage, subscribe: [raw], directory: ./data/storage, rotate: { every: 1s } }';
  let receiver = await startAgentProcess(far, config('far', 0, storage));
  t.after(() => receiver.end('SIGKILL'));
  const port = Number(new URL(receiver.ingest).port);
  const otlp = `{ type: otlp, endpoint: "${receiver.ingest}", subscribe: [raw], retry: { initial: 50ms, max: 200ms } }`;
  const nearConfig = config('near', 0, otlp);
  let sender = await startAgentProcess(near, nearConfig);
  t.after(() => sender.end('SIGKILL'));
  const owed = new Set<string>();
  const sent = new Set<string>();
  for (const victim of ['far', 'near', 'far', 'near']) {
    const clients = Array.from({ length: 3 }, () => new Client(sender.ingest, sent));
    await new Promise((resolve) => setTimeout(resolve, 500));
    if (victim === 'far') {
      await receiver.end('SIGKILL');
      receiver = await startAgentProcess(far, config('far', port, storage));
    } else await sender.end('SIGKILL');
    await Promise.all(clients.map((client) => client.stop()));
    for (const client of clients) for (const id of client.owed) owed.add(id);
    if (victim === 'near') sender = await startAgentProcess(near, nearConfig);
  }
  assert.ok(owed.size > 100, `only ${owed.size} spans were owed`);
  await settledLedger(sender, 60_000);
  await settledLedger(receiver, 60_000);
  assert.deepEqual([await sender.end('SIGTERM'), await receiver.end('SIGTERM')], [0, 0]);
  checkIds('spans at the second agent', storedSpanIds(join(far, 'data/storage'), 'raw'), owed, sent);
});
