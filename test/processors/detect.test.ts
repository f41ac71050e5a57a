/** Holds src/processors/detect: events that somebody woken at night can act on, instances, gaps of the agent's own, and the checkpoint. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContractPlan } from '../../src/contracts/plan.ts';
import { scopeOf } from '../../src/contracts/service.ts';
import { requestType } from '../../src/otlp/schema.ts';
import { createObserver, type DetectObserver, type Saved } from '../../src/processors/detect/observer.ts';
import type { Emission } from '../../src/processors/processor.ts';
import { contractOf } from '../contracts/plans.ts';
import { decoded, itemsOf, list, type Plain } from '../otlp/generate.ts';
import { afterRestart } from '../support/saved.ts';
import { contextOf, createWorld, NOW_MS, span } from '../worker/world.ts';

const ERRORS = { name: 'errors', of: 'spans', bad: { status: 'error' }, degraded: 'above 10%', breached: 'above 50%' };
const TIMES = { window: '10s', for: '2s', recover_after: '3s', min_items: 5 };

interface Told {
  name: string;
  severity: number;
  body: string;
  atMs: number;
  attributes: Record<string, unknown>;
  resource: Record<string, unknown>;
}

function plain(list: unknown): Record<string, unknown> {
  const scalar = (value: Plain): unknown =>
    value.arrayValue
      ? (value.arrayValue as { values: Plain[] }).values.map(scalar)
      : (value.stringValue ?? value.boolValue ?? Number(value.doubleValue ?? value.intValue));
  return Object.fromEntries((list as { key: string; value: Plain }[]).map(({ key, value }) => [key, scalar(value)]));
}

function eventsOf(emissions: Emission[]): Told[] {
  return emissions
    .filter(({ stream }) => stream === 'events')
    .flatMap(({ bytes }) => itemsOf('logs', decoded('logs', bytes)))
    .map(({ item, resource }) => ({
      name: String(item.eventName),
      severity: Number(item.severityNumber),
      body: String((item.body as Plain).stringValue),
      atMs: Number(item.timeUnixNano) / 1e6,
      attributes: plain(item.attributes),
      resource: plain(resource?.attributes),
    }));
}

/** An agent's worker and observer in this thread, with a clock of its own. */
function createDetect(...plans: ContractPlan[]) {
  const world = createWorld({ processors: [{ type: 'detect' }], contracts: plans });
  const context = contextOf(world.pool, { agent: 'edge-1', contracts: plans });
  const open = (saved: Saved | null, contracts = plans) => createObserver(10_000, { ...context, contracts }, saved);
  const detect = {
    observer: open(null) as DetectObserver,
    events: [] as Told[],
    /** As a restart: what was saved goes through JSON. */
    restart(contracts?: ContractPlan[]) {
      detect.observer = open(afterRestart(detect.observer.save()) as Saved, contracts);
    },
    send(atS: number, request: Uint8Array, signal: 'traces' | 'metrics' = 'traces') {
      const { result, block } = world.observe([{ signal, bytes: request }]);
      const [section] = result.measured?.sections ?? [];
      assert.ok(section !== undefined);
      detect.observer.merge(new DataView(world.pool.handle.memory), section.at, section.end, NOW_MS + atS * 1000);
      world.pool.discard(result.measured?.block ?? -1);
      world.pool.discard(block);
    },
    tick(atS: number) {
      detect.events.push(...eventsOf(detect.observer.tick(NOW_MS + atS * 1000, false)));
    },
    telemetry: context.telemetry,
    breaches: context.breaches,
  };
  return detect;
}

function request(resource: Record<string, string>, ...spans: Plain[]): Uint8Array {
  const type = requestType('traces');
  const attributes = Object.entries({ 'service.name': 'shop', ...resource }).map(([key, stringValue]) => ({
    key,
    value: { stringValue },
  }));
  return type
    .encode(type.fromObject({ resourceSpans: [{ resource: { attributes }, scopeSpans: [{ spans }] }] }))
    .finish();
}

function counter(instance: string, value: number, atS: number): Uint8Array {
  const type = requestType('metrics');
  const attributes = Object.entries({ 'service.name': 'shop', 'service.instance.id': instance }).map(([key, text]) => ({
    key,
    value: { stringValue: text },
  }));
  const nanoseconds = (ms: number) => `${ms}000000`;
  const times = { startTimeUnixNano: nanoseconds(NOW_MS), timeUnixNano: nanoseconds(NOW_MS + atS * 1000) };
  const sum = { dataPoints: [{ ...times, asDouble: value }], aggregationTemporality: 2, isMonotonic: true };
  const scopeMetrics = [{ metrics: [{ name: 'calls', sum }] }];
  return type.encode(type.fromObject({ resourceMetrics: [{ resource: { attributes }, scopeMetrics }] })).finish();
}

