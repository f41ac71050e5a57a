/**
 * The job of F3 in TypeScript as it is usually written, beside which the levels stand: fastify gives the body as one Buffer, protobufjs
 * makes objects of it, a Map counts them by strings, a tenth and what failed is encoded again, kafkajs as it comes sends it. Nothing is
 * journalled: the answer waits for Kafka.
 *
 *   node bench/naive.ts --kafka HOST:PORT [--port 0]
 *
 * Prints the agent's `ready` line.
 */
import { parseArgs } from 'node:util';
import { zstdCompressSync } from 'node:zlib';
import fastify from 'fastify';
import kafkajs from 'kafkajs';
import { requestType } from '../src/otlp/schema.ts';

interface Attribute {
  key: string;
  value?: { stringValue?: string };
}

interface Span {
  traceId: Buffer;
  name: string;
  startTimeUnixNano: { toString(): string };
  endTimeUnixNano: { toString(): string };
  status?: { code?: number };
}

interface Request {
  resourceSpans: { resource?: { attributes?: Attribute[] }; scopeSpans: { scope?: object; spans: Span[] }[] }[];
}

interface Operation {
  count: number;
  errors: number;
  /** By the power of two of milliseconds. */
  durations: Map<number, number>;
}

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;
const STATUS_ERROR = 2;
/** Of 2^32: the tenth of the traces that is kept. */
const KEEP_ABOVE = 0.9 * 2 ** 32;

const { values } = parseArgs({ options: { port: { type: 'string', default: '0' }, kafka: { type: 'string' } } });
const type = requestType('traces');
const operations = new Map<string, Operation>();

CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder: { buffer: Buffer }) => zstdCompressSync(encoder.buffer),
  decompress: async (bytes: Buffer) => bytes,
});
const kafka = new Kafka({ brokers: [values.kafka ?? ''], logLevel: logLevel.NOTHING });
const producer = kafka.producer();
await producer.connect();

function count(service: string, span: Span): void {
  const key = `${service}|${span.name}|${span.status?.code ?? 0}`;
  let operation = operations.get(key);
  if (operation === undefined) {
    operation = { count: 0, errors: 0, durations: new Map() };
    operations.set(key, operation);
  }
  operation.count++;
  if (span.status?.code === STATUS_ERROR) operation.errors++;
  const ms = Number(BigInt(span.endTimeUnixNano.toString()) - BigInt(span.startTimeUnixNano.toString())) / 1e6;
  const bucket = ms > 0 ? Math.ceil(Math.log2(ms)) : 0;
  operation.durations.set(bucket, (operation.durations.get(bucket) ?? 0) + 1);
}

function isKept(span: Span): boolean {
  return span.status?.code === STATUS_ERROR || span.traceId.readUInt32BE(12) >= KEEP_ABOVE;
}

/** Counts a request and encodes what is kept of it; null when nothing is. */
function keep(body: Buffer): Buffer | null {
  // protobufjs types a message by its fields' names only.
  const request = type.decode(body) as unknown as Request;
  const resourceSpans = request.resourceSpans.map((one) => {
    const name = one.resource?.attributes?.find(({ key }) => key === 'service.name')?.value?.stringValue ?? '';
    const scopeSpans = one.scopeSpans.map(({ scope, spans }) => {
      for (const span of spans) count(name, span);
      return { scope, spans: spans.filter(isKept) };
    });
    return { resource: one.resource, scopeSpans: scopeSpans.filter(({ spans }) => spans.length > 0) };
  });
  const kept = resourceSpans.filter(({ scopeSpans }) => scopeSpans.length > 0);
  return kept.length === 0 ? null : Buffer.from(type.encode({ resourceSpans: kept }).finish());
}

const app = fastify({ logger: false, bodyLimit: Number.MAX_SAFE_INTEGER, keepAliveTimeout: 75_000 });
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
app.post('/v1/traces', async (request, reply) => {
  const value = keep(request.body as Buffer);
  if (value !== null) {
    const headers = { 'plumbline.stream': 'sampled', 'plumbline.signal': 'traces' };
    await producer.send({
      topic: 'otlp_spans',
      compression: CompressionTypes.ZSTD,
      messages: [{ value, headers }],
    });
  }
  return reply.header('content-type', 'application/x-protobuf').send('');
});

process.once('SIGTERM', async () => {
  await app.close();
  await producer.disconnect();
  process.exit(0);
});
await app.listen({ host: '127.0.0.1', port: Number(values.port) });
const address = app.server.address();
const port = typeof address === 'object' && address !== null ? address.port : 0;
console.log(`ready ingest=http://127.0.0.1:${port} admin=none`);
