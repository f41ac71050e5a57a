/** Holds src/otlp/json.ts and jsonRequest.ts: OTLP/JSON in and out, exact to the last digit, by the rows E of otlp-http.md. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import protobuf from 'protobufjs';
import type { Random } from '../../bench/random.ts';
import { SIGNALS, type Signal } from '../../src/core/block.ts';
import { AgentError } from '../../src/core/errors.ts';
import { toOtlpJson } from '../../src/otlp/json.ts';
import { JsonRequests } from '../../src/otlp/jsonRequest.ts';
import { requestType } from '../../src/otlp/schema.ts';
import { decoded, encodeRequest, generated, itemsOf, list, type Plain, request, seeded } from './generate.ts';

const requests = new JsonRequests(1 << 20);
const requestFromJson = (signal: Signal, text: string | Uint8Array) =>
  Uint8Array.from(requests.convert(signal, Buffer.from(text)));
const refused = (error: unknown) => error instanceof AgentError && error.code === 'BODY_UNDECODABLE';
const wrapSpan = (span: string) => `{"resourceSpans":[{"scopeSpans":[{"spans":[${span}]}]}]}`;

/** A span given as JSON text, as protobufjs decodes what became of it. */
function spanOf(span: string): Plain {
  const [found] = itemsOf('traces', decoded('traces', requestFromJson('traces', wrapSpan(span))));
  return found?.item ?? {};
}
const anyValueOf = (json: string) =>
  ((spanOf(`{"attributes":[{"key":"k","value":${json}}]}`).attributes as Plain[])[0] as Plain).value;
const refusesSpan = (span: string) => assert.throws(() => requestFromJson('traces', wrapSpan(span)), refused, span);

test('what is written as JSON and read again is what protobufjs decoded', (t) => {
  const random = seeded(t, 50);
  for (let i = 0; i < generated(900); i++) {
    const signal = random.pick(SIGNALS);
    const bytes = encodeRequest(signal, request(random, signal), random);
    const json = toOtlpJson(signal, bytes);
    assert.doesNotMatch(json, /\n/);
    assert.deepEqual(decoded(signal, requestFromJson(signal, json)), decoded(signal, bytes), `case ${i}`);
  }
});

const isDefault = (value: unknown) =>
  typeof value === 'string' ? value === '' : Number(value) === 0 && !Object.is(value, -0);

/** Removes what proto3 leaves out: fields without presence that have their default. */
function withoutDefaults(type: protobuf.Type, message: Plain): Plain {
  for (const field of type.fieldsArray) {
    const value = Object.hasOwn(message, field.name) ? message[field.name] : undefined;
    const inner = field.resolvedType;
    if (inner instanceof protobuf.Type) {
      for (const one of field.repeated ? list(value) : value === undefined || value === null ? [] : [value as Plain])
        withoutDefaults(inner, one);
    } else if (!field.hasPresence && !field.repeated && value !== undefined && isDefault(value)) {
      delete message[field.name];
    }
    if (value instanceof Uint8Array && value.length === 0 && !field.hasPresence) delete message[field.name];
  }
  return message;
}

test('a request in JSON becomes, byte for byte, what protobufjs encodes', (t) => {
  const random = seeded(t, 51);
  for (let i = 0; i < generated(900); i++) {
    const signal = random.pick(SIGNALS);
    const type = requestType(signal);
    const bytes = encodeRequest(signal, request(random, signal), random);
    // protobufjs writes fields in ascending order.
    const message = type.decode(Uint8Array.from(bytes));
    const wanted = type.encode(withoutDefaults(type, message as unknown as Plain) as never).finish();
    const found = requestFromJson(signal, shuffled(toOtlpJson(signal, bytes), random));
    if (!Buffer.from(found).equals(wanted))
      assert.deepEqual(decoded(signal, found), decoded(signal, wanted), `case ${i}`);
    assert.equal(Buffer.from(found).toString('hex'), Buffer.from(wanted).toString('hex'), `case ${i}`);
  }
});

/** The same JSON with its keys in any order, white space between, and unknown keys. */
function shuffled(json: string, random: Random): string {
  const space = () => random.pick(['', ' ', '\n', '\t ']);
  const write = (value: unknown): string => {
    if (Array.isArray(value)) return `[${value.map((one) => space() + write(one) + space()).join(',')}]`;
    if (typeof value !== 'object' || value === null)
      return random.below(3) === 0 ? escaped(value) : JSON.stringify(value);
    const entries = Object.entries(value).map(
      ([key, inner]) => `${space()}${JSON.stringify(key)}${space()}:${space()}${write(inner)}`,
    );
    if (random.below(5) === 0) entries.push('"x_unknown":[{"a":[]},"\\"]}",-1.5e3,null]');
    if (random.below(5) === 0) entries.push('"name":null');
    for (let i = entries.length - 1; i > 0; i--) {
      const j = random.below(i + 1);
      [entries[i], entries[j]] = [entries[j] as string, entries[i] as string];
    }
    return `{${entries.join(',')}}`;
  };
  return write(JSON.parse(json));
}

