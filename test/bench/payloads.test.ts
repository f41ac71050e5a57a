/** The workloads are what docs/performance says they are, and the same for the same seed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { countItems } from '../../bench/items.ts';
import { createPayloads, type Payload, WORKLOADS } from '../../bench/payloads.ts';
import { requestType } from '../../src/otlp/schema.ts';

const NOW_NS = 1_795_000_000_123_456_789n;

interface Span {
  traceId: Buffer;
  spanId: Buffer;
  parentSpanId?: Buffer;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: unknown[];
  events?: unknown[];
  status?: { code?: number };
}

interface Resource {
  resource: { attributes: unknown[] };
  scopeSpans: { spans: Span[] }[];
}

function resourcesOf(bytes: Buffer): Resource[] {
  const type = requestType('traces');
  const decoded = type.toObject(type.decode(bytes), { longs: String }) as { resourceSpans: Resource[] };
  return decoded.resourceSpans;
}

function spansOf(bytes: Buffer): Span[] {
  return resourcesOf(bytes).flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

function patched(payload: Payload, counter: number): Buffer {
  const copy = Buffer.from(payload.bytes);
  payload.patch(copy, counter, NOW_NS);
  return copy;
}

function plainOf(bytes: Buffer, encoding: Payload['contentEncoding']): Buffer {
  if (encoding === null) return bytes;
  return encoding === 'gzip' ? gunzipSync(bytes) : zstdDecompressSync(bytes);
}

function bytesPerItem(payloads: readonly Payload[]): number {
  const bytes = payloads.reduce((sum, { plainBytes }) => sum + plainBytes, 0);
  return bytes / payloads.reduce((sum, { items }) => sum + items, 0);
}

for (const workload of WORKLOADS) {
  test(`${workload}: the same seed gives the same bytes, another seed others`, () => {
    const make = (seed: number) =>
      Buffer.concat(createPayloads({ workload, seed, batch: 40 }).map(({ bytes }) => bytes));
    assert.ok(make(5).equals(make(5)));
    assert.ok(!make(5).equals(make(6)));
  });

  test(`${workload}: a request holds as many items as it says`, () => {
    for (const { signal, bytes, contentEncoding, items } of createPayloads({ workload, seed: 1, batch: 41 })) {
      const plain = plainOf(bytes, contentEncoding);
      assert.equal(countItems(plain, 0, plain.length, signal), items);
      requestType(signal).decode(plain);
    }
  });
}

for (const batch of [100, 512, 1000]) {
  test(`W-std: 630 to 800 bytes a span at ${batch} a request`, () => {
    const size = bytesPerItem(createPayloads({ workload: 'W-std', seed: 1, batch }));
    assert.ok(size >= 630 && size <= 800, `${size} bytes a span`);
  });
}

test('W-std: 8 resource attributes, 14 span attributes, an event on every 4th span', () => {
  for (const { bytes } of createPayloads({ workload: 'W-std', seed: 2 })) {
    const resources = resourcesOf(bytes);
    for (const { resource } of resources) assert.equal(resource.attributes.length, 8);
    const spans = spansOf(bytes);
    for (const { attributes } of spans) assert.equal(attributes.length, 14);
    assert.equal(spans.filter(({ events }) => (events?.length ?? 0) > 0).length, spans.length / 4);
  }
});

test('W-std: about 1 % of the spans fail and traces have 8 spans', () => {
  const spans = createPayloads({ workload: 'W-std', seed: 3, count: 40 }).flatMap((payload, i) =>
    spansOf(patched(payload, i)),
  );
  const failed = spans.filter(({ status }) => status?.code === 2).length / spans.length;
  assert.ok(failed > 0.006 && failed < 0.014, `${failed} failed`);
  assert.equal(new Set(spans.map(({ traceId }) => traceId.toString('hex'))).size, spans.length / 8);
});

test('W-small: about 160 bytes a span, 100 a request', () => {
  const payloads = createPayloads({ workload: 'W-small', seed: 1 });
  assert.equal(payloads[0]?.items, 100);
  const size = bytesPerItem(payloads);
  assert.ok(size > 140 && size < 180, `${size} bytes a span`);
});

test('W-mixed: 60 % traces, 30 % logs of about 357 bytes, 10 % metrics of about 197 bytes a point', () => {
  const payloads = createPayloads({ workload: 'W-mixed', seed: 1 });
  const of = (signal: string) => payloads.filter((payload) => payload.signal === signal);
  assert.deepEqual([of('traces').length, of('logs').length, of('metrics').length], [6, 3, 1]);
  const [logs, points] = [bytesPerItem(of('logs')), bytesPerItem(of('metrics'))];
  assert.ok(logs > 320 && logs < 390, `${logs} bytes a record`);
  assert.ok(points > 175 && points < 220, `${points} bytes a point`);
});

test('patching gives every send ids of its own, keeps the trees whole and moves times to now', () => {
  const [payload] = createPayloads({ workload: 'W-std', seed: 4, batch: 64 });
  assert.ok(payload !== undefined);
  const before = spansOf(payload.bytes);
  const ids = new Set<string>();
  for (const counter of [0, 1, 2, 0xffff_fff0]) {
    const spans = spansOf(patched(payload, counter));
    const roots = new Map(
      spans
        .filter(({ parentSpanId }) => !parentSpanId?.length)
        .map(({ traceId, spanId }) => [`${traceId.toString('hex')}`, spanId]),
    );
    assert.equal(roots.size, 8);
    spans.forEach((span, i) => {
      ids.add(`${span.traceId.toString('hex')} ${span.spanId.toString('hex')}`);
      if (span.parentSpanId?.length) assert.ok(roots.get(span.traceId.toString('hex'))?.equals(span.parentSpanId));
      const distance = NOW_NS - BigInt(span.endTimeUnixNano);
      assert.ok(distance >= 0n && distance < 60_000_000n, `ends ${distance} ns before now`);
      const was = before[i];
      assert.ok(was !== undefined);
      assert.equal(
        BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano),
        BigInt(was.endTimeUnixNano) - BigInt(was.startTimeUnixNano),
      );
    });
  }
  assert.equal(ids.size, 4 * 64);
});
