/** kill -9 under load, again and again: what was answered 200 is at every sink. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type AgentProcess,
  eventually,
  killWhileStarting,
  settledLedger,
  startAgentProcess,
  temporaryDirectory,
} from '../support/agent.ts';
import { type Broker, startBroker, unavailable } from '../support/kafka/broker.ts';
import { openReader } from '../support/kafka/reader.ts';
import { Client, checkIds } from '../support/owing.ts';
import {
  decodeRequest,
  metricsOf,
  readAllStored,
  readStored,
  spansOf,
  storedFiles,
  storedSpanIds,
} from '../support/storage.ts';

/** With storage and with Kafka, each. */
const KILLS = Number(process.env.PLUMBLINE_KILLS ?? 25);
const SPANS = Number(process.env.PLUMBLINE_KILL_SPANS ?? 25);
const CLIENTS = 6;
const SETTLE_MS = 60_000;

const yaml = (sinks: string) => `
agent: { id: kill-test, workers: 2, data_dir: ./data, log_level: warn, shutdown: { serve_on: 0ms, grace: 20s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
processors: [ { type: summarize, every: 1s }, { type: sample, wait: 200ms, base: 100% } ]
sinks:
${sinks}
`;
const STORAGE =
  '  - { type: storage, subscribe: [raw, sampled, summaries], directory: ./data/storage, rotate: { every: 1s } }';

async function storm(
  directory: string,
  config: string,
): Promise<{ owed: Set<string>; sent: Set<string>; agent: AgentProcess; inTheMiddle: number }> {
  const owed = new Set<string>();
  const sent = new Set<string>();
  let inTheMiddle = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const agent = await startAgentProcess(directory, config);
    const clients = Array.from({ length: CLIENTS }, () => new Client(agent.ingest, sent, { spans: SPANS }));
    await new Promise((resolve) => setTimeout(resolve, 100 + Math.random() * 600));
    // A busy machine takes longer for its first answer.
    await eventually('an answer', 30_000, () => clients.some((client) => client.owed.size > 0) || undefined);
    assert.equal(await agent.end('SIGKILL'), 'SIGKILL');
    await Promise.all(clients.map((client) => client.stop()));
    // Every third time again, in the middle of the recovery.
    if (kill % 3 === 0) await killWhileStarting(directory, config, Math.random() * 1000);
    const before = owed.size;
    for (const client of clients) for (const id of client.owed) owed.add(id);
    if (owed.size > before) inTheMiddle++;
  }
  return { owed, sent, agent: await startAgentProcess(directory, config), inTheMiddle };
}

interface Group {
  calls: number;
  sumMs: number;
  minMs: number;
  maxMs: number;
}

function add(groups: Map<string, Group>, key: string, more: Group): void {
  const { calls, sumMs, minMs, maxMs } = groups.get(key) ?? { calls: 0, sumMs: 0, minMs: Infinity, maxMs: -Infinity };
  groups.set(key, {
    calls: calls + more.calls,
    sumMs: Math.round((sumMs + more.sumMs) * 1000) / 1000,
    minMs: Math.min(minMs, more.minMs),
    maxMs: Math.max(maxMs, more.maxMs),
  });
}

/** What all summaries that were delivered say together, by operation and outcome. */
function summarised(storage: string): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const { name, exponentialHistogram } of metricsOf(readAllStored(storage, 'summaries', 'metrics'))) {
    if (name !== 'traces.span.metrics.duration') continue;
    for (const { attributes, count, sum, min, max, positive } of exponentialHistogram?.dataPoints ?? []) {
      const of = (key: string) => attributes?.find((one) => one.key === key)?.value?.stringValue ?? '';
      const buckets = (positive?.bucketCounts ?? []).reduce((all, one) => all + Number(one), 0);
      assert.equal(buckets, Number(count), 'every span is in a bucket');
      const more = { calls: Number(count), sumMs: sum, minMs: min, maxMs: max };
      add(groups, `${of('span.name')} ${of('status.code').replace('STATUS_CODE_', '')}`, more);
    }
  }
  return groups;
}

/** The same from what was received, file by file. */
function received(storage: string): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const file of storedFiles(storage, 'raw', 'traces')) {
    for (const { name, status, startTimeUnixNano, endTimeUnixNano } of spansOf(readStored(file, 'traces'))) {
      const ms = Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)) / 1e6;
      add(groups, `${name} ${status?.code === 2 ? 'ERROR' : 'UNSET'}`, { calls: 1, sumMs: ms, minMs: ms, maxMs: ms });
    }
  }
  return groups;
}