/** Every character of a text as an escape. */
function escaped(value: unknown): string {
  if (typeof value !== 'string' || /^[\d-]/.test(value) || value.includes('Infinity') || value === 'NaN')
    return JSON.stringify(value);
  return `"${Array.from({ length: value.length }, (_, i) => `\\u${value.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`;
}

test('ids are hex in any case; one that is none makes its span invalid', () => {
  const id = '0123456789abcdefABCDEF0123456789';
  for (const text of [id, id.toLowerCase(), id.toUpperCase()])
    assert.equal(spanOf(`{"traceId":"${text}"}`).traceId, Buffer.from(id, 'hex').toString('base64'));
  // The span gets a trace id of no bytes, which the walk rejects; whichever of its ids it is.
  for (const text of ['AAAAAAAAAAAAAAAAAAAAAA==', '012', 'zz', '0x12', '\\u00e9']) {
    for (const key of ['traceId', 'spanId', 'parentSpanId']) {
      const other = key === 'traceId' ? '' : `"traceId":"${id}",`;
      const span = spanOf(`{${other}"${key}":"${text}","name":"n"}`);
      assert.deepEqual([span.traceId ?? '', span.name], ['', 'n'], `${key} ${text}`);
    }
    const linked = spanOf(`{"traceId":"${id}","links":[{"traceId":"${text}"}]}`);
    assert.equal(linked.traceId ?? '', '');
  }
  refusesSpan('{"spanId":12}');
  assert.equal(spanOf('{"traceId":"","parentSpanId":""}').traceId, undefined);
  assert.match(
    toOtlpJson('traces', requestFromJson('traces', wrapSpan(`{"traceId":"${id}"}`))),
    new RegExp(`"traceId":"${id.toLowerCase()}"`),
  );
});

test('64-bit integers are exact as numbers and as text, and refused out of range', () => {
  for (const text of ['0', '1544712660300000001', '18446744073709551615']) {
    for (const json of [text, `"${text}"`])
      assert.equal(spanOf(`{"startTimeUnixNano":${json}}`).startTimeUnixNano ?? '0', text);
  }
  for (const text of ['0', '-9223372036854775808', '9223372036854775807', '-1']) {
    for (const json of [text, `"${text}"`]) assert.deepEqual(anyValueOf(`{"intValue":${json}}`), { intValue: text });
  }
  for (const json of ['18446744073709551616', '-1', '1.5', '"x"', '""', 'true', '[]', '{}'])
    refusesSpan(`{"startTimeUnixNano":${json}}`);
  for (const json of ['9223372036854775808', '"-9223372036854775809"'])
    refusesSpan(`{"attributes":[{"value":{"intValue":${json}}}]}`);
});

test('integers may be written as 1e3, "1e3" and 1.0', () => {
  for (const json of ['1e3', '"1e3"', '1000.0', '"1000.0"'])
    assert.deepEqual(anyValueOf(`{"intValue":${json}}`), { intValue: '1000' });
});

test('integers with a fraction of zeros are exact or refused, never rounded', {}, () => {
  assert.deepEqual(anyValueOf('{"intValue":"9007199254740993.0"}'), { intValue: '9007199254740993' });
});

test('text that ProtoJSON does not know as a number is refused', {}, () => {
  for (const json of ['"0x10"', '" 5 "']) refusesSpan(`{"attributes":[{"value":{"intValue":${json}}}]}`);
});

test('a number is no text, however large', {}, () => {
  refusesSpan('{"name":12345}');
  refusesSpan('{"name":12345678901234567890}');
});

test('enums are integers: names are refused, unknown numbers kept', () => {
  assert.equal(spanOf('{"kind":2}').kind, 2);
  assert.equal(spanOf('{"kind":4711}').kind, 4711);
  refusesSpan('{"kind":"SPAN_KIND_SERVER"}');
  refusesSpan('{"status":{"code":"STATUS_CODE_ERROR"}}');
});

test('unknown fields are ignored at every level and of every type, dangerous names too; null is unset', () => {
  const unknown = ['1', '"x"', 'null', 'true', '[[{}]]', '{"a":[1]}'];
  for (const json of unknown) {
    for (const key of ['x', 'trace_id', 'name_', '__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      const span = spanOf(
        `{"name":"n","${key}":${json},"attributes":[{"key":"k","${key}":${json},"value":{"intValue":1,"${key}":${json}}}]}`,
      );
      assert.deepEqual(span, {
        name: 'n',
        attributes: [{ key: 'k', value: { intValue: '1' } }],
        events: [],
        links: [],
      });
    }
  }
  assert.equal(({} as Plain).polluted, undefined);
  assert.deepEqual(
    spanOf('{"traceId":null,"name":null,"status":null,"attributes":null,"kind":null,"endTimeUnixNano":null}'),
    { attributes: [], events: [], links: [] },
  );
  refusesSpan('{"attributes":[null]}');
});

test('every kind of value, empty, mixed and nested, is kept', () => {
  const kinds = [
    '{}',
    '{"stringValue":""}',
    '{"boolValue":false}',
    '{"intValue":"0"}',
    '{"doubleValue":0}',
    '{"bytesValue":""}',
    '{"arrayValue":{"values":[{},{"stringValue":"x"},{"doubleValue":1.5}]}}',
    '{"kvlistValue":{"values":[{"key":"a","value":{"kvlistValue":{"values":[]}}}]}}',
    '{"arrayValue":{"values":[]}}',
  ];
  for (const json of kinds)
    assert.deepEqual(
      anyValueOf(json),
      json === '{}' ? {} : JSON.parse(json.replace('"bytesValue":""', '"bytesValue":""')),
      json,
    );
});

test('bytes are base64 or base64url, padded or not', () => {
  for (const text of ['-_-_', '+/+/']) assert.deepEqual(anyValueOf(`{"bytesValue":"${text}"}`), { bytesValue: '+/+/' });
  for (const text of ['AQ==', 'AQ=', 'AQ'])
    assert.deepEqual(anyValueOf(`{"bytesValue":"${text}"}`), { bytesValue: 'AQ==' });
  refusesSpan('{"attributes":[{"value":{"bytesValue":"a b"}}]}');
});

test('doubles are numbers, or the names of those that JSON lacks', () => {
  for (const text of ['NaN', 'Infinity', '-Infinity'])
    assert.deepEqual(anyValueOf(`{"doubleValue":"${text}"}`), { doubleValue: text });
  assert.deepEqual(anyValueOf('{"doubleValue":"1.5"}'), { doubleValue: 1.5 });
  assert.deepEqual(anyValueOf('{"doubleValue":12345678901234567890}'), { doubleValue: Number('12345678901234567890') });
  for (const json of ['"x"', '""', 'true', '"nan"']) refusesSpan(`{"attributes":[{"value":{"doubleValue":${json}}}]}`);
});

function nested(depth: number): string {
  const open = '{"arrayValue":{"values":[';
  return `${open.repeat(depth - 1)}{"stringValue":"x"}${']}}'.repeat(depth - 1)}`;
}

test('45 values inside one another are taken and 101 refused', () => {
  requestFromJson('traces', wrapSpan(`{"attributes":[{"key":"k","value":${nested(45)}}]}`));
  for (const depth of [101, 400]) refusesSpan(`{"attributes":[{"key":"k","value":${nested(depth)}}]}`);
});

test('99 values inside one another are taken', {}, () => {
  const bytes = requestFromJson('traces', wrapSpan(`{"attributes":[{"key":"k","value":${nested(99)}}]}`));
  assert.match(toOtlpJson('traces', bytes), /"x"/);
});

test('nesting of any depth, where anything stands, is refused and not overflowed', () => {
  for (const depth of [500, 1000, 1500, 2000, 2500, 3000, 5000, 20_000, 200_000]) {
    for (const [open, close] of [
      ['{"a":', '}'],
      ['[', ']'],
    ] as const) {
      const deep = `${open.repeat(depth)}1${close.repeat(depth)}`;
      for (const text of [`{"resourceSpans":${open === '[' ? `{"a":${deep}}` : deep}}`, wrapSpan(`{"name":${deep}}`)])
        assert.throws(() => requestFromJson('traces', text), refused, `${depth} of ${open}`);
    }
  }
});

test('what is no JSON object is refused: junk behind, two values, NaN, comments, a list, nothing', () => {
  for (const text of [
    '',
    ' ',
    '{} x',
    '{}{}',
    '{"a":NaN}',
    '/* */{}',
    '[]',
    '1',
    'null',
    '"x"',
    '{"a":1,}',
    '\ufeff{}',
  ])
    assert.throws(() => requestFromJson('traces', text), refused, text);
  for (const signal of SIGNALS) assert.equal(requestFromJson(signal, '{}').length, 0);
});

test('two kinds in one value and keys that stand twice give one result, the same each time', () => {
  const two = '{"intValue":1,"stringValue":"x"}';
  assert.deepEqual(anyValueOf(two), anyValueOf(two));
  assert.equal(spanOf('{"name":"a","name":"b"}').name, 'b');
  assert.equal((spanOf('{"attributes":[{"key":"k"},{"key":"k"}]}').attributes as Plain[]).length, 2);
});

test('lone surrogates become U+FFFD or are refused', {}, () => {
  try {
    assert.equal(spanOf('{"name":"a\\ud800b"}').name, 'a\ufffdb');
  } catch (error) {
    assert.ok(refused(error), String(error));
  }
});

test('a fault names its place and shows little of what was found', () => {
  assert.throws(
    () => requestFromJson('traces', wrapSpan(`{"kind":"${'x'.repeat(5000)}"}`)),
    (error: Error) => {
      assert.match(error.message, /^resourceSpans\[0\]\.scopeSpans\[0\]\.spans\[0\]\.kind: expected an integer/);
      return error.message.length < 300;
    },
  );
});
