/** Holds `plumbline check`: real SDK traffic for every exit status, files of every kind, and reports in every format. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { runCommand } from '../../src/cli/commands.ts';
import { processContext } from '../../src/cli/context.ts';
import { toOtlpJson } from '../../src/otlp/json.ts';
import { requestType } from '../../src/otlp/schema.ts';
import { logs, service, span } from '../worker/world.ts';
import { fakeWorld } from './context.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SERVICE = fileURLToPath(new URL('./check/service.ts', import.meta.url));
const CONTRACT = `contract: v1
service: checkout
signals:
  - name: errors
    of: spans
    where: { span.kind: server }
    bad: { status: error }
    degraded: above 0.5%
    breached: above 2%
`;

function folder(t: TestContext, files: Record<string, string | Uint8Array> = {}): string {
  const directory = mkdtempSync(join(tmpdir(), 'plumbline-check-test-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(directory, name, '..'), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
  return directory;
}

/** Runs the command with the real agent; what it prints is kept. */
async function check(...args: string[]): Promise<{ status: number; stdout: string; first: string; stderr: string }> {
  const real = processContext();
  const world = fakeWorld({ start: real.start, components: real.components, env: process.env });
  const status = await runCommand(['check', ...args], world.context);
  return { status, stdout: world.stdout(), first: world.stdout().split('\n')[0] ?? '', stderr: world.stderr() };
}

const sdk = (...numbers: number[]) => ['--', process.execPath, SERVICE, ...numbers.map(String)];

test('real SDK traffic that keeps the contract: exit status 0, and what the command printed is on stderr', async (t) => {
  const contract = join(folder(t, { 'c.yaml': CONTRACT }), 'c.yaml');
  const { status, first, stderr } = await check(contract, ...sdk(400, 1));
  assert.deepEqual([status, first], [0, 'kept: all 1 signals hold'], stderr);
  assert.match(stderr, /the service is done/);
});

test('real SDK traffic that breaks it: exit status 1, the reason on the first line', async (t) => {
  const contract = join(folder(t, { 'c.yaml': CONTRACT }), 'c.yaml');
  const { status, first } = await check(contract, ...sdk(400, 80));
  assert.equal(status, 1);
  assert.match(
    first,
    /^broken: checkout errors: 20\.0% of 400 items bad \(between 16\.\d% and 23\.\d%\), limit above 2%$/,
  );
});

test('real SDK traffic that proves nothing: exit status 3, and how many items would be enough', async (t) => {
  const contract = join(folder(t, { 'c.yaml': CONTRACT }), 'c.yaml');
  const { status, first } = await check(contract, ...sdk(10, 0));
  assert.equal(status, 3);
  // 0.98^148 > 5 % >= 0.98^149
  assert.match(first, /^not enough data: checkout errors: 0% of 10 items bad .*; 149 would be enough at this share$/);
});

test('no proxy stands between the command and the agent', async (t) => {
  const contract = join(folder(t, { 'c.yaml': CONTRACT }), 'c.yaml');
  const real = processContext();
  const program = 'console.log(`${process.env.NO_PROXY} ${process.env.no_proxy}`)';
  for (const [given, printed] of [
    [{ NO_PROXY: '', no_proxy: '' }, '127.0.0.1 127.0.0.1\n'],
    [{ NO_PROXY: '.corp' }, '.corp,127.0.0.1 .corp,127.0.0.1\n'],
  ] as const) {
    const env = { ...process.env, HTTP_PROXY: 'http://proxy:3128', ...given };
    const world = fakeWorld({ start: real.start, components: real.components, env });
    await runCommand(['check', contract, '--', process.execPath, '-e', program], world.context);
    assert.equal(world.stderr(), printed);
  }
});

test('a command that fails is no proof, whatever it sent', async (t) => {
  const contract = join(folder(t, { 'c.yaml': CONTRACT }), 'c.yaml');
  const { status, first } = await check(contract, ...sdk(400, 0, 7));
  assert.deepEqual([status, first], [1, 'broken: the command ended with 7']);
});