const spans = (from: number, name: string, count: number, bad: number) =>
  Array.from({ length: count }, (_, i) => span(from + i, { name, status: { code: i < bad ? 2 : 0 } }));

test('an event says what broke, by how much, since when, where most, in which version, and shows traces', () => {
  const detect = createDetect(contractOf([ERRORS], { ...TIMES, owner: 'payments', namespace: 'eu' }));
  const eu = { 'service.namespace': 'eu', 'service.version': '1.4.2' };
  for (let second = 0; second < 20; second++) {
    detect.tick(second);
    const bad = second >= 5 && second < 12;
    detect.send(
      second,
      request(eu, ...spans(second * 100, 'GET /a', 5, 0), ...spans(second * 100 + 50, 'GET /b', 15, bad ? 15 : 0)),
    );
  }
  detect.tick(20);
  const breach = detect.events.find(({ attributes }) => attributes['signal.state'] === 'breached');
  assert.ok(breach !== undefined);
  const { attributes } = breach;
  assert.deepEqual([breach.name, breach.severity], ['plumbline.contract.state_changed', 17]);
  assert.deepEqual(breach.resource, { 'service.name': 'shop', 'service.namespace': 'eu', 'service.version': '1.4.2' });
  assert.equal(attributes['contract.service'], 'shop');
  assert.equal(attributes['contract.owner'], 'payments');
  assert.equal(attributes['contract.state'], 'breached');
  assert.equal(attributes['signal.name'], 'errors');
  assert.ok(Number(attributes['signal.value']) > 0.5);
  assert.equal(attributes['signal.threshold'], 'above 50%');
  assert.equal(attributes['signal.window'], '10s');
  assert.match(String((attributes['signal.operations'] as string[])[0]), /^GET \/b \(1\.4\.2\) \d+.*% of \d+$/);
  assert.equal((attributes['signal.operations'] as string[]).length, 1, 'the healthy operation does not contribute');
  assert.deepEqual(attributes['signal.versions'], ['1.4.2']);
  assert.equal((attributes['trace.ids'] as string[]).length, 5);
  assert.match((attributes['trace.ids'] as string[])[0] ?? '', /^[0-9a-f]{32}$/);
  // Over 10 % from the second that saw the first bad ones on.
  assert.equal(Date.parse(String(attributes['signal.since'])), NOW_MS + 6000);
  assert.match(breach.body, /^shop: errors degraded -> breached: .*; since .*; most by GET \/b/);
});

test('what an event tells of names that a service has sent is cut, each at 256 bytes', () => {
  const contract = contractOf([ERRORS], { ...TIMES, per: 'service.instance.id' });
  const detect = createDetect(contract);
  const huge = 'n'.repeat(100_000);
  const resource = { 'service.version': huge, 'service.instance.id': huge };
  for (let second = 0; second < 8; second++) {
    detect.tick(second);
    detect.send(second, request(resource, ...spans(second * 100, huge, 10, 10)));
  }
  detect.tick(8);
  const breach = detect.events.find(({ attributes }) => attributes['signal.state'] === 'breached');
  assert.ok(breach !== undefined);
  const { attributes } = breach;
  assert.equal(String(attributes['contract.instance']).length, 256);
  assert.equal(String(attributes['signal.versions']).length, 256);
  assert.equal(String(breach.resource['service.version']).length, 256);
  assert.match(String(attributes['signal.operations']), /^n{256} \(n{256}\) 100\.0% of \d+$/);
  assert.ok(breach.body.length < 1000, `${breach.body.length} characters`);
  const [signal] = detect.observer.report()[0]?.signals ?? [];
  assert.equal(signal?.operations[0]?.name.length, 256);
});

test('too few items are an event of their own, once, and freeze the state', async () => {
  const detect = createDetect(contractOf([ERRORS], TIMES));
  detect.tick(0);
  detect.send(0, request({}, ...spans(0, 'a', 20, 0)));
  for (let second = 1; second < 20; second++) detect.tick(second);
  assert.deepEqual(
    detect.events.map(({ name, attributes }) => [name, attributes['signal.state'], attributes['contract.frozen']]),
    [
      ['plumbline.contract.state_changed', 'healthy', undefined],
      ['plumbline.contract.no_data', 'healthy', true],
    ],
  );
  const values = detect.events.map(({ attributes }) => [attributes['signal.value'], attributes['signal.items']]);
  assert.deepEqual(values, [
    [0, 20],
    [undefined, 0],
  ]);
  const [contract] = detect.observer.report();
  assert.deepEqual([contract?.state, contract?.signals[0]?.frozen], ['healthy', true]);
  assert.match(contract?.signals[0]?.why ?? '', /^nothing came in .*too few items \(0 of 5\), so it stays healthy/);
  assert.equal(contract?.signals[0]?.value, null, 'a share of nothing is not 0 %');
});

