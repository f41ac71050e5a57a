/** What the workloads of docs/performance look like: export requests as plain objects, ids and times as placeholders that payloads.ts patches. */
import type { Random } from './random.ts';

export const SERVICES = 16;
export const OPERATIONS = 50;
/** Of spans: internal, server, client. */
export const KINDS = 3;
/** Of all spans; they come together in traces of which half the spans fail, as errors do that travel up. */
const ERROR_SHARE = 0.01;
const FAILING_HALF = 0.5;
const OK_SHARE = 0.1;
export const SPANS_PER_TRACE = 8;
const SPANS_PER_RESOURCE = 32;
const MEDIAN_MS = 18;
const SIGMA = 1.1;
/** Spans last at most this, so that a time is the time of the send less 32 bits of nanoseconds. */
const MOST_MS = 3000;
/** The placeholder of every time: payloads.ts reads the distance from it and writes it anew. */
export const BASE_NS = 1_750_000_000_000_000_000n;

/** An attribute or message as protobufjs' fromObject takes it. */
export type Plain = Record<string, unknown>;

export function serviceName(i: number): string {
  return `service-${String(i).padStart(2, '0')}`;
}

export function routeOf(operation: number): string {
  return `/api/v1/${['orders', 'carts', 'users', 'items', 'payments'][operation % 5]}/{id}/op-${String(operation).padStart(2, '0')}`;
}

function attribute(key: string, value: string | number | boolean): Plain {
  if (typeof value === 'string') return { key, value: { stringValue: value } };
  if (typeof value === 'boolean') return { key, value: { boolValue: value } };
  return { key, value: { intValue: value } };
}

function attributes(values: Record<string, string | number | boolean>): Plain[] {
  return Object.entries(values).map(([key, value]) => attribute(key, value));
}

/** Eight attributes, as an SDK and a resource detector make them. */
function resource(service: number): Plain {
  return {
    attributes: attributes({
      'service.name': serviceName(service),
      'service.namespace': 'shop',
      'service.version': '2.14.3',
      'service.instance.id': `b1946ac9-2492-4d23-87a2-0000000000${String(service).padStart(2, '0')}`,
      'deployment.environment.name': 'production',
      'telemetry.sdk.name': 'opentelemetry',
      'telemetry.sdk.language': 'nodejs',
      'telemetry.sdk.version': '2.1.0',
    }),
  };
}

const SCOPE = { name: '@opentelemetry/instrumentation-http', version: '0.203.0' };

