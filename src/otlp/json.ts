/**
 * Protobuf to OTLP/JSON, over protobufjs: for sinks that write JSON, and for replies. jsonRequest.ts reads JSON.
 *
 * OTLP's deviations from ProtoJSON: trace and span ids are hex, enums are integers only, unknown fields are ignored.
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/docs/specification.md#json-protobuf-encoding
 */
import type protobuf from 'protobufjs';
import type { Signal } from '../core/block.ts';
import { messageOf, messageType, requestType } from './schema.ts';

const HEX_FIELDS = new Set(['traceId', 'spanId', 'parentSpanId']);

/** Export request bytes (a view over shared memory is fine) to OTLP/JSON without line breaks. Throws when they do not decode. */
export function toOtlpJson(signal: Signal, bytes: Uint8Array): string {
  const type = requestType(signal);
  return JSON.stringify(jsonFrom(type, type.decode(bytes)));
}

/** A decoded message as its OTLP/JSON object. */
function jsonFrom(type: protobuf.Type, message: protobuf.Message): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  const fields = message as unknown as Record<string, unknown>;
  for (const field of type.fieldsArray) {
    if (!Object.hasOwn(fields, field.name)) continue;
    const value = fields[field.name];
    if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) continue;
    json[field.name] = Array.isArray(value) ? value.map((entry) => jsonValue(field, entry)) : jsonValue(field, value);
  }
  return json;
}

function jsonValue(field: protobuf.Field, value: unknown): unknown {
  const inner = messageOf(field);
  if (inner !== null) return jsonFrom(inner, value as protobuf.Message);
  if (value instanceof Uint8Array) return Buffer.from(value).toString(HEX_FIELDS.has(field.name) ? 'hex' : 'base64');
  if (typeof value === 'number') {
    if (field.type.endsWith('64') && field.type !== 'double') return String(value);
    return Number.isFinite(value) ? value : String(value);
  }
  return isLong(value) ? value.toString() : value;
}

/** The protobuf bytes of a message given as plain data. */
export function encodePlain(name: string, value: Record<string, unknown>): Buffer {
  const type = messageType(name);
  return Buffer.from(type.encode(type.fromObject(value)).finish());
}

/** Encodes a reply or Status as protobuf or JSON. */
export function encodeMessage(name: string, value: Record<string, unknown>, json: boolean): Buffer {
  if (!json) return encodePlain(name, value);
  const type = messageType(name);
  return Buffer.from(JSON.stringify(jsonFrom(type, type.fromObject(value))));
}

function isLong(value: unknown): value is InstanceType<NonNullable<typeof protobuf.util.Long>> {
  return typeof value === 'object' && value !== null && 'low' in value && 'high' in value && 'unsigned' in value;
}