test('a command is over when it ends, whatever it has left running in the background', async (t) => {
  const directory = folder(t, { 'c.yaml': CONTRACT });
  const left = 'process.stdout.write(`left ${process.pid}\\n`); setTimeout(() => undefined, 600_000)';
  const program = `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(left)}], { stdio: ['ignore', 'pipe', 'inherit'] })
    .stdout.once('data', (text) => { console.log(String(text)); process.exit(5); });`;
  const { status, stderr } = await check(join(directory, 'c.yaml'), '--', process.execPath, '-e', program);
  const pid = Number(/left (\d+)/.exec(stderr)?.[1]);
  process.kill(pid);
  assert.equal(status, 1);
});

test('a command that sends nothing proves nothing, and one that fails has failed', async (t) => {
  const contract = join(folder(t, { 'c.yaml': CONTRACT }), 'c.yaml');
  const silent = await check(contract, '--', process.execPath, '-e', '0');
  assert.deepEqual([silent.status, silent.first.split(':')[0]], [3, 'not enough data'], silent.stderr);
  const failed = await check(contract, '--', process.execPath, '-e', 'process.exit(7)');
  assert.deepEqual([failed.status, failed.first], [1, 'broken: the command ended with 7'], failed.stderr);
  const { stdout: json } = await check(contract, '--json', '--', process.execPath, '-e', '0');
  assert.equal(JSON.parse(json).signals[0].value, null, 'a share of nothing is no number');
});

test('the command sends to the agent whatever its environment says of single signals, and is ended with it', async (t) => {
  const contract = join(folder(t, { 'c.yaml': CONTRACT }), 'c.yaml');
  const real = processContext();
  const elsewhere = {
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://elsewhere',
    OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: 'grpc',
  };
  const env = { ...process.env, ...elsewhere, OTEL_SERVICE_NAME: 'kept' };
  const printed = Promise.withResolvers<string>();
  const world = fakeWorld({ start: real.start, components: real.components, env, stderr: printed.resolve });
  const program = `
    process.stdout.write(Object.keys(process.env).filter((name) => name.startsWith('OTEL_')).sort().join(' '));
    setInterval(() => {}, 1000);`;
  const ended = runCommand(['check', contract, '--', process.execPath, '-e', program], world.context);
  const names = ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_PROTOCOL', 'OTEL_SERVICE_NAME'];
  assert.equal(await printed.promise, names.join(' '));
  world.signal('SIGTERM');
  assert.equal(await ended, 1);
  assert.match(world.stdout(), /^broken: the command ended with SIGTERM$/m);
});

test('a bad contract is exit status 2 with file, line and column; so is bad usage', async (t) => {
  const directory = folder(t, { 'c.yaml': CONTRACT.replace('breached', 'breeched'), 'ok.yaml': CONTRACT });
  const bad = await check(join(directory, 'c.yaml'), '--input', directory);
  assert.equal(bad.status, 2);
  assert.match(bad.stderr, /c\.yaml:\d+:\d+: unknown key "breeched".*did you mean "breached"/);
  const ok = join(directory, 'ok.yaml');
  assert.equal((await check()).status, 2);
  assert.equal((await check(ok)).status, 2);
  assert.match((await check(ok, '--input', '/nowhere')).stderr, /\/nowhere cannot be read/);
  assert.match((await check(ok, '--input', directory, '--format', 'tables')).stderr, /did you mean "table"/);
  assert.match((await check(ok, '--', '/nowhere/x')).stderr, /\/nowhere\/x cannot be run/);
});

const spans = (count: number, bad: number) =>
  service(
    'checkout',
    ...Array.from({ length: count }, (_, i) => span(i, { kind: 2, status: { code: i < bad ? 2 : 0 } })),
  );

