/** Holds processors/sample: consistent probability, whole traces, marks before and after `wait`, and a th that never falls. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContractSource } from '../../src/contracts/contract.ts';
import { planContract } from '../../src/contracts/planner.ts';
import { scopeOf } from '../../src/contracts/service.ts';
import { LogView, readLogRecord } from '../../src/otlp/logs.ts';
import { Reader } from '../../src/otlp/protobuf.ts';
import { recordRandomness } from '../../src/otlp/randomness.ts';
import { hashOfService } from '../../src/otlp/resource.ts';
import { messageType, requestType } from '../../src/otlp/schema.ts';
import { hexOf } from '../../src/otlp/tracestate.ts';
import { BASE, ERROR, SLOW } from '../../src/processors/sample/classes.ts';
import { traceTableFor } from '../../src/processors/sample/index.ts';
import { MARK_HEADER_BYTES, MARK_ROW_BYTES } from '../../src/processors/sample/mark.ts';
import { classOf, findTrace, isLate, TraceTable } from '../../src/processors/sample/traceTable.ts';
import { decoded, itemsOf, type Plain, seeded } from '../otlp/generate.ts';
import {
  createWorld,
  logs,
  NOW_MS,
  plainly,
  sampleConfig,
  service,
  span,
  traces,
  type World,
} from '../worker/world.ts';
import { createSampling } from './sampling.ts';

const CONFIG = sampleConfig({ traces: 1000 });

function keptOf(spans: Plain[], changes: Plain = {}, mark?: (table: TraceTable) => void): Plain[] {
  const table = traceTableFor(CONFIG, NOW_MS);
  const world = createWorld({ processors: [{ type: 'sample', ...changes }], table });
  mark?.(new TraceTable(table));
  return selectedOf(world, traces(...spans));
}

function selectedOf(world: World, bytes: Uint8Array): Plain[] {
  const { frames } = world.observe([plainly(bytes)]);
  const { selected } = world.select(frames);
  const [first] = selected;
  return first === undefined
    ? []
    : itemsOf('traces', decoded('traces', world.pool.bytes.subarray(first.at, first.at + first.length))).map(
        ({ item }) => item,
      );
}

/** A span whose trace has this randomness; the low half of the id is what the table knows it by. */
const withRandomness = (hex: string, more: Plain = {}) =>
  span(1, { traceId: Buffer.from(`0102030405060708 09${hex}`.replaceAll(' ', ''), 'hex'), ...more });
const words = (hex: string): [low: number, high: number] => {
  const id = Buffer.from(`09${hex}`, 'hex');
  return [id.readUInt32LE(0), id.readUInt32LE(4)];
};
const CONTRACT: ContractSource = {
  contract: 'v1',
  service: 'shop',
  signals: [{ name: 'errors', of: 'spans', bad: { status: 'error' }, breached: 'above 5%' }],
  window: '1m',
  for: '0s',
  recover_after: '0s',
  no_data: 'freeze',
  late_after: '2m',
  on_breach: { keep: '100%', look_back: '2m', budget: '20MiB/min' },
};
/** As long as W3C lets them be, with one member more. */
const LONG_STATE = Array.from({ length: 31 }, (_, i) => `${i}`.padStart(256, 'k') + '='.padEnd(257, 'v')).join(',');
const LOW = '00000000000001';
const HIGH = 'ffffffffffffff';
const attributesOf = (item: Plain | undefined) =>
  Object.fromEntries(
    ((item?.attributes ?? []) as { key: string; value: Plain }[]).map(({ key, value }) => [
      key,
      Object.values(value)[0],
    ]),
  );

test('the traces kept at a small share are kept at every larger one, and as many as the share says', (t) => {
  const random = seeded(t, 90);
  const spans = Array.from({ length: 100_000 }, (_, i) =>
    span(i, {
      traceId: Buffer.from(Array.from({ length: 16 }, () => random.below(256))),
      name: `${i}`,
      startTimeUnixNano: undefined,
      endTimeUnixNano: undefined,
    }),
  );
  let smaller = new Set<unknown>();
  for (const share of [0.01, 0.1, 0.5]) {
    const kept = new Set<unknown>();
    for (let from = 0; from < spans.length; from += 10_000)
      for (const { name } of keptOf(spans.slice(from, from + 10_000), { base: `${share * 100}%` })) kept.add(name);
    const sigma = Math.sqrt(100_000 * share * (1 - share));
    assert.ok(Math.abs(kept.size - 100_000 * share) < 4 * sigma, `${kept.size} at ${share}`);
    for (const name of smaller) assert.ok(kept.has(name), `span ${name} was dropped at a larger share`);
    smaller = kept;
  }
});

