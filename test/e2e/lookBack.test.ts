/** A contract breaks: the minutes before it come after all, within seconds, nothing twice, and a kill -9 in the middle changes nothing of it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, settledLedger, startAgentProcess } from '../support/agent.ts';
import { assertOnce, type Event, keptOf, prepareBreach, Sender } from '../support/breach.ts';
import { readAllStored, type Span, spansOf } from '../support/storage.ts';

const WITHIN_MS = 10_000;
const BASE = 0.1;

const yaml = (wait: string, more = '') => `
agent: { id: look-back, data_dir: ./data, shutdown: { serve_on: 0ms, grace: 20s }, log_level: warn }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
contracts: [contracts/*.yaml]
processors:
  - { type: detect }
  - { type: sample, wait: ${wait}, base: ${BASE * 100}%, keep: { rare: 0% } ${more} }
sinks:
  - { type: storage, subscribe: [sampled, events, raw], directory: ./data/storage, rotate: { every: 300ms }, compression: none }
`;

function eventsIn(storage: string, name: string): Event[] {
  const requests = readAllStored(storage, 'events', 'logs') as {
    resourceLogs?: { scopeLogs?: { logRecords?: Event[] }[] }[];
  }[];
  return requests
    .flatMap(({ resourceLogs }) =>
      (resourceLogs ?? []).flatMap(({ scopeLogs }) => (scopeLogs ?? []).flatMap(({ logRecords }) => logRecords ?? [])),
    )
    .filter(({ eventName }) => eventName === name);
}

/** The counting rule of docs/output.md. */
function countOf(span: Span): number {
  if (keptOf(span) === 'look_back') return 0;
  const digits = /th:([0-9a-f]+)/.exec(span.traceState ?? '')?.[1];
  return digits === undefined ? 1 : 1 / (1 - Number.parseInt(digits.padEnd(14, '0'), 16) / 2 ** 56);
}

for (const [name, wait, more] of [
  ['decided ones alone', '1s', ''],
  ['those not decided yet too', '30s', ''],
  ['with a budget, too', '1s', ', budget: 600MiB/min'],
] as const) {
  test(`what a service sent before a breach is at the sink within 10 s of it, nothing twice: ${name}`, async (t) => {
    const directory = prepareBreach(t, 'look-back', '{ look_back: 2m }');
    const storage = join(directory, 'data/storage');
    const agent = await startAgentProcess(directory, yaml(wait, more));
    t.after(() => agent.end('SIGKILL'));
    const sender = new Sender(() => agent);
    await sender.sendFor(6000, false);
    const before = sender.sent.filter(({ service }) => service === 'checkout').map(({ id }) => id);
    await sender.sendFor(3500, true);
    const [event] = await eventually('the breach is told', 10_000, () => {
      const found = eventsIn(storage, 'plumbline.contract.state_changed').filter(({ attributes }) =>
        attributes?.some(({ key, value }) => key === 'contract.state' && value.stringValue === 'breached'),
      );
      return found.length > 0 ? found : undefined;
    });
    const breachMs = Number(BigInt(event?.timeUnixNano ?? 0) / 1_000_000n);
    await eventually('what came before it', WITHIN_MS, () => {
      const have = new Set(spansOf(readAllStored(storage, 'sampled', 'traces')).map(({ spanId }) => spanId));
      return before.every((id) => have.has(id)) ? true : undefined;
    });
    t.diagnostic(`complete ${((Date.now() - breachMs) / 1000).toFixed(1)} s after the breach`);
    assert.ok(Date.now() - breachMs < WITHIN_MS);
    const [told] = await eventually('it is told', 10_000, () => {
      const found = eventsIn(storage, 'plumbline.look_back');
      return found.length > 0 ? found : undefined;
    });
    const attributes = new Map(told?.attributes?.map(({ key, value }) => [key, value]));
    assert.ok(Date.parse(attributes.get('look_back.from')?.stringValue ?? '') <= (sender.sent[0]?.ms ?? 0));
    assert.equal(attributes.get('look_back.complete')?.boolValue, true);
    assert.ok(Number(attributes.get('items')?.intValue) > before.length * 0.8);
    assert.equal(await agent.end('SIGTERM'), 0);
    const kept = spansOf(readAllStored(storage, 'sampled', 'traces'));
    assertOnce(kept);
    const own = new Set(before);
    const counted = kept.filter(({ spanId }) => own.has(spanId)).reduce((sum, span) => sum + countOf(span), 0);
    const sigma = Math.sqrt(before.length * (1 / BASE - 1));
    assert.ok(Math.abs(counted - before.length) < 4 * sigma, `${counted} by the counting rule, ${before.length} sent`);
    const reasons = Object.groupBy(kept, (span) => keptOf(span) ?? '');
    t.diagnostic(JSON.stringify(Object.fromEntries(Object.entries(reasons).map(([key, list]) => [key, list?.length]))));
    const others = new Set(sender.sent.filter(({ service }) => service === 'other').map(({ id }) => id));
    assert.deepEqual(new Set(kept.filter(({ spanId }) => others.has(spanId)).map(keptOf)), new Set(['base']));
    assert.ok(
      kept.some((span) => keptOf(span) === 'breach'),
      'while it is broken its traces are kept',
    );
    assert.ok(eventsIn(storage, 'plumbline.look_back').length === 1);
  });
}

test('a look-back is thinned to its budget, and to the cap of the node’s owner', async (t) => {
  const directory = prepareBreach(t, 'look-back-budget', '{ look_back: 2m, budget: 1GiB/min }');
  const storage = join(directory, 'data/storage');
  const agent = await startAgentProcess(directory, yaml('500ms', ', on_breach_max: { budget: 20KiB/min }'));
  t.after(() => agent.end('SIGKILL'));
  const sender = new Sender(() => agent);
  await sender.sendFor(4000, false);
  await sender.sendFor(3000, true);
  await eventually('it is told', 10_000, () =>
    eventsIn(storage, 'plumbline.look_back').length > 0 ? true : undefined,
  );
  assert.equal(await agent.end('SIGTERM'), 0);
  const kept = spansOf(readAllStored(storage, 'sampled', 'traces')).filter((span) => keptOf(span) === 'look_back');
  // About 110 bytes a span with what is added.
  const most = (40 * 1024) / 100;
  assert.ok(kept.length > most * 0.4 && kept.length < most * 1.15, `${kept.length} kept, room for ${most}`);
});

test('killed in the middle of a look-back, again and again: nothing is missing and nothing stands twice', async (t) => {
  const directory = prepareBreach(t, 'look-back-kill', '{ look_back: 2m }');
  const storage = join(directory, 'data/storage');
  const config = yaml('4s');
  let agent = await startAgentProcess(directory, config);
  t.after(() => agent.end('SIGKILL'));
  const sender = new Sender(() => agent);
  await sender.sendFor(5000, false);
  const before = sender.sent.filter(({ service }) => service === 'checkout').map(({ id }) => id);
  for (let kill = 0; kill < 5; kill++) {
    await sender.sendFor(kill === 0 ? 2300 : 400, true);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 400));
    assert.equal(await agent.end('SIGKILL'), 'SIGKILL');
    agent = await startAgentProcess(directory, config);
  }
  await eventually('what came before the breach', 20_000, () => {
    const have = new Set(spansOf(readAllStored(storage, 'sampled', 'traces')).map(({ spanId }) => spanId));
    return before.every((id) => have.has(id)) ? true : undefined;
  });
  await settledLedger(agent, 30_000);
  assert.equal(await agent.end('SIGTERM'), 0);
  assertOnce(spansOf(readAllStored(storage, 'sampled', 'traces')));
});