function requestOf(signal: 'traces' | 'metrics', plain: object): Uint8Array {
  const type = requestType(signal);
  return type.encode(type.fromObject(plain)).finish();
}

const named = (names: Record<string, string>) => ({
  attributes: Object.entries(names).map(([key, stringValue]) => ({ key, value: { stringValue } })),
});

function framed(...records: Uint8Array[]): Buffer {
  return Buffer.concat(
    records.flatMap((record) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(record.length);
      return [length, record];
    }),
  );
}

test('files of the storage sink and of the Collector are read: protobuf and JSON, plain, gzip and zstd, whole or by record', async (t) => {
  const request = spans(200, 0);
  const line = Buffer.from(toOtlpJson('traces', request));
  const files: Record<string, Uint8Array> = {
    'a.binpb': framed(request, request),
    'b.binpb.zst': zstdCompressSync(framed(request, request)),
    'c.binpb.gz': gzipSync(framed(request, request)),
    'd.jsonl': Buffer.concat([line, Buffer.from('\n'), line]),
    // As editors and shells of Windows write it.
    'windows.jsonl': Buffer.concat([Buffer.from('\ufeff'), line, Buffer.from('\r\n'), line, Buffer.from('\r\n{}\r\n')]),
    'e.jsonl.zst': zstdCompressSync(Buffer.concat([line, Buffer.from('\n'), line])),
    // zlib stops behind the first frame, and says nothing.
    'f.binpb.zst': Buffer.concat([zstdCompressSync(framed(request)), zstdCompressSync(framed(request))]),
    'g.binpb.gz': Buffer.concat([gzipSync(framed(request)), gzipSync(framed(request))]),
    'collector-proto-zstd': framed(zstdCompressSync(request), zstdCompressSync(request)),
    'collector-json-zstd': framed(zstdCompressSync(line), zstdCompressSync(line)),
  };
  const directory = folder(t, { ...files, 'x/c.yaml': CONTRACT });
  for (const file of Object.keys(files)) {
    const { status, stdout } = await check(join(directory, 'x/c.yaml'), '--input', join(directory, file), '--json');
    assert.equal(status, 0, file);
    assert.equal(JSON.parse(stdout).signals[0].items, 400, file);
  }
});

test('signals that lie in one folder are told apart, and files that are still written are left', async (t) => {
  const text = `${CONTRACT}  - { name: log errors, of: logs, bad: { severity: { gte: 17 } }, breached: above 1% }\n`;
  const records = Array.from({ length: 400 }, () => ({ severityNumber: 9 }));
  const directory = folder(t, {
    'c.yaml': text.replace('service: checkout', 'service: shop'),
    'raw/one.binpb': framed(service('shop', ...Array.from({ length: 400 }, (_, i) => span(i, { kind: 2 })))),
    'raw/deep/two.binpb': framed(logs(...records)),
    'raw/three.binpb.tmp': framed(spans(100, 100)),
  });
  const { status, stdout } = await check(join(directory, 'c.yaml'), '--input', join(directory, 'raw'), '--json');
  assert.equal(status, 0, stdout);
  assert.deepEqual(
    JSON.parse(stdout).signals.map(({ items }: { items: number }) => items),
    [400, 400],
  );
});

test('raw and sampled of one agent are not counted both', async (t) => {
  const at = (stream: string) => `data/${stream}/traces/year=2026/month=01/day=01/hour=00/a_1-1.binpb`;
  const files = { 'c.yaml': CONTRACT, [at('raw')]: framed(spans(200, 0)), [at('sampled')]: framed(spans(20, 0)) };
  const directory = folder(t, files);
  const { status, stderr } = await check(join(directory, 'c.yaml'), '--input', directory);
  assert.equal(status, 2);
  assert.match(
    stderr,
    /holds both data\/raw and data\/sampled: what was sampled would count twice: name .*\/data\/raw$/m,
  );
  assert.equal((await check(join(directory, 'c.yaml'), '--input', join(directory, 'data/raw'))).status, 0);
});

