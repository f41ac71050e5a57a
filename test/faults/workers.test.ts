/** Workers that throw, exit, run out of heap or never return: the request that did it is refused and kept, everything else is answered and owed. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requestType } from '../../src/otlp/schema.ts';
import { settledLedger, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { Client, checkIds } from '../support/owing.ts';
import { readAllStored, spansOf } from '../support/storage.ts';

const SABOTAGE = fileURLToPath(new URL('./sabotage.cjs', import.meta.url));
const WHOLE_MS = 2000;
const YAML = `
agent: { id: workers-test, workers: 2, data_dir: ./data, log_level: warn, shutdown: { serve_on: 0ms, grace: 20s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 256MiB }
processors: [ { type: summarize, every: 1s }, { type: sample, wait: 200ms, base: 100% } ]
sinks: [ { type: storage, subscribe: [raw, sampled], directory: ./data/storage, rotate: { every: 1s } } ]
`;

function deadly(kind: string): Uint8Array<ArrayBuffer> {
  const type = requestType('traces');
  const span = { traceId: Buffer.alloc(16, 7), spanId: Buffer.alloc(8, 7), name: `sabotage:${kind}` };
  return new Uint8Array(
    type.encode(type.fromObject({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] })).finish(),
  );
}

async function post(url: string, body: Uint8Array<ArrayBuffer>): Promise<number> {
  const answer = await fetch(`${url}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf' },
    body,
  });
  await answer.arrayBuffer();
  return answer.status;
}

// `fail` throws inside the task and costs no thread; the others end one, and one more when the frame has run alone.
for (const [kind, deaths] of Object.entries({ fail: 0, exit: 2, heap: 2, loop: 2 })) {
  test(`a request on which a worker comes to harm (${kind}) is answered 500 and quarantined; all others are answered and delivered`, async (t) => {
    const directory = temporaryDirectory(t, `workers-${kind}`);
    const agent = await startAgentProcess(directory, YAML, { NODE_OPTIONS: `--require ${SABOTAGE}` });
    t.after(() => agent.end('SIGKILL'));
    const sent = new Set<string>();
    const clients = Array.from({ length: 4 }, () => new Client(agent.ingest, sent));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const body = deadly(kind);
    assert.equal(await post(agent.ingest, body), 500);
    const began = performance.now();
    const before = clients.reduce((sum, { owed }) => sum + owed.size, 0);
    while (clients.reduce((sum, { owed }) => sum + owed.size, 0) === before) {
      assert.ok(performance.now() - began < WHOLE_MS, 'the pool is whole again within two seconds');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await Promise.all(clients.map((client) => client.stop()));
    const { workers } = await agent.status();
    assert.ok(workers.restarts >= deaths, `${workers.restarts} threads died, expected ${deaths}`);
    await settledLedger(agent, 60_000);
    assert.equal(await agent.end('SIGTERM'), 0);
    const owed = new Set(clients.flatMap((client) => [...client.owed]));
    assert.ok(owed.size > 100, 'there was load');
    for (const stream of ['raw', 'sampled']) {
      const stored = spansOf(readAllStored(join(directory, 'data/storage'), stream, 'traces'));
      checkIds(
        `${stream} after ${kind}`,
        stored.map(({ spanId }) => spanId),
        owed,
        sent,
      );
    }
    const quarantine = join(directory, 'data/journal/intake/quarantine');
    const kept = readdirSync(quarantine).map((name) => readFileSync(join(quarantine, name)));
    assert.ok(
      kept.some((bytes) => bytes.equals(body)),
      'the request is kept in quarantine/',
    );
  });
}
