/** Holds `flag` from spans and data points to events, marks and checkpoint, through a worker's measurer and main's observer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import protobuf from 'protobufjs';
import { createRandom } from '../../../bench/random.ts';
import { createTelemetry } from '../../../src/core/telemetry.ts';
import { HASH_SEED, hashBytes } from '../../../src/otlp/protobuf.ts';
import { messageType, requestType } from '../../../src/otlp/schema.ts';
import { DEFAULT_THRESHOLD, flag } from '../../../src/processors/flag/index.ts';
import { BUCKETS, bucketOf } from '../../../src/processors/flag/measure.ts';
import type { SavedFlags } from '../../../src/processors/flag/observer.ts';
import { Traffic } from '../../../src/processors/flag/traffic.ts';
import type { ContractValue, Emission, Flagged } from '../../../src/processors/processor.ts';
import { decoded, itemsOf, type Plain } from '../../otlp/generate.ts';
import { afterRestart } from '../../support/saved.ts';
import { configured, contextOf, createWorld, NOW_MS, type Sent, service, span } from '../../worker/world.ts';

const EVERY_MS = 5000;
const NOW_EVERY_MS = Math.ceil(NOW_MS / EVERY_MS) * EVERY_MS;
const SERVER = 2;

function start(changes: Plain = {}, saved: unknown = null) {
  const list = [{ type: 'flag', ...changes }];
  const world = createWorld({ processors: list });
  const telemetry = createTelemetry();
  const flagged = new Map<number, Flagged[]>();
  const values: ContractValue[] = [];
  const observer = flag.observer?.(
    configured(list)[0]?.config,
    contextOf(world.pool, { flagged, contractValues: () => values, telemetry }),
    saved,
  );
  if (observer === undefined) throw new Error('flag has no observer');
  let nowMs = NOW_EVERY_MS;
  return {
    flagged,
    telemetry,
    values,
    save: () => afterRestart(observer.save()),
    /** Merges what these bodies hold, then judges; answers the events. */
    step(...sent: Sent[]) {
      const { result, block } = world.observe(sent);
      for (const { at, end } of result.measured?.sections ?? []) {
        observer.merge(new DataView(world.pool.handle.memory), at, end, nowMs + 1);
      }
      if (result.measured !== null) world.pool.discard(result.measured.block);
      world.pool.discard(block);
      nowMs += EVERY_MS;
      return observer.tick(nowMs, false).flatMap(eventsOf);
    },
    /** Everything that was committed before the restart is merged. */
    resume() {
      observer.resume?.();
    },
    /** The agent was down so long, or, negative, the clock was set back. */
    pause(ms: number) {
      nowMs += ms;
    },
    /** The clock is asked in the middle. */
    tick(ms: number) {
      assert.deepEqual(observer.tick(nowMs + ms, false), []);
    },
  };
}

function eventsOf({ bytes, timeMs }: Emission) {
  return itemsOf('logs', decoded('logs', bytes)).map(({ item, resource }) => ({
    name: item.eventName as string,
    timeMs,
    body: (item.body as { stringValue: string }).stringValue,
    service: (resource?.attributes as { value: Plain }[] | undefined)?.[0]?.value.stringValue,
    resource: Object.fromEntries(
      ((resource?.attributes ?? []) as { key: string; value: Plain }[]).map(({ key, value }) => [
        key,
        value.stringValue,
      ]),
    ),
    attributes: Object.fromEntries(
      (item.attributes as { key: string; value: Plain }[]).map(({ key, value }) => [key, Object.values(value)[0]]),
    ),
  }));
}

const random = createRandom(8);
/** `count` entry spans of a service, of about `ms`, of which `errors` fail. */
function traffic(count: number, ms = 20, errors = 0, name = 'shop', kind = SERVER): Sent {
  const spans = Array.from({ length: count }, (_, i) =>
    span(i, { kind, ...(i < errors ? { status: { code: 2 } } : {}) }, ms * (0.9 + 0.2 * random.next())),
  );
  return { signal: 'traces', bytes: service(name, ...spans) };
}
const usual = (ms = 20) => traffic(95 + random.below(10), ms);

