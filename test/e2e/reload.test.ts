/** Holds reload: contracts and processors take effect without a restart, a bad file is refused as a whole, and load loses nothing meanwhile. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  type AgentProcess,
  eventually,
  settledLedger,
  startAgentProcess,
  temporaryDirectory,
} from '../support/agent.ts';
import { metricsOf, readAllStored, spansOf } from '../support/storage.ts';
import { service, span } from '../worker/world.ts';

/** `LONG=1` does as many as the promise says. */
const RELOADS = process.env.LONG ? 100 : 15;
const WITHIN_MS = 2000;

const yaml = (processors: string) => `
agent: { id: reload, data_dir: ./data, shutdown: { serve_on: 0s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
contracts: [ "contracts/*.yaml" ]
processors: [ ${processors} ]
sinks:
  - { type: storage, subscribe: [raw, sampled, summaries], directory: ./data/storage, rotate: { every: 1s } }
`;
const PROCESSORS = '{ type: summarize, every: 1s }, { type: detect }, { type: sample, wait: 200ms, base: 100% }';

const contract = (limit: string, more = '') => `contract: v1
service: shop
signals:
  - { name: errors, of: spans, bad: { status: error }, breached: above ${limit}, min_items: 5 }
${more}for: 1s
`;

/** Written beside and moved there, as editors and Kubernetes do. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

async function start(t: TestContext): Promise<{ agent: AgentProcess; directory: string; file: string }> {
  const directory = temporaryDirectory(t, 'reload');
  mkdirSync(join(directory, 'contracts'));
  const file = join(directory, 'contracts/shop.yaml');
  writeFileSync(file, contract('5%'));
  const agent = await startAgentProcess(directory, yaml(PROCESSORS));
  t.after(() => agent.end('SIGKILL'));
  return { agent, directory, file };
}

interface Shown {
  version: string;
  signals: { name: string; state: string; items: number; threshold: { breached: string } }[];
}

async function shown(agent: AgentProcess): Promise<Shown[]> {
  return (await (await fetch(`${agent.admin}/contracts`)).json()) as Shown[];
}

async function configuration(agent: AgentProcess) {
  const { agent: about } = (await (await fetch(`${agent.admin}/status`)).json()) as {
    agent: { config: { loaded_at: string; error: string | null; restart_needed: string[] } };
  };
  return about.config;
}

function send(agent: AgentProcess, from: number, count: number, bad: number): Promise<number> {
  const nowNs = BigInt(Date.now()) * 1_000_000n;
  const spans = Array.from({ length: count }, (_, i) =>
    span(from + i, {
      startTimeUnixNano: String(nowNs - 1_000_000n),
      endTimeUnixNano: String(nowNs),
      status: { code: i < bad ? 2 : 0 },
    }),
  );
  const body = Buffer.from(service('shop', ...spans));
  const headers = { 'content-type': 'application/x-protobuf' };
  return fetch(`${agent.ingest}/v1/traces`, { method: 'POST', headers, body }).then(({ status }) => status);
}

test('a changed, an added and a removed contract take effect within two seconds; windows of unchanged signals are kept', async (t) => {
  const { agent, directory, file } = await start(t);
  assert.equal(await send(agent, 0, 20, 2), 200);
  await eventually('the breach', 10_000, async () => {
    const [shop] = await shown(agent);
    return shop?.signals[0]?.state === 'breached' || undefined;
  });
  replace(file, contract('50%', '  - { name: slow, of: spans, slower_than: 1s, breached: above 1%, min_items: 5 }\n'));
  const after = await eventually('the changed contract', WITHIN_MS, async () => {
    const [shop] = await shown(agent);
    return shop?.signals.length === 2 ? shop : undefined;
  });
  assert.deepEqual(
    after.signals.map(({ name, state, items, threshold }) => [name, state, items, threshold.breached]),
    [
      ['errors', 'breached', 20, 'above 50%'],
      ['slow', 'unknown', 0, 'above 1%'],
    ],
  );
  writeFileSync(join(directory, 'contracts/other.yaml'), contract('5%').replace('shop', 'other'));
  await eventually('the added contract', WITHIN_MS, async () => (await shown(agent)).length === 2 || undefined);
  rmSync(join(directory, 'contracts/other.yaml'));
  await eventually('the removed contract', WITHIN_MS, async () => (await shown(agent)).length === 1 || undefined);
  const metrics = await (await fetch(`${agent.admin}/metrics`)).text();
  assert.doesNotMatch(metrics, /plumbline_contract_state\{service="other"/);
  assert.equal(await agent.end('SIGTERM'), 0);
});

test('a file with a fault is refused as a whole: log, metric and /status say so, everything stays; SIGHUP reads again', async (t) => {
  const { agent, directory, file } = await start(t);
  const [before] = await shown(agent);
  writeFileSync(join(directory, 'contracts/other.yaml'), contract('5%').replace('shop', 'other'));
  replace(file, contract('5%').replace('breached', 'breeched'));
  const { error } = await eventually('the refusal', WITHIN_MS, async () => {
    const found = await configuration(agent);
    return found.error === null ? undefined : found;
  });
  assert.match(error ?? '', /shop\.yaml:4:\d+: unknown key "breeched"/);
  // Whether the sound new file was seen a moment earlier by itself is the clock's business; the fault's own contract stays.
  assert.equal((await shown(agent)).find(({ version }) => version === before?.version)?.version, before?.version);
  assert.match(await (await fetch(`${agent.admin}/metrics`)).text(), /plumbline_config_errors_total [1-9]/);
  assert.match(agent.output(), /was refused.*breeched/);
  replace(file, contract('7%'));
  process.kill(agent.pid, 'SIGHUP');
  await eventually('the mended file', WITHIN_MS, async () => (await configuration(agent)).error === null || undefined);
  assert.equal(
    (await shown(agent)).find(({ signals }) => signals[0]?.threshold.breached === 'above 7%')?.signals.length,
    1,
  );
  assert.equal(await agent.end('SIGTERM'), 0);
});

test('tokens with a fault are refused: /status says so until they are mended, and the old ones hold', async (t) => {
  const directory = temporaryDirectory(t, 'reload');
  const tokens = join(directory, 'tokens');
  writeFileSync(tokens, 'one name=a\n');
  const http = 'http: { endpoint: "127.0.0.1:0", auth: { bearer_token_file: tokens } }';
  const agent = await startAgentProcess(directory, yaml(PROCESSORS).replace(/http: \{.*?\}/, http));
  t.after(() => agent.end('SIGKILL'));
  replace(tokens, 'two name=a wrong\n');
  process.kill(agent.pid, 'SIGHUP');
  const { error } = await eventually('the refusal', WITHIN_MS, async () => {
    const found = await configuration(agent);
    return found.error === null ? undefined : found;
  });
  assert.match(error ?? '', /^tokens of the OTLP port: .*tokens:1: .*"wrong"/);
  const headers = { 'content-type': 'application/json', authorization: 'Bearer one' };
  const send = () => fetch(`${agent.ingest}/v1/traces`, { method: 'POST', headers, body: '{}' });
  assert.equal((await send()).status, 200);
  replace(tokens, 'two name=a\n');
  process.kill(agent.pid, 'SIGHUP');
  await eventually('the mended file', WITHIN_MS, async () => (await configuration(agent)).error === null || undefined);
  assert.equal((await send()).status, 401);
  assert.equal(await agent.end('SIGTERM'), 0);
});

test('processors are reloaded, too; what needs a restart is told and left as it was', async (t) => {
  const { agent, directory } = await start(t);
  const file = join(directory, 'agent.yaml');
  const redact = '{ type: redact, attributes: [ { match: secret, action: mask } ] }, ';
  replace(
    file,
    yaml(redact + PROCESSORS.replace('wait: 200ms', 'wait: 400ms')).replace('max_size: 512MiB', 'max_size: 600MiB'),
  );
  await eventually('the reload', WITHIN_MS, async () => {
    const { restart_needed } = await configuration(agent);
    return restart_needed.length === 2 || undefined;
  });
  assert.deepEqual((await configuration(agent)).restart_needed.sort(), ['journal.max_size', 'processors.sample.wait']);
  const attributes = [{ key: 'secret', value: { stringValue: 'x' } }];
  const body = Buffer.from(service('shop', span(1, { attributes })));
  const headers = { 'content-type': 'application/x-protobuf' };
  assert.equal((await fetch(`${agent.ingest}/v1/traces`, { method: 'POST', headers, body })).status, 200);
  await settledLedger(agent, 20_000);
  assert.equal(await agent.end('SIGTERM'), 0);
  const [stored] = spansOf(readAllStored(join(directory, 'data/storage'), 'raw', 'traces'));
  assert.equal(stored?.attributes?.[0]?.value?.stringValue, '****');
});

test(`${RELOADS} reloads under load lose nothing: every item is stored, sampled and summarised`, async (t) => {
  const { agent, directory, file } = await start(t);
  let sent = 0;
  let going = true;
  const statuses = new Set<number>();
  const senders = Array.from({ length: 4 }, async () => {
    while (going) {
      const from = sent;
      sent += 25;
      statuses.add(await send(agent, from, 25, 1));
    }
  });
  const config = join(directory, 'agent.yaml');
  const redact = '{ type: redact, attributes: [ { match: none, action: mask } ] }, ';
  for (let i = 0; i < RELOADS; i++) {
    const { loaded_at } = await configuration(agent);
    if (i % 3 === 2) replace(config, yaml((i % 2 === 0 ? redact : '') + PROCESSORS));
    else replace(file, contract(`${5 + (i % 90)}%`));
    process.kill(agent.pid, 'SIGHUP');
    await eventually(
      'a reload',
      WITHIN_MS,
      async () => (await configuration(agent)).loaded_at !== loaded_at || undefined,
    );
  }
  going = false;
  await Promise.all(senders);
  assert.deepEqual([...statuses], [200]);
  await settledLedger(agent, 60_000);
  assert.equal((await configuration(agent)).error, null);
  assert.equal(await agent.end('SIGTERM'), 0);
  t.diagnostic(`${sent} spans over ${RELOADS} reloads`);
  const storage = join(directory, 'data/storage');
  assert.equal(spansOf(readAllStored(storage, 'raw', 'traces')).length, sent);
  assert.equal(spansOf(readAllStored(storage, 'sampled', 'traces')).length, sent);
  const calls = metricsOf(readAllStored(storage, 'summaries', 'metrics'))
    .filter(({ name }) => name === 'traces.span.metrics.calls')
    .flatMap(({ sum }) => sum?.dataPoints ?? []);
  assert.equal(
    calls.reduce((total, { asInt, asDouble }) => total + Number(asInt ?? asDouble), 0),
    sent,
  );
});
