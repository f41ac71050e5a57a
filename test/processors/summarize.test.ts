/** Holds processors/summarize from bytes to metrics: totals are those of the decoded spans, and nothing that was accepted can stop it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import protobuf from 'protobufjs';
import { createPayloads } from '../../bench/payloads.ts';
import { cutText, MOST_TEXT_BYTES } from '../../src/core/boundedText.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import { messageType, requestType } from '../../src/otlp/schema.ts';
import type { Observer } from '../../src/processors/processor.ts';
import { Identity } from '../../src/processors/summarize/group.ts';
import { GroupTable } from '../../src/processors/summarize/groupTable.ts';
import { summarize } from '../../src/processors/summarize/index.ts';
import { decoded, itemsOf, list, type Plain, seeded } from '../otlp/generate.ts';
import { afterRestart } from '../support/saved.ts';
import {
  configured,
  contextOf,
  createWorld,
  logs,
  NOW_MS,
  plainly,
  type Sent,
  service,
  span,
  traces,
  type World,
} from '../worker/world.ts';

function createBench(options: Plain = {}, saved: unknown = null) {
  const world = createWorld({ processors: [{ type: 'summarize', ...options }], units: 160 });
  const telemetry = createTelemetry();
  const context = contextOf(world.pool, { agent: 'a-1', telemetry });
  const [config] = configured([{ type: 'summarize', ...options }]);
  const observer = summarize.observer?.(config?.config, context, saved) as Observer;
  return { world, observer, telemetry, context };
}

function feed(world: World, observer: Observer, ...sent: Sent[]): void {
  const { result } = world.observe(sent);
  assert.deepEqual(result.refused, []);
  for (const { at, end } of result.measured?.sections ?? [])
    observer.merge(new DataView(world.pool.handle.memory), at, end, NOW_MS);
}

function flush(observer: Observer): Plain {
  const [emission, ...more] = observer.tick(NOW_MS + 10_000, false);
  assert.deepEqual(more, []);
  assert.ok(emission !== undefined, 'nothing was flushed');
  assert.deepEqual([emission.stream, emission.signal, emission.ends], ['summaries', 'metrics', true]);
  return decoded('metrics', emission.bytes);
}

/** Points by metric name, with service and attributes flattened. */
function pointsOf(request: Plain): { metric: string; key: string; point: Plain }[] {
  const text = (attributes: unknown) =>
    list(attributes)
      .map(({ key, value }) => `${key}=${Object.values(value as Plain)[0]}`)
      .sort()
      .join(' ');
  return list(request.resourceMetrics).flatMap(({ resource, scopeMetrics }) =>
    list(scopeMetrics).flatMap(({ metrics }) =>
      list(metrics).flatMap((metric) => {
        const held = (metric.sum ?? metric.exponentialHistogram ?? metric.gauge) as Plain;
        return list(held.dataPoints).map((point) => ({
          metric: String(metric.name),
          key: `${text((resource as Plain).attributes)} ${text(point.attributes)}`,
          point,
        }));
      }),
    ),
  );
}

const count = (points: ReturnType<typeof pointsOf>, metric: string) =>
  points
    .filter((one) => one.metric === metric)
    .reduce((sum, { point }) => sum + Number(point.asInt ?? point.asDouble ?? point.count), 0);

test('a resource in two pieces, before and behind its spans, is one', () => {
  const { world, observer } = createBench();
  const type = messageType('ResourceSpans');
  const attribute = (key: string, stringValue: string) => ({ attributes: [{ key, value: { stringValue } }] });
  const parts = [
    { resource: attribute('service.name', 'shop') },
    { scopeSpans: [{ spans: [span(1, { name: 'GET /', kind: 2 })] }] },
    { resource: attribute('service.version', '1.4.2') },
  ];
  const inside = Buffer.concat(parts.map((part) => type.encode(type.fromObject(part)).finish()));
  feed(world, observer, plainly(protobuf.Writer.create().uint32(10).bytes(inside).finish()));
  const keys = pointsOf(flush(observer)).map(({ key }) => key);
  for (const key of keys) assert.match(key, /service\.name=shop service\.version=1\.4\.2/);
  assert.equal(keys.length, 2);
});

