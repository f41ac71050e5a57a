/** What is given up by choice: a dead sink with max_lag, and drop_oldest. The others get everything, and every item given up is counted and told. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LedgerRow } from '../../src/status/ledger.ts';
import { type AgentProcess, eventually, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { Client, checkIds } from '../support/owing.ts';
import { CREDENTIALS } from '../support/s3/server.ts';
import { type KeyValue, readAllStored, spansOf } from '../support/storage.ts';

const MAX_MIB = 64;
/** Nobody listens there. */
const DEAD_KAFKA = 'brokers: ["127.0.0.1:9"]';
const yaml = (journal: string, sinks: string, base = '100%') => `
agent: { id: retention-test, workers: 1, data_dir: ./data, log_level: error, shutdown: { serve_on: 0ms, grace: 10s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0", max_request_body_size: 1MiB } }
journal: { segment_size: 4MiB, max_size: ${MAX_MIB}MiB, look_back: 0s${journal} }
processors: [ { type: summarize, every: 1s }, { type: sample, wait: 0s, base: ${base}, keep: { error: ${base} } } ]
sinks:
${sinks}
`;
const STORAGE =
  '  - { type: storage, subscribe: [raw, events], directory: ./data/storage, compression: none, rotate: { size: 4MiB, every: 1s } }';

/** Sends until about `mebibytes` were acknowledged. */
async function load(
  agent: AgentProcess,
  mebibytes: number,
): Promise<{ owed: Set<string>; sent: Set<string>; refused: number }> {
  const sent = new Set<string>();
  const clients = Array.from({ length: 2 }, () => new Client(agent.ingest, sent, { padding: 50_000 }));
  const total = () => clients.reduce((sum, client) => sum + client.owed.size, 0);
  // Requests of 25 spans take about 52 kB.
  await eventually(
    `${mebibytes} MiB are taken`,
    120_000,
    () => total() > (mebibytes * 2 ** 20 * 25) / 52_000 || undefined,
  );
  await Promise.all(clients.map((client) => client.stop()));
  const owed = new Set(clients.flatMap((client) => [...client.owed]));
  return { owed, sent, refused: clients.reduce((sum, client) => sum + client.refused, 0) };
}

async function rowOf(agent: AgentProcess, sink: string, stream: string, signal = 'traces'): Promise<LedgerRow> {
  const { sinks } = await agent.status();
  // The shape of /status, as interface and docs promise it.
  return sinks[sink]?.streams[stream]?.[signal] as unknown as LedgerRow;
}

function checkBalance(row: LedgerRow): void {
  const { offered, ...parts } = row;
  assert.equal(
    Object.values(parts).reduce((sum, items) => sum + items, 0),
    offered,
    JSON.stringify(row),
  );
}

/** Items that `plumbline.loss` events tell of, by cause and sink. */
function losses(storage: string): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const request of readAllStored(storage, 'events', 'logs') as unknown as Logs[]) {
    for (const record of request.resourceLogs.flatMap((one) => one.scopeLogs.flatMap(({ logRecords }) => logRecords))) {
      if (record.eventName !== 'plumbline.loss') continue;
      const of = (key: string) => record.attributes.find((one) => one.key === key)?.value;
      const key = `${of('loss.cause')?.stringValue} ${of('plumbline.sink')?.stringValue ?? '-'}`;
      sums[key] = (sums[key] ?? 0) + Number(of('items')?.intValue);
    }
  }
  return sums;
}

interface Logs {
  resourceLogs: { scopeLogs: { logRecords: { eventName?: string; attributes: KeyValue[] }[] }[] }[];
}

/** Sinks of the sampled stream whose destination is gone. Of the bucket's the finished files wait on disk, which makes them safe nowhere. */
const DEAD = {
  kafka: `{ type: kafka, name: dead, ${DEAD_KAFKA}, max_lag: 4MiB, subscribe: { sampled: dead } }`,
  s3: '{ type: storage, name: dead, max_lag: 4MiB, subscribe: [sampled], rotate: { every: 1s }, s3: { bucket: b, endpoint: "http://127.0.0.1:9" } }',
};

for (const [type, sink] of Object.entries(DEAD)) {
  test(`${type} dead with max_lag, storage healthy, three times max_size: no 503, storage has all of it, what the dead one lost is counted and told`, async (t) => {
    const directory = temporaryDirectory(t, 'max-lag');
    const agent = await startAgentProcess(directory, yaml('', `${STORAGE}\n  - ${sink}`), CREDENTIALS);
    t.after(() => agent.end('SIGKILL'));
    const { owed, sent, refused } = await load(agent, 3 * MAX_MIB);
    assert.equal(refused, 0, 'a dead sink refuses nobody');
    await eventually(
      'storage has it',
      60_000,
      async () => (await rowOf(agent, 'storage', 'raw')).queued === 0 || undefined,
    );
    const row = await eventually('the lag is within its bound', 10_000, async () => {
      const found = await rowOf(agent, 'dead', 'sampled');
      return found.expired > 0 ? found : undefined;
    });
    checkBalance(row);
    assert.equal(row.delivered, 0);
    assert.equal(await agent.end('SIGTERM'), 0);
    const storage = join(directory, 'data/storage');
    checkIds(
      'raw',
      spansOf(readAllStored(storage, 'raw', 'traces')).map(({ spanId }) => spanId),
      owed,
      sent,
    );
    const told = losses(storage);
    assert.ok((told['max_lag dead'] ?? 0) >= row.expired, `${JSON.stringify(told)} tells of ${row.expired}`);
  });
}