test('a folder without telemetry is said as that, exit status 2', async (t) => {
  const directory = folder(t, { 'c.yaml': CONTRACT, 'journal/intake/0000000000000001.seg': 'x' });
  const args = [join(directory, 'c.yaml'), '--input', join(directory, 'journal')];
  for (const more of [[], ['--', process.execPath, '-e', '']]) {
    const { status, stdout, stderr } = await check(...args, ...more);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /journal holds no file of telemetry: names end in binpb, jsonl, json, pb\n$/);
  }
});

test('what the command itself records is read after it', async (t) => {
  const directory = folder(t, { 'c.yaml': CONTRACT, a: framed(spans(60, 0)) });
  const script = `const fs = require('fs'); fs.mkdirSync('${directory}/out'); fs.copyFileSync('${directory}/a', '${directory}/out/a.binpb')`;
  const args = [join(directory, 'c.yaml'), '--input', join(directory, 'out'), '--', process.execPath, '-e', script];
  const { status, stdout } = await check(...args);
  assert.notEqual(status, 2);
  assert.match(stdout, /60/);
});

test('a file that is cut off is said with its record, exit status 2', async (t) => {
  const directory = folder(t, { 'c.yaml': CONTRACT, 'a.binpb': framed(spans(3, 0)).subarray(0, -5) });
  const { status, stderr } = await check(join(directory, 'c.yaml'), '--input', join(directory, 'a.binpb'));
  assert.equal(status, 2);
  assert.match(stderr, /a\.binpb.*cut off at byte 0/);
});

test('what is no telemetry, or none that is read, is said as that, exit status 2', async (t) => {
  const line = toOtlpJson('traces', spans(3, 0));
  const files: Record<string, [text: string, said: RegExp]> = {
    'prose.txt': ['hello', /prose\.txt: record 1 cannot be read: it is cut off at byte 0, or holds no telemetry/],
    'pretty.json': [
      JSON.stringify(JSON.parse(line), null, 2),
      /pretty\.json: record 1 cannot be read: a line that is no whole request/,
    ],
    'cut.jsonl': [
      `${line}\n${line.slice(0, -9)}`,
      /cut\.jsonl: record 2 cannot be read: a line that is no whole request/,
    ],
    'snake.jsonl': ['{"resource_spans":[]}', /snake\.jsonl: record 1 cannot be read: it has none of "resourceSpans"/],
  };
  const texts = Object.fromEntries(Object.entries(files).map(([file, [text]]) => [file, Buffer.from(text)]));
  const directory = folder(t, { ...texts, 'c.yaml': CONTRACT });
  for (const [file, [, said]] of Object.entries(files)) {
    const { status, stderr } = await check(join(directory, 'c.yaml'), '--input', join(directory, file));
    assert.equal(status, 2, file);
    assert.match(stderr, said);
  }
});

test('a request that is damaged is said with its file and record, exit status 2, not as a broken contract', async (t) => {
  const damaged = Buffer.from(spans(3, 0));
  damaged.writeUInt8(0x7f, damaged.indexOf('checkout') - 1);
  const directory = folder(t, { 'c.yaml': CONTRACT, 'a.binpb': framed(spans(3, 0), damaged) });
  const { status, stderr } = await check(join(directory, 'c.yaml'), '--input', join(directory, 'a.binpb'));
  assert.match(stderr, /a\.binpb: record 2 cannot be read/);
  assert.equal(status, 2);
});

