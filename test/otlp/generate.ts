/** Seeded random export requests and an encoder that writes them as an awkward but valid sender would: the oracle's other half. */
import protobuf from 'protobufjs';
import { createRandom, type Random } from '../../bench/random.ts';
import type { Signal } from '../../src/core/block.ts';
import { requestType } from '../../src/otlp/schema.ts';

export type Plain = Record<string, unknown>;

/** Printed by every test that uses it; `SEED=n` repeats a run. */
export const SEED = Number(process.env.SEED ?? 20_260_824);

export function seeded(t: { diagnostic(text: string): void }, salt: number): Random {
  t.diagnostic(`seed ${SEED}`);
  return createRandom(SEED + salt);
}

const hex = (random: Random, bytes: number) =>
  Buffer.from(Array.from({ length: bytes }, (_, i) => random.below(255) + (i === 0 ? 1 : 0)));
const some = <T>(random: Random, most: number, make: () => T) => Array.from({ length: random.below(most + 1) }, make);
const maybe = <T>(random: Random, key: string, make: () => T): Plain => (random.below(3) > 0 ? { [key]: make() } : {});

function decimal(random: Random, signed: boolean): string {
  const bits = BigInt.asUintN(random.below(65), (BigInt(random.below(2 ** 32)) << 32n) | BigInt(random.below(2 ** 32)));
  return String(signed ? BigInt.asIntN(64, bits) : bits);
}

const KEYS = [
  'a',
  'http.route',
  'service.name',
  'password',
  'password.old',
  'user.id',
  '',
  '__proto__',
  'schlüssel',
  'k',
];
const DOUBLES = [0, 1.5, -2.25, Number.MAX_VALUE, Number.MIN_VALUE, Number.NaN, Infinity, -Infinity];

export function anyValue(random: Random, depth = 0): Plain {
  switch (random.below(depth > 3 ? 6 : 8)) {
    case 0:
      return {};
    case 1:
      return { stringValue: random.below(9) === 0 ? 'ü'.repeat(random.below(200)) : random.text(random.below(9)) };
    case 2:
      return { boolValue: random.below(2) === 1 };
    case 3:
      return { intValue: decimal(random, true) };
    case 4:
      return { doubleValue: random.pick(DOUBLES) };
    case 5:
      return { bytesValue: hex(random, random.below(20)) };
    case 6:
      return { arrayValue: { values: some(random, 3, () => anyValue(random, depth + 1)) } };
    default:
      return { kvlistValue: { values: some(random, 3, () => keyValue(random, depth + 1)) } };
  }
}

function keyValue(random: Random, depth = 0): Plain {
  return { ...maybe(random, 'key', () => random.pick(KEYS)), ...maybe(random, 'value', () => anyValue(random, depth)) };
}
const attributes = (random: Random) => some(random, 4, () => keyValue(random));
const time = (random: Random) => decimal(random, false);

const TRACE_STATES = ['', 'ot=th:8', 'vendor=x,ot=rv:6e6d1a75832a2f;th:fd70a4', 'a=b', 'ot=th:zz'];

export function span(random: Random): Plain {
  return {
    ...maybe(random, 'traceId', () => hex(random, random.below(5) === 0 ? random.below(20) : 16)),
    ...maybe(random, 'spanId', () => (random.below(5) === 0 ? Buffer.alloc(8) : hex(random, 8))),
    ...maybe(random, 'traceState', () => random.pick(TRACE_STATES)),
    ...maybe(random, 'parentSpanId', () => hex(random, 8)),
    ...maybe(random, 'name', () => random.text(random.below(20))),
    ...maybe(random, 'kind', () => random.pick([0, 1, 2, 5, 77, -1, 2 ** 31 - 1])),
    ...maybe(random, 'startTimeUnixNano', () => time(random)),
    ...maybe(random, 'endTimeUnixNano', () => time(random)),
    attributes: attributes(random),
    ...maybe(random, 'droppedAttributesCount', () => random.below(9)),
    events: some(random, 2, () => ({
      name: random.text(4),
      timeUnixNano: time(random),
      attributes: attributes(random),
    })),
    links: some(random, 2, () => ({
      traceId: hex(random, 16),
      attributes: attributes(random),
      flags: random.below(300),
    })),
    ...maybe(random, 'status', () => ({
      ...maybe(random, 'code', () => random.below(4)),
      ...maybe(random, 'message', () => random.text(5)),
    })),
    ...maybe(random, 'flags', () => random.below(2 ** 32)),
  };
}

