/** Holds processors/sample: consistent probability, whole traces, marks before and after `wait`, and a th that never falls. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BASE, ERROR, SLOW } from '../../src/processors/sample/classes.ts';
import { traceTableFor } from '../../src/processors/sample/index.ts';
import { classOf, findTrace, isLate, TraceTable } from '../../src/processors/sample/traceTable.ts';
import { decoded, itemsOf, type Plain, seeded } from '../otlp/generate.ts';
import { createWorld, logs, NOW_MS, plainly, sampleConfig, span, traces, type World } from '../worker/world.ts';

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
  const entry = find(3, 4);
  assert.deepEqual([classOf(entry), isLate(entry, SLOW), isLate(entry, ERROR)], [BASE, true, false]);
  assert.equal(table.evicted, 0);
});

test('a full table gives up its oldest trace, and counts those that were not decided', (t) => {
  const random = seeded(t, 91);
  const handle = traceTableFor(CONFIG, NOW_MS);
  const table = new TraceTable(handle);
  const ids = Array.from({ length: 4000 }, () => [random.below(2 ** 32), random.below(2 ** 32)] as const);
  ids.forEach(([low, high], i) => {
    table.mark(low, high, NOW_MS + i, ERROR);
  });
  const found = ids.filter(([low, high]) => findTrace(new Uint32Array(handle.memory), low, high) === ERROR).length;
  assert.equal(found + table.evicted, 4000);
  assert.ok(found <= 2048 && found > 1500, `${found} of 2048 slots`);
  const before = table.evicted;
  for (const [low, high] of ids) table.mark(low ^ 1, high, NOW_MS + 100_000, BASE);
  assert.ok(table.evicted - before < 4000, 'decided traces go without being counted');
});
