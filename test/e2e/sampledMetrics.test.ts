/** Metrics of `sampled`: nobody decides about them, so they wait for nothing, are written once, and come once however often the agent is killed. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { requestType } from '../../src/otlp/schema.ts';
import { type AgentProcess, eventually, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { lossesIn, readAllStored } from '../support/storage.ts';
import { service, span } from '../worker/world.ts';

const ROUNDS = 4;
const REQUESTS = 20;
const SIGNALS = ['traces', 'metrics'] as const;

const STORAGE = (streams: string) =>
  `{ type: storage, subscribe: ${streams}, directory: ./data/storage, rotate: { every: 300ms } }`;
const yaml = (sinks: string[], sample = 'wait: 5m, base: 20%') => `
agent: { id: whole, data_dir: ./data, log_level: warn, shutdown: { serve_on: 0s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
processors:
  - { type: filter, drop: [ { of: spans, where: { http.route: /health } } ], streams: [raw, sampled] }
  - { type: sample, ${sample} }
sinks:
${sinks.map((sink) => `  - ${sink}`).join('\n')}
`;

const metrics = requestType('metrics');

/** A gauge of two points, which say from which request they are. */
function gauge(n: number): Uint8Array {
  const dataPoints = [0, 1].map((i) => ({ asInt: n * 2 + i, timeUnixNano: '1750000000000000000' }));
  return metrics
    .encode(
      metrics.fromObject({
        resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'g', gauge: { dataPoints } }] }] }],
      }),
    )
    .finish();
}

async function send(agent: AgentProcess, from: number): Promise<void> {
  for (let n = from; n < from + REQUESTS; n++) {
    const bodies = { traces: service('shop', span(n)), metrics: gauge(n) };
    for (const signal of SIGNALS) {
      const headers = { 'content-type': 'application/x-protobuf' };
      const body = new Uint8Array(bodies[signal]);
      const answer = await fetch(`${agent.ingest}/v1/${signal}`, { method: 'POST', headers, body });
      await answer.arrayBuffer();
      assert.equal(answer.status, 200);
    }
  }
}

interface Point {
  asInt: string;
}

function pointsIn(directory: string, stream: string): number[] {
  const requests = readAllStored(join(directory, 'data/storage'), stream, 'metrics') as unknown as {
    resourceMetrics: { scopeMetrics: { metrics: { gauge: { dataPoints: Point[] } }[] }[] }[];
  }[];
  return requests
    .flatMap(({ resourceMetrics }) => resourceMetrics)
    .flatMap(({ scopeMetrics }) => scopeMetrics)
    .flatMap((scope) => scope.metrics)
    .flatMap(({ gauge: { dataPoints } }) => dataPoints.map(({ asInt }) => Number(asInt)))
    .sort((a, b) => a - b);
}

test('killed in the middle: the metrics of sampled are those of raw, each once, while traces still wait', async (t) => {
  const directory = temporaryDirectory(t, 'whole');
  for (let round = 0; round < ROUNDS; round++) {
    const agent = await startAgentProcess(directory, yaml([STORAGE(round === 0 ? '[raw]' : '[raw, sampled]')]));
    t.after(() => agent.end('SIGKILL'));
    await send(agent, round * REQUESTS);
    if (round < ROUNDS - 1) {
      // Somewhere between a file that was finished and a cursor that was saved.
      await new Promise((resolve) => setTimeout(resolve, 130 * round));
      await agent.end('SIGKILL');
      continue;
    }
    const points = 2 * ROUNDS * REQUESTS;
    // The subscription begins where it was added.
    const before = 2 * REQUESTS;
    const offered = points - before;
    const { sampled, derived } = await eventually('the metrics are delivered', 20_000, async () => {
      const { sinks, derived } = await agent.status();
      const { raw, sampled } = sinks.storage?.streams ?? {};
      return sampled?.metrics?.queued === 0 && raw?.metrics?.queued === 0 ? { sampled, derived } : undefined;
    });
    const none = { filtered: 0, sampled_out: 0, dead_lettered: 0, expired: 0, damaged: 0, queued: 0 };
    assert.deepEqual(sampled.metrics, { offered, delivered: offered, ...none });
    assert.equal(sampled.traces?.queued, (ROUNDS - 1) * REQUESTS, 'traces wait');
    assert.equal(derived.head, derived.first, 'nothing of them is written a second time');
    assert.equal(await agent.end('SIGTERM'), 0, agent.output());
    const wanted = Array.from({ length: points }, (_, i) => i);
    assert.deepEqual(pointsIn(directory, 'raw'), wanted);
    assert.deepEqual(pointsIn(directory, 'sampled'), wanted.slice(before));
  }
});

test('what the selection reads again after a kill has metrics between: they are not written, and do not hold it up', async (t) => {
  const directory = temporaryDirectory(t, 'whole-read');
  const sinks = [STORAGE('[sampled]')];
  const before = await startAgentProcess(directory, yaml(sinks));
  t.after(() => before.end('SIGKILL'));
  await send(before, 0);
  await before.end('SIGKILL');
  const agent = await startAgentProcess(directory, yaml(sinks, 'wait: 100ms, base: 0%, keep: { rare: 0% }'));
  t.after(() => agent.end('SIGKILL'));
  const { traces, metrics } = await eventually('all is decided', 20_000, async () => {
    const { traces, metrics } = (await agent.status()).sinks.storage?.streams.sampled ?? {};
    return traces?.queued === 0 && metrics?.queued === 0 ? { traces, metrics } : undefined;
  });
  const none = { filtered: 0, dead_lettered: 0, expired: 0, damaged: 0, queued: 0 };
  assert.deepEqual(traces, { ...none, offered: REQUESTS, delivered: 0, sampled_out: REQUESTS });
  assert.deepEqual(metrics, { ...none, offered: 2 * REQUESTS, delivered: 2 * REQUESTS, sampled_out: 0 });
  const { derived } = await agent.status();
  assert.equal(derived.head, derived.first, 'nothing is kept, and metrics are not in it');
  assert.equal(await agent.end('SIGTERM'), 0, agent.output());
});

test('a sink that is configured no longer: what of its metrics was queued is told as lost', async (t) => {
  const directory = temporaryDirectory(t, 'whole-removed');
  // Nobody listens there.
  const dead = '{ type: kafka, brokers: ["127.0.0.1:9"], subscribe: { sampled: s } }';
  const before = await startAgentProcess(directory, yaml([STORAGE('[events]'), dead]));
  t.after(() => before.end('SIGKILL'));
  await send(before, 0);
  await before.end('SIGKILL');
  const agent = await startAgentProcess(directory, yaml([STORAGE('[events]')]));
  t.after(() => agent.end('SIGKILL'));
  assert.equal(await agent.end('SIGTERM'), 0, agent.output());
  assert.equal(lossesIn(join(directory, 'data/storage'))['sink_removed kafka metrics'], 2 * REQUESTS);
});
