/** What the agent itself says in OTLP: the shapes of its metrics (otlp/writeMetrics.ts writes them), and events, serialised by OpenTelemetry's own transformer. */
import { createRequire } from 'node:module';
import type { HrTime } from '@opentelemetry/api';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { AgentError } from './errors.ts';

const require = createRequire(import.meta.url);

interface Sdk {
  transformer: typeof import('@opentelemetry/otlp-transformer');
  resources: typeof import('@opentelemetry/resources');
}

let loaded: Sdk | null = null;

/** Loaded with the first event: workers, and an agent that has nothing to say, do without its 17 MB. */
function sdk(): Sdk {
  loaded ??= {
    transformer: require('@opentelemetry/otlp-transformer') as Sdk['transformer'],
    resources: require('@opentelemetry/resources') as Sdk['resources'],
  };
  return loaded;
}

const SCOPE = { name: 'plumbline' };

/** Unix milliseconds as the SDK's [seconds, nanoseconds]. */
function hrTime(ms: number): HrTime {
  return [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];
}

export type Attributes = Record<string, string | number | boolean | string[]>;

export interface Point<Value> {
  /** Bytes: as encodeAttributes of otlp/writeMetrics.ts makes them, for attributes that come again and again. */
  attributes: Attributes | Uint8Array;
  value: Value;
}

/** The buckets of positive values; counts are integers. */
export interface HistogramValue {
  count: number;
  sum: number;
  min: number;
  max: number;
  scale: number;
  zeroCount: number;
  offset: number;
  counts: number[];
}

export type Metric =
  | { kind: 'sum'; name: string; unit: string; description: string; points: Point<number>[] }
  | { kind: 'gauge'; name: string; unit: string; description: string; points: Point<number>[] }
  | { kind: 'histogram'; name: string; unit: string; description: string; points: Point<HistogramValue>[] };

/** An event: a log record with an EventName. `severity` is the SeverityNumber. */
export interface EventRecord {
  name: string;
  timeMs: number;
  severity: number;
  /** A sentence for people. */
  body: string;
  resource: Attributes;
  attributes: Attributes;
}

/** Returns one ExportLogsServiceRequest. */
export function serializeEvents(events: EventRecord[]): Uint8Array {
  const records: ReadableLogRecord[] = events.map((event) => ({
    hrTime: hrTime(event.timeMs),
    hrTimeObserved: hrTime(event.timeMs),
    eventName: event.name,
    severityNumber: event.severity,
    body: event.body,
    resource: sdk().resources.resourceFromAttributes(event.resource),
    instrumentationScope: SCOPE,
    attributes: event.attributes,
    droppedAttributesCount: 0,
  }));
  return bytesOf(sdk().transformer.ProtobufLogsSerializer.serializeRequest(records));
}

function bytesOf(serialized: Uint8Array | undefined): Uint8Array {
  if (serialized === undefined) throw new AgentError('BODY_UNDECODABLE', 'the OTLP serialiser returned nothing');
  return serialized;
}