function warmed(changes: Plain = {}) {
  const world = start(changes);
  for (let i = 0; i < 300; i++) assert.deepEqual(world.step(usual()), [], `judgement ${i}`);
  return world;
}
const hashOf = (name: string) => hashBytes(Buffer.from(name), 0, name.length, HASH_SEED);

test('slower spans become an event with expectation, value and score, a metric, and a mark that ends', async () => {
  const world = warmed();
  const events = [0, 1, 2].flatMap(() => world.step(usual(90)));
  assert.deepEqual(events.map(({ attributes }) => attributes['signal.name']).sort(), ['latency.p50', 'latency.p95']);
  const [event] = events;
  assert.equal(event?.name, 'plumbline.anomaly.detected');
  assert.equal(event?.service, 'shop');
  assert.match(event?.body ?? '', /^shop: latency\.p\d\d is [\d.]+ ms where [\d.]+ ms was expected \(score [\d.]+\)$/);
  const { 'signal.value': value, 'anomaly.expected': expected, 'anomaly.score': score } = event?.attributes ?? {};
  assert.ok(
    Number(value) > 80 && Number(expected) < 25 && Number(score) >= DEFAULT_THRESHOLD,
    JSON.stringify(event?.attributes),
  );
  assert.match(
    await world.telemetry.registry.metrics(),
    /plumbline_anomalies_total\{service="shop",signal="latency.p95"\} 1/,
  );
  assert.deepEqual([...world.flagged.keys()], [hashOf('shop')]);
  for (let i = 0; i < 40; i++) world.step(usual());
  assert.equal(world.flagged.size, 0, 'the mark ends');
});

test('of a long name its first 256 bytes are told, in whole characters', () => {
  const world = start();
  const step = (ms: number) => world.step(traffic(100, ms, 0, `a${'é'.repeat(200)}`));
  for (let i = 0; i < 300; i++) assert.deepEqual(step(20), [], `judgement ${i}`);
  const [event] = [0, 1, 2].flatMap(() => step(90));
  assert.equal(event?.service, `a${'é'.repeat(127)}`);
});

test('after a restart the mark says since when it is, also of a flag that is over; one of a former version begins with all times', () => {
  const world = warmed();
  world.step(usual(90));
  const [flagged] = [...world.flagged.values()].map((all) => all.map((one) => ({ ...one })));
  const sinceMs = NOW_EVERY_MS + 301 * EVERY_MS;
  assert.deepEqual(flagged?.[0], { sinceMs, untilMs: sinceMs + 60_000 });
  assert.deepEqual([...start({}, world.save()).flagged.values()], [flagged], 'restarted at once');
  const former = world.save() as SavedFlags;
  for (const { watch } of former.series) delete watch.flaggedSinceMs;
  assert.deepEqual([...start({}, former).flagged.values()], [flagged?.map((one) => ({ ...one, sinceMs: 0 }))]);
  for (let i = 0; i < 13; i++) world.step(usual());
  assert.equal(world.flagged.size, 0, 'it is over');
  const [over] = start({}, world.save()).flagged.values();
  assert.equal(over?.[0]?.sinceMs, sinceMs);
});

test('errors and lost traffic are flagged; faster spans and spans that are no entries are not', () => {
  const names = (events: ReturnType<ReturnType<typeof start>['step']>) =>
    events.map(({ attributes }) => attributes['signal.name']);
  assert.deepEqual(names(warmed().step(traffic(100, 20, 30))), ['errors']);
  assert.deepEqual(names(warmed().step()), ['rate']);
  assert.deepEqual(names(warmed().step(usual(2))), []);
  assert.deepEqual(names(warmed().step(usual(), traffic(50, 5000, 0, 'shop', 3))), []);
});

test('what a look-back of an agent before has added is no traffic', () => {
  const attributes = [{ key: 'plumbline.kept', value: { stringValue: 'look_back' } }];
  const spans = Array.from({ length: 500 }, (_, i) => span(i, { kind: SERVER, status: { code: 2 }, attributes }, 900));
  assert.deepEqual(warmed().step(usual(), { signal: 'traces', bytes: service('shop', ...spans) }), []);
});

