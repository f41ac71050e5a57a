/** The OpenTelemetry SDK's exporters meet a refusal and a restart: what they were told to send again arrives, gzip and all, once the agent takes it. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { OTLPTraceExporter as JsonTraces } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoTraces } from '@opentelemetry/exporter-trace-otlp-proto';
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { type AgentProcess, settledLedger, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { readAllStored, spansOf } from '../support/storage.ts';

const yaml = (port: number, admission = '{}') => `
agent: { id: exporters, data_dir: ./data, shutdown: { serve_on: 0ms, grace: 10s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:${port}" }, admission: ${admission} }
sinks: [ { type: storage, subscribe: [raw], directory: ./data/storage, rotate: { every: 1s } } ]
`;

function exporterOf(encoding: 'json' | 'proto', url: string) {
  const options = { url: `${url}/v1/traces`, compression: CompressionAlgorithm.GZIP, timeoutMillis: 30_000 };
  return encoding === 'json' ? new JsonTraces(options) : new ProtoTraces(options);
}

/** Begins an export of ten spans; resolves when the exporter is done with them. */
function exportSpans(encoding: 'json' | 'proto', url: string, name: string): { done: Promise<void>; ids: string[] } {
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': name }),
    spanProcessors: [new BatchSpanProcessor(exporterOf(encoding, url), { exportTimeoutMillis: 30_000 })],
  });
  const tracer = provider.getTracer('exporters');
  const ids = Array.from({ length: 10 }, (_, i) => {
    const span = tracer.startSpan(`${name} ${i}`, { attributes: { i, text: 'x'.repeat(200) } });
    span.end();
    return span.spanContext().spanId;
  });
  return { done: provider.shutdown(), ids };
}

async function assertStored(agent: AgentProcess, directory: string, ids: string[]): Promise<void> {
  await settledLedger(agent, 20_000);
  await agent.end('SIGTERM');
  const stored = spansOf(readAllStored(join(directory, 'data/storage'), 'raw', 'traces')).map(({ spanId }) => spanId);
  assert.deepEqual(stored.filter((id) => ids.includes(id)).sort(), [...ids].sort());
}

/** A port that is free now. */
async function freePort(t: TestContext): Promise<number> {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // net's type says string for pipes, too.
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  t.diagnostic(`port ${port}`);
  return port;
}

for (const encoding of ['proto', 'json'] as const) {
  test(`${encoding}, gzip: what was answered 503 is sent again and arrives once`, async (t) => {
    const directory = temporaryDirectory(t, 'exporters');
    const agent = await startAgentProcess(directory, yaml(0, '{ in_flight: 64KiB, waiting: 1B }'));
    // Half a body holds the whole budget.
    const holder = connect(Number(new URL(agent.ingest).port), '127.0.0.1');
    holder.on('error', () => {});
    holder.write(
      'POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 65536\r\n\r\nx',
    );
    const codes = async () =>
      (await (await fetch(`${agent.admin}/metrics`)).text()).match(
        /requests_total\{signal="traces",code="503"\} [1-9]/,
      );
    while (
      (await fetch(`${agent.admin}/metrics`).then((reply) => reply.text())).match(/bytes_in_flight 65536/) === null
    )
      await new Promise((resolve) => setTimeout(resolve, 20));
    const { done, ids } = exportSpans(encoding, agent.ingest, 'refused');
    while ((await codes()) === null) await new Promise((resolve) => setTimeout(resolve, 20));
    holder.destroy();
    await done;
    await assertStored(agent, directory, ids);
  });

  test(`${encoding}, gzip: an agent that comes back is found again`, async (t) => {
    const directory = temporaryDirectory(t, 'exporters');
    const port = await freePort(t);
    const first = await startAgentProcess(directory, yaml(port));
    const before = exportSpans(encoding, first.ingest, 'before');
    await before.done;
    await first.end('SIGTERM');
    // Nobody listens now: the exporter is refused a connection and tries again.
    const during = exportSpans(encoding, first.ingest, 'during');
    const second = await startAgentProcess(directory, yaml(port));
    await during.done;
    const after = exportSpans(encoding, second.ingest, 'after');
    await after.done;
    await assertStored(second, directory, [...before.ids, ...during.ids, ...after.ids]);
  });
}