test('with `per` each instance is judged, the worst counts, and one that is gone is forgotten', () => {
  const detect = createDetect(contractOf([ERRORS], { ...TIMES, per: 'service.instance.id' }));
  const send = (second: number, instance: string, bad: number) =>
    detect.send(second, request({ 'service.instance.id': instance }, ...spans(second * 100, 'a', 10, bad)));
  for (let second = 0; second < 10; second++) {
    detect.tick(second);
    send(second, 'pod-1', 0);
    send(second, 'pod-2', 9);
  }
  detect.tick(10);
  const shown = () => detect.observer.report()[0];
  // All in all 45 % are bad, which is not over 50 %; of pod-2 it is 90 %.
  assert.equal(shown()?.state, 'breached');
  assert.deepEqual(
    shown()?.signals[0]?.instances?.map(({ name, state }) => [name, state]),
    [
      ['pod-1', 'healthy'],
      ['pod-2', 'breached'],
    ],
  );
  const breach = detect.events.at(-1);
  assert.equal(breach?.attributes['contract.instance'], 'pod-2');
  assert.equal(breach?.resource['service.instance.id'], 'pod-2');
  for (let second = 10; second < 640; second++) {
    if (second % 3 === 0) send(second, 'pod-1', 0);
    detect.tick(second + 1);
  }
  assert.deepEqual(
    shown()?.signals[0]?.instances?.map(({ name }) => name),
    ['pod-1'],
  );
  assert.equal(shown()?.state, 'healthy');
});

test('with `per` an instance that is gone is forgotten, also one that was never judged, or that is breached because nothing comes', () => {
  for (const no_data of ['freeze', 'breached']) {
    const detect = createDetect(contractOf([ERRORS], { ...TIMES, per: 'service.instance.id', no_data }));
    const send = (second: number, instance: string, count: number) =>
      detect.send(second, request({ 'service.instance.id': instance }, ...spans(second * 100, 'a', count, 0)));
    for (let second = 0; second < 700; second++) {
      detect.tick(second);
      send(second, 'pod-1', 1);
      if (second < 10) send(second, 'pod-2', 10);
      if (second === 20) send(second, 'pod-3', 1);
    }
    const [contract] = detect.observer.report();
    assert.deepEqual(
      contract?.signals[0]?.instances?.map(({ name }) => name),
      ['pod-1'],
      no_data,
    );
    assert.equal(contract?.state, 'healthy', no_data);
  }
});

test('with `per` an instance that sends nothing that a signal is about is none of it, and one whose counter stands still is not gone', () => {
  const route = { ...ERRORS, where: { 'http.route': '/pay' } };
  const calls = { name: 'calls', metric: 'calls', bad: { code: 500 }, breached: 'above 50%' };
  const detect = createDetect(contractOf([route, calls], { ...TIMES, per: 'service.instance.id' }));
  const pay = { attributes: [{ key: 'http.route', value: { stringValue: '/pay' } }] };
  for (let second = 0; second < 700; second++) {
    detect.tick(second);
    const paid = Array.from({ length: 2 }, (_, i) => span(second * 100 + i, pay));
    detect.send(second, request({ 'service.instance.id': 'pod-1' }, ...paid));
    detect.send(second, request({ 'service.instance.id': 'pod-2' }, span(second * 100 + 50)));
    if (second % 10 !== 0) continue;
    for (const [instance, value] of [
      ['pod-1', second * 10],
      ['pod-2', Math.min(200, second * 10)],
    ] as const)
      detect.send(second, counter(instance, value, second), 'metrics');
  }
  const [contract] = detect.observer.report();
  assert.deepEqual(
    contract?.signals.map(({ state, instances }) => [state, instances?.map(({ name }) => name)]),
    [
      ['healthy', ['pod-1']],
      ['healthy', ['pod-1', 'pod-2']],
    ],
  );
  assert.equal(contract?.state, 'healthy');
});