export function logRecord(random: Random): Plain {
  return {
    ...maybe(random, 'timeUnixNano', () => time(random)),
    ...maybe(random, 'severityNumber', () => random.below(25)),
    ...maybe(random, 'severityText', () => random.text(4)),
    ...maybe(random, 'body', () => anyValue(random)),
    attributes: attributes(random),
    ...maybe(random, 'flags', () => random.below(256)),
    ...maybe(random, 'traceId', () => hex(random, random.below(4) === 0 ? 3 : 16)),
    ...maybe(random, 'spanId', () => hex(random, 8)),
    ...maybe(random, 'observedTimeUnixNano', () => time(random)),
    ...maybe(random, 'eventName', () => random.text(6)),
  };
}

/** An id, mostly; else empty, of another length, or all zero. */
const mostlyId = (random: Random, bytes: number) =>
  random.pick([hex(random, bytes), hex(random, bytes), hex(random, random.below(20)), Buffer.alloc(bytes)]);
const exemplar = (random: Random) => ({
  timeUnixNano: time(random),
  ...(random.below(2) === 0 ? { asDouble: 1.25 } : { asInt: decimal(random, true) }),
  ...maybe(random, 'spanId', () => mostlyId(random, 8)),
  ...maybe(random, 'traceId', () => mostlyId(random, 16)),
  filteredAttributes: attributes(random),
});
const common = (random: Random) => ({
  ...maybe(random, 'startTimeUnixNano', () => time(random)),
  ...maybe(random, 'timeUnixNano', () => time(random)),
  ...maybe(random, 'flags', () => random.below(3)),
  attributes: attributes(random),
});
const exemplars = (random: Random) => some(random, 2, () => exemplar(random));
const counts = (random: Random) => some(random, 4, () => decimal(random, false));

const double = (random: Random) => random.pick(DOUBLES);
const buckets = (random: Random) => ({
  ...maybe(random, 'offset', () => random.below(2000) - 1000),
  bucketCounts: counts(random),
});
/** Of both kinds of histogram. */
const totals = (random: Random) => ({
  ...maybe(random, 'count', () => decimal(random, false)),
  ...maybe(random, 'sum', () => double(random)),
  ...maybe(random, 'min', () => double(random)),
  ...maybe(random, 'max', () => double(random)),
  exemplars: exemplars(random),
});

/** Counts that fit the bounds, mostly. */
function histogramPoint(random: Random): Plain {
  const explicitBounds = some(random, 3, () => random.next());
  const fits = random.below(4) > 0;
  const bucketCounts = Array.from({ length: fits ? explicitBounds.length + 1 : random.below(4) }, () =>
    decimal(random, false),
  );
  return { ...totals(random), bucketCounts, explicitBounds };
}

function exponentialPoint(random: Random): Plain {
  return {
    ...totals(random),
    ...maybe(random, 'scale', () => random.below(30) - 10),
    ...maybe(random, 'zeroCount', () => decimal(random, false)),
    ...maybe(random, 'zeroThreshold', () => random.next()),
    ...maybe(random, 'positive', () => buckets(random)),
    ...maybe(random, 'negative', () => buckets(random)),
  };
}

function numberPoint(random: Random): Plain {
  const value = random.below(2) === 0 ? { asDouble: double(random) } : { asInt: decimal(random, true) };
  return { ...(random.below(5) === 0 ? {} : value), exemplars: exemplars(random) };
}

function summaryPoint(random: Random): Plain {
  return {
    ...maybe(random, 'count', () => decimal(random, false)),
    ...maybe(random, 'sum', () => double(random)),
    quantileValues: some(random, 3, () => ({ quantile: random.next(), ...maybe(random, 'value', () => 2) })),
  };
}