test('Kafka dead without a bound, 10 % of spans and all metrics sampled, three times max_size: still no 503, and everything sampled is queued for it', async (t) => {
  const directory = temporaryDirectory(t, 'dead-kafka');
  const kafka = `  - { type: kafka, ${DEAD_KAFKA}, subscribe: { sampled: dead } }`;
  // What the selection writes at once is 512 KiB: seven fit into a segment of 4 MiB, and with four of these derived/ is full before the end.
  const maxMib = 2 * MAX_MIB;
  const text = yaml('', `${STORAGE}\n${kafka}`, '10%')
    .replace('segment_size: 4MiB', 'segment_size: 8MiB')
    .replace(`max_size: ${MAX_MIB}MiB`, `max_size: ${maxMib}MiB`);
  const agent = await startAgentProcess(directory, text);
  t.after(() => agent.end('SIGKILL'));
  // Oldest of all, and so what would keep all that comes after it.
  const metric = { name: 'g', gauge: { dataPoints: [{ asInt: '1', timeUnixNano: '1750000000000000000' }] } };
  const body = JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics: [metric] }] }] });
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`${agent.ingest}/v1/metrics`, { method: 'POST', headers, body });
  assert.equal(answer.status, 200);
  const { owed, sent, refused } = await load(agent, 3 * maxMib);
  assert.equal(refused, 0);
  await eventually(
    'storage has it',
    60_000,
    async () => (await rowOf(agent, 'storage', 'raw')).queued === 0 || undefined,
  );
  const row = await rowOf(agent, 'kafka', 'sampled');
  checkBalance(row);
  assert.equal(row.expired, 0);
  assert.ok(row.queued > 0);
  const metrics = await rowOf(agent, 'kafka', 'sampled', 'metrics');
  assert.deepEqual([metrics.offered, metrics.queued], [1, 1]);
  assert.equal(await agent.end('SIGTERM'), 0);
  const stored = spansOf(readAllStored(join(directory, 'data/storage'), 'raw', 'traces'));
  checkIds(
    'raw',
    stored.map(({ spanId }) => spanId),
    owed,
    sent,
  );
});

test('drop_oldest: a dead sink of the raw data never makes it refuse; what goes is counted and told, what stays is the newest', async (t) => {
  const directory = temporaryDirectory(t, 'drop-oldest');
  const kafka = `  - { type: kafka, ${DEAD_KAFKA}, subscribe: { raw: dead } }`;
  const events =
    '  - { type: storage, subscribe: [events], directory: ./data/storage, compression: none, rotate: { every: 1s } }';
  const agent = await startAgentProcess(directory, yaml(', when_full: drop_oldest', `${events}\n${kafka}`));
  t.after(() => agent.end('SIGKILL'));
  const { refused } = await load(agent, 3 * MAX_MIB);
  assert.equal(refused, 0, 'the oldest goes, nobody is refused');
  const row = await rowOf(agent, 'kafka', 'raw');
  checkBalance(row);
  assert.ok(row.expired > 0 && row.queued > 0, JSON.stringify(row));
  assert.equal(await agent.end('SIGTERM'), 0);
  assert.equal(losses(join(directory, 'data/storage'))['drop_oldest kafka'], row.expired);
  // A restart still knows.
  const again = await startAgentProcess(directory, yaml(', when_full: drop_oldest', `${events}\n${kafka}`));
  t.after(() => again.end('SIGKILL'));
  const after = await rowOf(again, 'kafka', 'raw');
  checkBalance(after);
  assert.equal(after.expired, row.expired);
});

test('a file of which little comes, and which is not finished for an hour, does not fill the journal', async (t) => {
  const directory = temporaryDirectory(t, 'trickle');
  const storage = STORAGE.replace('every: 1s', 'every: 1h');
  const agent = await startAgentProcess(directory, yaml('', storage, '10%'));
  t.after(() => agent.end('SIGKILL'));
  const answer = await fetch(`${agent.ingest}/v1/logs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { stringValue: 'the only one' } }] }] }],
    }),
  });
  assert.equal(answer.status, 200);
  const { owed, sent, refused } = await load(agent, 3 * MAX_MIB);
  assert.equal(refused, 0);
  const stored = join(directory, 'data/storage');
  assert.equal(readAllStored(stored, 'raw', 'logs').length, 1, 'its file is finished');
  assert.equal(await agent.end('SIGTERM'), 0);
  checkIds(
    'raw',
    spansOf(readAllStored(stored, 'raw', 'traces')).map(({ spanId }) => spanId),
    owed,
    sent,
  );
});