test('files of a folder are read in the order of their sequences: no point of a series comes before an older one', async (t) => {
  const depth = (second: number) => {
    const dataPoints = [{ timeUnixNano: `${1_750_000_000 + second}000000000`, asInt: second === 5 ? 5000 : 1 }];
    const scopeMetrics = [{ metrics: [{ name: 'queue.depth', gauge: { dataPoints } }] }];
    return requestOf('metrics', {
      resourceMetrics: [{ resource: named({ 'service.name': 'checkout' }), scopeMetrics }],
    });
  };
  const names = Array.from({ length: 25 }, (_, i) => [
    `in/hour=${i < 12 ? 9 : 10}/edge-0123abcd_${i}-${i}.binpb`,
    framed(depth(i)),
  ]);
  const contract =
    'contract: v1\nservice: checkout\nsignals:\n  - { name: backlog, metric: queue.depth, take: max, breached: above 1000 }\n';
  const directory = folder(t, { 'c.yaml': contract, ...Object.fromEntries(names) });
  const { status, first } = await check(join(directory, 'c.yaml'), '--input', join(directory, 'in'));
  assert.deepEqual([status, first], [1, 'broken: checkout backlog: 5000, limit above 1000']);
});

test('with `per`, one bad instance among many breaks the contract, and is named', async (t) => {
  const ofPod = (pod: string, code: number) => {
    const resource = named({ 'service.name': 'checkout', 'service.instance.id': pod });
    const made = Array.from({ length: 200 }, (_, i) => span(i, { kind: 2, status: { code } }));
    return requestOf('traces', { resourceSpans: [{ resource, scopeSpans: [{ spans: made }] }] });
  };
  const pods = Array.from({ length: 50 }, (_, i) => ofPod(`pod-${i}`, i === 7 ? 2 : 1));
  const contract = CONTRACT.replace('service: checkout', 'service: checkout\nper: service.instance.id');
  const directory = folder(t, { 'c.yaml': contract, 'all.binpb': framed(...pods), 'none.binpb': framed() });
  const all = await check(join(directory, 'c.yaml'), '--input', join(directory, 'all.binpb'), '--json');
  assert.equal(all.status, 1);
  const { reason, signals } = JSON.parse(all.stdout);
  assert.match(reason, /^broken: checkout errors: pod-7: 100\.0% of 200 items bad/);
  assert.deepEqual([signals.length, signals[0].instance, signals[0].items], [1, 'pod-7', 200]);
  const none = await check(join(directory, 'c.yaml'), '--input', join(directory, 'none.binpb'));
  assert.deepEqual([none.status, none.first.split(':')[0]], [3, 'not enough data']);
});

test('where nothing came of the service it says who sent instead', async (t) => {
  const sent = requestOf('traces', { resourceSpans: [resourceOf('unknown_service:node'), resourceOf()] });
  const directory = folder(t, { 'c.yaml': CONTRACT, 'a.binpb': framed(sent) });
  const given = [join(directory, 'c.yaml'), '--input', join(directory, 'a.binpb')];
  const { status, first } = await check(...given);
  assert.equal(status, 3);
  const other = /nothing came .*\(nothing of checkout, but of unknown_service:node, a service without a name\), limit/;
  assert.match(first, other);
  const own = folder(t, { 'b.binpb': framed(spans(200, 0)) });
  assert.equal((await check(...given, '--input', own)).first, 'kept: all 1 signals hold');
});

test('white space before a line of JSON is none of it', async (t) => {
  const spans = [{ traceId: '4ee210f4649939114ee210f464993911', spanId: '4ee210f464993911' }];
  const line = JSON.stringify({ resourceSpans: [{ ...resourceOf('basket'), scopeSpans: [{ spans }] }] });
  const contract = { 'c.yaml': CONTRACT };
  for (const text of [`\n${line}\n`, `  ${line}\r\n\t${line}`, `\ufeff\r\n${line}`]) {
    const files = folder(t, { ...contract, 'a.json': text });
    const { first, stderr } = await check(join(files, 'c.yaml'), '--input', join(files, 'a.json'));
    assert.match(first, /nothing of checkout, but of basket/, stderr);
  }
});