test('calls, sums, smallest and largest are those of the spans, in groups of service, name, kind and status', (t) => {
  const random = seeded(t, 70);
  const { world, observer } = createBench();
  const wanted = new Map<string, { count: number; sum: number; min: number; max: number }>();
  for (let i = 0; i < 20; i++) {
    const name = random.pick(['shop', 'stock']);
    const spans = Array.from({ length: 40 }, (_, j) => {
      const ms = random.below(4) === 0 ? 0 : Math.round(random.logNormal(20, 2) * 1000) / 1000;
      const made = {
        name: random.pick(['GET /', 'POST /']),
        kind: random.pick([2, 3]),
        status: { code: random.pick([0, 2]) },
      };
      const key = `plumbline.agent=a-1 service.name=${name} span.kind=SPAN_KIND_${made.kind === 2 ? 'SERVER' : 'CLIENT'} span.name=${made.name} status.code=STATUS_CODE_${made.status.code === 0 ? 'UNSET' : 'ERROR'}`;
      const before = wanted.get(key) ?? { count: 0, sum: 0, min: Infinity, max: 0 };
      wanted.set(key, {
        count: before.count + 1,
        sum: before.sum + ms,
        min: Math.min(before.min, ms),
        max: Math.max(before.max, ms),
      });
      return span(i * 40 + j, made, ms);
    });
    feed(world, observer, plainly(service(name, ...spans)));
  }
  const points = pointsOf(flush(observer));
  const durations = points.filter(({ metric }) => metric === 'traces.span.metrics.duration');
  assert.deepEqual(durations.map(({ key }) => key).sort(), [...wanted.keys()].sort());
  for (const { key, point } of durations) {
    const one = wanted.get(key);
    assert.equal(Number(point.count), one?.count);
    assert.ok(Math.abs(Number(point.sum) - (one?.sum ?? 0)) < 1e-3, `sum of ${key}`);
    assert.ok(
      Math.abs(Number(point.min) - (one?.min ?? 0)) < 1e-3 && Math.abs(Number(point.max) - (one?.max ?? 0)) < 1e-3,
    );
    const buckets = ((point.positive as Plain).bucketCounts as string[]).reduce((sum, text) => sum + Number(text), 0);
    assert.equal(buckets + Number(point.zeroCount ?? 0), one?.count, 'buckets and zeros are all values');
  }
  assert.equal(count(points, 'traces.span.metrics.calls'), 800);
  assert.deepEqual(observer.tick(NOW_MS + 20_000, false), [], 'a flush empties it');
});

test('of 16 services with 50 operations each, what is counted in each group is what the decoded spans say', () => {
  const { world, observer } = createBench();
  const wanted = new Map<string, number>();
  for (const { bytes } of createPayloads({ workload: 'W-std', seed: 74 })) {
    feed(world, observer, plainly(bytes));
    for (const { item, resource } of itemsOf('traces', decoded('traces', bytes))) {
      const service = list(resource?.attributes).find(({ key }) => key === 'service.name')?.value as Plain;
      const key = [service.stringValue, item.name, item.kind ?? 0, (item.status as Plain | null)?.code ?? 0].join(' ');
      wanted.set(key, (wanted.get(key) ?? 0) + 1);
    }
  }
  const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT'];
  const STATUSES = ['UNSET', 'OK', 'ERROR'];
  const counted = pointsOf(flush(observer)).filter(({ metric }) => metric === 'traces.span.metrics.calls');
  const found = counted.map(({ key, point }): [string, number] => {
    const of = (name: string) => new RegExp(`${name}=(.+?)(?= [a-z]+\\.[a-z.]+=|$)`).exec(key)?.[1] ?? '';
    const kind = KINDS.indexOf(of('span\\.kind').slice('SPAN_KIND_'.length));
    const status = STATUSES.indexOf(of('status\\.code').slice('STATUS_CODE_'.length));
    return [[of('service\\.name'), of('span\\.name'), kind, status].join(' '), Number(point.asInt)];
  });
  assert.ok(wanted.size > 2000);
  assert.deepEqual(new Map(found.sort()), new Map([...wanted].sort()));
});