test('a trace that was marked in time is kept whole, with its reason and no threshold at 100 %', () => {
  for (const [mark, reason] of [
    [ERROR, 'error'],
    [SLOW, 'slow'],
  ] as const) {
    const kept = keptOf([withRandomness(LOW), withRandomness(LOW, { name: 'two' })], {}, (table) =>
      table.mark(...words(LOW), NOW_MS, mark),
    );
    assert.deepEqual(kept.map(attributesOf), [{ 'plumbline.kept': reason }, { 'plumbline.kept': reason }]);
    assert.deepEqual(
      kept.map(({ traceState }) => traceState),
      [undefined, undefined],
    );
  }
  assert.deepEqual(
    keptOf([withRandomness(LOW)], {}, (table) => table.mark(...words(LOW), NOW_MS, BASE)),
    [],
  );
  assert.deepEqual(keptOf([withRandomness(LOW)]), [], 'a trace nobody knows is of the base');
});

test('an error that came after the decision is kept alone, and marked as partial', () => {
  const late = (table: TraceTable) => {
    table.mark(...words(LOW), NOW_MS, BASE);
    table.mark(...words(LOW), NOW_MS + 10_100, ERROR);
  };
  const kept = keptOf([withRandomness(LOW), withRandomness(LOW, { status: { code: 2 }, name: 'failed' })], {}, late);
  assert.deepEqual(
    kept.map(({ name }) => name),
    ['failed'],
  );
  assert.deepEqual(attributesOf(kept[0]), { 'plumbline.kept': 'error', 'plumbline.partial': true });
});

test('the threshold is merged into the tracestate: vendors, rv and other sub-keys stay, th never falls', () => {
  const cases: [before: string | undefined, after: string][] = [
    [undefined, 'ot=th:e666'],
    ['', 'ot=th:e666'],
    ['vendor=x', 'ot=th:e666,vendor=x'],
    ['a=b,ot=th:8,c=d', 'a=b,ot=th:e666,c=d'],
    ['ot=th:8;xx:1', 'ot=th:e666;xx:1'],
    ['ot=xx:1', 'ot=th:e666;xx:1'],
    ['ot=th:fff', 'ot=th:fff'],
    ['ot=th:zz', 'ot=th:e666'],
    ['ot=rv:ffffffffffffff', 'ot=th:e666;rv:ffffffffffffff'],
    [LONG_STATE, `ot=th:e666,${LONG_STATE}`],
    [`ot=th:8,${LONG_STATE}`, `ot=th:e666,${LONG_STATE}`],
  ];
  for (const [traceState, after] of cases) {
    const [kept] = keptOf([
      withRandomness(HIGH, traceState === undefined ? {} : { traceState }),
      withRandomness(HIGH, { traceState: 'x=y' }),
    ]);
    assert.equal(kept?.traceState, after, `from ${traceState}`);
    assert.equal(attributesOf(kept)['plumbline.kept'], 'base');
  }
});

test('an explicit rv decides instead of the trace id', () => {
  assert.equal(keptOf([withRandomness(LOW, { traceState: `ot=rv:${HIGH}` })]).length, 1);
  assert.equal(keptOf([withRandomness(HIGH, { traceState: `ot=rv:${LOW}` })]).length, 0);
});

test('log records carry the threshold as an attribute; errors are kept', () => {
  const world = createWorld({ processors: [{ type: 'sample', base: '0%' }] });
  const { frames } = world.observe([
    {
      signal: 'logs',
      bytes: logs({ severityNumber: 17, eventName: 'e' }, { severityNumber: 9, traceId: Buffer.alloc(16, 7) }),
    },
  ]);
  const { selected, sampledOut } = world.select(frames);
  assert.deepEqual([selected[0]?.items, sampledOut[2]], [1, 1]);
});