test('items of a recording that the agent would reject are said, with their number', async (t) => {
  const ids = { traceId: 'TuIQ9GSZORIn9MzPVqsPJw==', spanId: '7h0UqZ0QfQg=' };
  const spans = [ids, ids, { traceId: '4ee210f464993911', spanId: '7' }];
  const recorded = { resourceSpans: [{ ...resourceOf('checkout'), scopeSpans: [{ spans }] }] };
  const files = folder(t, { 'c.yaml': CONTRACT, 'base64.json': JSON.stringify(recorded) });
  const { status, stderr } = await check(join(files, 'c.yaml'), '--input', join(files, 'base64.json'));
  assert.equal(status, 3);
  assert.match(stderr, /^3 items are left out, which the agent would reject: /);
});

function resourceOf(name?: string) {
  const attributes = name === undefined ? [] : [{ key: 'service.name', value: { stringValue: name } }];
  return { resource: { attributes }, scopeSpans: [{ spans: [span(1)] }] };
}

test('markdown is a table that a pull request shows, and its first line is the reason', async (t) => {
  const directory = folder(t, { 'c.yaml': CONTRACT, 'a.binpb': framed(spans(200, 50)) });
  const { status, stdout } = await check(
    join(directory, 'c.yaml'),
    '--input',
    join(directory, 'a.binpb'),
    '--format',
    'markdown',
  );
  assert.equal(status, 1);
  assert.match(
    stdout,
    /^\*\*broken: checkout errors: 25\.0% of 200 items bad.*\*\*\n\n\| verdict \|.*\n\|---\|.*\n\| broken \| checkout \| errors \|/,
  );
});

test('the five contracts that come with the agent give what their examples say', async () => {
  const files = globSync('config/contracts/*.yaml', { cwd: ROOT }).sort();
  assert.deepEqual(
    files.map((file) => file.replace('config/contracts/', '')),
    ['batch-job.yaml', 'grpc-service.yaml', 'http-api.yaml', 'kafka-consumer.yaml', 'llm-gateway.yaml'],
  );
  const { status, stdout } = await check(...files.map((file) => join(ROOT, file)), '--json');
  assert.equal(status, 0, stdout);
  const { examples } = JSON.parse(stdout);
  assert.equal(examples.length, 10);
});