test('a span sampled upstream counts for those it stands for, rounded so that the sum stays true', () => {
  const { world, observer } = createBench();
  feed(
    world,
    observer,
    plainly(traces(...Array.from({ length: 50 }, (_, i) => span(i, { traceState: 'ot=th:c', name: 'x' })))),
  );
  feed(
    world,
    observer,
    plainly(traces(...Array.from({ length: 3000 }, (_, i) => span(i, { traceState: 'ot=th:6', name: 'y' })))),
  );
  const points = pointsOf(flush(observer));
  const calls = (name: string) =>
    count(
      points.filter(({ key }) => key.includes(`span.name=${name}`)),
      'traces.span.metrics.calls',
    );
  assert.equal(calls('x'), 200);
  // 3000 * 1.6, each rounded to 1 or 2: standard deviation 27.
  assert.ok(Math.abs(calls('y') - 4800) < 4 * 27, `found ${calls('y')}`);
});

test('log records are counted by severity', () => {
  const { world, observer } = createBench();
  feed(world, observer, {
    signal: 'logs',
    bytes: logs({ severityNumber: 9 }, { severityNumber: 17 }, { severityNumber: 9 }),
  });
  const points = pointsOf(flush(observer)).map(({ metric, key, point }) => [metric, key, point.asInt]);
  assert.deepEqual(points.sort(), [
    ['plumbline.log.records', 'plumbline.agent=a-1 service.name=shop severity.number=17', '1'],
    ['plumbline.log.records', 'plumbline.agent=a-1 service.name=shop severity.number=9', '2'],
  ]);
});

test('a log record sampled upstream counts for those it stands for, rounded so that the sum stays true', () => {
  const { world, observer } = createBench();
  const records = (severityNumber: number, value: Plain) =>
    Array.from({ length: 3000 }, (_, i) => ({
      severityNumber,
      timeUnixNano: i + 1,
      attributes: [{ key: 'sampling.threshold', value }],
    }));
  const sent = [
    ...records(9, { stringValue: 'c' }),
    ...records(13, { stringValue: '6' }),
    ...records(17, { stringValue: 'x' }),
    ...records(21, { intValue: 8 }),
  ];
  for (let from = 0; from < sent.length; from += 500)
    feed(world, observer, { signal: 'logs', bytes: logs(...sent.slice(from, from + 500)) });
  const points = pointsOf(flush(observer));
  const of = (severity: number) =>
    count(
      points.filter(({ key }) => key.includes(`severity.number=${severity}`)),
      'plumbline.log.records',
    );
  assert.deepEqual([of(9), of(17), of(21)], [12_000, 3000, 3000]);
  assert.ok(Math.abs(of(13) - 4800) < 4 * 27, `found ${of(13)}`);
});

test('what a look-back of an agent before has added counts nothing', () => {
  const { world, observer } = createBench();
  const kept = (stringValue: string) => ({ key: 'plumbline.kept', value: { stringValue } });
  const other = { key: 'server.address', value: { stringValue: 'look_back' } };
  const marks = [[kept('base')], [other], [kept('look_back')], [other, kept('look_back')], []];
  feed(world, observer, plainly(traces(...marks.map((attributes, i) => span(i, { attributes }, i + 1)))), {
    signal: 'logs',
    bytes: logs(...marks.map((attributes) => ({ severityNumber: 9, attributes }))),
  });
  const points = pointsOf(flush(observer));
  assert.equal(count(points, 'traces.span.metrics.calls'), 3);
  assert.equal(count(points, 'plumbline.log.records'), 3);
  const durations = points.filter(({ metric }) => metric === 'traces.span.metrics.duration');
  assert.deepEqual(durations.map(({ point }) => [Number(point.count), point.sum]).sort(), [
    [1, 1],
    [1, 2],
    [1, 5],
  ]);
});