test('marks count until `wait` after the first item, later ones are late; the worst class wins', () => {
  const handle = traceTableFor(CONFIG, NOW_MS);
  const table = new TraceTable(handle);
  const find = (low: number, high: number) => findTrace(new Uint32Array(handle.memory), low, high);
  assert.equal(find(1, 2), -1);
  table.mark(1, 2, NOW_MS, SLOW);
  table.mark(1, 2, NOW_MS + 10_000, ERROR);
  table.mark(1, 2, NOW_MS + 10_000, BASE);
  assert.equal(find(1, 2), ERROR);
  table.mark(3, 4, NOW_MS, BASE);
  table.mark(3, 4, NOW_MS + 10_100, SLOW);
  table.mark(3, 4, NOW_MS + 10_100, BASE);
  // Marked again, it is as old as before, to the millisecond.
  table.mark(5, 6, NOW_MS + 9, BASE);
  table.mark(5, 6, NOW_MS + 12, BASE);
  table.mark(5, 6, NOW_MS + 10_009, ERROR);
  assert.equal(classOf(find(5, 6)), ERROR);
  const entry = find(3, 4);
  assert.deepEqual([classOf(entry), isLate(entry, SLOW), isLate(entry, ERROR)], [BASE, true, false]);
  assert.equal(table.evicted, 0);
});

test('a trace is decided by what came within `wait`, to the millisecond, and what came behind it is late', () => {
  for (const [waitMs, tick] of [
    [10_000, 0],
    [10_000, 15],
    [50, 7],
  ] as const) {
    for (const afterMs of [0, 1, 15, 16]) {
      const sampling = createSampling({ wait: `${waitMs}ms`, base: '0%', keep: { rare: '0%' } });
      const firstMs = NOW_MS + tick;
      sampling.send(firstMs, plainly(traces(span(1, { name: 'first' }))));
      const outcomes = sampling.decide(firstMs + waitMs + afterMs);
      sampling.send(firstMs + waitMs + afterMs, plainly(traces(span(1, { name: 'failed', status: { code: 2 } }))));
      outcomes.push(...sampling.decide(Infinity));
      const found = outcomes.flatMap(({ kept }) =>
        kept.traces.map((item) => [item.name, attributesOf(item)['plumbline.partial']]),
      );
      const whole = [
        ['first', undefined],
        ['failed', undefined],
      ];
      assert.deepEqual(found, afterMs === 0 ? whole : [['failed', true]], `${waitMs} ms and ${afterMs}, in ${tick}`);
    }
  }
});

test('a late error is kept also when a worker hands over what came in time behind it', () => {
  const sampling = createSampling({ wait: '1s', base: '0%', keep: { rare: '0%' } });
  const failed = [plainly(traces(span(1, { name: 'failed', status: { code: 2 } })))] as const;
  sampling.send(NOW_MS, plainly(traces(span(1))));
  sampling.send(NOW_MS + 1001, ...failed);
  sampling.send(NOW_MS + 999, plainly(traces(span(1))));
  const kept = sampling.decide(NOW_MS + 60_000).flatMap((one) => one.kept.traces);
  assert.deepEqual(
    kept.map((item) => [item.name, attributesOf(item)['plumbline.partial']]),
    [['failed', true]],
  );
});