/** Ids are placeholders whose first bytes number them within the request: traces and spans from 1. */
export function placeholder(length: number, number: number): Uint8Array {
  const bytes = new Uint8Array(length);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

function statusOf(random: Random, failing: boolean): number {
  const dice = random.next();
  if (failing) return dice < FAILING_HALF ? 2 : 0;
  return dice < OK_SHARE ? 1 : 0;
}

/** Distributes items over resources: as many as the cardinality asks for, but not less than SPANS_PER_RESOURCE items each. */
function resourcesFor(items: number): number {
  return Math.max(1, Math.min(SERVICES, Math.ceil(items / SPANS_PER_RESOURCE)));
}

/** Calls `make` with each item's number, grouped by resource; services rotate by `offset`, so that small requests see all of them. */
function spread(
  items: number,
  offset: number,
  make: (item: number, service: number) => Plain,
): [service: number, items: Plain[]][] {
  const resources = resourcesFor(items);
  const groups: [number, Plain[]][] = Array.from({ length: resources }, (_, i) => [(i + offset) % SERVICES, []]);
  // A trace is local to one service: its spans lie together, as a batch processor leaves them.
  for (let i = 0; i < items; i++) {
    const group = groups[Math.floor((i * resources) / items)];
    group?.[1].push(make(i, group[0]));
  }
  return groups;
}

/** How a span of a trace request differs between workloads. */
export type SpanShape = 'std' | 'small' | 'heavy';

export function traceRequest(
  random: Random,
  items: number,
  offset: number,
  shape: SpanShape,
  errorShare = ERROR_SHARE,
): Plain {
  let failing = false;
  const groups = spread(items, offset, (i) => {
    if (i % SPANS_PER_TRACE === 0) failing = random.next() < errorShare / FAILING_HALF;
    return makeSpan(random, i, shape, failing);
  });
  return {
    resourceSpans: groups.map(([service, spans]) => ({
      resource: resource(service),
      scopeSpans: [{ scope: SCOPE, spans }],
    })),
  };
}

function makeSpan(random: Random, i: number, shape: SpanShape, failing: boolean): Plain {
  const trace = Math.floor(i / SPANS_PER_TRACE);
  const root = i % SPANS_PER_TRACE === 0;
  const operation = random.below(OPERATIONS);
  const status = statusOf(random, failing);
  const durationNs = BigInt(Math.round(Math.min(MOST_MS, random.logNormal(MEDIAN_MS, SIGMA)) * 1e6));
  const endNs = BASE_NS - BigInt(random.below(50_000_000));
  return {
    traceId: placeholder(16, trace + 1),
    spanId: placeholder(8, i + 1),
    ...(root ? {} : { parentSpanId: placeholder(8, trace * SPANS_PER_TRACE + 1) }),
    name: shape === 'small' ? `op-${operation}` : `GET ${routeOf(operation)}`,
    kind: root ? 2 : 1 + random.below(KINDS),
    startTimeUnixNano: String(endNs - durationNs),
    endTimeUnixNano: String(endNs),
    attributes: spanAttributes(random, operation, status, shape),
    ...(shape === 'std' && i % 4 === 3 ? { events: [eventOf(random, endNs - durationNs / 2n)] } : {}),
    ...(status === 0 ? {} : { status: status === 2 ? { code: 2, message: 'upstream timed out' } : { code: 1 } }),
    ...(shape === 'small' ? { flags: 257, attributes: smallAttributes(random) } : { flags: 257 }),
  };
}

function smallAttributes(random: Random): Plain[] {
  return attributes({ 'http.response.status_code': 200, 'app.items.processed_count': 1000 + random.below(9000) });
}

function eventOf(random: Random, atNs: bigint): Plain {
  return {
    timeUnixNano: String(atNs),
    name: 'cache.miss',
    attributes: attributes({ 'cache.key': `k-${random.text(8)}`, 'cache.age_ms': random.below(9000) }),
  };
}

function spanAttributes(random: Random, operation: number, status: number, shape: SpanShape): Plain[] {
  if (shape === 'heavy') return heavyAttributes(random);
  return attributes({
    'http.request.method': 'GET',
    'http.route': routeOf(operation),
    'http.response.status_code': status === 2 ? 503 : 200,
    'url.scheme': 'https',
    'url.path': `/api/v1/orders/${random.text(24)}/lines/${random.below(100)}`,
    'server.address': 'shop.internal',
    'server.port': 8443,
    'client.address': `10.4.${random.below(256)}.${random.below(256)}`,
    'user_agent.original': 'Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0',
    'network.protocol.version': '1.1',
    'enduser.id': `u-${random.text(24)}`,
    'app.tenant': `tenant-${random.below(40)}-eu-central-1`,
    'app.retry_count': random.below(3),
    'thread.id': random.below(64),
  });
}

function heavyAttributes(random: Random): Plain[] {
  const many = (count: number, bytes: number, name: string) =>
    Array.from({ length: count }, (_, i) => attribute(`${name}.${i}`, random.text(8).padEnd(bytes, 'x')));
  return [...many(100, 50, 'short'), ...many(10, 1000, 'middle'), ...many(20, 5000, 'long')];
}

const SEVERITIES = [9, 9, 9, 9, 9, 9, 9, 13, 5, 17] as const;
const SEVERITY_TEXT: Record<number, string> = { 5: 'DEBUG', 9: 'INFO', 13: 'WARN', 17: 'ERROR' };

export function logRequest(random: Random, items: number, offset: number): Plain {
  const groups = spread(items, offset, (i) => makeLog(random, i));
  return {
    resourceLogs: groups.map(([service, logRecords]) => ({
      resource: resource(service),
      scopeLogs: [{ scope: { name: 'pino' }, logRecords }],
    })),
  };
}

function makeLog(random: Random, i: number): Plain {
  const severity = random.next() < ERROR_SHARE ? 17 : random.pick(SEVERITIES.slice(0, 9));
  const atNs = String(BASE_NS - BigInt(random.below(50_000_000)));
  // Half of the records were written inside a span.
  const linked =
    i % 2 === 0
      ? { traceId: placeholder(16, Math.floor(i / SPANS_PER_TRACE) + 1), spanId: placeholder(8, i + 1), flags: 1 }
      : {};
  return {
    timeUnixNano: atNs,
    observedTimeUnixNano: atNs,
    severityNumber: severity,
    severityText: SEVERITY_TEXT[severity],
    body: {
      stringValue: `order ${random.text(12)} moved from picking to packing after ${random.below(900)} ms, ${random.below(9)} retries left, carrier still unknown`,
    },
    attributes: attributes({
      'code.function.name': 'OrderService.advance',
      'app.order.id': random.text(24),
      'log.iostream': 'stdout',
      'app.tenant': `tenant-${random.below(40)}`,
      'thread.id': random.below(64),
      'http.route': routeOf(random.below(OPERATIONS)),
    }),
    ...linked,
  };
}

const POINTS_PER_METRIC = 8;

/** Half sums, half histograms; items are data points. */
export function metricRequest(random: Random, items: number, offset: number): Plain {
  const metrics = Math.ceil(items / POINTS_PER_METRIC);
  const groups = spread(metrics, offset, (i) =>
    makeMetric(random, i, Math.min(POINTS_PER_METRIC, items - i * POINTS_PER_METRIC)),
  );
  return {
    resourceMetrics: groups.map(([service, list]) => ({
      resource: resource(service),
      scopeMetrics: [{ scope: { name: 'http' }, metrics: list }],
    })),
  };
}

function makeMetric(random: Random, i: number, points: number): Plain {
  const dataPoints = Array.from({ length: points }, () => (i % 2 === 0 ? sumPoint(random) : histogramPoint(random)));
  return i % 2 === 0
    ? {
        name: `app.requests.${i}`,
        unit: '{request}',
        sum: { dataPoints, aggregationTemporality: 2, isMonotonic: true },
      }
    : { name: `http.server.request.duration.${i}`, unit: 's', histogram: { dataPoints, aggregationTemporality: 2 } };
}

function pointBase(random: Random): Plain {
  return {
    startTimeUnixNano: String(BASE_NS - 4_000_000_000n),
    timeUnixNano: String(BASE_NS),
    attributes: attributes({
      'http.request.method': 'GET',
      'http.route': routeOf(random.below(OPERATIONS)),
      'http.response.status_code': 200,
    }),
  };
}

function sumPoint(random: Random): Plain {
  return { ...pointBase(random), asInt: String(random.below(1_000_000)) };
}

function histogramPoint(random: Random): Plain {
  const bucketCounts = Array.from({ length: 6 }, () => String(random.below(1000)));
  const count = bucketCounts.reduce((sum, text) => sum + Number(text), 0);
  return {
    ...pointBase(random),
    count: String(count),
    sum: count * 0.03,
    bucketCounts,
    explicitBounds: [0.01, 0.05, 0.1, 0.5, 1],
  };
}
