/** Writes what the agent itself says as an ExportLogsServiceRequest: log records with an EventName, by OpenTelemetry's own transformer. */
import { createRequire } from 'node:module';
import type { HrTime } from '@opentelemetry/api';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { AgentError } from '../core/errors.ts';
import type { AnyAttribute, Attributes, EventRecord } from '../core/otel.ts';
import { requestType } from './schema.ts';

const require = createRequire(import.meta.url);

interface Sdk {
  transformer: typeof import('@opentelemetry/otlp-transformer');
  resources: typeof import('@opentelemetry/resources');
}

/** What is changed of a request. */
interface Written {
  resourceLogs: { scopeLogs: { logRecords: { attributes: { key: string; value: object }[] }[] }[] }[];
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

/** Returns one ExportLogsServiceRequest. */
export function serializeEvents(events: readonly EventRecord[]): Uint8Array {
  const records: ReadableLogRecord[] = events.map((event) => ({
    hrTime: hrTime(event.timeMs),
    hrTimeObserved: hrTime(event.timeMs),
    eventName: event.name,
    severityNumber: event.severity,
    body: event.body,
    resource: sdk().resources.resourceFromAttributes(event.resource),
    instrumentationScope: SCOPE,
    attributes: plain(event.attributes),
    droppedAttributesCount: 0,
  }));
  const written = sdk().transformer.ProtobufLogsSerializer.serializeRequest(records);
  if (written === undefined) throw new AgentError('BODY_UNDECODABLE', 'the OTLP serialiser returned nothing');
  const doubles = new Set(events.flatMap(({ attributes }) => Object.keys(attributes).filter(isWhole(attributes))));
  return doubles.size === 0 ? written : withDoubles(written, doubles);
}

function plain(attributes: EventRecord['attributes']): Attributes {
  const entries = Object.entries(attributes);
  return Object.fromEntries(entries.map(([key, value]) => [key, typeof value === 'bigint' ? Number(value) : value]));
}

function isWhole(attributes: Record<string, AnyAttribute>): (key: string) => boolean {
  return (key) => typeof attributes[key] === 'number' && Number.isInteger(attributes[key]);
}

/** The transformer makes integers of whole numbers: an attribute would change its type from one event to the next, and stores want one. */
function withDoubles(bytes: Uint8Array, keys: ReadonlySet<string>): Uint8Array {
  const type = requestType('logs');
  const request = type.decode(bytes) as unknown as Written;
  for (const { scopeLogs } of request.resourceLogs)
    for (const { logRecords } of scopeLogs)
      for (const { attributes } of logRecords)
        for (const attribute of attributes)
          if (keys.has(attribute.key) && 'intValue' in attribute.value)
            attribute.value = { doubleValue: Number(attribute.value.intValue) };
  return type.encode(request).finish();
}