test('a log record of severity ERROR that came after its trace was dropped is marked as partial, and no other', () => {
  const traceId = Buffer.alloc(16, 7);
  const failed = (eventName: string, more: Plain = { traceId }) => ({
    signal: 'logs' as const,
    bytes: logs(
      { severityNumber: 17, eventName, ...more },
      { severityNumber: 9, eventName: `${eventName} info`, ...more },
    ),
  });
  const partialOf = (changes: object) => {
    const sampling = createSampling({ wait: '1s', keep: { rare: '0%' }, ...changes });
    sampling.send(NOW_MS, plainly(traces(span(1, { traceId }))));
    sampling.send(NOW_MS + 1000, failed('in time'));
    sampling.send(
      NOW_MS + 1001,
      failed('late'),
      failed('of another', { traceId: Buffer.alloc(16, 8) }),
      failed('of zeros', { traceId: Buffer.alloc(16).fill(1, 0, 8) }),
      failed('of none', {}),
    );
    const kept = sampling.decide(NOW_MS + 60_000).flatMap((one) => one.kept.logs);
    return Object.fromEntries(kept.map((item) => [String(item.eventName), attributesOf(item)['plumbline.partial']]));
  };
  const none = undefined;
  for (const budget of ['none', '1GiB/min']) {
    const errors = { 'in time': none, late: true, 'of another': none, 'of zeros': none, 'of none': none };
    assert.deepEqual(partialOf({ base: '0%', budget }), errors, budget);
    const all = Object.keys(errors).flatMap((name) => [name, `${name} info`]);
    assert.deepEqual(partialOf({ base: '100%', budget }), Object.fromEntries(all.map((name) => [name, none])), budget);
  }
});

test('the table takes 32 bytes a trace', () => {
  const { memory } = traceTableFor(sampleConfig({ traces: 262_144 }), NOW_MS);
  assert.equal(memory.byteLength / 262_144, 32);
});

test('a full table gives up its oldest trace, and counts those that were not decided', (t) => {
  const random = seeded(t, 91);
  const handle = traceTableFor(CONFIG, NOW_MS);
  const table = new TraceTable(handle);
  const places = handle.memory.byteLength / 16;
  const ids = Array.from({ length: 2 * places }, () => [random.below(2 ** 32), random.below(2 ** 32)] as const);
  ids.forEach(([low, high], i) => {
    table.mark(low, high, NOW_MS + i, ERROR);
  });
  const found = ids.filter(([low, high]) => findTrace(new Uint32Array(handle.memory), low, high) === ERROR).length;
  assert.equal(found + table.evicted, ids.length);
  assert.ok(found <= places && found > 0.75 * places, `${found} of ${places} places`);
  const before = table.evicted;
  for (const [low, high] of ids) table.mark(low ^ 1, high, NOW_MS + 100_000, BASE);
  assert.ok(table.evicted - before < ids.length, 'decided traces go without being counted');
  // With a budget they are decided a slot later.
  const later = new TraceTable(traceTableFor(sampleConfig({ traces: CONFIG.traces, budget: '1GiB/min' }), NOW_MS));
  for (const [low, high] of ids) later.mark(low, high, NOW_MS, BASE);
  const full = later.evicted;
  for (const [low, high] of ids.slice(0, 100)) later.mark(low ^ 1, high, NOW_MS + 15_000, BASE);
  assert.ok(later.evicted - full > 80, `${later.evicted - full} of 100`);
});

test('rules give the base shares of their own, by attributes of spans, resources and log records; the first that matches counts', () => {
  const sampling = createSampling({
    wait: '1s',
    base: '0%',
    keep: { rare: '0%' },
    rules: [
      { name: 'never', where: { 'http.route': '/health' }, keep: '0%' },
      { name: 'checkout', where: { 'service.name': 'shop', 'http.route': { like: '/check*' } }, keep: '100%' },
      { name: 'everything', where: { 'http.route': { exists: true } }, keep: '100%' },
      { of: 'logs', where: { level: 'audit' }, keep: '100%' },
    ],
  });
  const at = (route: string) => ({ attributes: [{ key: 'http.route', value: { stringValue: route } }] });
  const level = (value: string) => ({ attributes: [{ key: 'level', value: { stringValue: value } }] });
  const spans = traces(
    span(1, at('/health')),
    span(2, at('/checkout')),
    span(3, at('/else')),
    span(4),
    span(2, { name: 'child' }),
  );
  sampling.send(NOW_MS, plainly(spans), { signal: 'logs', bytes: logs(level('audit'), level('debug')) });
  const [outcome] = sampling.decide(NOW_MS + 5000);
  assert.deepEqual(
    outcome?.kept.traces.map((item) => [
      item.name,
      attributesOf(item)['plumbline.kept'],
      attributesOf(item)['plumbline.rule'],
    ]),
    [
      ['span 2', 'base', 'checkout'],
      ['span 3', 'base', 'everything'],
      ['child', 'base', 'checkout'],
    ],
  );
  assert.deepEqual(
    outcome?.kept.logs.map((item) => attributesOf(item)['plumbline.rule']),
    ['rule 4'],
  );
});

