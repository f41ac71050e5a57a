/** A service under the real SDK becomes slower than ever within what its contract allows: that is flagged, and its traces are kept. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SpanKind } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { DEFAULT_THRESHOLD } from '../../src/processors/flag/index.ts';
import { eventually, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { readAllStored, spansOf } from '../support/storage.ts';

const PER_SECOND = 30;
/** Judged every second, and believed after so many of them, so that the test takes a minute. */
const WARM_UP = 20;
/** What a request takes at first, and by how much longer later: far below what the contract allows. */
const USUAL_MS = 5;
const SLOWER_MS = 400;
const FLAGGED_WITHIN_MS = 30_000;

const yaml = (directory: string) => `
agent: { id: flagging, data_dir: ${directory}, shutdown: { serve_on: 0ms, grace: 15s }, log_level: warn }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
contracts: [contracts/*.yaml]
processors:
  - { type: detect }
  - { type: flag, every: 1s, warm_up: ${WARM_UP}, repeat: 1s }
  - { type: sample, wait: 1s, base: 0% }
sinks:
  - { type: storage, subscribe: [sampled, events], directory: ${directory}/storage, rotate: { every: 500ms }, compression: none }
`;

const CONTRACT = `
contract: v1
service: checkout
signals:
  - { name: latency, of: spans, slower_than: 1s, degraded: above 5%, breached: above 20% }
window: 10s
`;

interface Flag {
  timeUnixNano?: string;
  eventName?: string;
  body?: { stringValue?: string };
  attributes?: { key: string; value: { stringValue?: string; doubleValue?: number } }[];
}

/** Events in the storage sink's files. */
function eventsIn(directory: string): Flag[] {
  const requests = readAllStored(join(directory, 'storage'), 'events', 'logs') as {
    resourceLogs?: { scopeLogs?: { logRecords?: Flag[] }[] }[];
  }[];
  return requests.flatMap(({ resourceLogs }) =>
    (resourceLogs ?? []).flatMap(({ scopeLogs }) => (scopeLogs ?? []).flatMap(({ logRecords }) => logRecords ?? [])),
  );
}

/**
 * Sends PER_SECOND spans a second, each as long as it says and not as the machine is busy: a stall of the machine would be an anomaly, too.
 * `ms`: of the spans to come.
 */
function sendSpans(url: string) {
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'checkout' }),
    spanProcessors: [
      new BatchSpanProcessor(new OTLPTraceExporter({ url: `${url}/v1/traces` }), { scheduledDelayMillis: 200 }),
    ],
  });
  const tracer = provider.getTracer('flag');
  const traffic = { ms: USUAL_MS, stop };
  const startMs = Date.now();
  let sent = 0;
  const timer = setInterval(() => {
    for (; sent < ((Date.now() - startMs) / 1000) * PER_SECOND; sent++) {
      const endTime = Date.now();
      const startTime = endTime - traffic.ms - (sent % 3);
      tracer.startSpan('GET /checkout', { kind: SpanKind.SERVER, startTime }).end(endTime);
    }
  }, 20);
  async function stop(): Promise<void> {
    clearInterval(timer);
    await provider.shutdown();
  }
  return traffic;
}

test('a latency shift that breaks no contract is flagged within 30 s, and its traces are kept as anomalous', async (t) => {
  const directory = temporaryDirectory(t, 'flag');
  mkdirSync(join(directory, 'contracts'));
  writeFileSync(join(directory, 'contracts/checkout.yaml'), CONTRACT);
  const agent = await startAgentProcess(directory, yaml(directory));
  t.after(() => agent.end('SIGKILL'));
  const traffic = sendSpans(agent.ingest);
  t.after(() => traffic.stop());
  const flags = () => eventsIn(directory).filter(({ eventName }) => eventName === 'plumbline.anomaly.detected');
  const metric = async () => {
    const text = await (await fetch(`${agent.admin}/metrics`)).text();
    return /plumbline_anomalies_total\{service="checkout",signal="(latency\.p\d\d)"\} (\d+)/.exec(text);
  };
  await new Promise((resolve) => setTimeout(resolve, (WARM_UP + 12) * 1000));
  const slowMs = Date.now();
  traffic.ms += SLOWER_MS;
  const flagged = ({ attributes = [] }: Flag) =>
    attributes.find(({ key }) => key === 'signal.value')?.value.doubleValue ?? 0;
  // In the second in which it shifts the median may lie anywhere between the two: that is flagged, too, and the next second again.
  const flag = await eventually('a flag that tells the shift', FLAGGED_WITHIN_MS, () =>
    flags().find(
      (one) =>
        one.body?.stringValue?.includes('latency') &&
        Number(one.timeUnixNano) / 1e6 > slowMs &&
        flagged(one) > SLOWER_MS,
    ),
  );
  t.diagnostic(`flagged after ${((Date.now() - slowMs) / 1000).toFixed(1)} s: ${flag.body?.stringValue}`);
  const attributes = new Map(flag.attributes?.map(({ key, value }) => [key, value]));
  assert.match(attributes.get('signal.name')?.stringValue ?? '', /^latency\.p/);
  assert.ok((attributes.get('anomaly.expected')?.doubleValue ?? Infinity) < SLOWER_MS);
  assert.ok((attributes.get('anomaly.score')?.doubleValue ?? 0) >= DEFAULT_THRESHOLD);
  assert.ok((await metric()) !== null, 'the flag is counted');

  const kept = await eventually('traces kept as anomalous', FLAGGED_WITHIN_MS, () => {
    const spans = spansOf(readAllStored(join(directory, 'storage'), 'sampled', 'traces'));
    return spans.length > PER_SECOND ? spans : undefined;
  });
  const reasons = new Set(
    kept.map(({ attributes: list }) => list?.find(({ key }) => key === 'plumbline.kept')?.value?.stringValue),
  );
  // The operation is new to the agent.
  reasons.delete('rare');
  assert.deepEqual([...reasons], ['anomalous']);
  // What was usual was decided by shortlists; of what was flagged they said too little.
  const text = await (await fetch(`${agent.admin}/metrics`)).text();
  assert.match(text, /plumbline_sample_requests_total\{by="shortlist"\} [1-9]/);
  assert.match(text, /plumbline_sample_requests_total\{by="journal"\} [1-9]/);
  const contracts = (await (await fetch(`${agent.admin}/contracts`)).json()) as { state: string }[];
  assert.deepEqual(
    contracts.map(({ state }) => state),
    ['healthy'],
  );
  await traffic.stop();
  assert.equal(await agent.end('SIGTERM'), 0);
});