test('groups beyond the bound are counted together as otel.metric.overflow, and no item is lost', async () => {
  const { world, observer, telemetry } = createBench({ max_groups: 3 });
  feed(world, observer, plainly(traces(...Array.from({ length: 10 }, (_, i) => span(i)))));
  const points = pointsOf(flush(observer));
  assert.equal(count(points, 'traces.span.metrics.calls'), 10);
  const over = points.filter(({ key }) => key.includes('otel.metric.overflow=true'));
  assert.equal(count(over, 'traces.span.metrics.calls'), 7);
  assert.equal((await telemetry.summaryOverflow.get()).values[0]?.value, 7);
});

test('groups of long attributes are counted as overflow before a summary of them fits no segment', () => {
  const { world, observer } = createBench();
  const long = (i: number) => String(i).padEnd(MOST_TEXT_BYTES, 'v');
  const services = 300;
  const [batch, attributes] = [25, 64];
  for (let from = 0; from < services; from += batch) {
    const resources = Array.from({ length: batch }, (_, i) =>
      Object.fromEntries(Array.from({ length: attributes }, (_, j) => [`service.${long(j)}`, long(from + i)])),
    );
    feed(world, observer, ofResources(...resources));
  }
  const points = pointsOf(flush(observer));
  assert.equal(count(points, 'traces.span.metrics.calls'), services);
  const over = points.filter(({ key }) => key.includes('otel.metric.overflow=true'));
  // 8 Mi characters, of 33 thousand each.
  assert.equal(
    count(over, 'traces.span.metrics.calls'),
    services - Math.ceil(2 ** 23 / (attributes * 512 + 'GET /'.length)),
  );
});

test('a span that is named as the overflow is a group of its own name', () => {
  const { world, observer } = createBench();
  feed(world, observer, plainly(traces(span(1, { name: 'otel.metric.overflow' }))));
  const [calls] = pointsOf(flush(observer));
  assert.match(calls?.key ?? '', /span\.name=otel\.metric\.overflow/);
});

/** One span each of resources with these attributes. */
function ofResources(...resources: Record<string, string>[]): Sent {
  const type = requestType('traces');
  const resourceSpans = resources.map((names, i) => ({
    resource: { attributes: Object.entries(names).map(([key, stringValue]) => ({ key, value: { stringValue } })) },
    scopeSpans: [{ spans: [span(i, { name: 'GET /' })] }],
  }));
  return plainly(type.encode(type.fromObject({ resourceSpans })).finish());
}

test('what a summary tells of a service is what its spans had: versions are told apart, at once and one after the other', () => {
  const { world, observer } = createBench();
  const of = (version: string) => ({ 'service.name': 'shop', 'service.version': version });
  const callsBy = () =>
    pointsOf(flush(observer))
      .filter(({ metric }) => metric === 'traces.span.metrics.calls')
      .map(({ key, point }) => `${/service\.version=(\S+)/.exec(key)?.[1]} ${point.asInt}`)
      .sort();
  feed(world, observer, ofResources(of('1.0'), of('2.0'), of('2.0')));
  assert.deepEqual(callsBy(), ['1.0 1', '2.0 2']);
  feed(world, observer, ofResources(of('2.0')));
  assert.deepEqual(callsBy(), ['2.0 1']);
});

test('services whose names and instances end alike are groups of their own', () => {
  const { world, observer } = createBench();
  const services = Array.from({ length: 16 }, (_, i) => ({
    'service.name': `service-${String(i).padStart(2, '0')}`,
    'service.instance.id': `b1946ac9-0000000000${String(i).padStart(2, '0')}`,
  }));
  feed(world, observer, ofResources(...services));
  // Either hash of a group tells all of them apart.
  const saved = Buffer.from((observer.save() as { groups: Uint8Array }).groups);
  const hashes: number[] = [];
  for (let at = 0; at < saved.length; at += 12 + saved.readUInt32LE(at + 8))
    hashes.push(saved.readUInt32LE(at), saved.readUInt32LE(at + 4));
  assert.equal(new Set(hashes).size, 2 * services.length);
  const calls = pointsOf(flush(observer)).filter(({ metric }) => metric === 'traces.span.metrics.calls');
  assert.deepEqual(new Set(calls.map(({ key }) => /service\.name=(\S+)/.exec(key)?.[1])).size, services.length);
  for (const { key, point } of calls) assert.equal(point.asInt, '1', key);
});