test('a breach that is over is remembered over restarts and reloads, so that what came in it is marked again as it was', () => {
  const plan = contractOf([ERRORS], { ...TIMES, namespace: 'eu' });
  const detect = createDetect(plan);
  for (let second = 0; second < 40; second++) {
    detect.tick(second);
    detect.send(second, request({ 'service.namespace': 'eu' }, ...spans(second * 100, 'a', 10, second < 5 ? 9 : 0)));
  }
  const known = detect.breaches.get(scopeOf(plan));
  const [breach] = known ?? [];
  assert.ok(known?.length === 1 && breach !== undefined && breach.sinceMs >= NOW_MS, JSON.stringify(known));
  assert.ok(breach.untilMs > breach.sinceMs && breach.untilMs < NOW_MS + 40_000, `${breach.untilMs}`);
  for (let i = 0; i < 2; i++) {
    detect.restart();
    assert.deepEqual([...detect.breaches], [[scopeOf(plan), known]]);
  }
  detect.restart([contractOf([ERRORS], { ...TIMES, namespace: 'us' })]);
  assert.equal(detect.breaches.size, 0, 'of a contract that is gone nothing is left');
});

test('of two contracts of one service a breach that is over is remembered of the one that was broken', () => {
  const errors = contractOf([ERRORS], TIMES);
  const slow = contractOf([{ name: 'slow', of: 'spans', slower_than: '1h', breached: 'above 1%' }], TIMES);
  for (const plans of [
    [errors, slow],
    [slow, errors],
  ]) {
    const detect = createDetect(...plans);
    for (let second = 0; second < 40; second++) {
      detect.tick(second);
      detect.send(second, request({}, ...spans(second * 100, 'a', 10, second < 5 ? 9 : 0)));
    }
    const known = structuredClone([...detect.breaches.values()]);
    assert.deepEqual(
      known.flat().map(({ plan }) => plan.signals[0]?.name),
      ['errors'],
    );
    detect.restart();
    assert.deepEqual([...detect.breaches.values()], known);
  }
});

test('a contract that is broken by another signal than it was at first has been so since the first, over restarts, too', () => {
  const log = { name: 'slow', of: 'spans', slower_than: '1s', breached: 'above 50%' };
  const detect = createDetect(contractOf([ERRORS, log], TIMES));
  for (let second = 0; second < 40; second++) {
    detect.tick(second);
    const made = spans(second * 100, 'a', 10, second < 12 ? 9 : 0);
    const start = String((BigInt(NOW_MS) - 5000n) * 1_000_000n);
    const slow = second < 8 ? made : made.map((one) => ({ ...one, startTimeUnixNano: start }));
    detect.send(second, request({}, ...slow));
  }
  const signals = detect.observer.report()[0]?.signals.map(({ state }) => state);
  assert.deepEqual(signals, ['healthy', 'breached']);
  const known = structuredClone([...detect.breaches.values()]);
  assert.ok((known[0]?.[0]?.sinceMs ?? 0) < NOW_MS + 8000);
  detect.restart();
  assert.deepEqual([...detect.breaches.values()], known);
});

test('a restart in the midst of an incident changes nothing of what is told', () => {
  const play = (restarts: number[]) => {
    const detect = createDetect(contractOf([ERRORS], TIMES));
    for (let second = 0; second < 40; second++) {
      detect.tick(second);
      if (restarts.includes(second)) detect.restart();
      const bad = second >= 8 && second < 20 ? 8 : 0;
      if (second < 30) detect.send(second, request({ 'service.version': '7' }, ...spans(second * 100, 'a', 10, bad)));
    }
    return detect.events;
  };
  const undisturbed = play([]);
  assert.ok(undisturbed.length >= 4, `${undisturbed.length} events`);
  assert.deepEqual(play([5, 9, 12, 13, 14, 21, 33]), undisturbed);
});

test('a contract that measures something else keeps its state until it can be judged, and begins with an empty window', () => {
  const detect = createDetect(contractOf([ERRORS], TIMES));
  for (let second = 0; second < 8; second++) {
    detect.tick(second);
    detect.send(second, request({}, ...spans(second * 100, 'a', 10, 9)));
  }
  detect.tick(8);
  assert.equal(detect.observer.report()[0]?.state, 'breached');
  detect.restart([contractOf([{ ...ERRORS, where: { 'span.kind': 'server' } }], TIMES)]);
  detect.tick(9);
  const [signal] = detect.observer.report()[0]?.signals ?? [];
  assert.deepEqual([signal?.state, signal?.items, signal?.frozen], ['breached', 0, true]);
});

test('while the agent did not run nobody was silent', () => {
  const silent = { name: 'ran', of: 'spans', silent_for: '60s' };
  const detect = createDetect(contractOf([silent], TIMES));
  detect.tick(0);
  detect.send(0, request({}, span(1)));
  for (let second = 1; second < 40; second++) detect.tick(second);
  detect.restart();
  for (let second = 140; second < 160; second++) detect.tick(second);
  assert.equal(detect.observer.report()[0]?.state, 'healthy', '100 s later, of which the agent saw 40');
  for (let second = 160; second < 190; second++) detect.tick(second);
  assert.equal(detect.observer.report()[0]?.state, 'breached');
  assert.equal(detect.events.at(-1)?.attributes['signal.threshold'], 'above 60s');
});