test('an example that comes out otherwise is exit status 1 and says what was found', async (t) => {
  const example = `examples:
  - name: all is well
    spans: { count: 100, over: 60s, set: { span.kind: server }, vary: { 50%: { status: error } } }
    expect: { errors: healthy }
`;
  const { status, first } = await check(join(folder(t, { 'c.yaml': CONTRACT + example }), 'c.yaml'));
  assert.equal(status, 1);
  assert.match(
    first,
    /^broken: example "all is well" of .*c\.yaml: errors is breached, expected healthy \(50\.0% of 100 items/,
  );
});

test('the command line tool itself says so with its exit status', (t) => {
  const directory = folder(t, { 'c.yaml': CONTRACT, 'a.binpb': framed(spans(10, 0)) });
  assert.ok(existsSync(join(ROOT, 'src/main.ts')));
  const args = [join(ROOT, 'src/main.ts'), 'check', join(directory, 'c.yaml'), '--input', join(directory, 'a.binpb')];
  assert.throws(() => execFileSync(process.execPath, args, { stdio: 'pipe' }), { status: 3 });
});

test('`--input -` is what is piped in', (t) => {
  const directory = folder(t, { 'c.yaml': CONTRACT });
  const args = [join(ROOT, 'src/main.ts'), 'check', join(directory, 'c.yaml'), '--input', '-'];
  const run = (input: Uint8Array) => execFileSync(process.execPath, args, { input, stdio: 'pipe', encoding: 'utf8' });
  assert.match(run(gzipSync(framed(spans(400, 0)))), /^kept: all 1 signals hold/);
  assert.throws(() => run(Buffer.from('{')), { status: 2, stderr: /^standard input: record 1 cannot be read/ });
});

const START_MS = 1_750_000_020_000;
const COUNTED = `contract: v1
service: checkout
signals:
  - name: errors
    metric: requests
    bad: { attr.result: error }
    breached: above 50%
`;

/** Totals of a series of the counter, each at seconds after the start; it began at `beganS`. */
function counter(result: string, beganS: number, ...totals: [atS: number, total: number][]): Uint8Array {
  const ns = (s: number) => String(BigInt(START_MS + s * 1000) * 1_000_000n);
  const dataPoints = totals.map(([atS, asInt]) => ({
    ...named({ result }),
    ...{ startTimeUnixNano: ns(beganS), timeUnixNano: ns(atS), asInt },
  }));
  const sum = { aggregationTemporality: 2, isMonotonic: true, dataPoints };
  const scopeMetrics = [{ metrics: [{ name: 'requests', sum }] }];
  return requestOf('metrics', { resourceMetrics: [{ resource: named({ 'service.name': 'checkout' }), scopeMetrics }] });
}

test('what a counter had counted long before the recording is no part of the run', async (t) => {
  const check1 = async (...requests: Uint8Array[]) => {
    const directory = folder(t, { 'c.yaml': COUNTED, 'in/a.binpb': framed(...requests) });
    const { stdout } = await check(join(directory, 'c.yaml'), '--input', join(directory, 'in'), '--json');
    const [signal] = JSON.parse(stdout).signals;
    return [signal.verdict, signal.value, signal.items];
  };
  // A million good requests in the week before, then 400 bad ones and 100 good ones.
  const WEEK_S = 604_800;
  const long = [
    counter('ok', -WEEK_S, [0, 1_000_000], [60, 1_000_050], [120, 1_000_100]),
    counter('error', -WEEK_S, [0, 7], [60, 207], [120, 407]),
  ];
  assert.deepEqual(await check1(...long), ['broken', 0.8, 500]);
  // A process that began with the recording and tells of itself for the first time a minute later.
  const young = [counter('ok', 0, [61, 100], [121, 200]), counter('error', 1, [61, 0], [121, 10])];
  assert.deepEqual((await check1(...young)).slice(2), [210]);
  // One that began while it ran, behind another of a week ago.
  assert.deepEqual((await check1(...long, counter('late', 600, [900, 500]))).slice(2), [1000]);
});

test('a command is held to what came while it ran: totals of a service that was there before count from their second point', async (t) => {
  const directory = folder(t, { 'c.yaml': COUNTED });
  const send = `
    const now = Date.now();
    const ns = (s) => String(BigInt(Math.round(now + s * 1000)) * 1_000_000n);
    const attributes = [{ key: 'result', value: { stringValue: 'ok' } }];
    const points = (began, ...totals) => totals.map(([s, asInt]) =>
      ({ attributes, startTimeUnixNano: ns(began), timeUnixNano: ns(s), asInt }));
    const send = async (dataPoints) => {
      const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'checkout' } }] };
      const sum = { aggregationTemporality: 2, isMonotonic: true, dataPoints };
      const body = { resourceMetrics: [{ resource, scopeMetrics: [{ metrics: [{ name: 'requests', sum }] }] }] };
      const headers = { 'content-type': 'application/json' };
      await fetch(process.env.OTEL_EXPORTER_OTLP_ENDPOINT + '/v1/metrics', { method: 'POST', headers, body: JSON.stringify(body) });
    };
    await send(points(Number(process.argv[1]), [0, 1000], [0.1, 1300]));
  `;
  const run = async (beganS: string) => {
    const node = ['--', process.execPath, '--input-type=module', '-e', send, '--', beganS];
    const { stdout, stderr } = await check(join(directory, 'c.yaml'), '--json', ...node);
    return JSON.parse(stdout || assert.fail(stderr)).signals[0].items;
  };
  assert.equal(await run('-30'), 300);
  assert.equal(await run('-0.001'), 1300);
});
