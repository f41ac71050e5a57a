/** Export requests for the table, as OTLP/JSON objects, and the same as protobuf. */
import { randomBytes } from 'node:crypto';
import type { Signal } from '../../src/core/block.ts';
import { messageType, requestType } from '../../src/otlp/schema.ts';

export type Json = Record<string, unknown>;

export const ENVELOPES = {
  traces: { resources: 'resourceSpans', scopes: 'scopeSpans', items: 'spans' },
  metrics: { resources: 'resourceMetrics', scopes: 'scopeMetrics', items: 'metrics' },
  logs: { resources: 'resourceLogs', scopes: 'scopeLogs', items: 'logRecords' },
} as const;

const hex = (bytes: number) => randomBytes(bytes).toString('hex').replace(/^../, 'a1');
export const text = (key: string, stringValue: string): Json => ({ key, value: { stringValue } });

export const span = (more: Json = {}): Json => ({
  traceId: hex(16),
  spanId: hex(8),
  name: 'GET /cart',
  kind: 2,
  startTimeUnixNano: '1544712660000000000',
  endTimeUnixNano: '1544712661000000000',
  ...more,
});
export const logRecord = (more: Json = {}): Json => ({
  timeUnixNano: '1544712660300000000',
  severityNumber: 9,
  body: { stringValue: 'order placed' },
  ...more,
});
export const gauge = (more: Json = {}): Json => ({
  name: 'queue.depth',
  gauge: { dataPoints: [{ timeUnixNano: '1544712660300000000', asInt: '5', ...more }] },
});
/** Its first `bad` points have a bucket count too many. */
export const histogram = (points: number, bad = 0): Json => ({
  name: 'http.server.request.duration',
  histogram: {
    aggregationTemporality: 1,
    dataPoints: Array.from({ length: points }, (_, i) => ({
      count: '3',
      sum: 3,
      bucketCounts: i < bad ? ['1', '1', '1'] : ['2', '1'],
      explicitBounds: [1],
    })),
  },
});

export function item(signal: Signal, more: Json = {}): Json {
  return signal === 'traces' ? span(more) : signal === 'logs' ? logRecord(more) : gauge(more);
}

/** One resource of this service name, one scope, these items. */
export function requestOf(signal: Signal, service: string, items: readonly Json[]): Json {
  const names = ENVELOPES[signal];
  const resource = { attributes: [text('service.name', service)] };
  return { [names.resources]: [{ resource, [names.scopes]: [{ scope: { name: 'table' }, [names.items]: items }] }] };
}

const IDS = new Set(['traceId', 'spanId', 'parentSpanId']);

/** The same message as protobuf. Bytes are base64 as in ProtoJSON, ids hex as in OTLP. */
export function protobufOf(signal: Signal, json: Json): Buffer {
  return encodeAs(requestType(signal), json);
}

/** The content of one item. */
export function itemBytes(signal: Signal, json: Json): Buffer {
  return encodeAs(messageType({ traces: 'Span', metrics: 'Metric', logs: 'LogRecord' }[signal]), json);
}

function encodeAs(type: ReturnType<typeof messageType>, json: Json): Buffer {
  const converted = JSON.parse(JSON.stringify(json), (key, value: unknown) =>
    IDS.has(key) && typeof value === 'string' ? Buffer.from(value, 'hex').toString('base64') : value,
  ) as Json;
  return Buffer.from(type.encode(type.fromObject(converted)).finish());
}

/** What lies at the end of a path; undefined where the path breaks off. */
export function at(value: unknown, ...path: (string | number)[]): unknown {
  return path.reduce<unknown>((holder, key) => (holder as Record<string | number, unknown> | undefined)?.[key], value);
}

// Protobuf by hand, for what no encoder would write.
export function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}
export const tag = (field: number, wireType: number) => varint((field << 3) | wireType);
export const sized = (field: number, ...content: Uint8Array[]) => {
  const joined = Buffer.concat(content);
  return Buffer.concat([tag(field, 2), varint(joined.length), joined]);
};
/** An item (its content) in the envelopes of any signal. */
export const enveloped = (service: string, ...items: Uint8Array[]) => {
  const value = sized(2, sized(1, Buffer.from(service)));
  const resource = sized(1, sized(1, sized(1, Buffer.from('service.name')), value));
  return sized(1, resource, sized(2, ...items.map((content) => sized(2, content))));
};
