/** Rows F: the protobuf wire format. Every one is about protobuf alone. */
import assert from 'node:assert/strict';
import { enveloped, item, itemBytes, type Json, protobufOf, requestOf, sized, tag, text, varint } from './messages.ts';
import { type Case, partialOf, post, type Row, refused, succeeded, takenOrRefused, valid } from './row.ts';

/** A valid item's content as bytes. */
const content = (c: Case, more: Json = {}) => itemBytes(c.signal, item(c.signal, more));

/** Field number of an item's attributes, of its name (or text), and one that holds a varint. */
const FIELDS = {
  traces: { attributes: 9, text: 5, number: 6, numberKey: 'kind' },
  metrics: { attributes: 12, text: 1, number: 200, numberKey: '' },
  logs: { attributes: 6, text: 3, number: 2, numberKey: 'severityNumber' },
} as const;

/** An attribute whose value is an array in an array, `depth` AnyValues in all. */
function deep(depth: number): Buffer {
  let value: Buffer = Buffer.alloc(0);
  for (let i = 1; i < depth; i++) value = sized(5, sized(1, value));
  return Buffer.concat([sized(1, Buffer.from('k')), sized(2, value)]);
}

/** The deepest takes a while to build. */
const DEEPEST = deep(20_000);

const group = (field: number, ...inside: Uint8Array[]) => Buffer.concat([tag(field, 3), ...inside, tag(field, 4)]);
const UNKNOWN = Buffer.concat([
  tag(1000, 0),
  varint(2n ** 64n - 1n),
  tag(1001, 1),
  Buffer.alloc(8, 1),
  sized(1002, Buffer.from('x')),
  tag(1003, 5),
  Buffer.alloc(4, 1),
  group(1004, tag(1, 0), varint(1), group(1, sized(2, Buffer.from('y'))), group(2)),
  group(1005),
]);

