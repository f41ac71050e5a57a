/** Holds src/sinks/kafka/encode.ts and split.ts: pieces are valid, small enough, in order, and together exactly the request. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockPool, frameSpan, type Signal, type Stream } from '../../../src/core/block.ts';
import { requestType } from '../../../src/otlp/schema.ts';
import { createEncoder } from '../../../src/sinks/kafka/encode.ts';
import { RECORD_BYTES } from '../../../src/sinks/kafka/size.ts';
import { topicFault } from '../../../src/sinks/kafka/topics.ts';
import { bytesOfRequest, encodeHere, namesIn, resource, spans } from '../harness.ts';
import { writeFrame } from '../memory_source.ts';

function encode(
  signal: Signal,
  payload: Uint8Array,
  config: {
    key?: string;
    most?: number;
    stream?: Stream;
    items?: number;
    topic?: string;
    topic_values?: Record<string, string[]>;
  },
) {
  const { key = 'none', most = 1_000_000, stream = 'raw', items = 1, topic = 't', topic_values = {} } = config;
  const pool = BlockPool.create(32 << 20);
  const block = pool.allocate(frameSpan(payload.length));
  writeFrame(pool, block, { stream, signal, sequence: 7, payload, items, receivedMs: 0 });
  const encoder = createEncoder({
    key,
    max_message_bytes: most + RECORD_BYTES,
    subscribe: { [stream]: topic },
    topic_values,
  });
  const direct = encoder.direct(pool, block);
  const made = encodeHere(pool, (out) => encoder.encode(pool, [block], stream, signal, out));
  const pieces = made.parts.map((part) => ({
    ...part,
    bytes: Buffer.from(pool.bytes.subarray(part.at, part.at + part.length)),
  }));
  made.release();
  return { direct, pieces };
}

function decode(signal: Signal, bytes: Uint8Array) {
  return requestType(signal).toObject(requestType(signal).decode(bytes), { longs: String });
}

test('a request that fits and needs no key leaves as it lies', () => {
  const payload = spans(0, 10);
  const { direct, pieces } = encode('traces', payload, { items: 10 });
  assert.deepEqual([direct?.length, direct?.part, direct?.items, direct?.key], [payload.length, 0, 10, null]);
  assert.ok(pieces.length === 1 && pieces[0]?.bytes.equals(payload));
});

test('a request above the limit is cut down to its items, each piece with its resource and scope', () => {
  const request = {
    resourceSpans: [0, 1, 2].map((r) => ({
      resource: resource(`service-${r}`),
      schemaUrl: 'r',
      scopeSpans: [0, 1].map((s) => ({
        scope: { name: `scope-${r}-${s}` },
        schemaUrl: 's',
        spans: Array.from({ length: 50 }, (_, i) => ({ name: `${r}-${s}-${i}`, traceState: 'x'.repeat(i * 3) })),
      })),
    })),
  };
  const payload = bytesOfRequest('traces', request);
  for (const most of [300, 1000, 4000, payload.length - 1]) {
    const { direct, pieces } = encode('traces', payload, { most, items: 300 });
    assert.equal(direct, null);
    assert.ok(pieces.length > 1);
    const found: string[] = [];
    let items = 0;
    for (const [i, { bytes, part, items: count }] of pieces.entries()) {
      assert.ok(bytes.length <= most, `${bytes.length} bytes of at most ${most}`);
      assert.equal(part, i + 1);
      items += count;
      for (const one of decode('traces', bytes).resourceSpans) {
        assert.equal(one.schemaUrl, 'r');
        for (const scope of one.scopeSpans) {
          assert.equal(scope.schemaUrl, 's');
          const service = one.resource.attributes[0].value.stringValue;
          for (const span of scope.spans) found.push(`${service} ${scope.scope.name} ${span.name}`);
        }
      }
    }
    const all = request.resourceSpans.flatMap(({ scopeSpans }, r) =>
      scopeSpans.flatMap(({ scope, spans: inside }) => inside.map(({ name }) => `service-${r} ${scope.name} ${name}`)),
    );
    assert.deepEqual(found, all);
    assert.equal(items, 300);
  }
});

test('a metric with too many points is cut between them and keeps its name, unit and temporality', () => {
  const dataPoints = Array.from({ length: 400 }, (_, i) => ({ asInt: i, timeUnixNano: i }));
  const metrics = [
    { name: 'small', gauge: { dataPoints: [{ asInt: 1 }] } },
    { name: 'large', unit: 'By', sum: { dataPoints, aggregationTemporality: 2, isMonotonic: true } },
  ];
  const payload = bytesOfRequest('metrics', {
    resourceMetrics: [{ resource: resource('a'), scopeMetrics: [{ metrics }] }],
  });
  const { pieces } = encode('metrics', payload, { most: 1024, items: 401 });
  const values: string[] = [];
  for (const { bytes } of pieces) {
    assert.ok(bytes.length <= 1024);
    for (const metric of decode('metrics', bytes).resourceMetrics[0].scopeMetrics[0].metrics) {
      if (metric.name === 'small') continue;
      assert.deepEqual([metric.unit, metric.sum.aggregationTemporality, metric.sum.isMonotonic], ['By', 2, true]);
      values.push(...metric.sum.dataPoints.map(({ asInt }: { asInt: string }) => asInt));
    }
  }
  assert.deepEqual(
    values,
    dataPoints.map(({ asInt }) => String(asInt)),
  );
  assert.equal(
    pieces.reduce((sum, { items }) => sum + items, 0),
    401,
  );
});

test('one item above the limit is a piece of its own', () => {
  const names = [{ name: 'a' }, { name: 'b', traceState: 'x'.repeat(5000) }, { name: 'c' }];
  const payload = bytesOfRequest('traces', {
    resourceSpans: [{ resource: resource('s'), scopeSpans: [{ spans: names }] }],
  });
  const { pieces } = encode('traces', payload, { most: 1024, items: 3 });
  assert.deepEqual(
    pieces.map(({ bytes }) => namesIn(bytes)),
    [['a'], ['b'], ['c']],
  );
});

test('with a key, entries of one service stay together and the numbers repeat', () => {
  const entry = (service: string, body: string) => ({
    resource: resource(service),
    scopeLogs: [{ logRecords: [{ body: { stringValue: body } }] }],
  });
  const resourceLogs = [entry('b', '1'), entry('a', '2'), entry('b', '3'), { scopeLogs: [{ logRecords: [{}] }] }];
  const payload = bytesOfRequest('logs', { resourceLogs });
  const shape = () =>
    encode('logs', payload, { stream: 'events', items: 4 }).pieces.map(({ key, part, items, bytes }) => {
      return [key, part, items, decode('logs', bytes).resourceLogs.length];
    });
  assert.deepEqual(shape(), [
    ['b', 1, 2, 2],
    ['a', 2, 1, 1],
    [null, 3, 1, 1],
  ]);
  assert.deepEqual(shape(), shape());
  assert.equal(encode('logs', payload, {}).pieces.length, 1);
  assert.equal(encode('logs', payload, { key: 'service' }).pieces.length, 3);
});

test('a request of one service is whole and has its key', () => {
  const { direct, pieces } = encode('traces', spans(0, 3, 'cart'), { key: 'service', items: 3 });
  assert.equal(direct, null);
  assert.deepEqual(
    pieces.map(({ key, part, items }) => [key, part, items]),
    [['cart', 0, 3]],
  );
});

/** Spans of so many traces, dealt out over two services with two scopes each; every span is `trace/number`. */
function manyTraces(signal: 'traces' | 'logs', traces: number, count: number) {
  const item = (i: number) => ({
    traceId: i % traces === 0 ? undefined : Buffer.alloc(16, i % traces),
    ...(signal === 'traces' ? { name: `${i % traces}/${i}` } : { body: { stringValue: `${i % traces}/${i}` } }),
  });
  const list = signal === 'traces' ? 'spans' : 'logRecords';
  const scopes = signal === 'traces' ? 'scopeSpans' : 'scopeLogs';
  const resources = signal === 'traces' ? 'resourceSpans' : 'resourceLogs';
  const numbers = Array.from({ length: count }, (_, i) => i);
  const entry = (r: number) => ({
    resource: resource(`service-${r}`),
    schemaUrl: `r${r}`,
    [scopes]: [0, 1].map((s) => ({
      scope: { name: `scope-${s}` },
      [list]: numbers.filter((i) => i % 4 === r * 2 + s).map(item),
    })),
  });
  return bytesOfRequest(signal, { [resources]: [entry(0), entry(1)] });
}

