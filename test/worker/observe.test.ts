/** Holds src/worker/observe.ts in this thread: what is kept, moved, refused and measured of a task. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { readMeasurements } from '../../src/contracts/rows.ts';
import { Encoding, Field, Flag, isVoid, Uncommitted } from '../../src/core/block.ts';
import { AgentError } from '../../src/core/errors.ts';
import { HASH_SEED, hashBytes } from '../../src/otlp/protobuf.ts';
import { requestType } from '../../src/otlp/schema.ts';
import { contractOf } from '../contracts/plans.ts';
import { itemsOf, list, type Plain } from '../otlp/generate.ts';
import {
  contentOf,
  createWorld,
  gzipped,
  liveFrames,
  logs,
  measuredBytes,
  payload,
  plainly,
  service,
  span,
  traces,
} from './world.ts';

const ALL = [{ type: 'summarize' }, { type: 'detect' }, { type: 'sample' }];
const broken = (good: Uint8Array) => plainly(Buffer.concat([good, Buffer.from('0a05', 'hex')]));

test('what needs no change stays where it is, byte for byte, with its items, service and flag', () => {
  const world = createWorld({ processors: ALL });
  const bytes = traces(span(1), span(2, { traceState: 'a=b' }));
  const { result, frames } = world.observe([plainly(bytes), { signal: 'logs', bytes: logs({ severityNumber: 9 }) }]);
  assert.deepEqual([result.moved, result.refused], [[], []]);
  const [at = 0] = frames;
  assert.deepEqual(payload(world, at), Buffer.from(bytes));
  const word = (field: number) => world.pool.words[(at + field) >>> 2];
  assert.deepEqual([word(Field.items), word(Field.rejected)], [2, 0]);
  assert.equal(word(Field.serviceKey), hashBytes(Buffer.from('shop'), 0, 4, HASH_SEED));
  assert.equal(world.pool.bytes[at + Field.flags], Flag.traceState);
});

test('a request that begins with very many bad items and no good one is refused, one good item first saves the rest', () => {
  const world = createWorld({ processors: ALL });
  const type = requestType('traces');
  const bad = (count: number, ...first: Plain[]) => {
    const spans = [...first, ...Array.from({ length: count }, () => ({}))];
    return type.encode(type.fromObject({ resourceSpans: [{ scopeSpans: [{ spans }] }] })).finish();
  };
  const { result } = world.observe([plainly(bad(65_537)), plainly(traces(span(1))), plainly(bad(65_536))]);
  assert.deepEqual(
    result.refused.map(({ index, code }) => [index, code]),
    [[0, 'BODY_UNDECODABLE']],
  );
  const mixed = world.observe([plainly(bad(70_000, span(2)))]);
  assert.deepEqual(mixed.result.refused, []);
  const [at = 0] = liveFrames(world, mixed.frames, mixed.result.moved);
  assert.equal(world.pool.words[(at + Field.rejected) >>> 2], 70_000);
});

test('spans with bad ids are cut out and counted, the rest is kept', () => {
  const world = createWorld();
  const bad = [{ traceId: Buffer.alloc(16) }, { spanId: Buffer.alloc(7, 1) }, { traceId: Buffer.alloc(0) }].map(
    (more) => span(9, more),
  );
  const { result, frames } = world.observe([plainly(traces(span(1), ...bad, span(2)))]);
  const [at = 0] = liveFrames(world, frames, result.moved);
  assert.deepEqual(
    itemsOf('traces', contentOf(world, at)).map(({ item }) => item.name),
    ['span 1', 'span 2'],
  );
  assert.deepEqual([world.pool.words[(at + Field.items) >>> 2], world.pool.words[(at + Field.rejected) >>> 2]], [2, 3]);
});

const WARNED = Uncommitted.warned;
const METRICS: Plain[] = [
  { name: 'g', gauge: { dataPoints: [] } },
  { name: 's', sum: { aggregationTemporality: 1, isMonotonic: true, dataPoints: [] } },
  { name: 'h', histogram: { aggregationTemporality: 1, dataPoints: [] } },
  { name: 'e', exponentialHistogram: { aggregationTemporality: 1, dataPoints: [] } },
];

/** Each kind of metric, with a point for each list of exemplars. */
function metricsWith(...points: Plain[][]): Plain {
  const metrics = METRICS.map((metric) =>
    Object.fromEntries(
      Object.entries(metric).map(([key, value]) => [
        key,
        typeof value === 'string'
          ? value
          : { ...(value as Plain), dataPoints: points.map((exemplars) => ({ flags: 1, exemplars })) },
      ]),
    ),
  );
  return { resourceMetrics: [{ resource: { attributes: [] }, scopeMetrics: [{ metrics }] }] };
}