test('a rate whose window a reload changes is judged again once it has been watched for a whole one: steady traffic breaks nothing', () => {
  const rate = { name: 'traffic', of: 'spans', rate: true, breached: 'below 2/s' };
  for (const [before, after] of [
    ['10s', '1m'],
    ['1m', '20m'],
    ['20m', '5m'],
  ]) {
    const detect = createDetect(contractOf([rate], { ...TIMES, window: before }));
    for (let second = 0; second < 3000; second++) {
      detect.tick(second);
      if (second === 1300) detect.restart([contractOf([rate], { ...TIMES, window: after })]);
      detect.send(second, request({}, ...spans(second * 10, 'a', 4, 0)));
    }
    assert.deepEqual(
      detect.events.map(({ attributes }) => attributes['signal.state']),
      ['healthy'],
      `${before} -> ${after}`,
    );
    assert.equal(detect.observer.report()[0]?.signals[0]?.value, 4);
  }
});

test('under a longer window evidence is of that window, not of all that ever was', () => {
  const detect = createDetect(contractOf([ERRORS], TIMES));
  const longer = [contractOf([ERRORS], { ...TIMES, window: '1m' })];
  const play = (from: number, to: number, name: string, bad: number) => {
    for (let second = from; second < to; second++) {
      detect.tick(second);
      detect.send(second, request({}, ...spans(second * 100, name, 20, bad)));
    }
  };
  play(0, 20, 'old', 20);
  detect.restart(longer);
  play(20, 300, 'other', 0);
  play(300, 400, 'new', 20);
  const breach = detect.events.at(-1)?.attributes;
  assert.deepEqual([breach?.['signal.state'], breach?.['signal.window']], ['breached', '1m']);
  assert.match(String(breach?.['signal.operations']), /^new 100\.0% of \d+$/);
  // At the change itself what is known stays.
  detect.restart([contractOf([ERRORS], { ...TIMES, window: '2m' })]);
  assert.deepEqual(
    detect.observer.report()[0]?.signals[0]?.operations.map(({ name }) => name),
    ['new'],
  );
});

test('two contracts whose signals share a name have states of their own, also after a restart, and metrics of the worse', async () => {
  const of = (name: string) => contractOf([ERRORS], { ...TIMES, where: { 'span.name': name } });
  const [a, b] = [of('a'), of('b')];
  const detect = createDetect(a, b);
  for (let second = 0; second < 12; second++) {
    detect.tick(second);
    const sent = [...spans(second * 100, 'a', 10, 9), ...spans(second * 100 + 50, 'b', 10, 0)];
    detect.send(second, request({}, ...sent));
  }
  const shown = async () => [
    detect.observer.report().map(({ state }) => state),
    (await detect.telemetry.contractState.get()).values.map(({ value }) => value),
  ];
  assert.deepEqual(await shown(), [['breached', 'healthy'], [3]]);
  detect.restart([a, b]);
  assert.deepEqual(await shown(), [['breached', 'healthy'], [3]]);
  detect.restart([b, a]);
  assert.deepEqual(await shown(), [['healthy', 'breached'], [3]]);
  const [summary] = detect.observer.tick(NOW_MS + 20_000, false).filter(({ stream }) => stream === 'summaries');
  const points = itemsOf('metrics', decoded('metrics', summary?.bytes ?? Buffer.alloc(0))).map(({ item }) =>
    list((item.gauge as Plain).dataPoints).map(({ asDouble, asInt }) => Number(asDouble ?? asInt)),
  );
  assert.deepEqual(points, [[0.9], [3]], 'one of each');
  // What the one measures has changed; it goes on from its own state.
  detect.restart([b, of('c')]);
  assert.deepEqual(await shown(), [['healthy', 'breached'], [3]]);
});

test('what the agent did not watch is no missing data: after a pause of its own, or of a signal that is new, nothing is told of it for a window', () => {
  const rate = { name: 'traffic', of: 'spans', rate: true, breached: 'below 2/s' };
  const plan = contractOf([ERRORS, rate], TIMES);
  const detect = createDetect(plan);
  const play = (from: number, to: number, count: number) => {
    for (let second = from; second < to; second++) {
      detect.tick(second);
      if (count > 0) detect.send(second, request({}, ...spans(second * 100, 'a', count, 0)));
    }
  };
  play(0, 30, 10);
  detect.restart();
  play(90, 130, 10);
  const told = () => detect.events.map(({ name, attributes }) => [name.split('.').at(-1), attributes['signal.name']]);
  const healthy = [['state_changed', 'traffic']];
  assert.deepEqual(told(), healthy);
  // It came back, and the service did not.
  detect.restart();
  play(210, 219, 0);
  assert.deepEqual(told(), healthy);
  play(219, 240, 0);
  const missing = [
    ['no_data', 'errors'],
    ['no_data', 'traffic'],
  ];
  assert.deepEqual(told(), [...healthy, ...missing]);
  assert.equal(detect.observer.report()[0]?.signals[0]?.frozen, true);
  // Another definition: nobody knows yet whether anything comes.
  detect.restart([contractOf([{ ...ERRORS, where: { 'span.name': 'b' } }, rate], TIMES)]);
  play(240, 249, 0);
  assert.deepEqual(told(), [...healthy, ...missing]);
});

