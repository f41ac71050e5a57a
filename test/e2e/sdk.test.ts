/** Services instrumented with the real OpenTelemetry SDK: every span, point and record arrives in Kafka and in storage as it was sent. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as ProtoLogs } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter as JsonMetrics } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtoMetrics } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter as JsonTraces } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoTraces } from '@opentelemetry/exporter-trace-otlp-proto';
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import type { Signal } from '../../src/core/block.ts';
import { eventually, settledLedger, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { type Broker, startBroker, unavailable } from '../support/kafka/broker.ts';
import { openReader } from '../support/kafka/reader.ts';
import { decodeRequest, metricsOf, readAllStored, spansOf } from '../support/storage.ts';

const TRACES = 40;
const RECORDS = 60;
const REQUESTS = 500;

/** What one service has sent, as a consumer should find it. */
interface Sent {
  spans: Map<string, { name: string; error: boolean; attributes: Record<string, unknown> }>;
  records: string[];
}

/** A service with all three signals, exporting as JSON or as gzipped protobuf. */
async function runService(url: string, name: string, encoding: 'json' | 'proto'): Promise<Sent> {
  const resource = resourceFromAttributes({ 'service.name': name, 'service.instance.id': `${name}-1` });
  const to = (path: string) => ({
    url: `${url}/v1/${path}`,
    ...(encoding === 'proto' ? { compression: CompressionAlgorithm.GZIP } : {}),
  });
  const json = encoding === 'json';
  const traces = new NodeTracerProvider({
    resource,
    spanProcessors: [new BatchSpanProcessor(json ? new JsonTraces(to('traces')) : new ProtoTraces(to('traces')))],
  });
  const exporter = json ? new JsonMetrics(to('metrics')) : new ProtoMetrics(to('metrics'));
  const metrics = new MeterProvider({
    resource,
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000 })],
  });
  const logs = new LoggerProvider({
    resource,
    processors: [
      new BatchLogRecordProcessor({ exporter: json ? new JsonLogs(to('logs')) : new ProtoLogs(to('logs')) }),
    ],
  });
  const sent = record(name, traces, metrics, logs);
  await Promise.all([traces.shutdown(), metrics.shutdown(), logs.shutdown()]);
  return sent;
}

function record(name: string, traces: NodeTracerProvider, metrics: MeterProvider, logs: LoggerProvider): Sent {
  const sent: Sent = { spans: new Map(), records: [] };
  const tracer = traces.getTracer('test');
  for (let i = 0; i < TRACES; i++) {
    const error = i % 10 === 0;
    const attributes = {
      'http.route': '/checkout',
      'http.response.status_code': error ? 500 : 200,
      attempt: i,
      'unicode.ключ': 'ё€😀',
    };
    const span = tracer.startSpan(`${name} ${i % 3}`, { kind: SpanKind.SERVER, attributes });
    span.addEvent('cache.miss', { key: 'k' });
    if (error) span.setStatus({ code: SpanStatusCode.ERROR, message: 'no' });
    span.end();
    sent.spans.set(span.spanContext().spanId, { name: `${name} ${i % 3}`, error, attributes });
  }
  const meter = metrics.getMeter('test');
  meter.createCounter('requests').add(REQUESTS, { route: '/checkout' });
  meter.createHistogram('latency').record(12.5, { route: '/checkout' });
  const logger = logs.getLogger('test');
  for (let i = 0; i < RECORDS; i++) {
    logger.emit({
      severityNumber: i % 20 === 0 ? SeverityNumber.ERROR : SeverityNumber.INFO,
      body: `${name} line ${i}`,
      attributes: { line: i },
    });
    sent.records.push(`${name} line ${i}`);
  }
  return sent;
}

const yaml = (kafka: string) => `
agent: { id: sdk-test, data_dir: ./data, shutdown: { serve_on: 0ms, grace: 20s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
processors: [ { type: summarize, every: 1s }, { type: detect, every: 1s }, { type: sample, wait: 500ms, base: 100%, keep: { rare: 0% } } ]
sinks:
  - { type: storage, subscribe: [raw, sampled, summaries], directory: ./data/storage, rotate: { every: 1s } }
${kafka}
`;

interface Logs {
  resourceLogs?: { scopeLogs?: { logRecords?: { body?: { stringValue?: string } }[] }[] }[];
}

function bodiesOf(requests: readonly object[]): string[] {
  return (requests as Logs[]).flatMap(({ resourceLogs }) =>
    (resourceLogs ?? []).flatMap(({ scopeLogs }) =>
      (scopeLogs ?? []).flatMap(({ logRecords }) => (logRecords ?? []).map(({ body }) => body?.stringValue ?? '')),
    ),
  );
}

