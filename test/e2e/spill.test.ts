/** What may be kept is more than memory holds: it goes to the disk and comes back, and `sampled` has what it has to have. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, settledLedger, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { Client, checkIds } from '../support/owing.ts';
import { storedSpanIds } from '../support/storage.ts';

/** 32 MiB of blocks, of which 4 are for what may be kept: a block of 2 MiB, and another while it is written. */
const yaml = `
agent: { id: spill, workers: 1, data_dir: ./data, memory_limit: 64MiB, log_level: warn, shutdown: { serve_on: 0ms, grace: 30s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0", max_request_body_size: 1MiB } }
journal: { max_size: 1GiB, look_back: 0s }
processors: [ { type: sample, wait: 5s, base: 25%, slower_than: none, keep: { rare: 0% } } ]
sinks: [ { type: storage, subscribe: [sampled], directory: ./data/storage, compression: none, rotate: { every: 1s } } ]
`;
const MEBIBYTES = 96;
/** A client makes requests of so many spans, one in sixteen an error, with the end of the trace's id in the span's. */
const REQUEST = { spans: 25, padding: 50_000 };

function isKept(spanId: string): boolean {
  return spanId[1] === '0' || Number.parseInt(spanId.slice(2, 4), 16) >= 0xc0;
}

test('of what lay on the disk nothing is missing, nothing doubled, and the journal is not read again', async (t) => {
  const directory = temporaryDirectory(t, 'spill');
  const agent = await startAgentProcess(directory, yaml);
  t.after(() => agent.end('SIGKILL'));
  const sent = new Set<string>();
  const clients = [1, 2].map(() => new Client(agent.ingest, sent, REQUEST));
  const requests = (MEBIBYTES << 20) / REQUEST.padding;
  const taken = () => clients.reduce((sum, { owed }) => sum + owed.size, 0);
  await eventually('it is taken', 60_000, () => taken() > requests * REQUEST.spans || undefined);
  await Promise.all(clients.map((client) => client.stop()));
  const owed = new Set(clients.flatMap((client) => [...client.owed]));
  await settledLedger(agent, 60_000);
  const metrics = await (await fetch(`${agent.admin}/metrics`)).text();
  const figure = (name: string) =>
    Number(
      metrics
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.slice(name.length),
    );
  assert.ok(figure('plumbline_sample_spilled_bytes_total') > 4 << 20, 'next to nothing went to the disk');
  const [short, read] = ['shortlist', 'journal'].map((by) => figure(`plumbline_sample_requests_total{by="${by}"}`));
  assert.ok((read ?? 0) < (short ?? 0) / 4, `${read} requests were read again, ${short} were not`);
  assert.equal(await agent.end('SIGTERM'), 0);
  const found = storedSpanIds(join(directory, 'data/storage'), 'sampled');
  assert.equal(new Set(found).size, found.length, 'some are there twice');
  checkIds('sampled', found, new Set([...owed].filter(isKept)), new Set([...sent].filter(isKept)));
  assert.deepEqual(
    readdirSync(join(directory, 'data/journal')).filter((name) => name.includes('shortlists')),
    [],
  );
});