test('resources whose service attributes are the same are one, whatever their order and what else they hold', () => {
  const { world, observer } = createBench();
  const one = { 'service.name': 'shop', 'service.version': '1', 'host.name': 'a', servicing: 'x' };
  const other = { 'host.name': 'b', 'service.version': '1', 'service.name': 'shop' };
  const swapped = { 'service.name': '1', 'service.version': 'shop' };
  feed(world, observer, ofResources(one, other, swapped));
  const calls = pointsOf(flush(observer)).filter(({ metric }) => metric === 'traces.span.metrics.calls');
  assert.deepEqual(calls.map(({ point }) => point.asInt).sort(), ['1', '2']);
});

test('of a name its first 256 bytes are told, in whole characters, and names that are alike in them are one', () => {
  const { world, observer } = createBench();
  const text = 'x'.repeat(MOST_TEXT_BYTES);
  const names = [
    text,
    `${text}y`,
    `${text}z`.repeat(1000),
    `${text.slice(2)}\u20ac`,
    `${text.slice(3)}\u20ac`,
    `${text.slice(1)}w`,
  ];
  feed(world, observer, plainly(traces(...names.map((name, i) => span(i, { name })))));
  const calls = pointsOf(flush(observer)).filter(({ metric }) => metric === 'traces.span.metrics.calls');
  assert.deepEqual(
    calls.map(({ key, point }) => [/span\.name=(\S+)/.exec(key)?.[1], point.asInt]).sort(),
    [
      [text.slice(2), '1'],
      [`${text.slice(3)}\u20ac`, '1'],
      [`${text.slice(1)}w`, '1'],
      [text, '3'],
    ].sort(),
  );
});

test('of a service 64 attributes are told, of each the first 256 bytes, and services alike in them are one', () => {
  const { world, observer } = createBench();
  const long = 'v'.repeat(MOST_TEXT_BYTES);
  const of = (more: string) => ({
    'service.name': long + more,
    [`service.${long}${more}`]: 'a',
    ...Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`service.${i}`, i < 62 ? '' : more])),
  });
  feed(world, observer, ofResources(of('1'), of('2')));
  const request = flush(observer);
  const calls = pointsOf(request).filter(({ metric }) => metric === 'traces.span.metrics.calls');
  assert.deepEqual(
    calls.map(({ point }) => point.asInt),
    ['2'],
  );
  const resource = list(request.resourceMetrics)[0]?.resource as Plain;
  const told = list(resource.attributes).map(({ key, value }) => [
    String(key),
    String((value as Plain).stringValue ?? ''),
  ]);
  assert.equal(told.filter(([key]) => key?.startsWith('service.')).length, 64);
  assert.ok(told.flat().every((one) => one.length <= MOST_TEXT_BYTES));
});

test('what a former version has saved of long names is cut when it is restored', () => {
  const { observer, context } = createBench();
  const table = new GroupTable();
  const huge = 'n'.repeat(200_000);
  table.add(1, 2, new Identity({ 'service.name': huge, 'service.version': '1' }, huge, 2, 0));
  const saved = { ...(observer.save() as object), startMs: NOW_MS, groups: table.save() };
  const one = createBench();
  feed(one.world, one.observer, plainly(traces(span(1))));
  const { histograms } = one.observer.save() as { histograms: Uint8Array };
  const [config] = configured([{ type: 'summarize' }]);
  const restored = summarize.observer?.(config?.config, context, { ...saved, histograms }) as Observer;
  const [flushed] = restored.tick(NOW_MS + 10_000, false);
  assert.ok(flushed !== undefined && flushed.bytes.length < 2000, `${flushed?.bytes.length} bytes`);
});

