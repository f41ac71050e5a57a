/** SIGTERM under load: nothing that was answered is lost, nobody gets anything but 200 and 503, and the exit status is 0. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { it } from 'node:test';
import { CursorTable } from '../../src/journal/cursors.ts';
import { startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { Client, checkIds } from '../support/owing.ts';
import { readAllStored, spansOf } from '../support/storage.ts';
import { service, span } from '../worker/world.ts';

const ROUNDS = 3;
const CLIENTS = 8;

const YAML = `
agent: { id: stop-test, data_dir: ./data, log_level: warn, shutdown: { serve_on: 200ms, grace: 20s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
processors: [ { type: sample, wait: 5s, base: 100% } ]
sinks: [ { type: storage, subscribe: [raw, sampled], directory: ./data/storage, rotate: { every: 1h } } ]
`;

it('SIGTERM under load loses nothing: what was answered is in finished files, the sample included, when the agent has ended', async (t) => {
  const directory = temporaryDirectory(t, 'stop');
  const storage = join(directory, 'data/storage');
  const owed = new Set<string>();
  const sent = new Set<string>();
  for (let round = 0; round < ROUNDS; round++) {
    const agent = await startAgentProcess(directory, YAML);
    const clients = Array.from({ length: CLIENTS }, () => new Client(agent.ingest, sent));
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(await agent.end('SIGTERM'), 0, agent.output());
    await Promise.all(clients.map((client) => client.stop()));
    const before = owed.size;
    for (const client of clients) for (const id of client.owed) owed.add(id);
    assert.ok(owed.size > before, 'there was load');
    for (const stream of ['raw', 'sampled']) {
      const ids = spansOf(readAllStored(storage, stream, 'traces')).map(({ spanId }) => spanId);
      checkIds(`${stream} after round ${round}`, ids, owed, sent);
      assert.equal(ids.length, new Set(ids).size, `${stream}: an item stands twice`);
    }
  }
});

it('a destination that is down uses up the grace for itself alone: the files of another sink are finished and counted', async (t) => {
  const directory = temporaryDirectory(t, 'stop-dead');
  // Nobody listens there.
  const dead = '{ type: kafka, brokers: ["127.0.0.1:9"], subscribe: { raw: dead } }';
  const yaml = YAML.replace('grace: 20s', 'grace: 3s').replace('sinks: [', `sinks: [ ${dead},`);
  const agent = await startAgentProcess(directory, yaml);
  const client = new Client(agent.ingest, new Set());
  await new Promise((resolve) => setTimeout(resolve, 500));
  await client.stop();
  assert.equal(await agent.end('SIGTERM'), 0, agent.output());
  const ids = spansOf(readAllStored(join(directory, 'data/storage'), 'raw', 'traces')).map(({ spanId }) => spanId);
  checkIds('raw', ids, client.owed, new Set(ids));
  const row = (await CursorTable.peek(join(directory, 'data/journal'))).rows().get('storage/raw/traces');
  assert.equal(row?.delivered, ids.length);
  const left = `"queued":{"kafka":${ids.length}},"msg":"stopped: items that sinks have not taken wait in the journal for the next start"}`;
  assert.equal(agent.output().trimEnd().split('\n').at(-1)?.endsWith(left), true, agent.output());
});

it('SIGTERM ends within the grace also while all memory is held by what a destination does not answer', async (t) => {
  const directory = temporaryDirectory(t, 'stop-held');
  // Nobody listens there.
  const sinks = 'sinks: [ { type: otlp, endpoint: "http://127.0.0.1:9", subscribe: [raw, sampled] } ]';
  const yaml = YAML.replace(/sinks: .*/, sinks)
    .replace('log_level: warn', 'log_level: warn, memory_limit: 32MiB')
    .replace('grace: 20s', 'grace: 3s')
    .replace('wait: 5s', 'wait: 100ms');
  const agent = await startAgentProcess(directory, yaml);
  const spans = Array.from({ length: 8000 }, (_, i) => span(i + 1, { name: 'x'.repeat(1000) }));
  const body = Buffer.from(service('shop', ...spans));
  const headers = { 'content-type': 'application/x-protobuf' };
  for (let refused = 0; refused < 10; ) {
    const { status } = await fetch(`${agent.ingest}/v1/traces`, { method: 'POST', headers, body });
    refused = status === 503 ? refused + 1 : 0;
  }
  const stopped = Date.now();
  assert.equal(await agent.end('SIGTERM'), 0, agent.output());
  t.diagnostic(`ended after ${Date.now() - stopped} ms`);
  assert.match(agent.output().trimEnd().split('\n').at(-1) ?? '', /"queued":\{"otlp":\d+\}/);
});

it('a serve_on beyond the grace is cut off by it', async (t) => {
  const yaml = YAML.replace('serve_on: 200ms, grace: 20s', 'serve_on: 60s, grace: 1s');
  const agent = await startAgentProcess(temporaryDirectory(t, 'stop-serve'), yaml);
  assert.equal(await agent.end('SIGTERM'), 0, agent.output());
});