test('of a long pause the first minute is judged second by second, not all of it: what had begun before is told', () => {
  const plan = contractOf([ERRORS], { ...TIMES, window: '10m', for: '30s' });
  const detect = createDetect(plan);
  for (let second = 0; second < 20; second++) {
    detect.tick(second);
    detect.send(second, request({}, ...spans(second * 100, 'a', 10, second < 10 ? 0 : 10)));
  }
  assert.equal(detect.observer.report()[0]?.state, 'healthy');
  let judged = 0;
  // Read once for each judgement, to see whether the limits are the same.
  Object.defineProperty(plan.signals[0], 'budget', {
    get() {
      judged++;
      return null;
    },
  });
  detect.tick(3400);
  assert.ok(judged > 30 && judged < 90, `${judged} seconds`);
  assert.deepEqual(
    detect.events.map(({ attributes, atMs }) => [attributes['signal.state'], atMs < NOW_MS + 90_000]),
    [
      ['healthy', true],
      ['degraded', true],
    ],
  );
});

test('late items are counted and not judged', async () => {
  const detect = createDetect(contractOf([ERRORS], { ...TIMES, late_after: '1m' }));
  const old = {
    endTimeUnixNano: String(BigInt(NOW_MS - 90_000) * 1_000_000n),
    startTimeUnixNano: String(BigInt(NOW_MS - 91_000) * 1_000_000n),
  };
  detect.tick(0);
  detect.send(0, request({}, span(1, old), span(2)));
  detect.tick(1);
  assert.equal(detect.observer.report()[0]?.signals[0]?.items, 1);
  assert.deepEqual(
    (await detect.telemetry.contractUnjudged.get()).values.map(({ labels, value }) => [labels, value]),
    [[{ service: 'shop', signal: 'errors', reason: 'late' }, 1]],
  );
});

test('items of instances beyond the bound are counted and not judged', async () => {
  const detect = createDetect(contractOf([ERRORS], { ...TIMES, per: 'service.instance.id' }));
  detect.tick(0);
  for (let i = 0; i < 1002; i++)
    detect.send(0, request({ 'service.instance.id': `pod-${i}` }, ...spans(i * 3, 'a', 3, 0)));
  const unjudged = async () =>
    (await detect.telemetry.contractUnjudged.get()).values.map(({ labels, value }) => [labels, value]);
  assert.deepEqual(await unjudged(), [[{ service: 'shop', signal: 'errors', reason: 'instances' }, 6]]);
  detect.tick(1);
  assert.equal(detect.observer.report()[0]?.signals[0]?.instances?.length, 1000);
});

test('contracts that differ in namespace or environment alone have metrics of their own', async () => {
  const eu = contractOf([ERRORS], { ...TIMES, namespace: 'eu' });
  const staging = contractOf([ERRORS], { ...TIMES, namespace: 'eu', environment: 'staging', late_after: '1m' });
  const detect = createDetect(contractOf([ERRORS], { ...TIMES, namespace: 'us' }), eu, staging);
  detect.tick(0);
  for (let second = 0; second < 6; second++) {
    const attributes = { 'service.namespace': 'eu', 'deployment.environment.name': 'live' };
    detect.send(second, request(attributes, ...spans(second * 100, 'a', 10, 9)));
    detect.tick(second + 1);
  }
  const states = (await detect.telemetry.contractState.get()).values.map(({ labels, value }) => [labels, value]);
  assert.deepEqual(states, [
    [{ service: 'shop', service_namespace: 'us', signal: 'errors' }, 0],
    [{ service: 'shop', service_namespace: 'eu', signal: 'errors' }, 3],
    [{ service: 'shop', service_namespace: 'eu', environment: 'staging', signal: 'errors' }, 0],
  ]);
});