test('an exemplar with a bad id is cut out of its point, in both encodings and all kinds; the point is kept', () => {
  const traceId = 'a1'.repeat(16);
  const spanId = 'b2'.repeat(8);
  const first = { timeUnixNano: '5', asDouble: 1.5, traceId, spanId };
  const second = { asInt: '7' };
  const third = { asInt: '8', spanId };
  const zeros = { traceId: '00'.repeat(16), spanId: '00'.repeat(8) };
  const good = [first, second, third, zeros];
  const bad = [
    { traceId: 'a1'.repeat(17), spanId },
    { traceId, spanId: 'b2'.repeat(7) },
    { traceId: 'a1'.repeat(15) },
    { spanId: 'b2'.repeat(9) },
  ];
  const sent = metricsWith([...bad, first, ...bad, second, third, zeros], bad, good, []);
  const wanted = metricsWith(good, [], good, []);
  const type = requestType('metrics');
  const encode = (json: Plain) =>
    Buffer.from(
      type
        .encode(
          type.fromObject(
            JSON.parse(JSON.stringify(json), (key, value) =>
              key === 'traceId' || key === 'spanId' ? Buffer.from(value, 'hex').toString('base64') : value,
            ),
          ),
        )
        .finish(),
    );
  for (const encoding of [Encoding.protobuf, Encoding.json]) {
    const world = createWorld({ processors: ALL });
    const bytes = encoding === Encoding.json ? Buffer.from(JSON.stringify(sent)) : encode(sent);
    const { result, frames } = world.observe([{ signal: 'metrics', bytes, encoding }]);
    assert.deepEqual(result.refused, []);
    const [at = 0] = liveFrames(world, frames, result.moved);
    assert.deepEqual(payload(world, at), encode(wanted));
    const word = (field: number) => world.pool.words[(at + field) >>> 2];
    assert.deepEqual([word(Field.items), word(Field.rejected), word(WARNED)], [16, 0, 12 * METRICS.length]);
  }
});

test('exemplars of a rejected point are not warned of, and a request without bad ones stays where it is', () => {
  const world = createWorld({ processors: ALL });
  const type = requestType('metrics');
  const request = (...dataPoints: Plain[]) => {
    const plain = { resourceMetrics: [{ scopeMetrics: [{ metrics: [{ histogram: { dataPoints } }] }] }] };
    return { signal: 'metrics' as const, bytes: type.encode(type.fromObject(plain)).finish() };
  };
  const exemplars = [{ traceId: Buffer.alloc(3, 1) }];
  const sound = { bucketCounts: [1], exemplars: [{ traceId: Buffer.alloc(16, 1), spanId: Buffer.alloc(8, 1) }] };
  const { result, frames } = world.observe([
    request({ bucketCounts: [1, 2], exemplars }, sound, { ...sound, bucketCounts: [2, 1] }),
    request(sound),
  ]);
  const [untouched = 0, cut = 0] = liveFrames(world, frames, result.moved);
  assert.equal(untouched, frames[1]);
  const words = (at: number) =>
    [Field.items, Field.rejected, WARNED].map((field) => world.pool.words[(at + field) >>> 2]);
  assert.deepEqual(
    [words(untouched), words(cut)],
    [
      [1, 0, 0],
      [1, 2, 0],
    ],
  );
});

test('a log record with a bad id is kept, byte for byte, as one without a trace, and warned of', () => {
  const world = createWorld({ processors: ALL });
  const traceId = Buffer.alloc(16, 1);
  const bytes = logs(
    { severityNumber: 9, traceId, spanId: Buffer.alloc(8, 1) },
    { severityNumber: 9 },
    { traceId: Buffer.alloc(15, 1) },
    { traceId: Buffer.alloc(16) },
    { traceId, spanId: Buffer.alloc(4, 1) },
    { traceId: Buffer.alloc(0), spanId: Buffer.alloc(0) },
  );
  const { result, frames } = world.observe([{ signal: 'logs', bytes }]);
  const [at = 0] = frames;
  assert.deepEqual([result.moved, result.refused], [[], []]);
  assert.deepEqual(payload(world, at), Buffer.from(bytes));
  const word = (field: number) => world.pool.words[(at + field) >>> 2];
  assert.deepEqual([word(Field.items), word(Field.rejected), word(WARNED)], [6, 0, 2]);
});