test('few spans say nothing of shares and quantiles until there are twenty', () => {
  const world = start();
  for (let i = 0; i < 40; i++) world.step(traffic(5));
  const { series } = world.save() as { series: { signal: string }[] };
  assert.deepEqual(series.map(({ signal }) => signal).sort(), ['errors', 'latency.p50', 'latency.p95', 'rate']);
});

test('a pause of the agent is no loss of traffic', () => {
  const world = warmed();
  world.pause(10 * 60_000);
  assert.deepEqual(world.step(), []);
  assert.deepEqual(world.step(usual()), []);
});

test('what is left of the time in which an agent starts is not taken for all of it', () => {
  const world = warmed();
  const other = start({}, world.save());
  other.pause(300 * EVERY_MS + 60_000);
  other.tick(0.8 * EVERY_MS);
  assert.deepEqual(other.step(traffic(20)), []);
  const again = start({}, other.save());
  again.pause(301 * EVERY_MS + 60_000);
  for (const next of [other, again]) {
    assert.deepEqual(next.step(usual()), []);
    assert.deepEqual(
      next.step(traffic(10)).map(({ attributes }) => attributes['signal.name']),
      ['rate'],
    );
  }
});

test('an agent that judges less often from now on goes on with what it knew, and what it counted in part has no rate', () => {
  // Now in the middle of ten seconds, now at their end.
  for (const more of [0, 1]) {
    const world = warmed();
    for (let i = 0; i < more; i++) world.step(usual());
    const other = start({ every: '10s' }, world.save());
    other.pause((300 + more) * EVERY_MS);
    for (let i = 0; i < 6; i++) assert.deepEqual(other.step(usual()), []);
    const slow = [0, 1, 2, 3].flatMap(() => other.step(usual(90)));
    assert.deepEqual(slow.map(({ attributes }) => attributes['signal.name']).sort(), ['latency.p50', 'latency.p95']);
  }
});

test('seconds in which an agent is down are no loss of traffic', () => {
  const other = start({}, warmed().save());
  other.pause(300 * EVERY_MS);
  other.resume();
  assert.deepEqual(other.step(traffic(40)), []);
  assert.deepEqual(other.step(usual()), []);
  assert.deepEqual(
    other.step(traffic(10)).map(({ attributes }) => attributes['signal.name']),
    ['rate'],
  );
});

for (const ms of [2000, 60_000]) {
  test(`a clock that is set back by ${ms} ms is no rise of traffic, and holds nothing up`, () => {
    const world = warmed();
    // It was in the middle of the time that is judged next.
    world.tick(0.8 * EVERY_MS);
    world.pause(-ms);
    world.tick(0.8 * EVERY_MS);
    assert.deepEqual(world.step(traffic(200)), []);
    assert.deepEqual(world.step(usual()), []);
    assert.deepEqual(
      world.step(traffic(10)).map(({ attributes }) => attributes['signal.name']),
      ['rate'],
    );
  });
}

test('what was received after a judgement and merged before it counts for the next', () => {
  const traffic = new Traffic(null);
  traffic.add(10, 0, false);
  traffic.add(40, 0, true);
  assert.equal(traffic.take(1, 5).rate, 2);
  assert.equal(new Traffic(traffic.save()).take(1, 5).rate, 8);
  assert.equal(traffic.take(1, 5).rate, 8);
  traffic.add(10, 0, false);
  traffic.add(10, 0, true);
  assert.equal(traffic.take(2, 5).rate, 2);
  assert.equal(traffic.take(1, 5).rate, 0);
});

test('quantiles of durations are right to 4.4 %', () => {
  const traffic = new Traffic(null);
  for (let ms = 1; ms <= 1000; ms++) traffic.addDuration(bucketOf(ms));
  traffic.add(1000, 100, false);
  const { errors, p50, p95 } = traffic.take(1, 5);
  assert.equal(errors, 0.1);
  assert.ok(Math.abs(p50 / 500 - 1) < 0.044 && Math.abs(p95 / 950 - 1) < 0.044, `${p50} ${p95}`);
  assert.deepEqual([bucketOf(0), bucketOf(1e300)], [0, BUCKETS - 1]);
});

