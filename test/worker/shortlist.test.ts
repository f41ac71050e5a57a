/** Holds that shortlists leave out only what the selection drops anyway: whatever comes to be known of a trace, whatever else is configured. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Random } from '../../bench/random.ts';
import { frameSpan, payloadLength, UNIT_BYTES } from '../../src/core/block.ts';
import { traceTableFor } from '../../src/processors/sample/index.ts';
import { readTable } from '../../src/worker/shortlist.ts';
import { encodeRequest, generated, list, type Plain, request, seeded } from '../otlp/generate.ts';
import { createSampling } from '../processors/sampling.ts';
import {
  createWorld,
  idOf,
  liveFrames,
  logs,
  NOW_MS,
  plainly,
  type Sent,
  sampleConfig,
  service,
  span,
  traces,
  type WorldOptions,
} from './world.ts';

const ERROR = { status: { code: 2 } };

/** Requests of runs of spans, of which some traces go on in later requests, and some spans are errors, unwanted or to be filtered. */
function* requests(t: TestContext, count: number): Generator<Sent[]> {
  const random = seeded(t, 91);
  const ids = Array.from({ length: 300 }, () => Buffer.from(Array.from({ length: 16 }, () => random.below(256))));
  const plain = (): Plain => ({
    traceId: ids[random.below(ids.length)],
    ...(random.below(25) === 0 ? ERROR : {}),
    attributes: [
      ...(random.below(20) === 0 ? [{ key: 'sampling.priority', value: { intValue: random.below(2) } }] : []),
      ...(random.below(8) === 0 ? [{ key: 'http.route', value: { stringValue: '/health' } }] : []),
    ],
  });
  const run = () => {
    const first = plain();
    return Array.from({ length: 1 + random.below(6) }, (_, i) => span(i, random.below(8) === 0 ? plain() : first));
  };
  for (let i = 0; i < count; i++) {
    yield Array.from({ length: 1 + random.below(3) }, () =>
      plainly(service(`service ${random.below(3)}`, ...Array.from({ length: random.below(6) }, run).flat())),
    );
    if (i % 10 === 9) yield [{ signal: 'logs', bytes: logs({ severityNumber: 17 }, { severityNumber: 9 }) }];
  }
}

test('decisions by shortlists are those by whole frames, and what cannot be told by them is said', (t) => {
  const drop = [{ of: 'spans', where: { 'http.route': '/health' } }];
  for (const [changes, before] of [
    [{}, []],
    [{ base: '25%', keep: { error: '50%' } }, [{ type: 'filter', drop }]],
    [{ keep: { rare: '0%' }, budget: '200KiB/min' }, []],
    [{ rules: [{ where: { 'http.route': '/health' }, keep: '0%' }], base: '2%' }, []],
  ] as const) {
    const sampling = createSampling({ wait: '1s', ...changes }, 64, NOW_MS, [], [...before]);
    let ms = NOW_MS;
    let kept = 0;
    for (const sent of requests(t, 150)) {
      ms += 70;
      sampling.send(ms, ...sent);
      for (const { kept: found } of sampling.decide(ms)) kept += found.traces.length;
    }
    for (const { kept: found } of sampling.decide(ms + 60_000)) kept += found.traces.length;
    const { settled, unsure } = sampling.short;
    assert.ok(
      kept > 100 && settled > 30 && unsure > 10,
      `${JSON.stringify(changes)}: ${kept} kept, ${settled} settled, ${unsure} unsure`,
    );
  }
});

test('a trace that shows what it is in its own request need not be read again', () => {
  const sampling = createSampling({ wait: '1s', base: '0%', keep: { rare: '0%' } });
  sampling.send(NOW_MS, plainly(traces(span(1), span(1, ERROR), span(2))), plainly(traces(span(3))));
  const [outcome] = sampling.decide(NOW_MS + 60_000);
  assert.equal(outcome?.kept.traces.length, 2);
  assert.deepEqual(sampling.short, { settled: 2, unsure: 0 });
});

/** What observe says of the shortlists of these requests, with so many bytes for them. */
function shortlistsOf(sent: Sent[], options: WorldOptions = {}, bytes = UNIT_BYTES) {
  const table = traceTableFor(sampleConfig({ traces: 1000 }), NOW_MS);
  const world = createWorld({ processors: [{ type: 'sample' }], table, ...options });
  const at = world.pool.allocate(UNIT_BYTES);
  const { result, frames } = world.observe(sent, false, NOW_MS, { at, end: at + bytes });
  const found = result.shortlists?.frames ?? [];
  return { world, frames, found, has: found.map((one) => one >= 0), end: (result.shortlists?.end ?? 0) - at };
}