test('a span that is sent again counts twice: nothing remembers them all', () => {
  const detect = createDetect(contractOf([ERRORS], TIMES));
  const same = request({}, ...spans(0, 'a', 10, 4));
  detect.tick(0);
  detect.send(0, same);
  detect.tick(1);
  const shown = () => detect.observer.report()[0]?.signals[0];
  assert.deepEqual([shown()?.items, shown()?.value], [10, 0.4]);
  detect.send(0, same);
  detect.tick(2);
  assert.deepEqual([shown()?.items, shown()?.value], [20, 0.4]);
});

const ns = (atS: number) => String(BigInt(NOW_MS + atS * 1000) * 1_000_000n);
const hex = (bytes: number, n: number) => Buffer.from(n.toString(16).padStart(bytes * 2, '0'), 'hex');

function exemplar(atS: number, trace: number, value: number): Plain {
  return { timeUnixNano: ns(atS), asDouble: value, traceId: hex(16, trace), spanId: hex(8, trace) };
}

function metrics(resource: Record<string, string>, ...list: Plain[]): Uint8Array {
  const type = requestType('metrics');
  const attributes = Object.entries({ 'service.name': 'shop', ...resource }).map(([key, stringValue]) => ({
    key,
    value: { stringValue },
  }));
  return type
    .encode(type.fromObject({ resourceMetrics: [{ resource: { attributes }, scopeMetrics: [{ metrics: list }] }] }))
    .finish();
}

const point = (atS: number, attributes: Record<string, string>, more: Plain): Plain => ({
  timeUnixNano: ns(atS),
  startTimeUnixNano: ns(atS - 1),
  attributes: Object.entries(attributes).map(([key, stringValue]) => ({ key, value: { stringValue } })),
  ...more,
});

test('an event about a metric names the series that are worst, and traces of exemplars over the limit', () => {
  const backlog = { name: 'backlog', metric: 'queue.depth', take: 'last', breached: 'above 1000' };
  const detect = createDetect(contractOf([backlog], TIMES));
  for (let second = 0; second < 6; second++) {
    detect.tick(second);
    for (const pod of ['pod-1', 'pod-2']) {
      const at = (queue: string, asDouble: number, trace: number) =>
        point(second, { queue }, { asDouble, exemplars: [exemplar(second, trace, asDouble)] });
      const bad = second > 1 && pod === 'pod-2' ? 4000 : 20;
      const dataPoints = [
        at('orders', bad, 100 + second),
        at('mail', bad > 20 ? 1200 : 5, 200 + second),
        at('x', 900, 9),
      ];
      detect.send(
        second,
        metrics({ 'service.instance.id': pod }, { name: 'queue.depth', gauge: { dataPoints } }),
        'metrics',
      );
    }
  }
  detect.tick(6);
  const breach = detect.events.find(({ attributes }) => attributes['signal.state'] === 'breached');
  assert.deepEqual(breach?.attributes['signal.series'], [
    'queue=orders, service.instance.id=pod-2 4000',
    'queue=mail, service.instance.id=pod-2 1200',
  ]);
  assert.equal(breach?.attributes['signal.operations'], undefined);
  assert.match(breach?.body ?? '', /; most by queue=orders, service.instance.id=pod-2 4000, queue=mail/);
  const ids = (...traces: number[]) => traces.map((trace) => hex(16, trace).toString('hex'));
  const known = [...ids(102, 103, 104, 105), ...ids(202, 203, 204, 205)];
  const traces = breach?.attributes['trace.ids'] as string[];
  assert.ok(traces.length > 0 && traces.every((id) => known.includes(id)), `${traces}: of points over the limit alone`);
  detect.restart();
  const [signal] = detect.observer.report()[0]?.signals ?? [];
  assert.deepEqual(
    signal?.series.map(({ name, value }) => [name, value]),
    [
      ['queue=orders, service.instance.id=pod-2', 4000],
      ['queue=mail, service.instance.id=pod-2', 1200],
    ],
  );
});

test('a counter that says nonsense makes an event as any other', () => {
  const calls = { name: 'calls', metric: 'calls', bad: { code: 500 }, breached: 'above 50%' };
  for (const [from, to] of [
    [-1.7e308, 1.7e308],
    [0, 1e19],
  ] as const) {
    const detect = createDetect(contractOf([calls], TIMES));
    detect.tick(0);
    detect.send(0, counter('pod-1', from, 1), 'metrics');
    detect.send(1, counter('pod-1', to, 2), 'metrics');
    detect.tick(2);
    const [event] = detect.events;
    assert.deepEqual([event?.attributes['signal.state'], event?.attributes['signal.items']], ['healthy', 2 ** 53 - 1]);
  }
});