function metricData(random: Random): Plain {
  const points = (make: (random: Random) => Plain) => ({
    dataPoints: some(random, 3, () => ({ ...common(random), ...make(random) })),
  });
  const temporality = maybe(random, 'aggregationTemporality', () => random.below(3));
  switch (random.below(6)) {
    case 0:
      return {};
    case 1:
      return { gauge: points(numberPoint) };
    case 2:
      return { sum: { ...points(numberPoint), ...temporality, ...maybe(random, 'isMonotonic', () => true) } };
    case 3:
      return { histogram: { ...points(histogramPoint), ...temporality } };
    case 4:
      return { exponentialHistogram: { ...points(exponentialPoint), ...temporality } };
    default:
      return { summary: points(summaryPoint) };
  }
}

export function metric(random: Random): Plain {
  return {
    ...maybe(random, 'name', () => random.text(8)),
    ...maybe(random, 'unit', () => random.pick(['ms', 'By', ''])),
    metadata: attributes(random),
    ...metricData(random),
  };
}

const ITEMS = {
  traces: ['Spans', 'spans', span],
  logs: ['Logs', 'logRecords', logRecord],
  metrics: ['Metrics', 'metrics', metric],
} as const;

/** Several resources and scopes, some without any item. */
export function request(random: Random, signal: Signal, most = 3): Plain {
  const [suffix, items, make] = ITEMS[signal];
  const scope = () => ({
    ...maybe(random, 'scope', () => ({ name: random.text(3), attributes: attributes(random) })),
    [items]: some(random, most, () => make(random)),
    ...maybe(random, 'schemaUrl', () => 'https://example.org/1'),
  });
  const resource = () => ({
    ...maybe(random, 'resource', () => ({
      attributes: attributes(random),
      ...maybe(random, 'entityRefs', () => [{ type: 'host', idKeys: ['a', 'b'] }]),
    })),
    [`scope${suffix}`]: some(random, 2, scope),
    ...maybe(random, 'schemaUrl', () => random.text(3)),
  });
  return { [`resource${suffix}`]: some(random, 3, resource) };
}

/** Field by field in any order, packed or not, and with unknown fields of every wire type (groups too) when `noise`. */
export function encode(type: protobuf.Type, value: Plain, random: Random, noise: boolean): Buffer {
  const queues = type.fieldsArray.flatMap((field) => {
    const content = value[field.name];
    if (content === undefined) return [];
    if (Array.isArray(content)) return [listBytes(field, content, random, noise)];
    const twice = noise && random.below(12) === 0 ? twiceBytes(field, content, random) : null;
    return [twice ?? [fieldBytes(field, content, random, noise)]];
  });
  if (noise) queues.push(some(random, 2, () => unknownField(random, 0)));
  const pieces: Uint8Array[] = [];
  for (
    let left = queues.filter(({ length }) => length > 0);
    left.length > 0;
    left = left.filter(({ length }) => length > 0)
  ) {
    // Fields in any order, elements of one field in theirs.
    pieces.push((noise ? random.pick(left) : left[0])?.shift() as Uint8Array);
  }
  return Buffer.concat(pieces);
}

/** A singular field twice: of a message each half holds some of its fields, of a scalar the last one counts. */
function twiceBytes(field: protobuf.Field, content: unknown, random: Random): Uint8Array[] {
  if (!(field.resolvedType instanceof protobuf.Type)) {
    const other = field.type === 'string' ? 'other' : field.type === 'bytes' ? Buffer.from('other') : 1;
    return [fieldBytes(field, other, random, true), fieldBytes(field, content, random, true)];
  }
  const halves: [Plain, Plain] = [{}, {}];
  for (const [key, value] of Object.entries(content as Plain)) (halves[random.below(2)] as Plain)[key] = value;
  return halves.map((half) => fieldBytes(field, half, random, true));
}

/** How many requests a property is held over: 10^6 with `GENERATED=1000000`. */
export function generated(usual: number): number {
  return Number(process.env.GENERATED ?? usual);
}