for (const signal of ['traces', 'logs'] as const) {
  for (const most of [1_000_000, 1500]) {
    test(`${signal} keyed by trace id: a record holds one trace, all are there once under their resource and scope, at ${most} bytes`, () => {
      const { direct, pieces } = encode(signal, manyTraces(signal, 7, 400), { key: 'trace_id', most, items: 400 });
      assert.equal(direct, null);
      const found: number[] = [];
      for (const [i, { key, bytes, items, part }] of pieces.entries()) {
        assert.equal(part, i + 1);
        assert.ok(bytes.length <= most, `${bytes.length} bytes`);
        let inside = 0;
        const request = decode(signal, bytes);
        for (const one of request.resourceSpans ?? request.resourceLogs) {
          const r = Number(one.resource.attributes[0].value.stringValue.slice(-1));
          assert.equal(one.schemaUrl, `r${r}`);
          for (const scope of one.scopeSpans ?? one.scopeLogs) {
            for (const item of scope.spans ?? scope.logRecords) {
              const [trace, number] = (item.name ?? item.body.stringValue).split('/').map(Number);
              assert.equal(key, trace === 0 ? null : Buffer.alloc(16, trace).toString('hex'));
              assert.equal(number % 4, r * 2 + Number(scope.scope.name.slice(-1)));
              found.push(number);
              inside++;
            }
          }
        }
        assert.equal(items, inside);
      }
      assert.ok(most > 1500 ? pieces.length === 7 : pieces.length > 7, `${pieces.length} pieces`);
      assert.deepEqual(
        found.sort((a, b) => a - b),
        Array.from({ length: 400 }, (_, i) => i),
      );
    });
  }
}