test('requests that cannot be looked ahead at have none, and leave the room to others', () => {
  const two = [plainly(traces(span(1))), plainly(traces(span(2, ERROR)))];
  const { has, end } = shortlistsOf(two);
  assert.deepEqual(has, [true, true]);
  assert.deepEqual(shortlistsOf([plainly(traces(span(1, { traceState: 'a=b' }))), ...two]).has, [false, true, true]);
  assert.equal(shortlistsOf([plainly(traces(span(1, { traceState: 'a=b' }))), ...two]).end, end);
  assert.deepEqual(shortlistsOf([{ signal: 'logs', bytes: logs({}) }]).has, [false]);
  assert.deepEqual(shortlistsOf(two, { processors: [] }).has, [false, false]);
  assert.deepEqual(shortlistsOf(two, { processors: [{ type: 'sample', base: '50%' }] }).has, [false, false]);
  assert.deepEqual(shortlistsOf(two, {}, end - 1).has, [true, false]);
});

test('a request that is refused has none', () => {
  const { has } = shortlistsOf([plainly(Buffer.from([10, 200])), plainly(traces(span(2)))]);
  assert.deepEqual(has, [false, true]);
});

test('a shortlist of another policy says nothing', () => {
  const { world, found } = shortlistsOf([plainly(traces(span(2, ERROR)))]);
  assert.deepEqual(world.select(found, undefined, undefined, true).unsure, []);
  world.parts.epoch++;
  assert.deepEqual(world.select(found, undefined, undefined, true).unsure, [0]);
});

test('a shortlist at the end of the largest pool is selected from as elsewhere', () => {
  const table = traceTableFor(sampleConfig({ traces: 1000 }), NOW_MS);
  const world = createWorld({ processors: [{ type: 'sample', base: '25%' }], table, units: 4096 });
  const { bytes } = world.pool;
  // The seven last bytes decide: a quarter is kept.
  const traceIds = Array.from({ length: 60 }, (_, i) => Buffer.alloc(16, 1).fill(i * 4, 9, 10));
  const sent = [plainly(traces(...traceIds.map((traceId, i) => span(i, { traceId }))))];
  const [last, first] = [world.pool.allocateLasting(UNIT_BYTES), world.pool.allocate(UNIT_BYTES)].map((at) => {
    const { result } = world.observe(sent, false, NOW_MS, { at, end: at + UNIT_BYTES });
    const { selected, unsure } = world.select(result.shortlists?.frames ?? [], undefined, undefined, true);
    assert.deepEqual(unsure, []);
    return selected.map(({ at: from, length, items }) => ({ items, text: bytes.toString('hex', from, from + length) }));
  });
  assert.equal(first?.[0]?.items, 12);
  assert.deepEqual(last, first);
});

/** A request whose spans mostly belong to the trace of the one before. */
function withRuns(random: Random): Plain {
  const made = request(random, 'traces', 9);
  let traceId = idOf(1 + random.below(40), 16);
  for (const resource of list(made.resourceSpans))
    for (const scope of list(resource.scopeSpans))
      for (const one of list(scope.spans)) {
        if (random.below(4) === 0) traceId = idOf(1 + random.below(40), 16);
        one.traceId = traceId;
        one.spanId = random.below(30) === 0 ? Buffer.alloc(3) : idOf(7, 8);
        delete one.traceState;
        if (random.below(10) > 0) delete one.status;
      }
  return made;
}

test('a shortlist by runs is the one span by span, byte for byte: with fields in any order, twice, and unknown ones between', (t) => {
  const random = seeded(t, 92);
  const table = traceTableFor(sampleConfig({ traces: 1000 }), NOW_MS);
  const world = createWorld({ processors: [{ type: 'sample', base: '25%' }], table });
  const { pool, parts } = world;
  const { shortlister, reslicer } = parts;
  const at = pool.allocate(UNIT_BYTES);
  const room = { at, end: at + UNIT_BYTES };
  let runs = 0;
  const isAlike = reslicer.alike.bind(reslicer);
  const shortlistOf = (frame: number, byRuns: boolean) => {
    reslicer.alike = (end, items) => {
      runs++;
      if (byRuns) isAlike(end, items);
    };
    shortlister.begin(room, 1);
    shortlister.add(frame, 0);
    return Buffer.from(pool.bytes.subarray(room.at, shortlister.take()?.end));
  };
  let kept = 0;
  for (let i = 0; i < generated(1500); i++) {
    const bytes = encodeRequest('traces', withRuns(random), random, i % 3 === 0);
    const { result, frames, block } = world.observe([plainly(bytes)], false, NOW_MS, room);
    for (const frame of liveFrames(world, frames, result.moved)) {
      const byRuns = shortlistOf(frame, true);
      assert.deepEqual(byRuns, shortlistOf(frame, false), `request ${i}`);
      kept += readTable(pool, room.at).kept;
    }
    for (const region of result.moved) pool.discard(region.block);
    if (result.measured !== null) pool.discard(result.measured.block);
    pool.release(block);
  }
  assert.ok(runs > 2000 && kept > 300, `${runs} runs, ${kept} spans kept`);
});

const field = (tag: number, content: Uint8Array) => {
  const length: number[] = [];
  let rest = content.length;
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([tag, ...length, rest]), content]);
};
const SPAN_ID = field(0x12, Buffer.alloc(8, 9));
const rawSpan = (id: Uint8Array, ...more: Uint8Array[]) =>
  field(0x12, Buffer.concat([field(0x0a, id), SPAN_ID, ...more]));