test('sampling.priority keeps what is above 0 and drops 0, unless a higher class decides', () => {
  const priority = (intValue: number) => ({ attributes: [{ key: 'sampling.priority', value: { intValue } }] });
  const kept = (base: string) => {
    const sampling = createSampling({ wait: '1s', base, keep: { rare: '0%' } });
    sampling.send(
      NOW_MS,
      plainly(traces(span(1, priority(1)), span(2, priority(0)), span(3, { ...priority(0), status: { code: 2 } }))),
    );
    return sampling.decide(NOW_MS + 5000)[0]?.kept.traces.map(({ name }) => name);
  };
  assert.deepEqual(kept('0%'), ['span 1', 'span 3']);
  assert.deepEqual(kept('100%'), ['span 1', 'span 3']);
});

test('the first trace of each operation in a minute is rare, and no other', () => {
  const sampling = createSampling({ wait: '1s', base: '0%' });
  const minuteMs = Math.ceil(NOW_MS / 60_000) * 60_000;
  const names: unknown[] = [];
  for (let second = 0; second < 130; second += 5) {
    const named = (n: number) => span(second * 10 + n, { name: `operation ${n}` });
    sampling.send(minuteMs + second * 1000, plainly(traces(named(1), named(1), named(2))));
  }
  for (const { kept, receivedMs } of sampling.decide(Infinity))
    for (const item of kept.traces) {
      assert.equal(attributesOf(item)['plumbline.kept'], 'rare');
      names.push(`${item.name} ${(receivedMs - minuteMs) / 60_000}`);
    }
  assert.deepEqual(
    [...new Set(names)],
    [0, 1, 2].flatMap((minute) => [`operation 1 ${minute}`, `operation 2 ${minute}`]),
  );
});

test('a run of spans is one mark, and its operations make more of them only in the first task of a second', () => {
  const { world } = createSampling({ wait: '1s' });
  const spans = plainly(traces(...Array.from({ length: 8 }, (_, i) => span(1, { name: `operation ${i}` }))));
  const marks = (receivedMs: number): number => {
    const { result, block } = world.observe([spans], false, receivedMs);
    world.pool.discard(block);
    const [section] = result.measured?.sections ?? [];
    assert.ok(section !== undefined && result.measured !== null);
    world.pool.discard(result.measured.block);
    const sourceWords = world.pool.words[(section.at + MARK_HEADER_BYTES - 4) >>> 2] ?? 0;
    return (section.end - section.at - MARK_HEADER_BYTES - sourceWords * 4) / MARK_ROW_BYTES;
  };
  assert.deepEqual(
    [0, 500, 1000].map((ms) => marks(NOW_MS + ms)),
    [8, 1, 8],
  );
});

test('a table that is full of traces from before the clock was set back remembers those that come now', (t) => {
  const random = seeded(t, 162);
  const handle = traceTableFor(CONFIG, NOW_MS);
  const table = new TraceTable(handle);
  const ids = (count: number) =>
    Array.from({ length: count }, () => [random.below(2 ** 32), random.below(2 ** 32)] as const);
  for (const [low, high] of ids(20_000)) table.mark(low, high, NOW_MS, BASE);
  // The last ones of before stay for as long as others have to go, too.
  const last = ids(100);
  for (const [low, high] of last) table.mark(low, high, NOW_MS + 20_000, ERROR);
  const full = table.evicted;
  const now = ids(500);
  for (const [low, high] of now) table.mark(low, high, NOW_MS - 3000_000, ERROR);
  const words = new Uint32Array(handle.memory);
  const known = (all: typeof now) => all.filter(([low, high]) => findTrace(words, low, high) === ERROR).length;
  assert.deepEqual([known(now), known(last), table.evicted - full], [500, 100, 0]);
});

