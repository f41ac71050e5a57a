/** kill -9 between mark and decision, again and again: `sampled` holds exactly what a run without kills would have kept, each item once. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { type AgentProcess, settledLedger, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { readAllStored, spansOf } from '../support/storage.ts';
import { span, traces } from '../worker/world.ts';

const KILLS = 4;
/** Longer than an agent takes to come back. */
const WAIT_MS = 8000;
/** Rounds in which it took longer, on a busy machine, say nothing: their traces were decided before they failed. */
const MOST_VOID = 6;
/** Between the agent's clock and the test's. */
const MARGIN_MS = 500;
const TRACES_PER_ROUND = 60;

const yaml = `
agent: { id: sample-kill, data_dir: ./data, shutdown: { serve_on: 0ms, grace: 20s }, log_level: warn }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
processors: [{ type: sample, wait: ${WAIT_MS}ms, base: 25%, keep: { rare: 0% } }]
sinks:
  - { type: storage, subscribe: [sampled], directory: ./data/storage, rotate: { every: 300ms }, compression: none }
`;

interface Made {
  id: string;
  failed: boolean;
  spanIds: string[];
}

test('kill -9 between mark and decision: nothing lost, nothing doubled, the decisions of a run without it', async (t) => {
  const directory = temporaryDirectory(t, 'sample-kill');
  let agent: AgentProcess = await startAgentProcess(directory, yaml);
  t.after(() => agent.end('SIGKILL'));
  const all: Made[] = [];
  const send = async (made: readonly Made[], more: object = {}) => {
    const spans = made.map(({ id, spanIds }) => {
      const spanId = randomBytes(8);
      spanIds.push(spanId.toString('hex'));
      return span(1, { traceId: Buffer.from(id, 'hex'), spanId, ...more });
    });
    const headers = { 'content-type': 'application/x-protobuf' };
    const answer = await fetch(`${agent.ingest}/v1/traces`, {
      method: 'POST',
      headers,
      body: new Uint8Array(traces(...spans)),
    });
    assert.equal(answer.status, 200);
  };
  let voided = 0;
  const voidIds = new Set<string>();
  for (let kill = 0; kill < KILLS; ) {
    assert.ok(voided <= MOST_VOID, `${voided} starts took longer than ${WAIT_MS} ms`);
    const began = performance.now();
    const made = Array.from(
      { length: TRACES_PER_ROUND },
      (_, i): Made => ({ id: randomBytes(16).toString('hex'), failed: i % 5 === 0, spanIds: [] }),
    );
    await send(made);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 1500));
    assert.equal(await agent.end('SIGKILL'), 'SIGKILL');
    agent = await startAgentProcess(directory, yaml);
    // What failed failed after the restart: the first span was marked before it.
    await send(
      made.filter(({ failed }) => failed),
      { status: { code: 2 } },
    );
    if (performance.now() - began < WAIT_MS - MARGIN_MS) {
      kill++;
      all.push(...made);
    } else {
      voided++;
      for (const { spanIds } of made) for (const id of spanIds) voidIds.add(id);
    }
  }
  await settledLedger(agent, 40_000);
  assert.equal(await agent.end('SIGTERM'), 0);
  const kept = spansOf(readAllStored(join(directory, 'data/storage'), 'sampled', 'traces')).map(({ spanId }) => spanId);
  assert.equal(new Set(kept).size, kept.length, 'an item stands twice');
  const decided = kept.filter((id) => !voidIds.has(id));
  const wanted = all.filter(({ id, failed }) => failed || BigInt(`0x${id.slice(18)}`) >= 0xc0000000000000n);
  assert.deepEqual(decided.sort(), wanted.flatMap(({ spanIds }) => spanIds).sort());
  t.diagnostic(
    `${KILLS} kills, ${voided} more that say nothing, ${decided.length} spans of ${wanted.length} traces kept`,
  );
});
