/** A service without a contract: what is slow is learned from what it does, told by `why`, and known again after a restart of either kind. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Explained } from '../../src/status/explained.ts';
import { type AgentProcess, eventually, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { readAllStored, type Span, spansOf } from '../support/storage.ts';
import { service, span } from '../worker/world.ts';

const SERVER = 2;
const YAML = `
agent: { id: slow, data_dir: ./data, shutdown: { serve_on: 0ms, grace: 10s }, log_level: warn }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
processors:
  - { type: summarize, every: 1s }
  - { type: detect }
  - { type: sample, wait: 1s, base: 0%, keep: { rare: 0% }, slower_than: p99 }
sinks:
  - { type: storage, subscribe: [sampled], directory: ./data/storage, rotate: { every: 300ms } }
`;

test('a slow span of a service without a contract is kept, before and after restarts', async (t) => {
  const directory = temporaryDirectory(t, 'slow');
  const storage = join(directory, 'data/storage');
  let agent: AgentProcess = await startAgentProcess(directory, YAML);
  t.after(() => agent.end('SIGKILL'));
  /** Spans of new traces; returns the ids of the traces. */
  const send = async (count: number, ms: number): Promise<string[]> => {
    const ids = Array.from({ length: count }, () => randomBytes(16));
    const spans = ids.map((traceId, i) =>
      span(i, { traceId, spanId: randomBytes(8), name: 'GET /cart', kind: SERVER }, ms),
    );
    const answer = await fetch(`${agent.ingest}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: new Uint8Array(service('cart', ...spans)),
    });
    assert.equal(answer.status, 200);
    return ids.map((id) => id.toString('hex'));
  };
  const stored = (): Span[] => spansOf(readAllStored(storage, 'sampled', 'traces'));
  const explain = async (id: string) => (await (await fetch(`${agent.admin}/traces/${id}`)).json()) as Explained;
  const decided = (id: string) =>
    eventually('it is decided', 10_000, async () => {
      const found = await explain(id);
      return found.decision === 'undecided' || found.decision === 'unknown' ? undefined : found;
    });

  const [early = ''] = await send(1, 400);
  assert.equal((await decided(early)).decision, 'dropped', 'nothing is known yet');
  for (let i = 0; i < 10; i++) await send(200, 20);
  const slow = await eventually('it is learned', 20_000, async () => {
    const [id = ''] = await send(1, 400);
    const found = await decided(id);
    return found.decision === 'kept' ? found : undefined;
  });
  assert.equal(slow.class, 'slow');
  assert.match(
    slow.why,
    /class slow.*; GET \/cart of cart took 400 ms, and p99 of this operation is 2[0-2](\.\d+)? ms$/,
  );
  const [usual = ''] = await send(1, 20);
  assert.deepEqual([(await decided(usual)).decision, (await explain(usual)).class], ['dropped', 'base']);

  const kept = [slow.trace_id];
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    // After the last checkpoint nothing is learned that matters.
    await agent.end(signal);
    agent = await startAgentProcess(directory, YAML);
    const [id = ''] = await send(1, 400);
    assert.deepEqual([(await decided(id)).decision, (await explain(id)).class], ['kept', 'slow'], `after ${signal}`);
    kept.push(id);
  }
  await eventually('all are stored', 10_000, () => {
    const have = new Set(stored().map(({ traceId }) => traceId));
    return kept.every((id) => have.has(id)) ? true : undefined;
  });
  for (const one of stored())
    assert.equal(one.attributes?.find(({ key }) => key === 'plumbline.kept')?.value?.stringValue, 'slow');
});
