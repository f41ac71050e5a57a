/** Holds src/contracts/contract.ts, read.ts, match.ts and measure.ts from a file's text to what is counted. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ContractPlan } from '../../src/contracts/plan.ts';
import { adviceOfContracts, readContracts } from '../../src/contracts/read.ts';
import { readMeasurements } from '../../src/contracts/rows.ts';
import type { Plain } from '../otlp/generate.ts';
import { createWorld, logs, NOW_MS, plainly, type Sent, span, traces } from '../worker/world.ts';

function read(t: TestContext, text: string) {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-contract-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'shop.yaml');
  writeFileSync(file, text);
  const { plans, faults } = readContracts([file]);
  return { plans, faults: faults.map((fault) => fault.replace(folder, '')) };
}

const contract = (signal: object, more: object = {}) =>
  JSON.stringify({
    contract: 'v1',
    service: 'shop',
    signals: [{ name: 's', of: 'spans', breached: 'above 5%', ...signal }],
    ...more,
  });

function plan(t: TestContext, signal: object, more: object = {}): ContractPlan {
  const { plans, faults } = read(t, contract(signal, more));
  assert.deepEqual(faults, []);
  return plans[0] as ContractPlan;
}

/** Items and bad items of the contract's first signal over the requests. */
function measure(plans: ContractPlan[], ...sent: Sent[]): [items: number, bad: number] {
  const world = createWorld({ processors: [{ type: 'detect' }], contracts: plans });
  const { result } = world.observe(sent);
  const [section] = result.measured?.sections ?? [];
  const tables = section && readMeasurements(new DataView(world.pool.handle.memory), section.at, section.end);
  if (!tables) return [0, 0];
  assert.equal(tables.identity[0], plans[0]?.signals[0]?.key);
  return [tables.numbers[0] ?? 0, tables.numbers[1] ?? 0];
}

test('every fault is said with file, line and column', (t) => {
  const lines = [
    'contract: v1',
    'service: shop',
    'signals:',
    '  - name: a',
    '    of: spans',
    '    bad: { status: error }',
    '    breached: 5%',
    '    degraded: above 9%',
    '  - name: a',
    '    of: logs',
    '    slower_than: 3ms',
    '    breached: above 2%',
    '    degraded: above 3%',
  ];
  assert.deepEqual(
    read(t, lines.join('\n')).faults.map((fault) => fault.split(': ')[0]),
    ['/shop.yaml:7:15', '/shop.yaml:9:11', '/shop.yaml:11:18', '/shop.yaml:13:15'],
  );
  const [unknown] = read(t, `${lines.slice(0, 6).join('\n')}\n    breached: above 5%\n    breeched: above 5%`).faults;
  assert.match(unknown ?? '', /^\/shop\.yaml:8:5: unknown key "breeched".*"breached"/);
  assert.match(read(t, contract({})).faults[0] ?? '', /exactly one of bad, slower_than, rate, take, silent_for/);
  assert.match(read(t, contract({ bad: { status: 'error' }, slower_than: '1s' })).faults[0] ?? '', /exactly one of/);
  const ofBad = (bad: unknown) => read(t, contract({ bad })).faults.map((fault) => fault.replace(/^[^ ]* /, ''));
  const scalar = 'must be a text or a number or true or false';
  assert.deepEqual(ofBad({ x: null }), [`signals.0.bad.x ${scalar} or a list or a map, found nothing`]);
  assert.deepEqual(ofBad([{ x: { not: [{}] } }]), [`signals.0.bad.0.x.not.0 ${scalar}, found a map`]);
  assert.deepEqual(ofBad({ x: { gt: 'a' } }), ['signals.0.bad.x.gt must be a number, found "a"']);
  assert.deepEqual(ofBad(5), ['signals.0.bad must be a map or a list, found 5']);
  for (const number of ['.nan', '.inf', '-.inf', '1e999']) {
    const { faults } = read(
      t,
      `${lines.slice(0, 5).join('\n')}\n    bad: { status: ${number} }\n    breached: above 5%`,
    );
    assert.match(
      faults.join('\n'),
      /^\/shop\.yaml:6:20: signals\.0\.bad\.status must be .*, found -?(NaN|Infinity)$/,
      number,
    );
  }
  const rate = { bad: undefined, rate: 'all', breached: 'above 1/s' };
  assert.deepEqual(
    read(t, contract(rate)).faults.map((fault) => fault.replace(/^[^ ]* /, '')),
    ['signals.0.rate must be true, found "all"'],
  );
  const wrongOf = (of: string) => read(t, contract({ of, bad: { status: 'error' } })).faults;
  for (const word of ['metrics', 'metric']) {
    const [fault, ...others] = wrongOf(word);
    assert.match(
      fault ?? '',
      /must be spans or logs, found "metrics?": a signal over metrics has "metric: NAME" instead/,
    );
    assert.deepEqual(others, []);
  }
  for (const word of ['span', 'trace', 'traces']) assert.match(wrongOf(word)[0] ?? '', /: did you mean "spans"\?$/);
  for (const word of ['log', 'records']) assert.match(wrongOf(word)[0] ?? '', /: did you mean "logs"\?$/);
  assert.match(wrongOf('items')[0] ?? '', /must be spans or logs, found "items"$/);
  assert.match(readContracts(['/nowhere/x.yaml']).faults[0] ?? '', /^\/nowhere\/x\.yaml cannot be read/);
  const here = import.meta.dirname;
  assert.deepEqual(readContracts([here]).faults, [
    `${here} cannot be read: it is a directory: name its files, as ${here}/*.yaml`,
  ]);
  assert.deepEqual(readContracts(['/nowhere/*.yaml']), { plans: [], files: [], faults: [] });
});