test('contract values are watched under the name of their signal', () => {
  const world = start();
  for (let i = 0; i < 300; i++) {
    world.values.splice(0, 1, { service: 'shop', signal: 'backlog', value: 50 + random.next() });
    assert.deepEqual(world.step(), []);
  }
  world.values.splice(0, 1, { service: 'shop', signal: 'backlog', value: 500 });
  const [event] = world.step();
  assert.equal(event?.attributes['signal.name'], 'contract.backlog');
  assert.deepEqual([...world.flagged.keys()], [hashOf('shop')]);
});

test('contracts that differ in namespace or environment alone have series of their own', () => {
  const world = start();
  const eu = { 'service.namespace': 'eu' };
  const us = { 'service.namespace': 'us', 'deployment.environment.name': 'prod' };
  const come = (ofEu: number, ofUs: number) => {
    const value = (resource: Record<string, string>, of: number) => ({
      service: 'shop',
      resource,
      signal: 'backlog',
      value: of + random.next(),
    });
    world.values.splice(0, 2, value(eu, ofEu), value(us, ofUs));
    return world.step();
  };
  for (let i = 0; i < 300; i++) assert.deepEqual(come(50, 500), []);
  const [event, ...others] = come(500, 500);
  assert.deepEqual([event?.attributes['signal.name'], others], ['contract.backlog', []]);
  assert.deepEqual(event?.resource, { 'service.name': 'shop', ...eu });
});

/** One number data point of a metric of `shop`. */
function metric(
  name: string,
  kind: 'gauge' | 'sum',
  value: number,
  timeS: number,
  more: Plain = {},
  named: Record<string, string> = { queue: 'mail' },
  scope?: Plain,
): Sent {
  const type = requestType('metrics');
  const attributes = Object.entries(named).map(([key, stringValue]) => ({ key, value: { stringValue } }));
  const dataPoints = [{ asDouble: value, timeUnixNano: `${Math.round(timeS * 1e9)}`, attributes }];
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] };
  const metrics = [{ name, [kind]: { dataPoints, ...more } }];
  const bytes = type
    .encode(type.fromObject({ resourceMetrics: [{ resource, scopeMetrics: [{ scope, metrics }] }] }))
    .finish();
  return { signal: 'metrics', bytes };
}
const TOTAL = { isMonotonic: true, aggregationTemporality: 2 };

test('a gauge is watched by its value, a total by its increase a second, and a reset is no increase', () => {
  const world = start({ metrics: ['depth', 'sent'] });
  let total = 0;
  const step = (i: number, depth: number, increase: number, reset = false) => {
    total = reset ? 0 : total + increase;
    return world.step(
      metric('depth', 'gauge', depth, 1000 + i * 5),
      metric('sent', 'sum', total, 1000 + i * 5, TOTAL),
      metric('other', 'gauge', i === 305 ? 1e9 : 1, 1000 + i * 5),
    );
  };
  for (let i = 0; i < 300; i++) assert.deepEqual(step(i, 10 + random.next(), 100 + random.next()), [], `${i}`);
  assert.deepEqual(step(300, 10, 0, true), []);
  assert.deepEqual(step(301, 10, 100), []);
  const [gauge, ...others] = step(302, 300, 100);
  assert.deepEqual(others, []);
  assert.equal(gauge?.attributes['signal.name'], 'metric.depth');
  assert.equal(gauge?.attributes.queue, 'mail');
  const [sum] = step(303, 300, 9000);
  assert.equal(sum?.attributes['signal.name'], 'metric.sent');
  assert.equal(Math.round(Number(sum?.attributes['signal.value'])), 1800);
  assert.deepEqual(step(305, 300, 9000), [], 'metrics that are not named are not watched');
});

for (const [what, timeS] of [
  ['once told of a time to come', (i: number) => (i === 3 ? 4e9 : NOW_MS / 1000 + i * 5)],
  ['tells no time', () => 0],
] as const) {
  test(`a total whose sender ${what} is watched`, () => {
    const world = start({ metrics: ['sent'] });
    const step = (i: number, increase: number) => {
      total += increase;
      return world.step(metric('sent', 'sum', total, timeS(i), TOTAL));
    };
    let total = 0;
    for (let i = 0; i < 300; i++) assert.deepEqual(step(i, 100 + random.next()), [], `${i}`);
    const [event] = step(300, 9000);
    assert.equal(event?.attributes['signal.name'], 'metric.sent');
    assert.equal(Math.round(Number(event?.attributes['signal.value'])), 1800);
  });
}