test('an event about a share of a histogram names the series with most beyond the limit, and the slow exemplars', () => {
  const slow = { name: 'slow', metric: 'latency', slower_than: '300ms', breached: 'above 20%' };
  const detect = createDetect(contractOf([slow], TIMES));
  const histogram = (second: number, route: string, counts: number[], exemplars: Plain[]) =>
    point(second, { route }, { count: 10, sum: 1, bucketCounts: counts, explicitBounds: [0.3], exemplars });
  for (let second = 0; second < 6; second++) {
    detect.tick(second);
    // The last two: an old one, and one whose ids are all zero.
    const exemplars = [
      exemplar(second, 2, 0.2),
      exemplar(second, 3, 0.9),
      exemplar(-50, 4, 0.9),
      exemplar(second, 0, 0.9),
    ];
    const dataPoints = [
      histogram(second, '/fast', [10, 0], [exemplar(second, 1, 0.1)]),
      histogram(second, '/slow', [1, 9], exemplars),
    ];
    const data = { dataPoints, aggregationTemporality: 1 };
    detect.send(second, metrics({}, { name: 'latency', unit: 's', histogram: data }), 'metrics');
  }
  detect.tick(6);
  const breach = detect.events.find(({ attributes }) => attributes['signal.state'] === 'breached');
  assert.match(String(breach?.attributes['signal.series']), /^route=\/slow 90\.0% of \d+$/);
  assert.deepEqual(breach?.attributes['trace.ids'], [hex(16, 3).toString('hex')], 'slow, and of this point');
});

test('a signal for which nothing came has a state and no value, but a rate of spans, which is 0', () => {
  const rate = { name: 'traffic', of: 'spans', rate: true, breached: 'below 1/s' };
  const metric = { name: 'jobs', metric: 'jobs', rate: true, breached: 'below 1/s' };
  const plan = contractOf([ERRORS, rate, metric], TIMES);
  const detect = createDetect(plan);
  const sent = [100, 101, 102, 110, 111, 112, 120].flatMap((atS) => detect.observer.tick(NOW_MS + atS * 1000, false));
  const summaries = sent.filter(({ stream }) => stream === 'summaries');
  const told = itemsOf('metrics', decoded('metrics', summaries[1]?.bytes ?? Buffer.alloc(0))).map(({ item }) => [
    item.name,
    list((item.gauge as Plain).dataPoints).map(({ attributes }) => plain(attributes)['signal.name']),
  ]);
  assert.deepEqual(told, [
    ['plumbline.contract.value', ['traffic']],
    ['plumbline.contract.state', ['errors', 'traffic', 'jobs']],
  ]);
  assert.equal(sent[0]?.items, 4);
  const [report] = detect.observer.report();
  assert.deepEqual(
    report?.signals.map(({ value }) => value),
    [null, 0, null],
  );
});

for (const isRestarted of [false, true]) {
  const what = isRestarted ? 'while the agent is down' : 'while the agent runs';
  test(`a clock that is set back by an hour ${what} holds no judgement up, and a contract that is broken stays so`, () => {
    const detect = createDetect(contractOf([ERRORS], TIMES));
    const bad = (second: number) => detect.send(second, request({}, ...spans(second * 100 + 1e6, 'a', 10, 9)));
    for (let second = 0; second < 6; second++) {
      detect.tick(second);
      bad(second);
    }
    detect.tick(6);
    const states = () => detect.events.map(({ attributes }) => attributes['signal.state']);
    assert.deepEqual(states(), ['breached']);
    if (isRestarted) {
      detect.restart();
      // What came behind the checkpoint is merged again: no time is set back by that.
      detect.tick(5);
      detect.observer.resume?.();
    }
    for (let second = -3600; second < -3580; second++) {
      detect.tick(second);
      if (second < -3597) bad(second);
      else detect.send(second, request({}, ...spans(second * 100 + 1e6, 'a', 10, 0)));
    }
    assert.deepEqual(states(), ['breached', 'degraded', 'healthy']);
    const [signal] = detect.observer.report()[0]?.signals ?? [];
    assert.equal(signal?.items, 100);
    assert.ok(Date.parse(signal?.since ?? '') < NOW_MS, `${signal?.since}`);
    assert.deepEqual(
      [...detect.breaches.values()].flat().map(({ sinceMs, untilMs }) => sinceMs < untilMs && untilMs < NOW_MS),
      [true],
    );
  });
}

test('what a start goes over again in another order than it came is no clock that is set back', () => {
  const detect = createDetect(contractOf([ERRORS], TIMES));
  for (const second of [0, 1, 2, 3, 4, 5, 2, 6]) {
    detect.tick(second);
    detect.send(second, request({}, ...spans(second * 100, 'a', 10, 0)));
  }
  detect.tick(7);
  assert.equal(detect.observer.report()[0]?.signals[0]?.items, 80);
});
