/** Holds src/otlp/traces.ts: the walker sees of a span what protobufjs sees, whatever order and company its fields come in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reader } from '../../src/otlp/protobuf.ts';
import { findTraceId, readSpan, SpanView } from '../../src/otlp/traces.ts';
import { decoded, encodeRequest, generated, itemsOf, type Plain, placed, request, seeded } from './generate.ts';
import { oracleAttributes, validId, walk } from './walked.ts';

test('spans are seen as protobufjs decodes them: ids, name, kind, status, times, tracestate, attributes', (t) => {
  const random = seeded(t, 1);
  let spans = 0;
  for (let i = 0; i < generated(1500); i++) {
    const bytes = encodeRequest('traces', request(random, 'traces'), random);
    const { buffer, at, end } = placed(bytes, 0xff);
    const wanted = itemsOf('traces', decoded('traces', bytes)).map(({ item, resource, scope }) => ({
      item: {
        traceId: validId(item.traceId, 16),
        spanId: validId(item.spanId, 8),
        name: item.name ?? '',
        kind: item.kind ?? 0,
        status: (item.status as Plain | undefined)?.code ?? 0,
        start: item.startTimeUnixNano ?? '0',
        end: item.endTimeUnixNano ?? '0',
        traceState: item.traceState ?? '',
        attributes: oracleAttributes(item.attributes),
      },
      resource: oracleAttributes(resource?.attributes),
      scope: oracleAttributes(scope?.attributes),
    }));
    const seen = walk('traces', buffer, at, end).map(({ service: _, ...rest }) => rest);
    assert.deepEqual(seen, wanted, `case ${i}`);
    spans += seen.length;
  }
  assert.ok(spans > 1000, `only ${spans} spans were generated`);
});

test('a duration is in nanoseconds across the 32-bit halves, and 0 when the clock went backwards', () => {
  const span = new SpanView();
  Object.assign(span, { startHigh: 1, startLow: 0xffff_ffff, endHigh: 2, endLow: 1 });
  assert.equal(span.durationNs(), 2);
  Object.assign(span, { startHigh: 3, startLow: 0 });
  assert.equal(span.durationNs(), 0);
  Object.assign(span, { endHigh: Math.floor(1.75e18 / 2 ** 32), endLow: 0 });
  assert.equal(span.endMs(), (Math.floor(1.75e18 / 2 ** 32) * 2 ** 32) / 1e6);
});

test('a view that is used again forgets the span before', () => {
  const full = Buffer.from(`0a10${'ab'.repeat(16)}1208${'cd'.repeat(8)}1a0161${'2a0162'}30027a021802`, 'hex');
  const span = new SpanView();
  const reader = new Reader(full);
  readSpan(reader, 0, full.length, span);
  assert.deepEqual([span.traceIdAt, span.kind, span.status, span.nameLength], [2, 2, 2, 1]);
  span.slow = true;
  readSpan(reader, 0, 0, span);
  const { traceIdAt, spanIdAt, traceStateTagAt, nameLength, kind, status, slow } = span;
  assert.deepEqual(
    [traceIdAt, spanIdAt, traceStateTagAt, nameLength, kind, status, slow],
    [-1, -1, -1, 0, 0, 0, false],
  );
});

test('a trace id is found wherever it stands in the span', () => {
  const id = `0a10${'ab'.repeat(16)}`;
  for (const [text, at] of [
    [`${id}30 02`, 2],
    [`3002${id}`, 4],
    [`2a0161${id}`, 5],
    ['3002', -1],
  ] as const) {
    const bytes = Buffer.from(text.replaceAll(' ', ''), 'hex');
    assert.equal(findTraceId(new Reader(bytes), 0, bytes.length), at, text);
  }
});

test('a status that stands twice is merged, as protobuf has it', () => {
  const bytes = Buffer.from('7a0218027a031201617a00', 'hex');
  const span = new SpanView();
  readSpan(new Reader(bytes), 0, bytes.length, span);
  assert.equal(span.status, 2);
});

test('a status is read in every form, at the end of a span too, and one that is cut off is refused', () => {
  const read = (hex: string) => {
    // What lies behind the span does not belong to it.
    const bytes = Buffer.from(`${hex}1801180118011801`, 'hex');
    const span = new SpanView();
    readSpan(new Reader(bytes), 0, hex.length / 2, span);
    return span.status;
  };
  assert.equal(read('7a021802'), 2);
  assert.equal(read('7a00'), 0);
  assert.equal(read('7a0218027a00'), 2);
  assert.equal(read('7a03188102'), 257);
  assert.equal(read('7a0512016b1802'), 2);
  assert.equal(read('7a041a001802'), 2);
  assert.equal(read('7a0218028501010000003004'), 2);
  for (const cut of ['7a0218', '7a', '7a02', '7a021882', '85010100', '8501', '3980808080', '1208cdcd', '0a10abab'])
    assert.throws(() => read(cut), { code: 'BODY_UNDECODABLE' }, cut);
});
