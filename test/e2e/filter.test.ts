/** `filter` with `streams: [raw, sampled]`: neither gets what matches, the ledger says so, and an agent that is killed meanwhile loses and doubles nothing. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type AgentProcess,
  eventually,
  settledLedger,
  startAgentProcess,
  temporaryDirectory,
} from '../support/agent.ts';
import { readAllStored, spansOf } from '../support/storage.ts';
import { service, span } from '../worker/world.ts';

const ROUNDS = 4;
const REQUESTS = 30;

const yaml = (streams: string) => `
agent: { id: filter, data_dir: ./data, log_level: warn, shutdown: { serve_on: 0s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
processors:
  - { type: filter, drop: [ { of: spans, where: { http.route: /health } } ], streams: ${streams} }
  - { type: sample, wait: 100ms, base: 100% }
sinks:
  - { type: storage, subscribe: [raw, sampled], directory: ./data/storage, rotate: { every: 300ms } }
`;

const HEALTH = { attributes: [{ key: 'http.route', value: { stringValue: '/health' } }] };
const wanted = (n: number) => span(n, { name: `wanted ${n}` });
const unwanted = (n: number) => span(n, { name: `unwanted ${n}`, ...HEALTH });

/** Requests of one wanted and one unwanted span, and between them as many of unwanted ones alone; returns what was answered. */
async function send(agent: AgentProcess, from: number): Promise<number[]> {
  const owed: number[] = [];
  for (let n = from; n < from + REQUESTS; n++) {
    for (const spans of [[unwanted(n)], [unwanted(n), wanted(n)]]) {
      const body = new Uint8Array(service('shop', ...spans));
      const headers = { 'content-type': 'application/x-protobuf' };
      const answer = await fetch(`${agent.ingest}/v1/traces`, { method: 'POST', headers, body });
      await answer.arrayBuffer();
      assert.equal(answer.status, 200);
    }
    owed.push(n);
  }
  return owed;
}

test('killed in the middle, raw and sampled hold each wanted span once and no other', async (t) => {
  const directory = temporaryDirectory(t, 'filter');
  const owed: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const agent = await startAgentProcess(directory, yaml('[raw, sampled]'));
    t.after(() => agent.end('SIGKILL'));
    owed.push(...(await send(agent, round * REQUESTS)));
    if (round < ROUNDS - 1) {
      // Somewhere between a file that was finished and a cursor that was saved.
      await new Promise((resolve) => setTimeout(resolve, 130 * round));
      await agent.end('SIGKILL');
      continue;
    }
    const { sinks } = await settledLedger(agent, 20_000);
    const all = owed.length * 3;
    for (const stream of ['raw', 'sampled']) {
      const row = sinks.storage?.streams[stream]?.traces;
      assert.deepEqual([row?.offered, row?.delivered, row?.filtered], [all, owed.length, owed.length * 2], stream);
    }
    assert.equal(sinks.storage?.lag_items, 0);
    const metrics = await (await fetch(`${agent.admin}/metrics`)).text();
    assert.match(metrics, /plumbline_sink_items_total\{.*stream="raw".*outcome="filtered"\} [1-9]/);
    assert.equal(await agent.end('SIGTERM'), 0, agent.output());
  }
  const names = owed.map((n) => `wanted ${n}`).sort();
  for (const stream of ['raw', 'sampled']) {
    const found = spansOf(readAllStored(join(directory, 'data/storage'), stream, 'traces')).map(({ name }) => name);
    assert.deepEqual(found.sort(), names, stream);
  }
});

test('a reload takes raw out of it and puts it in again', async (t) => {
  const directory = temporaryDirectory(t, 'filter');
  const file = join(directory, 'agent.yaml');
  const agent = await startAgentProcess(directory, yaml('[sampled]'));
  t.after(() => agent.end('SIGKILL'));
  const counts = async (stream: string) => {
    const row = (await settledLedger(agent, 20_000)).sinks.storage?.streams[stream]?.traces;
    return { delivered: row?.delivered ?? 0, filtered: row?.filtered ?? 0 };
  };
  await send(agent, 0);
  const before = await counts('raw');
  assert.deepEqual([before.delivered, before.filtered], [REQUESTS * 3, 0]);
  writeFileSync(file, yaml('[raw]'));
  let from = REQUESTS;
  await eventually('the filter is in force', 20_000, async () => {
    await send(agent, from);
    from += REQUESTS;
    return (await counts('raw')).filtered > 0 || undefined;
  });
  const [raw, sampled] = [await counts('raw'), await counts('sampled')];
  await send(agent, from);
  const more = [await counts('raw'), await counts('sampled')].map(({ delivered, filtered }, i) => {
    const then = i === 0 ? raw : sampled;
    return [delivered - then.delivered, filtered - then.filtered];
  });
  assert.deepEqual(more, [
    [REQUESTS, REQUESTS * 2],
    [REQUESTS * 3, 0],
  ]);
  assert.equal(await agent.end('SIGTERM'), 0, agent.output());
});