test('a service whose contract is broken has its traces kept from then until it holds again', () => {
  const { plan } = planContract({
    ...CONTRACT,
  });
  const sampling = createSampling({ wait: '1s', base: '0%', keep: { rare: '0%' } }, 64, NOW_MS, [plan]);
  sampling.breaches.set(scopeOf(plan), [{ plan, sinceMs: NOW_MS + 1000, untilMs: NOW_MS + 3000 }]);
  for (let second = 0; second < 5; second++)
    sampling.send(NOW_MS + second * 1000, plainly(traces(span(second))), plainly(service('other', span(second + 100))));
  const kept = sampling.decide(NOW_MS + 60_000).flatMap((one) => one.kept.traces);
  assert.deepEqual(
    kept.map((item) => [item.name, attributesOf(item)['plumbline.kept']]),
    [
      ['span 1', 'breach'],
      ['span 2', 'breach'],
    ],
  );
});

test('a service that is flagged has its traces kept from then until the flag is over, also when they are marked again after a restart', () => {
  const sampling = createSampling({ wait: '1s', base: '0%', keep: { rare: '0%' } });
  sampling.flagged.set(hashOfService('shop'), [
    { sinceMs: NOW_MS + 4000, untilMs: NOW_MS + 5000 },
    { sinceMs: NOW_MS + 1000, untilMs: NOW_MS + 3000 },
  ]);
  for (let second = 0; second < 6; second++)
    sampling.send(NOW_MS + second * 1000, plainly(traces(span(second))), plainly(service('other', span(second + 100))));
  const kept = sampling.decide(NOW_MS + 60_000).flatMap((one) => one.kept.traces);
  assert.deepEqual(
    kept.map((item) => [item.name, attributesOf(item)['plumbline.kept']]),
    [1, 2, 4].map((second) => [`span ${second}`, 'anomalous']),
  );
});

test('a contract of one namespace or environment leaves the traces of others of that name alone', () => {
  const { plan } = planContract({ ...CONTRACT, namespace: 'eu', environment: 'prod' });
  const { plan: sound } = planContract({ ...CONTRACT, namespace: 'us' });
  const sampling = createSampling({ wait: '1s', base: '0%', keep: { rare: '0%' } }, 64, NOW_MS, [sound, plan]);
  sampling.breaches.set(scopeOf(plan), [{ plan, sinceMs: NOW_MS, untilMs: Infinity }]);
  const of = (more: Record<string, string>, ...names: string[]) => ({
    resource: {
      attributes: Object.entries({ 'service.name': 'shop', ...more }).map(([key, stringValue]) => ({
        key,
        value: { stringValue },
      })),
    },
    scopeSpans: [{ spans: names.map((name, i) => span(i + name.charCodeAt(0) * 10, { name })) }],
  });
  const type = requestType('traces');
  const eu = { 'service.namespace': 'eu' };
  const resourceSpans = [
    of({}, 'a'),
    of({ ...eu, 'deployment.environment': 'prod' }, 'b', 'c'),
    of({ ...eu, 'deployment.environment.name': 'test' }, 'd'),
    of({ 'service.namespace': 'us', 'deployment.environment.name': 'prod' }, 'e'),
    of({ ...eu, 'deployment.environment.name': 'prod' }, 'f'),
    of({ 'service.name': 'other', ...eu, 'deployment.environment.name': 'prod' }, 'g'),
  ];
  sampling.send(NOW_MS, plainly(type.encode(type.fromObject({ resourceSpans })).finish()));
  const kept = sampling.decide(Infinity).flatMap((one) => one.kept.traces);
  assert.deepEqual(
    kept.map((item) => [item.name, attributesOf(item)['plumbline.kept']]),
    ['b', 'c', 'f'].map((name) => [name, 'breach']),
  );
});

