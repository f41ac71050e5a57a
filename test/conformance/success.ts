/** Rows C: what a 200 says and means. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { at, ENVELOPES, gauge, histogram, type Json, logRecord, protobufOf, requestOf, span } from './messages.ts';
import { encode, partialOf, post, type Row, refused, succeeded, valid } from './row.ts';

const BAD_SPANS: Json[] = [
  span({ traceId: '' }),
  span({ traceId: '00'.repeat(16) }),
  span({ spanId: '00'.repeat(8) }),
  span({ spanId: 'a1b2' }),
  span({ traceId: 'a1'.repeat(15) }),
];

export const SUCCESS: Row[] = [
  {
    id: 'C1',
    strength: 'M',
    request: 'valid, all accepted',
    expected: '200; protobuf body of 0 bytes, JSON {}',
    async run(c) {
      succeeded(c, await post(c, valid(c, 10)));
      c.atSink((items) => assert.equal(items.length, 10));
    },
  },
  {
    id: 'C2',
    strength: 'M',
    request: 'as C1',
    expected: 'exactly 200, right Content-Length',
    async run(c) {
      const reply = await post(c, valid(c));
      assert.equal(reply.status, 200);
      assert.equal(Number(reply.headers['content-length']), reply.body.length);
      assert.equal(reply.headers['transfer-encoding'], undefined);
    },
  },
  {
    id: 'C3',
    strength: 'S',
    request: 'the empty message',
    expected: '200',
    async run(c) {
      succeeded(c, await post(c, Buffer.from(c.isJson ? '{}' : '')));
    },
  },
  {
    id: 'C4',
    strength: 'O',
    request: 'a body of 0 bytes as JSON',
    expected: '400',
    encodings: ['json'],
    async run(c) {
      refused(c, await post(c, Buffer.alloc(0)), 400);
    },
  },
  {
    id: 'C5',
    strength: 'Y',
    request: 'empty envelopes at every level',
    expected: '200',
    async run(c) {
      const { resources, scopes, items } = ENVELOPES[c.signal];
      const empties = [
        [],
        [{}],
        [{ [scopes]: [] }],
        [{ [scopes]: [{}] }],
        [{ [scopes]: [{ [items]: [] }] }],
        [{ resource: {} }],
      ];
      for (const list of empties) succeeded(c, await post(c, encode(c, { [resources]: list })));
    },
  },
  {
    id: 'C6',
    strength: 'M',
    request: 'spans, some with bad ids',
    expected: '200, rejected_spans, the others stored',
    signals: ['traces'],
    async run(c) {
      const good = [span({ name: 'good 1' }), span({ name: 'good 2' }), span({ name: 'good 3' })];
      const mixed = [good[0], ...BAD_SPANS.slice(0, 2), good[1], ...BAD_SPANS.slice(2), good[2]] as Json[];
      const { rejected, message } = partialOf(c, await post(c, encode(c, requestOf('traces', c.service, mixed))));
      assert.equal(rejected, BAD_SPANS.length);
      assert.ok(message.length > 0);
      c.atSink((items) =>
        assert.deepEqual(
          items.map(({ name }) => name),
          ['good 1', 'good 2', 'good 3'],
        ),
      );
    },
  },
  {
    id: 'C7',
    strength: 'M',
    request: 'metrics, some points with buckets that do not fit',
    expected: 'rejected_data_points counts points',
    signals: ['metrics'],
    async run(c) {
      const metrics = [gauge(), histogram(5, 2), histogram(3, 3), histogram(1)];
      const { rejected, message } = partialOf(c, await post(c, encode(c, requestOf('metrics', c.service, metrics))));
      assert.equal(rejected, 5);
      assert.ok(message.length > 0);
      c.atSink((items) => {
        const points = items.map(
          ({ histogram }) => (histogram as { dataPoints: unknown[] } | undefined)?.dataPoints.length,
        );
        assert.deepEqual(points, [undefined, 3, 1]);
      });
    },
  },
  {
    id: 'C8',
    strength: 'M',
    request: 'logs, some over the limit of an item',
    expected: 'rejected_log_records, the others stored',
    signals: ['logs'],
    own: true,
    async run(c) {
      const { url } = await c.own('ingest: { http: { max_item_size: 1KiB } }');
      const large = logRecord({ body: { stringValue: 'x'.repeat(1024) } });
      const records = [
        logRecord({ eventName: 'first' }),
        large,
        large,
        logRecord({ eventName: 'last', traceId: 'a1b2' }),
      ];
      const reply = await post({ ...c, url }, encode(c, requestOf('logs', c.service, records)));
      const { rejected, message } = partialOf(c, reply);
      assert.equal(rejected, 2);
      assert.match(message, /2 log records .*max_item_size/);
      c.atSink((items) =>
        assert.deepEqual(
          items.map(({ eventName }) => eventName),
          ['first', 'last'],
        ),
      );
    },
  },
  {
    id: 'C9',
    strength: 'P',
    request: 'partial success in JSON',
    expected: 'the number is a decimal string',
    signals: ['traces', 'metrics'],
    encodings: ['json'],
    async run(c) {
      const items = c.signal === 'traces' ? [span(), BAD_SPANS[0] as Json] : [histogram(2, 1)];
      // partialOf holds the number to be a string.
      assert.equal(partialOf(c, await post(c, encode(c, requestOf(c.signal, c.service, items)))).rejected, 1);
    },
  },
  {
    id: 'C10',
    strength: 'Y',
    request: 'all accepted, with something to warn of: bad ids of exemplars and log records',
    expected: '0 rejected and a message; others than us need not warn',
    signals: ['metrics', 'logs'],
    async run(c) {
      const traceId = 'a1b2';
      const items =
        c.signal === 'logs'
          ? [logRecord({ traceId }), logRecord({ spanId: '00'.repeat(8) })]
          : [gauge({ exemplars: [{ asInt: '5', traceId }, { asInt: '6' }] }), gauge()];
      const reply = await post(c, encode(c, requestOf(c.signal, c.service, items)));
      const { rejected, message } = partialOf(c, reply);
      assert.equal(rejected, 0);
      if (message === '') succeeded(c, reply);
      c.atSink((stored) => {
        assert.ok(message.length > 0, 'no warning');
        assert.equal(stored.length, 2);
        if (c.signal === 'metrics')
          assert.deepEqual(at(stored, 0, 'gauge', 'dataPoints', 0, 'exemplars'), [{ asInt: '6' }]);
      });
    },
  },
  {
    id: 'C11',
    strength: 'M',
    request: '20,000 bad items',
    expected: 'the reply is at most 4 MiB',
    signals: ['traces', 'metrics'],
    async run(c) {
      const items =
        c.signal === 'traces'
          ? Array.from({ length: 20_000 }, () => span({ spanId: '' }))
          : [histogram(20_000, 20_000)];
      const reply = await post(c, encode(c, requestOf(c.signal, c.service, items)));
      assert.equal(partialOf(c, reply).rejected, 20_000);
      assert.ok(reply.body.length <= 4 << 20, `${reply.body.length} bytes`);
      c.atSink((kept) => assert.equal(kept.length, 0));
    },
  },
  {
    id: 'C12',
    strength: 'O',
    request: 'any 200, then kill -9',
    expected: 'the data is there after a restart',
    encodings: ['protobuf'],
    own: true,
    async run(c) {
      const agent = await c.own('', { isAlone: true });
      succeeded(c, await post({ ...c, url: agent.url }, valid(c, 3)));
      process.kill(agent.pid, 'SIGKILL');
      await agent.stop();
      const reborn = await c.own('', { isAlone: true });
      assert.match(await reborn.metrics(), /plumbline_info/);
      assert.match(reborn.output(), /ready/);
      c.atSink((items) => assert.equal(items.length, 3));
    },
  },
  {
    id: 'C13',
    strength: 'S',
    request: 'the same request twice',
    expected: '200 twice',
    async run(c) {
      const body = valid(c);
      succeeded(c, await post(c, body));
      succeeded(c, await post(c, body));
    },
  },
];

/** Of the shape of the specification's own examples: capital ids, 64-bit integers as numbers, every kind of attribute. */
export function exampleOf(service: string, name: 'trace' | 'metrics' | 'logs'): { text: string; protobuf: Buffer } {
  const text = readFileSync(new URL(`./examples/${name}.json`, import.meta.url), 'utf8').replace('SERVICE', service);
  const signal = name === 'trace' ? 'traces' : name;
  // Numbers above 2^53 as text, so that JSON.parse does not round them.
  const quoted = text.replace(/: (\d{16,})/g, ': "$1"');
  return { text, protobuf: protobufOf(signal, JSON.parse(quoted) as Json) };
}
