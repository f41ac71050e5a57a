/**
 * OTLP/JSON and back, over protobufjs: requests to canonical protobuf bytes, protobuf bytes to one line of JSON.
 *
 * OTLP's deviations from ProtoJSON: trace and span ids are hex, enums are integers only, unknown fields are ignored.
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/docs/specification.md#json-protobuf-encoding
 */
import protobuf from 'protobufjs';
import type { Signal } from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { messageType, requestType } from './schema.ts';

/** Most AnyValues inside one another, in both encodings. */
export const MAX_VALUE_DEPTH = 100;

const HEX_FIELDS = new Set(['traceId', 'spanId', 'parentSpanId']);
const INTEGER = /^-?\d+$/;
/** A JSON number: sign, whole, fraction, exponent. */
const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
/** No 64-bit integer has more digits; more zeros would only cost time. */
const MOST_ZEROS = 20;
const MOST_DIGITS = 400;

/**
 * One export request as JSON text to protobuf bytes: known fields in ascending order, defaults left out.
 * Throws BODY_UNDECODABLE with the path of the fault.
 */
export function requestFromJson(signal: Signal, text: string): Uint8Array {
  let value: unknown;
  try {
    value = JSON.parse(text, keepLargeIntegers);
  } catch (cause) {
    throw new AgentError('BODY_UNDECODABLE', `not JSON: ${messageOf(cause)}`, { cause });
  }
  const type = requestType(signal);
  return type.encode(messageFrom(type, value, '', 0)).finish();
}

/** JSON.parse would round integers above 2^53: those keep their text. */
function keepLargeIntegers(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && INTEGER.test(source) ? new LargeInteger(source) : value;
}

/** An integer as it was written; a type of its own, since only numeric fields may take it. */
class LargeInteger {
  readonly source: string;
  constructor(source: string) {
    this.source = source;
  }
}

function fail(path: string, found: unknown, wanted: string): never {
  const shown = String(JSON.stringify(found)).slice(0, 60);
  throw new AgentError('BODY_UNDECODABLE', `${path === '' ? 'the request' : path}: expected ${wanted}, found ${shown}`);
}

function messageFrom(type: protobuf.Type, value: unknown, path: string, depth: number): protobuf.Message {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof LargeInteger) {
    fail(path, value, 'an object');
  }
  const inside = type.name === 'AnyValue' ? depth + 1 : depth;
  if (inside > MAX_VALUE_DEPTH) fail(path, '...', `at most ${MAX_VALUE_DEPTH} values inside one another`);
  const message: Record<string, unknown> = type.create() as never;
  for (const [key, content] of Object.entries(value)) {
    // hasOwn: a key such as `__proto__` or `constructor` is an unknown field like any other.
    const field = Object.hasOwn(type.fields, key) ? type.fields[key] : undefined;
    if (field === undefined || content === null) continue;
    const where = path === '' ? key : `${path}.${key}`;
    if (field.repeated) {
      if (!Array.isArray(content)) fail(where, content, 'an array');
      message[key] = content.map((entry, i) => valueFrom(field, entry, `${where}[${i}]`, inside));
      continue;
    }
    const made = valueFrom(field, content, where, inside);
    if (field.partOf !== null || !isDefault(made)) message[key] = made;
  }
  // `create` typed it; only known fields were assigned.
  return message as unknown as protobuf.Message;
}

function isLong(value: unknown): value is InstanceType<NonNullable<typeof protobuf.util.Long>> {
  return typeof value === 'object' && value !== null && 'low' in value && 'high' in value && 'unsigned' in value;
}

function isDefault(value: unknown): boolean {
  if (value instanceof Uint8Array || typeof value === 'string') return value.length === 0;
  if (isLong(value)) return value.low === 0 && value.high === 0;
  return value === false || (value === 0 && !Object.is(value, -0));
}

