/** Rows E: OTLP/JSON. Every one is about JSON alone. */
import assert from 'node:assert/strict';
import { at, ENVELOPES, gauge, item, type Json, logRecord, requestOf, span, text } from './messages.ts';
import { type Case, partialOf, post, type Row, refused, succeeded, takenOrRefused } from './row.ts';
import { exampleOf } from './success.ts';

const send = (c: Case, items: readonly Json[]) =>
  post(c, Buffer.from(JSON.stringify(requestOf(c.signal, c.service, items))));
/** With `MARK` in the JSON text replaced: for what JSON.stringify would not write. */
const sendText = (c: Case, items: readonly Json[], raw: string) =>
  post(
    c,
    Buffer.from(
      JSON.stringify(requestOf(c.signal, c.service, items)).replace('"MARK"', () => raw),
      'latin1',
    ),
  );
/** An item whose one attribute has this value. */
const holding = (c: Case, value: unknown) => {
  const attribute = { key: 'k', value };
  return item(c.signal, { attributes: [attribute] });
};
const attributesOf = (c: Case, found: Json | undefined): Json[] => {
  const holder = c.signal === 'metrics' ? at(found, 'gauge', 'dataPoints', 0) : found;
  return (at(holder, 'attributes') ?? []) as Json[];
};
const heldValue = (c: Case, found: Json | undefined) => attributesOf(c, found)[0]?.value as Json;

/** `value` (JSON text of an AnyValue) arrives as `wanted`. */
async function arrives(c: Case, values: [text: string, wanted: Json][]): Promise<void> {
  for (const [raw] of values) succeeded(c, await sendText(c, [holding(c, 'MARK')], raw));
  c.atSink((items) =>
    values.forEach(([raw, wanted], i) => {
      const found = heldValue(c, items[i]);
      assert.deepEqual(found, wanted, raw);
    }),
  );
}

/** Every one is refused as undecodable, or its item is rejected. */
async function isRejected(c: Case, values: string[]): Promise<void> {
  for (const raw of values) {
    const reply = await sendText(c, [holding(c, 'MARK')], raw);
    if (reply.status === 200) assert.ok(partialOf(c, reply).rejected > 0, `${raw} was taken`);
    else refused(c, reply, 400);
  }
}

const nested = (depth: number) => `${'{"arrayValue":{"values":['.repeat(depth)}{}${']}}'.repeat(depth)}`;