test('of a condition that is no condition the one fault is said, not that it might have been something else', (t) => {
  const faultsOf = (bad: object) => read(t, contract({ bad, breached: 'above 5%' } as never)).faults;
  for (const [bad, said] of [
    [{ x: { regex: '5' } }, /: unknown key "regex" in signals\.0\.bad\.x: known are gt/],
    [{ x: { gt: '5' } }, /: signals\.0\.bad\.x\.gt must be a number, found "5"$/],
    [[{ x: { gt: '5' } }], /: signals\.0\.bad\.0\.x\.gt must be a number, found "5"$/],
  ] as const) {
    const faults = faultsOf(bad);
    assert.equal(faults.length, 1, faults.join('\n'));
    assert.match(faults[0] ?? '', said);
  }
});

test('a limit that is never, or always, crossed is a fault', (t) => {
  const bad = { status: 'error' };
  const faultOf = (...entries: Parameters<typeof contract>) => read(t, contract(...entries)).faults[0] ?? '';
  assert.match(faultOf({ bad, breached: 'above 100%' }), /"above 100%" never holds: write for example "above 5%"$/);
  assert.match(faultOf({ bad, breached: 'below 0%' }), /"below 0%" never holds: write for example/);
  assert.equal(faultOf({ bad, breached: 'above 99.9%' }), '');
  assert.match(faultOf({ silent_for: '0s' }), /silent_for must be a duration above 0 such as .*, found "0s"$/);
  assert.match(faultOf({ bad: {}, breached: 'above 5%' }), /bad must not be empty$/);
});