test('an item over maxItemBytes is rejected alone, of every signal; what the journal has is measured whatever its size', () => {
  const text = (length: number) => 'x'.repeat(length);
  const point = (length: number) => ({ attributes: [{ key: 'k', value: { stringValue: text(length) } }] });
  const metrics = requestType('metrics');
  const dataPoints = [point(10), point(500), point(20)];
  const sent = {
    traces: traces(span(1), span(2, { name: text(500) }), span(3)),
    logs: logs({ severityText: 'a' }, { severityText: text(500) }, { severityText: text(300), severityNumber: 300 }),
    metrics: metrics
      .encode(metrics.fromObject({ resourceMetrics: [{ scopeMetrics: [{ metrics: [{ gauge: { dataPoints } }] }] }] }))
      .finish(),
  };
  // Tag and length of the text, tag and value of the number: 3 + 300 + 3 bytes are just in.
  const world = createWorld({ maxItemBytes: 306 });
  for (const [signal, bytes] of Object.entries(sent) as ['traces', Uint8Array][]) {
    const { result, frames } = world.observe([{ signal, bytes }]);
    const [at = 0] = liveFrames(world, frames, result.moved);
    const word = (field: number) => world.pool.words[(at + field) >>> 2];
    assert.deepEqual([word(Field.items), word(Field.rejected), word(WARNED)], [2, 1, 0], signal);
    assert.ok(!JSON.stringify(contentOf(world, at, signal)).includes(text(400)));
    const again = world.observe([{ signal, bytes }], true);
    assert.deepEqual([again.result.refused, again.result.moved, world.walk.items], [[], [], 3], signal);
  }
  const less = createWorld({ maxItemBytes: 305 }).observe([{ signal: 'logs', bytes: sent.logs }]);
  assert.equal(less.result.moved.length, 1);
});

test('a resource that stands behind its items is measured as if it stood before them, and no item is passed over', () => {
  const world = createWorld({ processors: ALL });
  const before = Buffer.from(traces(span(1), span(2)));
  // Request { ResourceSpans { resource, scope } }: the two fields inside change places.
  const inner = before.subarray(before.length < 130 ? 2 : 3);
  const resource = inner.subarray(0, 2 + (inner[1] ?? 0));
  const behind = Buffer.concat([
    before.subarray(0, before.length - inner.length),
    inner.subarray(resource.length),
    resource,
  ]);
  const [usual, turned] = [before, behind].map((bytes) => {
    const { result, frames } = world.observe([plainly(bytes)]);
    const rows = (result.measured?.sections ?? []).map(({ at, end }) => end - at);
    return { items: world.pool.words[((frames[0] ?? 0) + Field.items) >>> 2], rows };
  });
  assert.equal(usual?.items, 2);
  assert.deepEqual(turned, usual);
});

test('a request of bad spans alone is an empty frame', () => {
  const world = createWorld();
  const { result, frames } = world.observe([plainly(traces({ name: 'x' }))]);
  const [at = 0] = liveFrames(world, frames, result.moved);
  assert.equal(payload(world, at).length, 0);
  assert.equal(world.pool.words[(at + Field.rejected) >>> 2], 1);
});

test('log records with a bad id are kept as records without a trace', () => {
  const world = createWorld();
  const { frames } = world.observe([{ signal: 'logs', bytes: logs({ traceId: Buffer.alloc(3, 1) }) }]);
  assert.equal(world.pool.words[((frames[0] ?? 0) + Field.items) >>> 2], 1);
});

test('a frame that breaks half-way is measured as if it had not been there', () => {
  const world = createWorld({ processors: ALL });
  const body = [traces(span(1)), service('other', span(2), span(3)), traces(span(4, { status: { code: 2 } }))] as const;
  const { result, frames } = world.observe([plainly(body[0]), broken(body[1]), plainly(body[2])]);
  assert.deepEqual(
    result.refused.map(({ index, code }) => [index, code]),
    [[1, 'BODY_UNDECODABLE']],
  );
  assert.equal(isVoid(world.pool, frames[1] as number), true);
  const again = createWorld({ processors: ALL });
  const alone = again.observe([plainly(body[0]), plainly(body[2])]);
  // Rows hold addresses; but for those the sections are equal.
  const sizes = (map: Map<number, string>) => [...map].map(([processor, hex]) => [processor, hex.length]);
  assert.deepEqual(sizes(measuredBytes(world, result.measured)), sizes(measuredBytes(again, alone.result.measured)));
  assert.equal(measuredBytes(world, result.measured).get(2), measuredBytes(again, alone.result.measured).get(2));
});