const rows: Row[] = [
  {
    id: 'E1',
    strength: 'M',
    request: 'lowerCamelCase keys',
    expected: 'decoded',
    async run(c) {
      succeeded(c, await send(c, [item(c.signal)]));
      c.atSink(([found]) => {
        const time =
          c.signal === 'traces' ? found?.startTimeUnixNano : c.signal === 'logs' ? found?.timeUnixNano : undefined;
        if (c.signal === 'metrics') assert.equal(at(found, 'gauge', 'dataPoints', 0, 'asInt'), '5');
        else assert.match(String(time), /^15447126/);
      });
    },
  },
  {
    id: 'E2',
    strength: 'M',
    request: 'snake_case keys',
    expected: 'unknown, ignored',
    async run(c) {
      succeeded(
        c,
        await send(c, [item(c.signal, { time_unix_nano: 'nonsense', trace_state: 7, start_time_unix_nano: {} })]),
      );
      const { resources } = ENVELOPES[c.signal];
      const snake = resources.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      succeeded(c, await post(c, Buffer.from(`{"${snake}":[{"nonsense":1}]}`)));
      c.atSink((items) => assert.equal(items.length, 1));
    },
  },
  {
    id: 'E3',
    strength: 'M',
    request: 'unknown fields of any type at each level',
    expected: 'ignored, the rest intact',
    async run(c) {
      const unknown = JSON.stringify({
        x: [1, { y: null }, 'z', -0.5e-3],
        'ü"\\': { a: { b: [[], {}] } },
        t: true,
      }).slice(1, -1);
      const json = JSON.stringify(requestOf(c.signal, c.service, [holding(c, { stringValue: 'v' })]));
      succeeded(c, await post(c, Buffer.from(json.replaceAll('{', `{${unknown},`))));
      c.atSink(([found]) => assert.deepEqual(attributesOf(c, found), [text('k', 'v')]));
    },
  },
  {
    id: 'E4',
    strength: 'M',
    request: '__proto__, constructor, toString as unknown fields and as attribute keys',
    expected: 'ignored; kept',
    async run(c) {
      const keys = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'prototype'];
      const unknown = keys.map((key) => `"${key}":{"polluted":[1]}`).join(',');
      const attributes = keys.map((key) => text(key, 'v'));
      const json = JSON.stringify(requestOf(c.signal, c.service, [item(c.signal, { attributes })]));
      succeeded(c, await post(c, Buffer.from(json.replaceAll('{', `{${unknown},`))));
      assert.equal(({} as Json).polluted, undefined);
      c.atSink(([found]) =>
        assert.deepEqual(
          attributesOf(c, found).map(({ key }) => key),
          keys,
        ),
      );
    },
  },
  {
    id: 'E5',
    strength: 'M',
    request: 'ids in upper, lower and mixed hex',
    expected: 'the same bytes',
    signals: ['traces', 'logs'],
    async run(c) {
      const id = 'abcdef0123456789abcdef0123456789';
      const ids = [
        id,
        id.toUpperCase(),
        id.replace(/[a-f]/g, (letter, i: number) => (i % 4 === 0 ? letter.toUpperCase() : letter)),
      ];
      succeeded(
        c,
        await send(
          c,
          ids.map((traceId) => item(c.signal, { traceId, spanId: traceId.slice(0, 16) })),
        ),
      );
      c.atSink((items) =>
        assert.deepEqual(
          items.map(({ traceId }) => traceId),
          [id, id, id],
        ),
      );
    },
  },
  {
    id: 'E6',
    strength: 'M',
    request: 'ids in base64, of odd length, no hex',
    expected: 'rejected, never mis-read',
    signals: ['traces', 'logs'],
    async run(c) {
      const wrong = [
        'q83vASNFZ4mrze8BI0VniQ==',
        'abc',
        `${'0'.repeat(31)}1a`,
        'zz'.repeat(16),
        `${'a1'.repeat(15)}a `,
        'a1'.repeat(17),
      ];
      for (const traceId of wrong) {
        const reply = await send(c, [item(c.signal, { traceId, spanId: 'a1b2c3d4e5f60718' })]);
        if (reply.status !== 200) refused(c, reply, 400);
        else if (c.signal === 'traces') assert.equal(partialOf(c, reply).rejected, 1, traceId);
      }
      c.atSink((items) => {
        if (c.signal === 'traces') assert.equal(items.length, 0);
        else for (const { traceId } of items) assert.ok(String(traceId ?? '').length !== 32, `kept as ${traceId}`);
      });
    },
  },
  {
    id: 'E7',
    strength: 'M',
    request: 'empty ids',
    expected: 'invalid for a span, none for a log record; parentSpanId "" is a root',
    signals: ['traces', 'logs'],
    async run(c) {
      if (c.signal === 'logs') succeeded(c, await send(c, [logRecord({ traceId: '', spanId: '' })]));
      else {
        assert.equal(partialOf(c, await send(c, [span({ traceId: '' }), span({ spanId: '' })])).rejected, 2);
        succeeded(c, await send(c, [span({ parentSpanId: '' })]));
      }
      c.atSink((items) => {
        assert.equal(items.length, 1);
        assert.equal(items[0]?.[c.signal === 'logs' ? 'traceId' : 'parentSpanId'] ?? '', '');
      });
    },
  },
  {
    id: 'E8',
    strength: 'M',
    request: 'enums as integers',
    expected: 'taken',
    async run(c) {
      const items = {
        traces: [span({ kind: 5, status: { code: 2 } })],
        logs: [logRecord({ severityNumber: 17 })],
        metrics: [sum(2)],
      };
      succeeded(c, await send(c, items[c.signal]));
      c.atSink(([found]) => {
        if (c.signal === 'traces') assert.deepEqual([found?.kind, found?.status], [5, { code: 2 }]);
        else if (c.signal === 'logs') assert.equal(found?.severityNumber, 17);
        else assert.equal(at(found, 'sum', 'aggregationTemporality'), 2);
      });
    },
  },
  {
    id: 'E9',
    strength: 'M',
    request: 'enums as names',
    expected: 'rejected',
    async run(c) {
      const items = {
        traces: [span({ kind: 'SPAN_KIND_SERVER' })],
        logs: [logRecord({ severityNumber: 'SEVERITY_NUMBER_INFO' })],
        metrics: [sum('AGGREGATION_TEMPORALITY_DELTA')],
      };
      const reply = await send(c, items[c.signal]);
      if (reply.status === 200) assert.ok(partialOf(c, reply).rejected > 0);
      else refused(c, reply, 400);
      c.atSink((kept) => assert.equal(kept.length, 0));
    },
  },
  {
    id: 'E10',
    strength: 'P',
    request: 'an enum number nobody knows',
    expected: 'kept',
    async run(c) {
      const items = { traces: [span({ kind: 4711 })], logs: [logRecord({ severityNumber: 99 })], metrics: [sum(7)] };
      succeeded(c, await send(c, items[c.signal]));
      c.atSink(([found]) => {
        const kept =
          c.signal === 'traces'
            ? found?.kind
            : c.signal === 'logs'
              ? found?.severityNumber
              : at(found, 'sum', 'aggregationTemporality');
        assert.equal(kept, { traces: 4711, logs: 99, metrics: 7 }[c.signal]);
      });
    },
  },
  {
    id: 'E11',
    strength: 'P',
    request: '64-bit integers as strings',
    expected: 'exact to the last digit',
    run: (c) =>
      arrives(c, [
        ['{"intValue":"1544712660300000001"}', { intValue: '1544712660300000001' }],
        ['{"intValue":"-9007199254740993"}', { intValue: '-9007199254740993' }],
      ]),
  },
  {
    id: 'E12',
    strength: 'P',
    request: '64-bit integers as numbers',
    expected: 'exact to the last digit',
    run: (c) =>
      arrives(c, [
        ['{"intValue":1544712660300000001}', { intValue: '1544712660300000001' }],
        ['{"intValue":-9007199254740993}', { intValue: '-9007199254740993' }],
      ]),
  },
  {
    id: 'E13',
    strength: 'P',
    request: '0, -2^63, 2^63-1, 2^64-1; and beyond',
    expected: 'exact; rejected',
    async run(c) {
      await arrives(
        c,
        ['0', '-9223372036854775808', '9223372036854775807'].flatMap((digits): [string, Json][] => [
          [`{"intValue":${digits}}`, { intValue: digits }],
          [`{"intValue":"${digits}"}`, { intValue: digits }],
        ]),
      );
      const beyond = ['9223372036854775808', '-9223372036854775809', '99999999999999999999999'];
      await isRejected(
        c,
        beyond.flatMap((digits) => [`{"intValue":${digits}}`, `{"intValue":"${digits}"}`]),
      );
      const key = c.signal === 'traces' ? 'startTimeUnixNano' : 'timeUnixNano';
      for (const most of ['18446744073709551615', '"18446744073709551615"'])
        succeeded(c, await sendText(c, [item(c.signal, { [key]: 'MARK' })], most));
      for (const wrong of ['18446744073709551616', '-1', '"-1"'])
        refused(c, await sendText(c, [item(c.signal, { [key]: 'MARK' })], wrong), 400);
    },
  },
  {
    id: 'E14',
    strength: 'P',
    request: '1e3, "1e3", 1.0 as integers; 1.5',
    expected: 'taken; rejected',
    async run(c) {
      await arrives(
        c,
        ['1e3', '"1e3"', '1000.0', '1000', '"1000.000"', '100000e-2', '1E+3'].map((raw): [string, Json] => [
          `{"intValue":${raw}}`,
          { intValue: '1000' },
        ]),
      );
      await isRejected(
        c,
        ['1.5', '"1.5"', '1e-1', '1e30', '""', '" 1"', '"0x10"', 'true', '{}', '[]'].map(
          (raw) => `{"intValue":${raw}}`,
        ),
      );
    },
  },
  {
    id: 'E15',
    strength: 'P',
    request: 'bytesValue in base64 and base64url, padded or not',
    expected: 'taken',
    run: (c) =>
      arrives(
        c,
        [
          ['+/8=', 'fbff'],
          ['-_8=', 'fbff'],
          ['+/8', 'fbff'],
          ['-_8', 'fbff'],
          ['', ''],
          ['AAECAw==', '00010203'],
        ].map(([base64, hex]): [string, Json] => [`{"bytesValue":"${base64}"}`, { bytesValue: hex }]),
      ),
  },
  {
    id: 'E16',
    strength: 'P',
    request: '"NaN", "Infinity", "-Infinity"',
    expected: 'taken for doubles',
    run: (c) =>
      arrives(
        c,
        ['NaN', 'Infinity', '-Infinity'].map((name): [string, Json] => [
          `{"doubleValue":"${name}"}`,
          { doubleValue: Number(name) },
        ]),
      ),
  },
  {
    id: 'E17',
    strength: 'P',
    request: 'null for any field',
    expected: 'as unset',
    async run(c) {
      const { resources, scopes, items } = ENVELOPES[c.signal];
      const nulls = {
        attributes: null,
        traceState: null,
        body: null,
        status: null,
        unit: null,
        severityText: null,
        unknown: null,
      };
      succeeded(c, await send(c, [{ ...item(c.signal), ...nulls }]));
      for (const json of [
        { [resources]: null },
        { [resources]: [{ resource: null, [scopes]: null }] },
        { [resources]: [{ [scopes]: [{ [items]: null, scope: null }] }] },
      ])
        succeeded(c, await post(c, Buffer.from(JSON.stringify(json))));
      c.atSink((kept) => assert.equal(kept.length, 1));
    },
  },
  {
    id: 'E18',
    strength: 'M',
    request: 'every kind of AnyValue, empty, mixed, nested',
    expected: 'kept',
    run: (c) => {
      const values: Json[] = [
        {},
        { stringValue: '' },
        { boolValue: false },
        { intValue: '0' },
        { doubleValue: 0 },
        { bytesValue: '' },
        { arrayValue: {} },
        { kvlistValue: {} },
        {
          arrayValue: {
            values: [{ stringValue: 'a' }, { intValue: '1' }, {}, { arrayValue: { values: [{ boolValue: true }] } }],
          },
        },
        { kvlistValue: { values: [{ key: 'a', value: { kvlistValue: { values: [{ key: 'b', value: {} }] } } }] } },
      ];
      return arrives(
        c,
        values.map((value): [string, Json] => [JSON.stringify(value), value]),
      );
    },
  },
  {
    id: 'E19',
    strength: 'O',
    request: 'two kinds in one AnyValue; a key twice',
    expected: 'one result, the same each time',
    async run(c) {
      const ambiguous = [
        '{"stringValue":"a","intValue":"1"}',
        '{"intValue":"1","stringValue":"a"}',
        '{"stringValue":"a","stringValue":"b"}',
      ];
      for (const raw of ambiguous)
        for (let i = 0; i < 2; i++) takenOrRefused(c, await sendText(c, [holding(c, 'MARK')], raw));
      c.atSink((items) => {
        for (let i = 0; i < items.length; i += 2) {
          assert.deepEqual(heldValue(c, items[i]), heldValue(c, items[i + 1]));
          assert.ok(Object.keys(heldValue(c, items[i])).length === 1);
        }
      });
    },
  },
  {
    id: 'E20',
    strength: 'O',
    request: 'duplicate attribute keys',
    expected: 'nothing else is lost',
    async run(c) {
      const attributes = [text('k', '1'), text('k', '2'), text('other', '3')];
      succeeded(c, await send(c, [item(c.signal, { attributes }), item(c.signal)]));
      c.atSink((items) => {
        assert.equal(items.length, 2);
        assert.ok(attributesOf(c, items[0]).some(({ key }) => key === 'other'));
      });
    },
  },
  {
    id: 'E21',
    strength: 'O',
    request: 'invalid UTF-8, a BOM, halves of surrogate pairs',
    expected: '400 or U+FFFD',
    async run(c) {
      const texts = ['"\xff\xfe"', '"a\xc3"', '"\\ud800"', '"\\udc00x"', '"\\ud800\\u0041"', '"\xed\xa0\x80"'];
      for (const raw of texts) takenOrRefused(c, await sendText(c, [holding(c, { stringValue: 'MARK' })], raw));
      takenOrRefused(c, await post(c, Buffer.from('\xef\xbb\xbf{}', 'latin1')));
      takenOrRefused(c, await post(c, Buffer.from('\xff\xfe{\0}\0', 'latin1')));
      c.atSink((items) => {
        for (const found of items) assert.match(String(heldValue(c, found).stringValue), /\ufffd/);
      });
    },
  },
  {
    id: 'E22',
    strength: 'H',
    request: 'trailing junk, two values, NaN, comments, other quotes',
    expected: '400',
    async run(c) {
      const junk = [
        '{} x',
        '{}{}',
        '{}\0',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{/**/}',
        '{}//',
        "{'a':1}",
        '{"a":01}',
        '{"a":1.}',
        '{"a":.5}',
        '{"a":+1}',
        '{"a":1e}',
        '{a:1}',
        '{"a":1,}',
        '[1,]',
        '{"a" 1}',
        '{"a":"\\x"}',
        '{"a":"\\u12"}',
        '{"a":"\n"}',
        '{"a":tru}',
        '{"a":[1}',
        '{"a":{]}',
        '{"a":1',
        '',
        ' ',
        'null',
      ];
      for (const raw of junk) refused(c, await post(c, Buffer.from(raw)), 400);
    },
  },
  {
    id: 'E23',
    strength: 'M',
    request: "documents in the shape of the specification's examples",
    expected: '200, and at the sink the same as in protobuf',
    async run(c) {
      const name = c.signal === 'traces' ? 'trace' : c.signal;
      const { text: json, protobuf } = exampleOf(c.service, name);
      succeeded(c, await post(c, Buffer.from(json)));
      succeeded(
        { ...c, isJson: false, type: 'application/x-protobuf' },
        await post(c, protobuf, { 'content-type': 'application/x-protobuf' }),
      );
      c.atSink((items) => {
        const half = items.length / 2;
        assert.ok(half >= 1);
        assert.deepEqual(items.slice(0, half), items.slice(half));
      });
    },
  },
  {
    id: 'E24',
    strength: 'O',
    request: '99 and 101 AnyValues inside one another; 100,000 unknown arrays and objects',
    expected: '200; 400; 400 at once',
    async run(c) {
      succeeded(c, await sendText(c, [holding(c, 'MARK')], nested(98)));
      refused(c, await sendText(c, [holding(c, 'MARK')], nested(100)), 400);
      refused(c, await sendText(c, [holding(c, 'MARK')], nested(10_000)), 400);
      for (const open of ['[', '{"a":', '[{"a":'])
        refused(c, await sendText(c, [item(c.signal, { unknown: 'MARK' })], open.repeat(100_000)), 400);
    },
  },
];

export const JSON_ROWS: Row[] = rows.map((row) => ({ ...row, encodings: ['json'] }));

function sum(aggregationTemporality: unknown): Json {
  const { gauge: data, ...rest } = gauge();
  return { ...rest, sum: { ...(data as Json), aggregationTemporality, isMonotonic: true } };
}