test('a variable is a fault, with a default or without: a contract means the same everywhere', (t) => {
  const said =
    /^\/shop\.yaml:1:\d+: a "\$\{\.\.\.\}" that is no variable here: write the value itself, or \$\$\{ for the text/;
  for (const service of ['${env:HOME}', '${env:NONE:-shop}']) {
    const { faults } = read(t, contract({ bad: { status: 'error' } }, { service }));
    assert.equal(faults.length, 1, faults.join('\n'));
    assert.match(faults[0] ?? '', said);
  }
  const { plans } = read(t, contract({ bad: { status: 'error' } }, { service: '$${shop}' }));
  assert.equal(plans[0]?.service, '${shop}');
});

test('a signal that stands in two contracts is told with both files', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-contract-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const files = ['a.yaml', 'b.yaml'].map((name) => join(folder, name));
  const told = (...texts: string[]) => {
    texts.forEach((text, i) => {
      writeFileSync(files[i] as string, text);
    });
    const { faults, files: read } = readContracts(files);
    return { faults, advice: adviceOfContracts(read).map((line) => line.split(': metrics')[0]) };
  };
  const errors = contract({ bad: { status: 'error' } });
  const fault = `${files[1]}: signal "s" of service shop stands in ${files[0]}, too: leave it in one`;
  assert.deepEqual(told(errors, errors).faults, [fault]);
  // Other things under one name can be measured, and hardly told of.
  const pay = contract({ bad: { status: 'error' } }, { where: { 'http.route': '/pay' } });
  const advice = `${files[1]}: signal "s" of service shop has the name of one in ${files[0]}`;
  assert.deepEqual(told(errors, pay), { faults: [], advice: [advice] });
  const none = { faults: [], advice: [] };
  assert.deepEqual(told(errors, contract({ bad: { status: 'error' } }, { environment: 'prod' })), none);
  assert.deepEqual(told(errors, contract({ name: 'pay', bad: { status: 'error' } })), none);
});

test('thresholds, windows and defaults are what was written', (t) => {
  const made = plan(
    t,
    { bad: { status: 'error' }, breached: '> 5%', degraded: 'above 0.5%', window: '2m' },
    { for: '3s' },
  );
  const [signal] = made.signals;
  assert.deepEqual(
    [signal?.degraded, signal?.breached, signal?.windowMs, signal?.minItems],
    [0.005, 0.05, 120_000, 50],
  );
  assert.deepEqual(
    [signal?.forMs, signal?.recoverAfterMs, signal?.noData, made.lateAfterMs],
    [3000, 60_000, 'freeze', 120_000],
  );
  assert.equal(plan(t, { slower_than: '300ms' }).signals[0]?.slowerThanMs, 300);
});

test('a signal keeps its key while what it measures is the same', (t) => {
  const key = (signal: object, more: object = {}) =>
    plan(t, { bad: { status: 'error' }, ...signal }, more).signals[0]?.key;
  const first = key({});
  for (const [signal, more] of [
    [{ breached: 'above 9%' }, {}],
    [{ min_items: 3 }, {}],
    [{}, { for: '1s', owner: 'x' }],
  ] as const)
    assert.equal(key(signal, more), first);
  const others = [
    key({ name: 'x' }),
    key({ of: 'logs', bad: { severity: { gte: 17 } } }),
    key({ bad: { status: 'ok' } }),
    key({ where: { a: 1 } }),
    key({}, { service: 'x' }),
    key({}, { where: { b: 1 } }),
  ];
  assert.equal(new Set([first, ...others]).size, 7);
});

const attribute = (key: string, value: Plain) => ({ key, value });
const ITEM = span(1, {
  kind: 2,
  status: { code: 2 },
  name: 'GET /api/x',
  attributes: [
    attribute('text', { stringValue: 'hello' }),
    attribute('n', { intValue: '500' }),
    attribute('d', { doubleValue: 2.5 }),
    attribute('yes', { boolValue: true }),
    attribute('both', { stringValue: 'item' }),
    attribute('none', {}),
  ],
});