test('a text is cut where a character ends, and one that is short stays as it is', () => {
  for (const character of ['a', '\u00e9', '\u20ac', '\u{1f600}']) {
    for (let before = 0; before < 8; before++) {
      const text = 'b'.repeat(before) + character.repeat(300);
      const cut = cutText(text);
      assert.ok(text.startsWith(cut));
      const bytes = Buffer.byteLength(cut);
      assert.ok(bytes <= MOST_TEXT_BYTES && bytes + Buffer.byteLength(character) > MOST_TEXT_BYTES, `${bytes} bytes`);
    }
  }
  assert.equal(cutText('\u20ac'.repeat(85)), '\u20ac'.repeat(85));
});

test('a clock that is set back by an hour holds no summary up, and none ends before it begins', () => {
  const { world, observer } = createBench();
  feed(world, observer, plainly(traces(span(1))));
  assert.deepEqual(observer.tick(NOW_MS + 3000, false), []);
  const [flush] = observer.tick(NOW_MS - 3600_000, false);
  assert.equal(flush?.timeMs, NOW_MS + 3000);
  assert.equal(count(pointsOf(decoded('metrics', flush.bytes)), 'traces.span.metrics.calls'), 1);
  // What was under way when it was set.
  feed(world, observer, plainly(traces(span(2))));
  assert.equal(observer.tick(NOW_MS - 3599_000, false)[0]?.timeMs, NOW_MS);
  assert.deepEqual(observer.tick(NOW_MS - 3580_000, false), []);
});

test('what is tried again of the time before a checkpoint ends no summary', () => {
  const { world, observer } = createBench();
  feed(world, observer, plainly(traces(span(1))));
  const { observer: restored } = createBench({}, afterRestart(observer.save()));
  for (let ms = -60_000; ms <= 0; ms += 5000) assert.deepEqual(restored.tick(NOW_MS + ms, false), []);
  assert.equal(restored.tick(NOW_MS + 10_000, false).length, 1);
  // It has caught up by now.
  const { observer: again } = createBench({}, afterRestart(observer.save()));
  assert.deepEqual(again.tick(NOW_MS + 3000, false), []);
  assert.equal(again.tick(NOW_MS - 3600_000, false).length, 1);
});

test('what is saved and restored flushes the same', () => {
  const { world, observer, context } = createBench();
  feed(world, observer, plainly(traces(span(1), span(2, {}, 0), span(3, {}, 5000))));
  const saved: unknown = afterRestart(observer.save());
  const [config] = configured([{ type: 'summarize' }]);
  const restored = summarize.observer?.(config?.config, context, saved) as Observer;
  assert.deepEqual(flush(restored), flush(observer));
});

test('what is saved again holds the groups that came meanwhile, and what was saved before stays as it was', () => {
  const { world, observer, context } = createBench();
  const [config] = configured([{ type: 'summarize' }]);
  const saves: { saved: unknown; copy: unknown }[] = [];
  for (let i = 0; i < 40; i++) {
    feed(world, observer, plainly(traces(span(1, { name: `operation ${i}` }))));
    const saved = observer.save();
    saves.push({ saved, copy: afterRestart(saved) });
  }
  for (const [i, { saved, copy }] of saves.entries()) {
    assert.deepEqual(afterRestart(saved), copy);
    const restored = summarize.observer?.(config?.config, context, copy) as Observer;
    assert.equal(pointsOf(flush(restored)).filter(({ key }) => key.includes('operation')).length, 2 * (i + 1));
  }
});

test('what was flushed stays as it was when more is merged', () => {
  const { world, observer, context } = createBench();
  const sent = plainly(traces(...[3, 3, 0].map((ms, i) => span(i, { name: 'x' }, ms))));
  feed(world, observer, sent);
  flush(observer);
  const before = structuredClone(context.operations.flushed);
  assert.deepEqual(
    before.map(({ service: from, durations }) => [from, durations.zeroCount, durations.counts]),
    [['shop', 1, [2]]],
  );
  feed(world, observer, sent, sent);
  assert.deepEqual(context.operations.flushed, before);
});