function valueFrom(field: protobuf.Field, value: unknown, path: string, depth: number): unknown {
  if (field.resolvedType instanceof protobuf.Type) return messageFrom(field.resolvedType, value, path, depth);
  switch (field.type) {
    case 'string':
      // Half of a surrogate pair has no UTF-8; U+FFFD stands for it, as the specification recommends.
      return typeof value === 'string' ? value.toWellFormed() : fail(path, value, 'a string');
    case 'bool':
      return typeof value === 'boolean' ? value : fail(path, value, 'true or false');
    case 'bytes':
      return HEX_FIELDS.has(field.name) ? bytesFromHex(value, path) : bytesFromBase64(value, path);
    case 'double':
      return doubleFrom(value, path);
    default:
      return integerFrom(field.type, value, path);
  }
}

function bytesFromHex(value: unknown, path: string): Uint8Array {
  if (typeof value !== 'string' || value.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(value))
    fail(path, value, 'hex digits');
  return Buffer.from(value, 'hex');
}

function bytesFromBase64(value: unknown, path: string): Uint8Array {
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value)) fail(path, value, 'base64');
  return Buffer.from(value, 'base64');
}

function doubleFrom(value: unknown, path: string): number {
  if (typeof value === 'number') return value;
  if (value instanceof LargeInteger) return Number(value.source);
  if (value === 'NaN' || value === 'Infinity' || value === '-Infinity') return Number(value);
  if (typeof value === 'string' && DECIMAL.test(value)) return Number(value);
  return fail(path, value, 'a number');
}

const RANGES: Record<string, readonly [bigint, bigint]> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  sint32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  fixed32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  sfixed64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
  fixed64: [0n, 2n ** 64n - 1n],
};

function integerFrom(type: string, value: unknown, path: string): unknown {
  const range = RANGES[type];
  if (range === undefined) throw new TypeError(`no rule for protobuf type ${type}`);
  const text = value instanceof LargeInteger ? value.source : value;
  const number = typeof text === 'number' || typeof text === 'string' ? exactInteger(String(text)) : null;
  if (number === null || number < range[0] || number > range[1]) fail(path, value, `an integer of type ${type}`);
  if (!type.endsWith('64')) return Number(number);
  const bits = BigInt.asUintN(64, number);
  const Long = protobuf.util.Long;
  if (Long === undefined || Long === null) throw new TypeError('protobufjs has no Long');
  return new Long(
    Number(BigInt.asIntN(32, bits)),
    Number(BigInt.asIntN(32, bits >> 32n)),
    type.includes('u') || type === 'fixed64',
  );
}

/** "1e3", "1.0" and "9007199254740993.0" are integers to ProtoJSON, to the last digit; null when it is none, or of absurd size. */
function exactInteger(text: string): bigint | null {
  const match = DECIMAL.exec(text);
  if (match === null) return null;
  const [, sign, whole = '', fraction = '', exponent = '0'] = match;
  const shift = Number(exponent) - fraction.length;
  const digits = whole + fraction;
  if (shift > MOST_ZEROS || digits.length > MOST_DIGITS) return null;
  const kept = shift < 0 ? digits.slice(0, shift) : digits + '0'.repeat(shift);
  if (shift < 0 && /[^0]/.test(digits.slice(shift))) return null;
  return BigInt(`${sign}${kept === '' ? '0' : kept}`);
}

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
  if (field.resolvedType instanceof protobuf.Type) return jsonFrom(field.resolvedType, value as protobuf.Message);
  if (value instanceof Uint8Array) return Buffer.from(value).toString(HEX_FIELDS.has(field.name) ? 'hex' : 'base64');
  if (typeof value === 'number') {
    if (field.type.endsWith('64') && field.type !== 'double') return String(value);
    return Number.isFinite(value) ? value : String(value);
  }
  return isLong(value) ? value.toString() : value;
}

/** The protobuf bytes of a message given as plain data. */
export function encodeSubMessage(name: string, value: Record<string, unknown>): Uint8Array {
  const type = messageType(name);
  return type.encode(type.fromObject(value)).finish();
}

/** Encodes a reply or Status as protobuf or JSON. */
export function encodeMessage(name: string, value: Record<string, unknown>, json: boolean): Buffer {
  const type = messageType(name);
  const message = type.fromObject(value);
  return json ? Buffer.from(JSON.stringify(jsonFrom(type, message))) : Buffer.from(type.encode(message).finish());
}
