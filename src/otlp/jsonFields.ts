/** The schema as tables for reading JSON: which field a key is, found by its bytes, and how its value goes onto the wire. */
import type protobuf from 'protobufjs';
import type { Signal } from '../core/block.ts';
import { messageOf, requestType } from './schema.ts';

/** How a value is read and written. */
export type Kind =
  | 'message'
  | 'string'
  | 'bool'
  | 'bytes'
  | 'id'
  | 'double'
  | 'int32'
  | 'uint32'
  | 'sint32'
  | Wide
  | 'fixed32';
/** 64 bits. */
type Wide = 'int64' | 'uint64' | 'fixed64' | 'sfixed64';

export interface JsonField {
  name: string;
  key: Buffer;
  number: number;
  /** As it stands before one value; elements of repeated numbers stand packed behind another. */
  tag: number;
  packedTag: number;
  kind: Kind;
  repeated: boolean;
  /** Written even when it has its default: it has presence. */
  explicit: boolean;
  /** A bit for each oneof of the message; 0 outside of one. */
  oneof: number;
  /** Of kind `message`. */
  message: JsonMessage | null;
}

export interface JsonMessage {
  name: string;
  /** Ascending numbers. */
  fields: JsonField[];
  /** By `slotOf`; no two keys of one message share a slot. */
  slots: (JsonField | null)[];
  first: number;
  last: number;
  byName: Map<string, JsonField>;
  /** Bytes of the length before the last one written: mostly right for the next. */
  lengthBytes: number;
}

const SLOTS = 64;
/** In OTLP these are hex, not base64. */
const IDS = new Set(['traceId', 'spanId', 'parentSpanId']);
const WIRE: Partial<Record<Kind, number>> = {
  message: 2,
  string: 2,
  bytes: 2,
  id: 2,
  double: 1,
  fixed64: 1,
  sfixed64: 1,
  fixed32: 5,
};

/** The export request of a signal and all messages below it. Tables are the caller's own: they remember lengths. */
export function requestFields(signal: Signal): JsonMessage {
  return compile(requestType(signal), new Map());
}

/** The field with this key, or null: keys that are unknown may be anything. */
export function findField(message: JsonMessage, bytes: Uint8Array, at: number, length: number): JsonField | null {
  if (length === 0) return null;
  const slot = slotOf(bytes[at] as number, bytes[at + length - 1] as number, length, message.first, message.last);
  const field = message.slots[slot];
  if (field === null || field === undefined || field.key.length !== length) return null;
  const { key } = field;
  for (let i = 0; i < length; i++) if (key[i] !== bytes[at + i]) return null;
  return field;
}

function slotOf(firstByte: number, lastByte: number, length: number, first: number, last: number): number {
  return (firstByte * first + lastByte * last + length) & (SLOTS - 1);
}

/** Messages refer to one another in circles (AnyValue), so each is made once. */
function compile(type: protobuf.Type, made: Map<protobuf.Type, JsonMessage>): JsonMessage {
  const known = made.get(type);
  if (known !== undefined) return known;
  const message: JsonMessage = {
    name: type.name,
    fields: [],
    slots: [],
    first: 0,
    last: 0,
    byName: new Map(),
    lengthBytes: 1,
  };
  made.set(type, message);
  message.fields = type.fieldsArray.map((field) => compileField(field, made)).sort((a, b) => a.number - b.number);
  message.byName = new Map(message.fields.map((field) => [field.name, field]));
  Object.assign(message, spread(message.fields));
  return message;
}

function compileField(field: protobuf.Field, made: Map<protobuf.Type, JsonMessage>): JsonField {
  const inner = messageOf(field);
  // protobufjs names scalar types as the language does; schema.ts uses these alone.
  const scalar = (IDS.has(field.name) ? 'id' : field.type) as Kind;
  const kind = inner === null ? scalar : 'message';
  return {
    name: field.name,
    key: Buffer.from(field.name),
    number: field.id,
    tag: (field.id << 3) | (WIRE[kind] ?? 0),
    packedTag: (field.id << 3) | 2,
    kind,
    repeated: field.repeated,
    explicit: field.hasPresence,
    oneof:
      field.partOf === null || field.partOf === undefined
        ? 0
        : 1 << (field.parent as protobuf.Type).oneofsArray.indexOf(field.partOf),
    message: inner === null ? null : compile(inner, made),
  };
}

/** Factors with which first byte, last byte and length put every key into a slot of its own. */
function spread(fields: readonly JsonField[]): Pick<JsonMessage, 'slots' | 'first' | 'last'> {
  for (let first = 1; first < SLOTS; first++) {
    for (let last = 1; last < SLOTS; last++) {
      const slots = new Array<JsonField | null>(SLOTS).fill(null);
      const clash = fields.some((field) => {
        const { key } = field;
        const slot = slotOf(key[0] as number, key.at(-1) as number, key.length, first, last);
        const taken = slots[slot] !== null;
        slots[slot] = field;
        return taken;
      });
      if (!clash) return { slots, first, last };
    }
  }
  throw new TypeError(`no slots for ${fields.map(({ name }) => name).join(', ')}`);
}