test('gzip and JSON become the protobuf they stand for', () => {
  const world = createWorld();
  const bytes = traces(span(1), span(2));
  const json = Buffer.from(
    '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"j"}]}]}]}',
  );
  const { result, frames } = world.observe([
    gzipped(bytes),
    { signal: 'traces', bytes: json, encoding: Encoding.json },
    { signal: 'traces', bytes: gzipSync(json), encoding: Encoding.json | Encoding.gzip },
    {
      signal: 'traces',
      bytes: Buffer.concat([gzipSync(bytes.subarray(0, 9)), gzipSync(bytes.subarray(9))]),
      encoding: Encoding.gzip,
    },
  ]);
  assert.deepEqual(
    frames.map((at) => isVoid(world.pool, at)),
    [true, true, true, true],
  );
  const live = liveFrames(world, frames, result.moved);
  assert.deepEqual(
    live.map((at) => itemsOf('traces', contentOf(world, at)).map(({ item }) => item.name)),
    [['span 1', 'span 2'], ['j'], ['j'], ['span 1', 'span 2']],
  );
  assert.deepEqual(payload(world, live[0] as number), Buffer.from(bytes));
});

test('what is no gzip, a cut one, one with junk behind, or one that inflates too far is refused', () => {
  const world = createWorld({ maxBodyBytes: 4096 });
  const packed = gzipSync(traces(span(1)));
  const exactly = (bytes: number) =>
    gzipSync(traces(span(1, { name: 'x'.repeat(bytes - traces(span(1, { name: 'x'.repeat(3000) })).length + 3000) })));
  const bodies = [
    Buffer.from('plain'),
    Buffer.alloc(0),
    packed.subarray(0, -3),
    Buffer.concat([packed, Buffer.from('junk')]),
    gzipSync(Buffer.alloc(5 << 20)),
    exactly(4097),
    exactly(4096),
  ];
  const { result } = world.observe(
    bodies.map((bytes) => ({ signal: 'traces' as const, bytes, encoding: Encoding.gzip })),
  );
  assert.deepEqual(
    result.refused.map(({ index, code }) => [index, code]),
    [
      [0, 'BODY_UNDECODABLE'],
      [1, 'BODY_UNDECODABLE'],
      [2, 'BODY_UNDECODABLE'],
      [3, 'BODY_UNDECODABLE'],
      [4, 'BODY_TOO_LARGE'],
      [5, 'BODY_TOO_LARGE'],
    ],
  );
});

test('editors change what is journalled and measured', () => {
  const attributes = [
    { key: 'user.id', value: { stringValue: 'ann' } },
    { key: 'k', value: { intValue: 1 } },
  ];
  const world = createWorld({
    processors: [
      { type: 'redact', attributes: [{ match: 'user.*', action: 'mask' }] },
      { type: 'enrich', resource: { node: 'n1' } },
    ],
  });
  const { result, frames } = world.observe([
    plainly(traces(span(1, { attributes }))),
    gzipped(traces(span(2, { attributes }))),
  ]);
  for (const at of liveFrames(world, frames, result.moved)) {
    const [found] = itemsOf('traces', contentOf(world, at));
    assert.deepEqual(found?.item.attributes, [
      { key: 'user.id', value: { stringValue: '****' } },
      { key: 'k', value: { intValue: '1' } },
    ]);
    assert.deepEqual(list(found?.resource?.attributes).at(-1), { key: 'node', value: { stringValue: 'n1' } });
  }
});

test('a task that finds no memory for its result throws OVERLOADED as a whole', () => {
  const world = createWorld({ units: 4 });
  const { frames } = world.layOut([gzipped(traces(span(1)))]);
  for (let i = 0; i < 3; i++) world.pool.allocate(1);
  assert.equal(frames.length, 1);
  assert.throws(
    () => world.observe.call(null, [gzipped(traces(span(1)))]),
    (error) => error instanceof Error,
  );
  const isOverload = (error: unknown) => error instanceof AgentError && error.code === 'OVERLOADED' && error.retryable;
  const tight = createWorld({ units: 4 });
  const held = [tight.pool.allocate(1), tight.pool.allocate(1), tight.pool.allocate(1)];
  assert.equal(held.length, 3);
  assert.throws(() => tight.observe([gzipped(traces(span(1)))]), isOverload);
});