/** [condition, whether it holds for ITEM] */
const CONDITIONS: [Plain, boolean][] = [
  [{ text: 'hello' }, true],
  [{ text: 'hell' }, false],
  [{ n: 500 }, true],
  [{ n: 501 }, false],
  [{ d: 2.5 }, true],
  [{ yes: true }, true],
  [{ yes: false }, false],
  [{ text: ['a', 'hello'] }, true],
  [{ n: [1, 2] }, false],
  [{ text: [] }, false],
  [{ n: { gt: 499 } }, true],
  [{ n: { gt: 500 } }, false],
  [{ n: { gte: 500 } }, true],
  [{ n: { lt: 500 } }, false],
  [{ n: { lte: 500 } }, true],
  [{ n: { gt: 1, lt: 600 } }, true],
  [{ n: { gt: 1, lt: 5 } }, false],
  [{ text: { gt: 1 } }, false],
  [{ text: { like: 'h*o' } }, true],
  [{ text: { like: '*ell*' } }, true],
  [{ text: { like: 'h*l' } }, false],
  [{ text: { like: 'hello*' } }, true],
  [{ text: { like: 'hel*lo*o' } }, false],
  [{ n: { like: '5*' } }, false],
  [{ text: { exists: true } }, true],
  [{ gone: { exists: true } }, false],
  [{ gone: { exists: false } }, true],
  [{ none: { exists: true } }, false],
  [{ text: { not: 'hello' } }, false],
  [{ text: { not: ['a', 'b'] } }, true],
  [{ gone: { not: 'x' } }, true],
  [{ n: { gte: 400, not: [404, 500] } }, false],
  [{ 'span.kind': 'server' }, true],
  [{ 'span.kind': 'SERVER' }, true],
  [{ 'span.kind': 2 }, true],
  [{ 'span.kind': 'client' }, false],
  [{ 'span.kind': { not: ['client', 'internal'] } }, true],
  [{ status: 'error' }, true],
  [{ status: { not: 'error' } }, false],
  [{ 'span.name': { like: 'GET *' } }, true],
  [{ 'attr.body': { exists: true } }, false],
  [{ 'service.name': 'shop' }, true],
  [{ 'resource.service.name': 'shop' }, true],
  [{ 'attr.service.name': 'shop' }, false],
  [{ both: 'item' }, true],
  [{ 'attr.both': 'item' }, true],
  [{ 'resource.both': 'item' }, false],
  [{ text: 'hello', n: 1 }, false],
];

test('every operator, list, place and intrinsic means what the contract says', (t) => {
  for (const [condition, holds] of CONDITIONS) {
    const made = plan(t, { bad: condition });
    assert.deepEqual(measure([made], plainly(traces(ITEM))), [1, Number(holds)], JSON.stringify(condition));
  }
});

test('a key with the name of something every object has is a key like any other', {}, (t) => {
  for (const key of ['constructor', 'toString', 'valueOf'])
    assert.deepEqual(measure([plan(t, { bad: { [key]: 'x' } })], plainly(traces(ITEM))), [1, 0]);
});

test('a kind or status that does not exist is a fault of the file', {}, (t) => {
  for (const status of ['eror', { not: 'eror' }, { like: 'err*' }])
    assert.notDeepEqual(read(t, contract({ bad: { status } })).faults, []);
});

test('a severity that is no number is a fault that says the number', (t) => {
  const faults = (severity: unknown) => read(t, contract({ of: 'logs', bad: { severity } })).faults.join('\n');
  for (const severity of ['ERROR', 'error', { not: 'ERROR' }, [13, 'Error'], { like: 'ERR*' }])
    assert.match(faults(severity), /severity is a number.*17 ERROR/, JSON.stringify(severity));
  assert.match(faults('WARN'), /write \{ gte: 13 \} for WARN/);
  assert.match(faults('warning'), /severity is a number/);
  for (const severity of [17, [17, 21], { gte: 17 }, { not: 9 }, { exists: true }]) assert.equal(faults(severity), '');
});