const rawRequest = (...scopes: Uint8Array[]) => field(0x0a, Buffer.concat(scopes));
const rawScope = (...content: Uint8Array[]) => field(0x12, Buffer.concat(content));
/** Status: an error. */
const FAILED = field(0x7a, Buffer.from([0x18, 2]));

test('what only looks like the next span of a run is not taken for one', () => {
  const id = Buffer.from([...idOf(1, 8), 1, 2, 3, 4, 5, 6, 7, 8]);
  const first = rawSpan(id, FAILED);
  const withLow = (low: Buffer) => rawSpan(Buffer.concat([id.subarray(0, 8), low]));
  // A scope of the name "aaaaaaaaaaaaaa", which is the trace id, too.
  const name = Buffer.concat([Buffer.from([0x0a, 14]), Buffer.alloc(14, 0x61)]);
  const named = rawScope(field(0x0a, name), rawSpan(id));
  // Another trace's id where the second half of the first one's is looked for.
  const other = Buffer.from([0x0a, 0x10, ...idOf(3, 6)]);
  const spanIdFirst = field(
    0x12,
    Buffer.concat([SPAN_ID, field(0x0a, Buffer.concat([idOf(3, 6), Buffer.alloc(10, 5)]))]),
  );
  const sevens = Buffer.alloc(16, 7);
  // Three bytes of length, the last of them a tag; field 2 as a varint is unknown.
  const large = field(
    0x12,
    Buffer.concat([Buffer.from([0x10, 5]), field(0x0a, sevens), SPAN_ID, field(0x2a, Buffer.alloc(170_000))]),
  );
  for (const [what, bytes, kept] of [
    ['another low word', rawRequest(rawScope(first, withLow(Buffer.from([9, 2, 3, 4, 5, 6, 7, 8])))), 1],
    ['another high word', rawRequest(rawScope(first, withLow(Buffer.from([1, 2, 3, 4, 5, 6, 7, 9])))), 1],
    ['the next scope', rawRequest(rawScope(rawSpan(name, FAILED)), named), 1],
    [
      'a schema URL',
      rawRequest(rawScope(first, field(0x1a, Buffer.concat([field(0x0a, id), SPAN_ID])), rawSpan(id))),
      2,
    ],
    ['a span id first', rawRequest(rawScope(rawSpan(Buffer.concat([idOf(1, 8), other]), FAILED), spanIdFirst)), 1],
    ['a length of three bytes', rawRequest(rawScope(rawSpan(sevens, FAILED), large, rawSpan(id))), 2],
  ] as const) {
    const processors = [{ type: 'sample', base: '0%', keep: { rare: '0%' } }];
    const { world, found, frames } = shortlistsOf([plainly(bytes)], { processors });
    assert.ok(found[0] !== undefined && found[0] >= 0, what);
    assert.equal(readTable(world.pool, found[0]).kept, kept, what);
    const { reslicer, shortlister } = world.parts;
    const end = found[0] + frameSpan(payloadLength(world.pool, found[0]));
    const byRuns = Buffer.from(world.pool.bytes.subarray(found[0], end));
    reslicer.alike = () => {};
    const at = world.pool.allocate(UNIT_BYTES);
    shortlister.begin({ at, end: at + UNIT_BYTES }, 1);
    shortlister.add(frames[0] ?? -1, 0);
    assert.deepEqual(byRuns, Buffer.from(world.pool.bytes.subarray(at, at + end - found[0])), what);
  }
});

test('of a run that is kept all is kept, of one that ends with its scope no more', () => {
  const sameTrace = [span(1, ERROR), span(1), span(1)];
  const bytes = Buffer.concat([service('a', ...sameTrace), service('a', span(2)), service('a', span(1))]);
  const { world, found } = shortlistsOf([plainly(bytes)], {
    processors: [{ type: 'sample', base: '0%', keep: { rare: '0%' } }],
  });
  const table = readTable(world.pool, found[0] ?? -1);
  assert.deepEqual([table.kept, table.ids], [4, 1]);
});

test('a run of spans is asked about span by span where somebody filters spans', (t) => {
  const table = traceTableFor(sampleConfig({ traces: 1000 }), NOW_MS);
  const drop = [{ of: 'spans', where: { 'http.route': '/health' } }];
  const world = createWorld({ processors: [{ type: 'filter', drop }, { type: 'sample' }], table });
  const at = world.pool.allocate(UNIT_BYTES);
  const alike = t.mock.method(world.parts.reslicer, 'alike');
  const attributes = [{ key: 'http.route', value: { stringValue: '/health' } }];
  const sent = [plainly(traces(span(1, ERROR), span(1), span(1, { attributes })))];
  const { result } = world.observe(sent, false, NOW_MS, { at, end: at + UNIT_BYTES });
  const shortlist = readTable(world.pool, result.shortlists?.frames[0] ?? -1);
  assert.deepEqual([alike.mock.callCount(), shortlist.kept, shortlist.filtered], [0, 2, 1]);
});