test('a log record without a trace carries the randomness it was decided by; a higher threshold of its own stays', () => {
  const withThreshold = (stringValue: string) => ({
    attributes: [{ key: 'sampling.threshold', value: { stringValue } }],
  });
  const sampling = createSampling({ wait: '0s', base: '50%' });
  const records = Array.from({ length: 200 }, (_, i) => ({
    timeUnixNano: i + 1,
    body: { stringValue: `line ${i}` },
    ...(i % 3 === 0 ? withThreshold('c') : i % 3 === 1 ? withThreshold('4') : {}),
  }));
  sampling.send(NOW_MS, { signal: 'logs', bytes: logs(...records) });
  const kept = sampling.decide(Infinity)[0]?.kept.logs ?? [];
  // Who kept a quarter has kept less than half; of three quarters two thirds are left, by what lies above a third of a randomness.
  const wanted = records.filter(
    (record, i) => i % 3 === 0 || randomnessOf(record) >= (i % 3 === 1 ? '55555555555556' : '8'),
  );
  assert.equal(kept.length, wanted.length);
  assert.ok(kept.length > 120 && kept.length < 165, `${kept.length}`);
  for (const item of kept) {
    const list = (item.attributes as { key: string; value: Plain }[]).filter(({ key }) => key === 'sampling.threshold');
    assert.equal(list.length, 1, 'a key stands twice');
    const { 'sampling.threshold': threshold, 'sampling.randomness': randomness } = attributesOf(item);
    const line = Number(String((item.body as Plain).stringValue).slice(5));
    assert.equal(threshold, line % 3 === 0 ? 'c' : '8');
    if (line % 3 === 0) assert.equal(randomness, undefined);
    else {
      if (line % 3 === 2) assert.equal(randomness, randomnessOf(records[line] as Plain));
      assert.ok(String(randomness) >= '80000000000000', String(randomness));
    }
  }
});

test('a log record that was sampled before is held against the randomness it came with, with and without a trace', (t) => {
  const random = seeded(t, 12);
  const bytes = (length: number) => Buffer.from(Array.from({ length }, () => random.below(256)));
  const sampling = createSampling({ wait: '0s', base: '25%' });
  const original = 4000;
  const made = Array.from({ length: original }, (_, i) => ({
    timeUnixNano: i + 1,
    body: { stringValue: `line ${i}` },
    ...(i % 2 === 0 ? {} : { traceId: bytes(16), spanId: bytes(8) }),
    attributes: [
      { key: 'sampling.threshold', value: { stringValue: '8' } },
      { key: 'sampling.randomness', value: { stringValue: bytes(7).toString('hex') } },
    ],
  }));
  // What a sampler of 50 % upstream lets through.
  const records = made.filter(({ attributes }) => String(attributes[1]?.value.stringValue) >= '8');
  sampling.send(NOW_MS, { signal: 'logs', bytes: logs(...records) });
  const kept = sampling.decide(Infinity).flatMap((one) => one.kept.logs);
  for (const item of kept) {
    const { 'sampling.threshold': threshold, 'sampling.randomness': randomness } = attributesOf(item);
    assert.equal(threshold, 'c');
    assert.ok(String(randomness) >= 'c', `kept with ${randomness}`);
  }
  const expected = records.filter(({ attributes }) => String(attributes[1]?.value.stringValue) >= 'c').length;
  assert.equal(kept.length, expected);
  assert.ok(Math.abs(kept.length * 4 - original) < original * 0.1, `${kept.length} of ${original}`);
});