test('an example whose telemetry could never be what is written is a fault of the file', (t) => {
  const faults = (example: object) => {
    const examples = [{ name: 'e', expect: { s: 'healthy' }, ...example }];
    return read(t, contract({ bad: { status: 'error' } }, { examples })).faults.map((fault) => fault.split(': ')[1]);
  };
  const wrong: [example: object, says: RegExp][] = [
    [{ spans: { set: { status: 'eror' } } }, /^"eror" is no status/],
    [{ spans: [{}, { vary: { '50%': { 'span.kind': 'sever' } } }] }, /^"sever" is no span.kind/],
    [{ spans: { vary: { '50%': { duration: '2 sec' } } } }, /^"2 sec" is no duration/],
    [{ spans: { set: { duration: 5 } } }, /^"5" is no duration/],
    [{ spans: { vary: { '150%': { a: 1 } } } }, /^150% is more than all of them/],
    [{ logs: { vary: { '70%': { a: 1 }, '40%': { a: 2 } } } }, /^70% and 40% is more than all of them/],
    [{ logs: { set: { severity: 'ERROR' } } }, /^severity is a number and never "ERROR"/],
    [{ metrics: { name: 'm', type: 'sum', vary: { '50%': { value: 'x' } } } }, /^the value of a metric is a number/],
    [{ metrics: { name: 'm', type: 'sum', over: '5s' } }, /^no point comes/],
  ];
  for (const [example, says] of wrong) {
    const [fault, ...others] = faults(example);
    assert.match(fault ?? '', says);
    assert.deepEqual(others, []);
  }
  const right = {
    spans: { set: { status: 'Error', 'span.kind': 2, severity: 'high' }, vary: { '10%': { duration: '2s' } } },
    logs: { set: { severity: 17, body: 'x' }, vary: Object.fromEntries([1, 2].map((i) => [`${i * 30}.0%`, { i }])) },
    metrics: { name: 'm', type: 'gauge', set: { status: 'fine' }, vary: { '50%': { value: 3 } } },
  };
  assert.deepEqual(faults(right), []);
});

test('items are counted by service and where, bad ones when any of the conditions holds', (t) => {
  const made = plan(
    t,
    { bad: [{ status: 'error' }, { n: { gte: 500 } }], where: { 'span.kind': 'server' } },
    { where: { 'span.name': { like: 'GET *' } } },
  );
  const server = { kind: 2, name: 'GET /' };
  const spans = [
    span(1, server),
    span(2, { ...server, status: { code: 2 } }),
    span(3, { ...server, attributes: [attribute('n', { intValue: 501 })] }),
    span(4, { kind: 3, name: 'GET /' }),
    span(5, { kind: 2, name: 'POST /' }),
  ];
  assert.deepEqual(measure([made], plainly(traces(...spans))), [3, 2]);
  assert.deepEqual(measure([{ ...made, service: 'other' }], plainly(traces(...spans))), [0, 0]);
});

test('slow is slower than, not as slow as; late items are not judged; a th counts for those it stands for', (t) => {
  const slow = plan(t, { slower_than: '300ms' });
  assert.deepEqual(measure([slow], plainly(traces(span(1, {}, 300), span(2, {}, 301), span(3, {}, 10)))), [3, 1]);
  const at = (ms: number) => ({
    startTimeUnixNano: String(BigInt(NOW_MS - ms) * 1_000_000n),
    endTimeUnixNano: String(BigInt(NOW_MS - ms) * 1_000_000n),
  });
  assert.deepEqual(measure([slow], plainly(traces(span(1, at(120_000)), span(2, at(121_000))))), [1, 0]);
  const errors = plan(t, { bad: { status: 'error' } });
  assert.deepEqual(
    measure(
      [errors],
      plainly(traces(span(1, { traceState: 'ot=th:c' }), span(2, { status: { code: 2 }, traceState: 'ot=th:8' }))),
    ),
    [6, 2],
  );
});

test('logs are judged by severity and body', (t) => {
  const made = plan(t, { of: 'logs', bad: [{ severity: { gte: 17 } }, { body: { like: '*timeout*' } }] });
  const body = (stringValue: string) => ({ body: { stringValue } });
  const sent = {
    signal: 'logs' as const,
    bytes: logs({ severityNumber: 17 }, { severityNumber: 9, ...body('x timeout y') }, body('ok'), {
      ...body('z'.repeat(200)),
    }),
  };
  assert.deepEqual(measure([made], sent), [4, 2]);
});

test('one span with the largest threshold does not make a window infinite', {}, (t) => {
  const [items] = measure(
    [plan(t, { bad: { status: 'error' } })],
    plainly(traces(span(1, { traceState: 'ot=th:ffffffffffffff' }))),
  );
  assert.ok(Number.isFinite(items), `counted ${items}`);
});