const rows: Row[] = [
  {
    id: 'F1',
    strength: 'P',
    request: 'unknown fields of every wire type, groups too, at each level',
    expected: 'passed over, and kept',
    async run(c) {
      const inner = Buffer.concat([UNKNOWN, content(c), UNKNOWN]);
      succeeded(c, await post(c, Buffer.concat([UNKNOWN, enveloped(c.service, inner), UNKNOWN])));
      c.atSink((items) => assert.equal(items.length, 1));
    },
  },
  {
    id: 'F2',
    strength: 'P',
    request: 'known fields with the wrong wire type',
    expected: '400 or passed over',
    async run(c) {
      const { attributes, text: name } = FIELDS[c.signal];
      for (const wrong of [
        [tag(name, 0), varint(5)],
        [tag(attributes, 0), varint(5)],
        [tag(attributes, 5), Buffer.alloc(4)],
        [tag(name, 1), Buffer.alloc(8)],
        [group(attributes, sized(1, Buffer.from('k')))],
      ])
        takenOrRefused(c, await post(c, enveloped(c.service, Buffer.concat([content(c), ...wrong]))));
      takenOrRefused(c, await post(c, Buffer.concat([tag(1, 0), varint(1)])));
    },
  },
  {
    id: 'F3',
    strength: 'M',
    request: 'a valid message cut at every byte',
    expected: '400, or a valid prefix; never 5xx',
    async run(c) {
      const whole = valid(c, 2);
      for (let from = 1; from < whole.length; from += 16) {
        const cuts = Array.from({ length: Math.min(16, whole.length - from) }, (_, i) => whole.subarray(0, from + i));
        for (const reply of await Promise.all(cuts.map((cut) => post(c, cut)))) takenOrRefused(c, reply);
      }
    },
  },
  {
    id: 'F4',
    strength: 'P',
    request: 'a varint of 11 bytes: as tag, length, value, unknown',
    expected: '400',
    async run(c) {
      const long = Buffer.concat([Buffer.alloc(10, 0xff), Buffer.from([1])]);
      const tails = [long, Buffer.concat([tag(1, 2), long]), Buffer.concat([tag(1000, 0), long])];
      for (const tail of tails) {
        refused(c, await post(c, tail), 400);
        refused(c, await post(c, enveloped(c.service, Buffer.concat([content(c), tail]))), 400);
      }
    },
  },
  {
    id: 'F5',
    strength: 'O',
    request: 'a length past the end, of 2^31 and more',
    expected: '400',
    async run(c) {
      for (const length of [3n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n + 1n, 2n ** 63n, 2n ** 64n - 1n])
        for (const field of [1, 1000])
          refused(c, await post(c, Buffer.concat([tag(field, 2), varint(length), Buffer.from('ab')])), 400);
    },
  },
  {
    id: 'F6',
    strength: 'O',
    request: '99 and 101 AnyValues inside one another',
    expected: '200; 400',
    async run(c) {
      const { attributes } = FIELDS[c.signal];
      const at = (depth: number) =>
        enveloped(c.service, Buffer.concat([content(c), sized(attributes, depth === 20_000 ? DEEPEST : deep(depth))]));
      succeeded(c, await post(c, at(99)));
      for (const depth of [101, 1000, 20_000]) refused(c, await post(c, at(depth)), 400);
    },
  },
  {
    id: 'F7',
    strength: 'O',
    request: '30,000 groups begun inside one another',
    expected: '400, fast',
    async run(c) {
      const nested = Buffer.concat(Array.from({ length: 30_000 }, () => tag(1000, 3)));
      await post(c, nested);
      const from = performance.now();
      for (let i = 0; i < 10; i++) refused(c, await post(c, nested), 400);
      const each = (performance.now() - from) / 10;
      assert.ok(each < 50, `${each.toFixed(1)} ms a request`);
    },
  },
  {
    id: 'F8',
    strength: 'O',
    request: 'ids of a wrong length, or all zero',
    expected: 'only that item is rejected; a log record is kept',
    signals: ['traces', 'logs'],
    async run(c) {
      const ids = { traces: [1, 2], logs: [9, 10], metrics: [0, 0] }[c.signal] as [number, number];
      const good = content(c, { traceId: 'a1'.repeat(16), spanId: 'b2'.repeat(8) });
      const bad = [
        sized(ids[0], Buffer.alloc(16)),
        sized(ids[0], Buffer.alloc(15, 1)),
        sized(ids[1], Buffer.alloc(8)),
        sized(ids[1], Buffer.alloc(9, 1)),
        sized(ids[0], Buffer.alloc(0)),
      ].map((field) => Buffer.concat([good, field]));
      const { rejected } = partialOf(c, await post(c, enveloped(c.service, good, ...bad, good)));
      assert.equal(rejected, c.signal === 'traces' ? bad.length : 0);
      c.atSink((items) => assert.equal(items.length, c.signal === 'traces' ? 2 : bad.length + 2));
    },
  },
  {
    id: 'F9',
    strength: 'S',
    request: 'invalid UTF-8 in a string',
    expected: '200, as it came or as U+FFFD; nothing else is lost',
    async run(c) {
      const field = sized(FIELDS[c.signal].text, Buffer.from([0x61, 0xff, 0xc3, 0x28]));
      succeeded(c, await post(c, enveloped(c.service, Buffer.concat([content(c), field]), content(c))));
      c.atSink((items) => assert.equal(items.length, 2));
    },
  },
  {
    id: 'F10',
    strength: 'P',
    request: 'repeated scalars packed and unpacked',
    expected: 'both taken, and counted alike',
    signals: ['metrics'],
    async run(c) {
      const counts = [1, 2].map((count) => Buffer.concat([tag(6, 1), fixed64(count)]));
      const packed = sized(6, fixed64(1), fixed64(2));
      const bounds = sized(7, Buffer.alloc(8));
      const unpackedBounds = Buffer.concat([tag(7, 1), Buffer.alloc(8)]);
      const histogram = (...fields: Uint8Array[]) => sized(9, sized(1, ...fields));
      const metrics = [
        histogram(packed, bounds),
        histogram(...counts, bounds),
        histogram(sized(6, fixed64(1)), unpackedBounds, counts[1] as Buffer),
      ];
      succeeded(c, await post(c, enveloped(c.service, ...metrics)));
      assert.equal(
        partialOf(c, await post(c, enveloped(`${c.service} bad`, histogram(...counts, packed, bounds)))).rejected,
        1,
      );
      c.atSink((items) => {
        assert.equal(items.length, 3);
        for (const { histogram: data } of items) {
          const [point] = (data as { dataPoints: Json[] }).dataPoints;
          assert.deepEqual([point?.bucketCounts, point?.explicitBounds], [['1', '2'], [0]]);
        }
      });
    },
  },
  {
    id: 'F11',
    strength: 'P',
    request: 'a singular message twice, a scalar twice, a oneof twice',
    expected: 'merged; the last; the last',
    async run(c) {
      const { number, numberKey, attributes } = FIELDS[c.signal];
      const twice = Buffer.concat([tag(number, 0), varint(1), tag(number, 0), varint(2)]);
      const oneof = sized(
        attributes,
        sized(1, Buffer.from('k')),
        sized(2, sized(1, Buffer.from('text')), tag(3, 0), varint(7)),
      );
      const other = Buffer.concat([content(c), twice, oneof]);
      const first = sized(1, sized(1, keyValue('a.first', '1')));
      const second = sized(1, sized(1, keyValue('service.name', c.service)));
      // The resource stands twice, once behind the items.
      succeeded(c, await post(c, sized(1, first, sized(2, sized(2, other)), second)));
      c.atSink(([found, ...more]) => {
        assert.equal(more.length, 0);
        assert.deepEqual(
          ((found?.resourceAttributes ?? []) as Json[]).map(({ key }) => key),
          ['a.first', 'service.name'],
        );
        if (numberKey !== '') assert.equal(found?.[numberKey], 2);
        const held = (c.signal === 'metrics' ? found?.metadata : found?.attributes) as Json[];
        assert.deepEqual(held, [{ key: 'k', value: { intValue: '7' } }]);
      });
    },
  },
  {
    id: 'F12',
    strength: 'P',
    request: 'fields in any order',
    expected: 'the same',
    async run(c) {
      const resource = sized(1, sized(1, keyValue('service.name', c.service)));
      const attribute = sized(
        FIELDS[c.signal].attributes,
        sized(2, sized(1, Buffer.from('v'))),
        sized(1, Buffer.from('k')),
      );
      const scope = sized(
        2,
        sized(3, Buffer.from('https://example.org')),
        sized(2, attribute, content(c)),
        sized(1, sized(1, Buffer.from('s'))),
      );
      succeeded(c, await post(c, sized(1, sized(3, Buffer.from('u')), scope, resource)));
      c.atSink((items) => {
        assert.equal(items.length, 1);
        const held = (c.signal === 'metrics' ? items[0]?.metadata : items[0]?.attributes) as Json[];
        assert.deepEqual(held, [text('k', 'v')]);
      });
    },
  },
  {
    id: 'F13',
    strength: 'M',
    request: 'strindex fields outside profiles',
    expected: 'not fatal, as if absent',
    async run(c) {
      const attribute = sized(
        FIELDS[c.signal].attributes,
        sized(1, Buffer.from('k')),
        tag(3, 0),
        varint(5),
        sized(2, tag(8, 0), varint(3)),
      );
      succeeded(c, await post(c, enveloped(c.service, Buffer.concat([content(c), attribute]))));
      c.atSink(([found]) => {
        const held = (c.signal === 'metrics' ? found?.metadata : found?.attributes) as Json[];
        assert.deepEqual(held, [{ key: 'k', value: {} }]);
      });
    },
  },
  {
    id: 'F14',
    strength: 'O',
    request: 'a metrics payload sent to /v1/traces',
    expected: '400, or 200 with no item',
    signals: ['traces'],
    async run(c) {
      const metrics = protobufOf('metrics', requestOf('metrics', c.service, [item('metrics'), item('metrics')]));
      const reply = await post(c, metrics);
      if (reply.status === 200) partialOf(c, reply);
      else refused(c, reply, 400);
      c.atSink((items) => assert.equal(items.length, 0));
    },
  },
];

export const PROTOBUF: Row[] = rows.map((row) => ({ ...row, encodings: ['protobuf'] }));

function keyValue(key: string, value: string): Buffer {
  return Buffer.concat([sized(1, Buffer.from(key)), sized(2, sized(1, Buffer.from(value)))]);
}

function fixed64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