/** A request as bytes of a random sender. */
export function encodeRequest(signal: Signal, plain: Plain, random: Random, noise = true): Buffer {
  return encode(requestType(signal), plain, random, noise);
}

function listBytes(field: protobuf.Field, list: unknown[], random: Random, noise: boolean): Uint8Array[] {
  const packable = field.resolvedType === null && field.type !== 'string' && field.type !== 'bytes';
  if (!packable || list.length === 0 || random.below(2) === 0)
    return list.map((entry) => fieldBytes(field, entry, random, noise));
  const writer = protobuf.Writer.create()
    .uint32((field.id << 3) | 2)
    .fork();
  for (const entry of list) writeScalar(writer, field.type, entry);
  return [writer.ldelim().finish()];
}

const WIRE: Record<string, number> = { double: 1, fixed64: 1, sfixed64: 1, fixed32: 5, string: 2, bytes: 2 };

function fieldBytes(field: protobuf.Field, value: unknown, random: Random, noise: boolean): Uint8Array {
  const writer = protobuf.Writer.create();
  if (field.resolvedType instanceof protobuf.Type) {
    const content = encode(field.resolvedType, value as Plain, random, noise);
    return writer
      .uint32((field.id << 3) | 2)
      .bytes(content)
      .finish();
  }
  writeScalar(writer.uint32((field.id << 3) | (WIRE[field.type] ?? 0)), field.type, value);
  return writer.finish();
}

function writeScalar(writer: protobuf.Writer, type: string, value: unknown): void {
  const methods = writer as unknown as Record<string, (value: unknown) => void>;
  methods[type]?.call(writer, value);
}

export function unknownField(random: Random, depth: number): Uint8Array {
  const writer = protobuf.Writer.create();
  const number = 100 + random.below(1000);
  const wire = random.pick(depth < 4 ? [0, 1, 2, 3, 5] : [0, 1, 2, 5]);
  writer.uint32((number << 3) | wire);
  if (wire === 0) writer.uint64(decimal(random, false) as never);
  else if (wire === 1) writer.fixed64(decimal(random, false) as never);
  else if (wire === 2) writer.bytes(hex(random, random.below(200)));
  else if (wire === 5) writer.fixed32(random.below(2 ** 32));
  if (wire !== 3) return writer.finish();
  const inside = some(random, 3, () => unknownField(random, depth + 1));
  return Buffer.concat([
    writer.finish(),
    ...inside,
    protobuf.Writer.create()
      .uint32((number << 3) | 4)
      .finish(),
  ]);
}

/** What protobufjs reads, as plain data that can be compared: 64-bit integers as text, bytes as hex, NaN as text. */
export function decoded(signal: Signal, bytes: Uint8Array): Plain {
  const type = requestType(signal);
  // Copied: protobufjs would keep views.
  return type.toObject(type.decode(Uint8Array.from(bytes)), {
    longs: String,
    bytes: String,
    json: true,
    arrays: true,
  }) as Plain;
}

/** Items of a decoded request with their resource and scope, in order. */
export function itemsOf(
  signal: Signal,
  plain: Plain,
): { item: Plain; resource: Plain | undefined; scope: Plain | undefined }[] {
  const [suffix, items] = ITEMS[signal];
  return list(plain[`resource${suffix}`]).flatMap((resource) =>
    list(resource[`scope${suffix}`]).flatMap((scope) =>
      list(scope[items]).map((item) => ({
        item,
        resource: resource.resource as Plain | undefined,
        scope: scope.scope as Plain | undefined,
      })),
    ),
  );
}

export function list(value: unknown): Plain[] {
  return (value ?? []) as Plain[];
}

/** The bytes inside a bigger buffer that is filled with `filler`: what lies around must change nothing. */
export function placed(bytes: Uint8Array, filler: number, at = 64): { buffer: Buffer; at: number; end: number } {
  const buffer = Buffer.alloc(at + bytes.length + 64, filler);
  buffer.set(bytes, at);
  return { buffer, at, end: at + bytes.length };
}