test('a measurer that is reset measures the same again', () => {
  const world = createWorld({ processors: [{ type: 'summarize' }] });
  const { frames } = world.observe([plainly(traces(span(1), span(2)))]);
  const { measurer } = world.parts.measurers[0] as (typeof world.parts.measurers)[number];
  const before = measurer.size();
  measurer.reset(NOW_MS);
  assert.ok(measurer.size() < before);
  assert.equal(frames.length, 1);
});

test('names of one length that collide in 32 bits are groups of their own', {}, (t) => {
  const random = seeded(t, 72);
  const { world, observer } = createBench({ max_groups: 400_000 });
  const names = new Set<string>();
  while (names.size < 200_000) names.add(random.text(8));
  const all = [...names];
  for (let batch = 0; batch < 10; batch++) {
    const spans = Array.from({ length: 20_000 }, (_, i) => ({
      traceId: Buffer.alloc(16, 1),
      spanId: Buffer.alloc(8, 1),
      name: all[batch * 20_000 + i],
    }));
    feed(world, observer, plainly(traces(...spans)));
  }
  assert.equal(GroupTable.restore((observer.save() as { groups: Uint8Array }).groups).size, all.length);
});

const POISON = {
  'invalid UTF-8 in a resource attribute': '0a080a01611203 0a01ff'.replace(' ', ''),
  'an entity_refs that is no EntityRef': '1a01ff',
  'a resource value 60 deep': nestedResource(60),
};

function nestedResource(depth: number): string {
  let value = Buffer.from('0a0178', 'hex');
  const wrap = (tag: number, inner: Buffer) =>
    Buffer.concat([
      Buffer.from(inner.length < 128 ? [tag, inner.length] : [tag, (inner.length & 127) | 128, inner.length >> 7]),
      inner,
    ]);
  for (let i = 1; i < depth; i++) value = wrap(42, wrap(10, value));
  return wrap(10, Buffer.concat([Buffer.from('0a0161', 'hex'), wrap(18, value)])).toString('hex');
}

for (const [name, hex] of Object.entries(POISON)) {
  test(`what a worker accepts main can merge: ${name}`, {}, () => {
    const { world, observer } = createBench();
    const bytes = Buffer.from(hex, 'hex');
    const spans = Buffer.from(traces(span(1)));
    const scope = spans.subarray(spans.indexOf(Buffer.from('shop')) + 4);
    const sized = (tag: number, inner: Buffer) =>
      Buffer.concat([
        Buffer.from(inner.length < 128 ? [tag, inner.length] : [tag, (inner.length & 127) | 128, inner.length >> 7]),
        inner,
      ]);
    feed(world, observer, plainly(sized(10, Buffer.concat([sized(10, bytes), scope]))));
    assert.equal(count(pointsOf(flush(observer)), 'traces.span.metrics.calls'), 1);
  });
}

test('a power of two belongs to the bucket that ends with it', () => {
  const { world, observer } = createBench();
  feed(
    world,
    observer,
    plainly(traces(span(1, { name: 'x' }, 8), span(2, { name: 'x' }, 1), span(3, { name: 'x' }, 0.25))),
  );
  const duration = pointsOf(flush(observer)).find(({ metric }) => metric === 'traces.span.metrics.duration');
  assert.ok(duration !== undefined);
  const { scale, positive } = duration.point as {
    scale: number;
    positive: { offset: number; bucketCounts: string[] };
  };
  const indexes = positive.bucketCounts.flatMap((n, i) => (Number(n) > 0 ? [positive.offset + i] : []));
  // Five doublings of 32 buckets do not fit 160 with both ends, so the scale is 4.
  assert.equal(scale, 4);
  assert.deepEqual(indexes, [-2 * 16 - 1, -1, 3 * 16 - 1]);
});