describe('kill -9 in mid-load', () => {
  it(`nothing answered 200 is missing in storage after ${KILLS} kills, and no file holds an item twice`, async (t) => {
    const directory = temporaryDirectory(t, 'kill');
    const { owed, sent, agent, inTheMiddle } = await storm(directory, yaml(STORAGE));
    t.after(() => agent.end('SIGKILL'));
    assert.ok(
      inTheMiddle >= KILLS * 0.8,
      `only ${inTheMiddle} of ${KILLS} kills came under load: the test proves nothing`,
    );
    const { ledger } = await settledLedger(agent, SETTLE_MS);
    assert.equal(await agent.end('SIGTERM'), 0);
    const storage = join(directory, 'data/storage');
    for (const stream of ['raw', 'sampled']) {
      const ids = storedSpanIds(storage, stream);
      checkIds(`${stream} in storage, ${owed.size} owed`, ids, owed, sent);
      assert.equal(ids.length, new Set(ids).size, `${stream}: an item stands twice`);
    }
    const oracle = received(storage);
    assert.equal(oracle.size, 6, 'the load has six groups');
    assert.equal(
      [...oracle.values()].reduce((sum, { calls }) => sum + calls, 0),
      ledger.traces?.received,
    );
    const sorted = (groups: Map<string, Group>) => [...groups].sort(([a], [b]) => a.localeCompare(b));
    assert.deepEqual(sorted(summarised(storage)), sorted(oracle), 'summaries are those of a run without kills');
    t.diagnostic(`${KILLS} kills, ${owed.size} spans owed, ${sent.size} sent`);
  });
});

describe('kill -9 in mid-load, with Kafka', { skip: unavailable() ?? false }, () => {
  let broker: Broker;
  before(async () => {
    broker = await startBroker({ topics: ['killed_raw', 'killed_sampled'] });
  });
  after(() => broker.stop());

  it(`nothing answered 200 is missing in Kafka after ${KILLS} kills, and plumbline.sequence removes every duplicate`, async (t) => {
    const directory = temporaryDirectory(t, 'kill-kafka');
    const kafka = `  - { type: kafka, brokers: ["${broker.address}"], subscribe: { raw: killed_raw, sampled: killed_sampled } }`;
    const { owed, sent, agent } = await storm(directory, yaml(`${STORAGE}\n${kafka}`));
    t.after(() => agent.end('SIGKILL'));
    await settledLedger(agent, SETTLE_MS);
    assert.equal(await agent.end('SIGTERM'), 0);
    for (const topic of ['killed_raw', 'killed_sampled']) {
      const ends = await broker.administer((admin) => admin.fetchTopicOffsets(topic));
      const count = ends.reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0);
      const reader = await openReader(broker.address, [topic]);
      const unique = await collect(reader, count);
      t.diagnostic(`${topic}: ${reader.records.length} of ${count} records read, ${unique.size} without duplicates`);
      await reader.close();
      const ids = [...unique.values()].flatMap((value) =>
        spansOf([decodeRequest(value, 'traces')]).map(({ spanId }) => spanId),
      );
      checkIds(topic, ids, owed, sent);
      assert.equal(
        ids.length,
        new Set(ids).size,
        `${topic}: an item is left twice after duplicates are removed by sequence`,
      );
    }
  });
});

/** Records by identity: all `count` that lie there, or those that came before half a minute without any. */
async function collect(reader: Awaited<ReturnType<typeof openReader>>, count: number): Promise<Map<string, Buffer>> {
  const unique = new Map<string, Buffer>();
  let seen = 0;
  for (let quiet = 0; quiet < 600 && seen < count; quiet++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (; seen < reader.records.length; seen++) {
      quiet = 0;
      const { headers, value } = reader.records[seen] as (typeof reader.records)[number];
      const identity = ['agent', 'stream', 'signal', 'sequence'].map((name) => headers[`plumbline.${name}`]).join(' ');
      const first = unique.get(identity);
      assert.ok(first === undefined || first.equals(value), `${identity}: two records of one identity differ`);
      unique.set(identity, value);
    }
  }
  return unique;
}