function checkArrived(
  where: string,
  requests: Record<Signal, readonly object[]>,
  services: Sent[],
  isSampled: boolean,
): void {
  const spans = new Map(spansOf(requests.traces).map((span) => [span.spanId, span]));
  assert.equal(spans.size, services.length * TRACES, `${where}: spans`);
  for (const [id, { name, error, attributes }] of services.flatMap(({ spans: sent }) => [...sent])) {
    const span = spans.get(id);
    assert.ok(span, `${where}: span ${id} is missing`);
    assert.equal(span.name, name);
    assert.equal(span.status?.code === 2, error);
    const found = Object.fromEntries(
      (span.attributes ?? []).map(({ key, value }) => [
        key,
        value?.stringValue ?? Number(value?.intValue ?? value?.doubleValue),
      ]),
    );
    const kept = isSampled ? { 'plumbline.kept': error ? 'error' : 'base' } : {};
    assert.deepEqual(found, { ...attributes, ...kept }, `${where}: attributes of ${id}`);
  }
  assert.deepEqual(
    bodiesOf(requests.logs).sort(),
    services.flatMap(({ records }) => records).sort(),
    `${where}: log records`,
  );
  const metrics = metricsOf(requests.metrics);
  const counters = metrics.filter(({ name }) => name === 'requests').flatMap(({ sum }) => sum?.dataPoints ?? []);
  assert.deepEqual(
    counters.map(({ asInt, asDouble }) => Number(asInt ?? asDouble)),
    services.map(() => REQUESTS),
    `${where}: counters`,
  );
  const latencies = metrics
    .filter(({ name }) => name === 'latency')
    .flatMap(({ histogram }) => histogram?.dataPoints ?? []);
  assert.deepEqual(
    latencies.map(({ count, sum }) => [count, sum]),
    services.map(() => ['1', 12.5]),
    `${where}: histograms`,
  );
}

async function sendAndStop(t: Parameters<typeof temporaryDirectory>[0], name: string, kafka: string) {
  const directory = temporaryDirectory(t, name);
  const agent = await startAgentProcess(directory, yaml(kafka));
  t.after(() => agent.end('SIGKILL'));
  const services = await Promise.all([
    runService(agent.ingest, 'shop-json', 'json'),
    runService(agent.ingest, 'shop-proto', 'proto'),
  ]);
  const status = await settledLedger(agent, 30_000);
  assert.equal(await agent.end('SIGTERM'), 0, agent.output());
  return { storage: join(directory, 'data/storage'), services, status };
}

const SIGNALS: Signal[] = ['traces', 'metrics', 'logs'];

describe('real SDK traffic', () => {
  it('arrives in storage, raw and sampled, as it was sent, and the ledger balances', async (t) => {
    const { storage, services, status } = await sendAndStop(t, 'sdk', '');
    const read = (stream: string) =>
      Object.fromEntries(SIGNALS.map((signal) => [signal, readAllStored(storage, stream, signal)])) as Record<
        Signal,
        object[]
      >;
    checkArrived('raw in storage', read('raw'), services, false);
    checkArrived('sampled in storage', read('sampled'), services, true);
    assert.equal(status.ledger.traces?.received, services.length * TRACES);
    assert.equal(status.ledger.logs?.received, services.length * RECORDS);
    const calls = metricsOf(readAllStored(storage, 'summaries', 'metrics')).filter(
      ({ name }) => name === 'traces.span.metrics.calls',
    );
    const total = calls.flatMap(({ sum }) => sum?.dataPoints ?? []).reduce((sum, { asInt }) => sum + Number(asInt), 0);
    assert.equal(total, services.length * TRACES, 'summaries count every span');
  });
});

describe('real SDK traffic, with Kafka', { skip: unavailable() ?? false }, () => {
  let broker: Broker;
  before(async () => {
    broker = await startBroker({ topics: ['otlp_spans', 'otlp_metrics', 'otlp_logs', 'plumbline_summaries'] });
  });
  after(() => broker.stop());

  it('arrives in the topics as OTLP that any consumer reads', async (t) => {
    const kafka = `  - { type: kafka, brokers: ["${broker.address}"], subscribe: { sampled: "otlp_{signal}", summaries: plumbline_summaries } }`;
    const { services } = await sendAndStop(t, 'sdk-kafka', kafka);
    const reader = await openReader(broker.address, ['otlp_spans', 'otlp_metrics', 'otlp_logs', 'plumbline_summaries']);
    const of = (topic: string, signal: Signal) =>
      reader.records.filter((record) => record.topic === topic).map(({ value }) => decodeRequest(value, signal));
    const spans = services.length * TRACES;
    await eventually('everything is read back', 20_000, () => {
      const complete =
        spansOf(of('otlp_spans', 'traces')).length >= spans &&
        bodiesOf(of('otlp_logs', 'logs')).length >= services.length * RECORDS;
      return complete && of('otlp_metrics', 'metrics').length > 0 && of('plumbline_summaries', 'metrics').length > 0
        ? true
        : undefined;
    });
    await reader.close();
    checkArrived(
      'Kafka',
      { traces: of('otlp_spans', 'traces'), metrics: of('otlp_metrics', 'metrics'), logs: of('otlp_logs', 'logs') },
      services,
      true,
    );
    const summary = reader.records.find(({ topic }) => topic === 'plumbline_summaries');
    assert.match(summary?.key ?? '', /^shop-/, 'summaries are keyed by service');
    assert.match(summary?.headers['plumbline.agent'] ?? '', /^sdk-test-[0-9a-f]{8}$/);
  });
});