test('what an agent before this one has kept gets one reason, this agent’s; what a look-back has added stays one', (t) => {
  const random = seeded(t, 13);
  const bytes = (length: number) => Buffer.from(Array.from({ length }, () => random.below(256)));
  const attribute = (key: string, stringValue: string) => ({ key, value: { stringValue } });
  const marked = (kept: string) => [
    attribute('a', '1'),
    attribute('plumbline.kept', kept),
    attribute('b', '2'),
    attribute('plumbline.rule', 'theirs'),
    { key: 'plumbline.partial', value: { boolValue: true } },
    attribute('plumbline.keep', 'c'),
  ];
  const sampling = createSampling({ wait: '0s', base: '50%', keep: { error: '100%', rare: '0%' } });
  const items = Array.from({ length: 400 }, (_, i) => ({
    name: `${i % 2 === 0 ? 'base' : 'look_back'} ${i}`,
    attributes: marked(i % 2 === 0 ? 'base' : 'look_back'),
    ...(i % 4 < 2 ? {} : { state: i % 8 < 4 ? 'ot=th:4' : 'ot=th:c,x=1' }),
    isError: i % 3 === 0,
  }));
  const spans = items.map(({ name, attributes, state, isError }) =>
    span(0, {
      traceId: bytes(16),
      name,
      attributes,
      ...(state === undefined ? {} : { traceState: state }),
      status: { code: isError ? 2 : 0 },
    }),
  );
  const records = items.map(({ name, attributes, isError }, i) => ({
    timeUnixNano: i + 1,
    body: { stringValue: name },
    severityNumber: isError ? 17 : 9,
    attributes: i % 4 < 2 ? attributes : [attribute('sampling.threshold', '4'), ...attributes],
  }));
  // Requests of which no span has a tracestate are read another way.
  for (const isBare of [true, false]) {
    const some = spans.filter((one) => ('traceState' in one ? !isBare : isBare));
    sampling.send(NOW_MS, plainly(traces(...some)));
  }
  sampling.send(NOW_MS + 1, { signal: 'logs', bytes: logs(...records) });
  const outcomes = sampling.decide(Infinity);
  const kept = outcomes.flatMap((one) => [...one.kept.traces, ...one.kept.logs]);
  assert.ok(kept.length > 500, `${kept.length}`);
  for (const item of kept) {
    const name = String(item.name ?? (item.body as Plain).stringValue);
    const list = (item.attributes as { key: string; value: Plain }[]).filter(({ key }) => !key.startsWith('sampling.'));
    const keys = list.map(({ key }) => key);
    assert.equal(new Set(keys).size, keys.length, `${name}: ${keys}`);
    if (name.startsWith('look_back')) assert.deepEqual(list, marked('look_back'));
    else {
      assert.deepEqual(keys, ['a', 'b', 'plumbline.keep', 'plumbline.kept']);
      assert.match(String(attributesOf(item)['plumbline.kept']), /^(base|error)$/);
    }
  }
});

test('log records that were sampled before and do not say by which randomness count for as many as there were', () => {
  for (const base of ['100%', '50%', '10%', '2%']) {
    const sampling = createSampling({ wait: '0s', base });
    const records = Array.from({ length: 5000 }, (_, i) => ({
      timeUnixNano: i + 1,
      body: { stringValue: `line ${i}` },
      attributes: [{ key: 'sampling.threshold', value: { stringValue: 'e6666666666666' } }],
    }));
    sampling.send(NOW_MS, { signal: 'logs', bytes: logs(...records) });
    let counted = 0;
    for (const item of sampling.decide(Infinity).flatMap((one) => one.kept.logs)) {
      const { 'sampling.threshold': threshold, 'sampling.randomness': randomness } = attributesOf(item);
      assert.ok(randomness === undefined || String(randomness) >= String(threshold), `${randomness} ${threshold}`);
      counted += 1 / (1 - Number.parseInt(String(threshold).padEnd(14, '0'), 16) / 2 ** 56);
    }
    // What is over 10 % passes whole; of the rest four standard deviations.
    const sigma = base === '2%' ? Math.sqrt(5000 * 0.2 * 0.8) * 50 : 1e-3;
    assert.ok(Math.abs(counted - 50_000) < 4 * sigma, `${counted} at ${base}`);
  }
});

test('a randomness that is none is not taken for one', () => {
  for (const stringValue of ['', 'ffffffffffff', 'fffffffffffffff', 'FFFFFFFFFFFFFF', 'gggggggggggggg']) {
    const sampling = createSampling({ wait: '0s', base: '50%' });
    const records = Array.from({ length: 200 }, (_, i) => ({
      timeUnixNano: i + 1,
      body: { stringValue: `line ${i}` },
      attributes: [{ key: 'sampling.randomness', value: { stringValue } }],
    }));
    sampling.send(NOW_MS, { signal: 'logs', bytes: logs(...records) });
    const { length } = sampling.decide(Infinity).flatMap((one) => one.kept.logs);
    assert.ok(length > 60 && length < 140, `${length} with "${stringValue}"`);
  }
});

function randomnessOf(record: Plain): string {
  const type = messageType('LogRecord');
  const bytes = type.encode(type.fromObject(record)).finish();
  const log = new LogView();
  const reader = new Reader(bytes);
  readLogRecord(reader, 0, bytes.length, log);
  const random = { high: 0, low: 0 };
  recordRandomness(reader.view, log, random);
  return hexOf(random);
}
