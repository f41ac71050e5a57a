/** Reads what the storage sink wrote, with protobufjs, independently of the agent's own readers. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { Signal } from '../../src/core/block.ts';
import { requestType } from '../../src/otlp/schema.ts';

/** Finished files of a stream and signal, in the order of their first sequence. */
export function storedFiles(directory: string, stream: string, signal: Signal): string[] {
  let names: string[];
  try {
    names = readdirSync(join(directory, stream, signal), { recursive: true, encoding: 'utf8' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const first = (name: string) => Number(/_(\d+)-\d+\./.exec(name)?.[1]);
  return names
    .filter((name) => /\.binpb(\.zst|\.gz)?$/.test(name))
    .sort((a, b) => first(a) - first(b))
    .map((name) => join(directory, stream, signal, name));
}

/** Export requests of one file, decoded to plain objects with ids as hex. */
export function readStored(file: string, signal: Signal): Record<string, never>[] {
  const raw = readFileSync(file);
  const bytes = file.endsWith('.zst') ? zstdDecompressSync(raw) : file.endsWith('.gz') ? gunzipSync(raw) : raw;
  const requests: Record<string, never>[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    requests.push(decodeRequest(bytes.subarray(at + 4, at + 4 + length), signal));
    at += 4 + length;
  }
  return requests;
}

export function readAllStored(directory: string, stream: string, signal: Signal): Record<string, never>[] {
  return storedFiles(directory, stream, signal).flatMap((file) => readStored(file, signal));
}

/** Span ids of a stream, file by file: for more of them than fit into memory as spans. */
export function storedSpanIds(directory: string, stream: string): string[] {
  return storedFiles(directory, stream, 'traces').flatMap((file) =>
    spansOf(readStored(file, 'traces')).map(({ spanId }) => spanId),
  );
}

export function decodeRequest(bytes: Uint8Array, signal: Signal): Record<string, never> {
  const type = requestType(signal);
  return hexIds(type.toObject(type.decode(bytes), { longs: String, enums: Number })) as Record<string, never>;
}

/** Bytes become hex, so that objects can be compared and printed. */
function hexIds(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(hexIds);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, hexIds(inner)]));
}

interface Spans {
  resourceSpans?: { resource?: { attributes?: KeyValue[] }; scopeSpans?: { spans?: Span[] }[] }[];
}
export interface KeyValue {
  key: string;
  value?: { stringValue?: string; intValue?: string; doubleValue?: number; boolValue?: boolean };
}
export interface Span {
  traceId: string;
  spanId: string;
  name: string;
  kind?: number;
  traceState?: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes?: KeyValue[];
  status?: { code?: number };
}

export function spansOf(requests: readonly object[]): Span[] {
  return (requests as Spans[]).flatMap(({ resourceSpans }) =>
    (resourceSpans ?? []).flatMap(({ scopeSpans }) => (scopeSpans ?? []).flatMap(({ spans }) => spans ?? [])),
  );
}

export interface ExponentialPoint {
  count: string;
  sum: number;
  min: number;
  max: number;
  scale: number;
  positive?: { offset?: number; bucketCounts?: string[] };
  attributes?: KeyValue[];
}

interface Metrics {
  resourceMetrics?: {
    scopeMetrics?: {
      metrics?: {
        name: string;
        sum?: { dataPoints: { asInt?: string; asDouble?: number; attributes?: KeyValue[] }[] };
        exponentialHistogram?: { dataPoints: ExponentialPoint[] };
        histogram?: { dataPoints: { count: string; sum: number }[] };
      }[];
    }[];
  }[];
}

export function metricsOf(requests: readonly object[]) {
  return (requests as Metrics[]).flatMap(({ resourceMetrics }) =>
    (resourceMetrics ?? []).flatMap(({ scopeMetrics }) => (scopeMetrics ?? []).flatMap(({ metrics }) => metrics ?? [])),
  );
}
