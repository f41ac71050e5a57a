/** One of the demo's three services: real HTTP, instrumented with the OpenTelemetry SDK; says on stdout when each request ended. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const [name = '', route = '/', downstream = ''] = process.argv.slice(2);
/** The share of requests that fail for no reason, as in life. */
const FAILING = 0.002;
/** Work of its own, milliseconds. */
const WORK_MS = 5;

const resource = resourceFromAttributes({
  'service.name': name,
  'service.instance.id': `${name}-1`,
  'service.version': '1.4.2',
});
const traces = new NodeTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
const logs = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter() })],
});
traces.register({ propagator: new W3CTraceContextPropagator() });
const tracer = trace.getTracer('demo');
const logger = logs.getLogger('demo');
let slowMs = 0;

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (url.pathname === '/control') {
    slowMs = Number(url.searchParams.get('slow_ms'));
    response.end();
  } else void serve(request, response);
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address === 'object')
    process.stdout.write(`${JSON.stringify({ port: address.port })}\n`);
});

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parent = propagation.extract(context.active(), request.headers);
  const attributes = { 'http.request.method': 'GET', 'http.route': route };
  const span = tracer.startSpan(`GET ${route}`, { kind: SpanKind.SERVER, attributes }, parent);
  const startMs = Date.now();
  const failed = await context.with(trace.setSpan(parent, span), work);
  span.setAttribute('http.response.status_code', failed ? 500 : 200);
  if (failed) {
    span.setStatus({ code: SpanStatusCode.ERROR });
    logger.emit({
      severityNumber: SeverityNumber.ERROR,
      body: `${name}: request failed`,
      context: trace.setSpan(parent, span),
    });
  }
  span.end();
  response.statusCode = failed ? 500 : 200;
  response.end();
  const endMs = Date.now();
  process.stdout.write(`${JSON.stringify({ endMs, durationMs: endMs - startMs, failed })}\n`);
}

/** Its own work, then the service behind it; true when something failed. */
async function work(): Promise<boolean> {
  await new Promise((resolve) => setTimeout(resolve, WORK_MS + Math.random() * WORK_MS + slowMs));
  if (Math.random() < FAILING) return true;
  if (downstream === '') return false;
  const span = tracer.startSpan('GET', { kind: SpanKind.CLIENT, attributes: { 'url.full': downstream } });
  return context.with(trace.setSpan(context.active(), span), async () => {
    const headers: Record<string, string> = {};
    propagation.inject(context.active(), headers);
    const { ok, body } = await fetch(downstream, { headers });
    await body?.cancel();
    if (!ok) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
    return !ok;
  });
}

process.on('SIGTERM', () => {
  server.close();
  void Promise.all([traces.shutdown(), logs.shutdown()]).then(() => process.exit(0));
});
