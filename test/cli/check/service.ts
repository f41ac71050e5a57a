/** A program with a real SDK, as `check` runs one: `service.ts REQUESTS FAILURES`, spans of a service `checkout`. */
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const [requests = 0, failures = 0, exitStatus = 0] = process.argv.slice(2).map(Number);
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'checkout', 'service.version': '1.4.2' }),
  // Where it sends to is in OTEL_EXPORTER_OTLP_ENDPOINT.
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
const tracer = provider.getTracer('test');
for (let i = 0; i < requests; i++) {
  const span = tracer.startSpan('GET /cart', { kind: SpanKind.SERVER, startTime: Date.now() - 20 });
  if (i < failures) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}
await provider.shutdown();
console.log('the service is done');
process.exitCode = exitStatus;