test('a resource that stands after its scopes is the resource of their spans', () => {
  const world = createWorld();
  const bytes = Buffer.from(traces(span(1)));
  // ResourceSpans: resource first, scopes second; turned around.
  const head = bytes.length > 129 ? 3 : 2;
  const cut = head + 2 + (bytes[head + 1] as number);
  const turned = Buffer.concat([bytes.subarray(0, head), bytes.subarray(cut), bytes.subarray(head, cut)]);
  const { frames } = world.observe([plainly(turned)]);
  assert.equal(
    world.pool.words[((frames[0] ?? 0) + Field.serviceKey) >>> 2],
    hashBytes(Buffer.from('shop'), 0, 4, HASH_SEED),
  );
});

test('frames from the journal are measured and left as they are', () => {
  const world = createWorld({ processors: ALL });
  const bytes = traces(span(1), { name: 'bad ids' } as Plain);
  const { result, frames } = world.observe([plainly(bytes)], true);
  assert.deepEqual(result.moved, []);
  assert.deepEqual(payload(world, frames[0] as number), Buffer.from(bytes));
  assert.notEqual(result.measured, null);
});

test('a resource that stands behind its items is theirs, whatever a measurer looks at first', () => {
  const world = createWorld({ processors: [{ type: 'summarize' }] });
  const bytes = Buffer.from(traces(span(1), span(2)));
  // ResourceSpans { resource; scope_spans }: tag and length of the whole, then of each part.
  const inner = bytes.subarray(bytes.length - (bytes.readUInt8(1) < 0x80 ? bytes.readUInt8(1) : bytes.length - 3));
  const resourceEnd = 2 + inner.readUInt8(1);
  const turned = Buffer.concat([inner.subarray(resourceEnd), inner.subarray(0, resourceEnd)]);
  const request = Buffer.concat([bytes.subarray(0, bytes.length - turned.length), turned]);
  const { frames } = world.observe([plainly(request)]);
  assert.deepEqual(
    frames.map((at) => world.pool.words[(at + Field.items) >>> 2]),
    [2],
  );
});

test('a scope that stands behind its items is theirs, for all that measure', () => {
  const red = { name: 'red', of: 'spans', where: { color: 'red' }, bad: { status: 'error' }, breached: 'above 1%' };
  const contracts = [contractOf([red])];
  const type = requestType('traces');
  const part = (scopeSpans: Plain) =>
    partOf(type.encode(type.fromObject({ resourceSpans: [{ scopeSpans: [scopeSpans] }] })).finish(), 2);
  const scope = part({ scope: { attributes: [{ key: 'color', value: { stringValue: 'red' } }] } });
  const spans = part({ spans: [span(1), span(2, { status: { code: 2 } })] });
  const counted = [
    [scope, spans],
    [spans, scope],
  ].map((parts) => {
    const world = createWorld({ processors: [{ type: 'detect' }], contracts });
    const content = Buffer.concat([partOf(service('shop'), 1), field(2, Buffer.concat(parts))]);
    const { result } = world.observe([plainly(field(1, content))]);
    const [section = { at: 0, end: 0 }] = result.measured?.sections ?? [];
    const read = readMeasurements(new DataView(world.pool.handle.memory), section.at, section.end);
    return [...(read?.numbers.subarray(0, 2) ?? [])];
  });
  assert.deepEqual(counted, [
    [2, 1],
    [2, 1],
  ]);
});

/** A field with its tag and length: below 16 KiB. */
function field(number: number, content: Uint8Array): Buffer {
  const { length } = content;
  const prefix = length < 0x80 ? [length] : [(length & 0x7f) | 0x80, length >> 7];
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...prefix]), content]);
}

/** What lies in the first field of the first field, so many levels down. */
function partOf(message: Uint8Array, levels: number): Buffer {
  let inner = Buffer.from(message);
  for (let i = 0; i < levels; i++) inner = inner.subarray((inner[1] ?? 0) < 0x80 ? 2 : 3);
  return inner;
}