test('a request of one trace keyed by it is whole; metrics belong to no trace and leave as they lie', () => {
  const one = encode('traces', manyTraces('traces', 1, 5), { key: 'trace_id', items: 5 });
  assert.deepEqual(
    one.pieces.map(({ key, part, items }) => [key, part, items]),
    [[null, 0, 5]],
  );
  const metrics = [{ name: 'm', gauge: { dataPoints: [{ asInt: 1 }] } }];
  const payload = bytesOfRequest('metrics', { resourceMetrics: [{ scopeMetrics: [{ metrics }] }] });
  assert.equal(encode('metrics', payload, { key: 'trace_id' }).direct?.length, payload.length);
});

test('a resource attribute as the key: entries by its text, without a key where it is missing or no text, a long one cut', () => {
  const entry = (value: object | null) => ({
    resource: { attributes: value === null ? [] : [{ key: 'k8s.pod.name', value }] },
    scopeSpans: [{ spans: [{ name: 's' }] }],
  });
  const values = [{ stringValue: 'a' }, null, { intValue: 5 }, { stringValue: 'b'.repeat(9000) }, { stringValue: 'a' }];
  const payload = bytesOfRequest('traces', { resourceSpans: values.map(entry) });
  const { pieces } = encode('traces', payload, { key: 'resource.k8s.pod.name', items: 5 });
  assert.deepEqual(
    pieces.map(({ key, items }) => [key, items]),
    [
      ['a', 2],
      [null, 2],
      ['b'.repeat(512), 1],
    ],
  );
});

test('a topic with an attribute: only listed values are in names, whatever the data say; keys and sizes hold within a topic', () => {
  const hostile = ['acme', '../etc', 'a\nb', '', 'x'.repeat(300), 'ACME', 'globex', 'acme ', '{signal}', 'ac\u0000me'];
  const resourceSpans = hostile.map((tenant, i) => ({
    resource: { attributes: [{ key: 'tenant', value: { stringValue: tenant } }] },
    scopeSpans: [{ spans: [{ name: `${i}`, traceId: Buffer.alloc(16, 7) }] }],
  }));
  const payload = bytesOfRequest('traces', {
    resourceSpans: [...resourceSpans, { scopeSpans: [{ spans: [{ name: '10' }] }] }],
  });
  const topic = 'otlp_{signal}_{resource.tenant}';
  const shape = (key: string) => {
    const { direct, pieces } = encode('traces', payload, {
      key,
      topic,
      topic_values: { tenant: ['acme', 'globex'] },
      items: 11,
    });
    assert.equal(direct, null);
    return pieces.map(({ destination, key, bytes }) => [destination, key, namesIn(bytes).join()]);
  };
  assert.deepEqual(shape('none'), [
    ['otlp_spans_acme', null, '0'],
    ['otlp_spans_other', null, '1,2,3,4,5,7,8,9,10'],
    ['otlp_spans_globex', null, '6'],
  ]);
  const trace = Buffer.alloc(16, 7).toString('hex');
  assert.deepEqual(shape('trace_id'), [
    ['otlp_spans_acme', trace, '0'],
    ['otlp_spans_other', trace, '1,2,3,4,5,7,8,9'],
    ['otlp_spans_globex', trace, '6'],
    ['otlp_spans_other', null, '10'],
  ]);
});

test('a topic that cannot be is refused at the start, with what to write', () => {
  const fault = (raw: string, topic_values: Record<string, string[]> = {}) =>
    topicFault({ subscribe: { raw }, topic_values });
  assert.equal(fault('otlp_{signal}'), null);
  assert.equal(fault('{resource.tenant}', { tenant: ['a'] }), null);
  assert.match(String(fault('{tenant}')), /\{tenant\} in the topic of raw: there are \{signal\} and \{resource.NAME\}/);
  assert.match(String(fault('{resource.tenant}')), /needs its values listed: topic_values: \{ tenant: \[\.\.\.\] \}/);
  assert.match(String(fault('a b')), /no legal name: a b/);
  assert.match(String(fault(`${'x'.repeat(200)}{resource.t}`, { t: ['y'.repeat(100)] })), /no legal name/);
});

test('traces whose resource would be repeated over all memory stay together, without a key', () => {
  const traces = (bytes: number) =>
    bytesOfRequest('traces', {
      resourceSpans: [
        {
          resource: resource('x'.repeat(bytes)),
          scopeSpans: [
            {
              spans: Array.from({ length: 400 }, (_, i) => ({
                name: `${i}`,
                traceId: Buffer.from(String(i).padStart(16)),
              })),
            },
          ],
        },
      ],
    });
  const small = encode('traces', traces(1000), { key: 'trace_id', items: 400 });
  assert.equal(small.pieces.length, 400);
  const large = encode('traces', traces(100_000), { key: 'trace_id', items: 400 });
  assert.deepEqual(
    large.pieces.map(({ key, items, bytes }) => [key, items, namesIn(bytes).length]),
    [[null, 400, 400]],
  );
});
