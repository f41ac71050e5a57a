/** Holds that shortlists leave out only what the selection drops anyway: whatever comes to be known of a trace, whatever else is configured. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { UNIT_BYTES } from '../../src/core/block.ts';
import { traceTableFor } from '../../src/processors/sample/index.ts';
import { type Plain, seeded } from '../otlp/generate.ts';
import { createSampling } from '../processors/sampling.ts';
import {
  createWorld,
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
