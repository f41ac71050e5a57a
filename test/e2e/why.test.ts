/** A trace is asked for by its id: whether it was kept, by which class and threshold, where it lies, and what it was. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { processContext } from '../../src/cli/context.ts';
import type { Explained } from '../../src/status/explained.ts';
import { eventually, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { span, traces } from '../worker/world.ts';

const yaml = (budget: string) => `
agent: { id: why, data_dir: ./data, shutdown: { serve_on: 0ms, grace: 10s }, log_level: warn }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
processors:
  - { type: detect }
  - type: sample
    wait: 1s
    base: 50%
    keep: { rare: 0% }
    rules: [{ name: checkout, where: { http.route: /checkout }, keep: 100% }]
    budget: ${budget}
sinks:
  - { type: storage, subscribe: [sampled], directory: ./data/storage, rotate: { every: 300ms } }
`;

const KEPT = `${'11'.repeat(8)}aaffffffffffffff`;
const DROPPED = `${'22'.repeat(8)}aa00000000000001`;
const FAILED = `${'33'.repeat(8)}aa00000000000002`;
const RULED = `${'44'.repeat(8)}aa00000000000003`;
const trace = (id: string, more: object = {}) =>
  span(Number.parseInt(id.slice(0, 2), 16), { traceId: Buffer.from(id, 'hex'), ...more });

test('why a trace was kept or dropped: class, threshold, randomness, position, and the trace itself', async (t) => {
  const directory = temporaryDirectory(t, 'why');
  const agent = await startAgentProcess(directory, yaml('none'));
  t.after(() => agent.end('SIGKILL'));
  const body = traces(
    trace(KEPT),
    trace(DROPPED),
    trace(FAILED, { status: { code: 2 }, name: 'pay' }),
    trace(RULED, { attributes: [{ key: 'http.route', value: { stringValue: '/checkout' } }] }),
  );
  const headers = { 'content-type': 'application/x-protobuf' };
  const sent = await fetch(`${agent.ingest}/v1/traces`, { method: 'POST', headers, body: new Uint8Array(body) });
  assert.equal(sent.status, 200);
  const ask = async (id: string) => (await (await fetch(`${agent.admin}/traces/${id}`)).json()) as Explained;
  const undecided = await ask(DROPPED);
  assert.equal(undecided.decision, 'undecided');
  assert.equal(undecided.received.length, 1, 'it is in the journal already');
  const failed = await eventually('it is decided', 10_000, async () => {
    const found = await ask(FAILED);
    return found.kept.length > 0 ? found : undefined;
  });
  assert.deepEqual(
    [failed.decision, failed.class, failed.threshold, failed.probability, failed.randomness],
    ['kept', 'error', '0', 1, '00000000000002'],
  );
  const [item] = failed.kept;
  assert.deepEqual([item?.service, item?.name, item?.status, item?.kept], ['shop', 'pay', 'error', 'error']);
  assert.deepEqual(
    failed.journal.intake,
    failed.received.map(({ sequence }) => sequence),
  );
  assert.equal(failed.journal.derived.length, 1);
  const dropped = await ask(DROPPED);
  assert.deepEqual([dropped.decision, dropped.class, dropped.threshold, dropped.kept], ['dropped', 'base', '8', []]);
  assert.match(dropped.why, /R 00000000000001 against the threshold 8 \(50 %/);
  assert.equal((await ask(KEPT)).decision, 'kept');
  const ruled = await ask(RULED);
  assert.deepEqual([ruled.decision, ruled.class, ruled.rule], ['kept', 'base', 'checkout']);
  assert.equal((await ask('55'.repeat(16))).decision, 'unknown');
  assert.equal((await fetch(`${agent.admin}/traces/nonsense`)).status, 400);

  const said: string[] = [];
  const context = {
    ...processContext(),
    stdout: (text: string) => void said.push(text),
    stderr: (text: string) => void said.push(text),
  };
  assert.equal(await runCommand(['why', FAILED.toUpperCase(), '--admin', agent.admin], context), 0);
  assert.match(
    said.join(''),
    /kept, it is of class error.*\n.*class error, threshold 0, randomness 00000000000002[\s\S]*kept .* shop {2}pay {2}error 10 ms {2}\(error\)/,
  );
  said.length = 0;
  assert.equal(await runCommand(['why', '55'.repeat(16), '--admin', agent.admin, '--json'], context), 1);
  assert.equal((JSON.parse(said.join('')) as Explained).decision, 'unknown');
  assert.equal(await runCommand(['why', '123'], context), 2);
  assert.equal(await agent.end('SIGTERM'), 0);
  assert.equal(await runCommand(['why', FAILED, '--admin', agent.admin], context), 1);
  assert.match(said.join(''), /AGENT_UNREACHABLE: no agent answers at/);
});

test('with a budget the threshold is the one of the trace’s slot', async (t) => {
  const directory = temporaryDirectory(t, 'why-budget');
  // 2 KiB a slot for 4 KiB of base traces.
  const agent = await startAgentProcess(directory, yaml('12KiB/min'));
  t.after(() => agent.end('SIGKILL'));
  const headers = { 'content-type': 'application/x-protobuf' };
  const spans = Array.from({ length: 100 }, (_, i) =>
    span(i, { attributes: [{ key: 'k', value: { stringValue: 'v'.repeat(200) } }] }),
  );
  const body = traces(...spans, trace(KEPT));
  await fetch(`${agent.ingest}/v1/traces`, { method: 'POST', headers, body: new Uint8Array(body) });
  const kept = await eventually('its slot is settled', 25_000, async () => {
    const found = (await (await fetch(`${agent.admin}/traces/${KEPT}`)).json()) as Explained;
    return found.kept.length > 0 ? found : undefined;
  });
  assert.ok((kept.probability ?? 1) < 0.2, `${kept.probability}`);
  assert.equal(kept.kept[0]?.tracestate, `ot=th:${kept.threshold}`);
});