test('a list of metrics that changes leaves each series with its own past', () => {
  const world = start({ metrics: ['depth', 'bytes'] });
  const sent = (i: number) => [
    metric('depth', 'gauge', 10 + random.next(), 1000 + i * 5),
    metric('bytes', 'gauge', 5000 + random.next(), 1000 + i * 5),
  ];
  for (let i = 0; i < 300; i++) assert.deepEqual(world.step(...sent(i)), []);
  const other = start({ metrics: ['bytes'] }, world.save());
  other.pause(300 * EVERY_MS);
  assert.deepEqual(other.step(...sent(300)), []);
  const [event] = other.step(metric('bytes', 'gauge', 90_000, 2600));
  assert.equal(event?.attributes['signal.name'], 'metric.bytes');
  assert.equal(Math.round(Number(event?.attributes['anomaly.expected']) / 100), 50);
});

test('resources that stand in two pieces are told apart by both', () => {
  const world = start({ metrics: ['depth'] });
  const of = (pod: string): Sent => {
    const type = messageType('ResourceMetrics');
    const attributes = [{ key: 'service.instance.id', value: { stringValue: pod } }];
    const rest = protobuf.Reader.create(metric('depth', 'gauge', 10, 1000).bytes);
    rest.uint32();
    const inside = Buffer.concat([type.encode(type.fromObject({ resource: { attributes } })).finish(), rest.bytes()]);
    return { signal: 'metrics', bytes: Buffer.from(protobuf.Writer.create().uint32(10).bytes(inside).finish()) };
  };
  world.step(of('a'), of('b'), of('a'));
  assert.equal((world.save() as { series: unknown[] }).series.length, 2);
});

test('series are told apart by two attributes that end alike', () => {
  const world = start({ metrics: ['depth'] });
  const numbers = Array.from({ length: 8 }, (_, i) => String(i));
  world.step(
    ...numbers.flatMap((shard) => numbers.map((replica) => metric('depth', 'gauge', 10, 1000, {}, { shard, replica }))),
  );
  assert.equal((world.save() as { series: unknown[] }).series.length, 64);
});

test('scopes of one metric are series of their own', () => {
  const world = start({ metrics: ['sent'] });
  const totals = { http: 0, rpc: 1e6 };
  const step = (i: number, more: number) => {
    totals.http += 100 + random.next();
    totals.rpc += 100 + more + random.next();
    const sent = Object.entries(totals).map(([name, total]) =>
      metric('sent', 'sum', total, 1000 + i * 5, TOTAL, {}, { name }),
    );
    return world.step(...sent);
  };
  for (let i = 0; i < 300; i++) assert.deepEqual(step(i, 0), [], `${i}`);
  assert.equal((world.save() as { series: unknown[] }).series.length, 2);
  const events = step(300, 9000);
  assert.deepEqual(
    events.map(({ attributes }) => Math.round(Number(attributes['signal.value']) / 10)),
    [182],
  );
});

test('beyond max_series nothing is watched, and that is counted', async () => {
  const world = start({ max_series: 4 });
  for (let i = 0; i < 3; i++) world.step(usual(), traffic(100, 20, 0, 'other'));
  assert.equal((world.save() as { series: unknown[] }).series.length, 4);
  assert.match(await world.telemetry.registry.metrics(), /plumbline_anomaly_series_overflow_total [1-9]/);
});

test('restored from a checkpoint it judges on as if it had never stopped', () => {
  const world = warmed();
  const other = start({}, world.save());
  other.pause(300 * EVERY_MS);
  for (let i = 0; i < 5; i++) {
    const sent = usual(i < 2 ? 20 : 90);
    const [a, b] = [world.step(sent), other.step(sent)];
    assert.deepEqual(b, a);
    assert.equal(a.length > 0, i === 2);
  }
  assert.deepEqual(other.save(), world.save());
  assert.deepEqual(other.flagged, world.flagged);
});
