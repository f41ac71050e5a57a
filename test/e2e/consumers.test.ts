/** The consumers of docs/output.md, as they stand there, over what an agent has really written: they count what an oracle counts. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requestType } from '../../src/otlp/schema.ts';
import { loadKafkajs } from '../../src/sinks/kafka/kafkajs.ts';
import { eventually, settledLedger, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { startBroker, unavailable } from '../support/kafka/broker.ts';
import { openReader } from '../support/kafka/reader.ts';
import { readAllStored, type Span, spansOf } from '../support/storage.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const REQUESTS = 60;
const SPANS = 50;
const python = ['python3', 'python'].find((name) => spawnSync(name, ['--version']).status === 0);

/** The program that docs/output.md has in a language, below "A consumer". */
function program(language: string): string {
  const text = readFileSync(join(ROOT, 'docs/output.md'), 'utf8').split('\n## A consumer\n')[1] ?? '';
  const found = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'ms').exec(text)?.[1];
  assert.ok(found !== undefined, `docs/output.md has no ${language} below "A consumer"`);
  return found;
}

/** Runs an agent that samples a quarter, and gives what lies in its files. */
async function sampled(t: TestContext, sink: string): Promise<{ directory: string; spans: Span[] }> {
  const directory = temporaryDirectory(t, 'consumer');
  const agent = await startAgentProcess(
    directory,
    `
agent: { id: counted, workers: 1, data_dir: ./data, log_level: warn, shutdown: { serve_on: 0ms, grace: 20s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
processors: [ { type: sample, wait: 0s, base: 25% } ]
sinks:
  - { type: storage, subscribe: [sampled], directory: ./data/storage, compression: gzip, rotate: { every: 200ms } }
${sink}
`,
  );
  t.after(() => agent.end('SIGKILL'));
  for (let i = 0; i < REQUESTS; i++) {
    const answer = await fetch(`${agent.ingest}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: request(),
    });
    assert.equal(answer.status, 200);
  }
  await settledLedger(agent, 60_000);
  assert.equal(await agent.end('SIGTERM'), 0);
  return { directory, spans: spansOf(readAllStored(join(directory, 'data/storage'), 'sampled', 'traces')) };
}

function request(): Uint8Array<ArrayBuffer> {
  const type = requestType('traces');
  const now = BigInt(Date.now()) * 1_000_000n;
  const spans = Array.from({ length: SPANS }, (_, i) => ({
    traceId: randomBytes(16),
    spanId: randomBytes(8),
    name: 'work',
    kind: 2,
    // Members of a tracestate may have blanks between them.
    traceState: i % 2 === 0 ? '' : `a=b, ot=rv:${randomBytes(7).toString('hex')}`,
    // Some are errors, which are kept whole and count 1.
    status: { code: i === 0 ? 2 : 0 },
    startTimeUnixNano: String(now),
    endTimeUnixNano: String(now + 1_000_000n),
  }));
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'counted' } }] };
  return new Uint8Array(
    type.encode(type.fromObject({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] })).finish(),
  );
}

/** The counting rule, as docs/output.md says it in words. */
function weigh(spans: readonly Span[]): number {
  return spans.reduce((sum, { traceState }) => {
    const th = /th:([0-9a-f]+)/.exec(traceState ?? '')?.[1];
    return sum + (th === undefined ? 1 : 1 / (1 - Number(`0x${th.padEnd(14, '0')}`) / 2 ** 56));
  }, 0);
}

function check(counted: number, spans: readonly Span[]) {
  const expected = weigh(spans);
  assert.ok(Math.abs(counted - expected) < 1e-6 * expected, `${counted}, and ${expected} by the oracle`);
  // Variance of the sum of n weights 1/p is n (1/p - 1); six deviations.
  const sent = REQUESTS * SPANS;
  assert.ok(spans.length < sent / 2, 'nothing was sampled');
  assert.ok(Math.abs(counted - sent) < 6 * Math.sqrt(sent * 3), `${counted} of ${sent} spans`);
}

test('the Python consumer counts files, each once', {
  skip: python === undefined && 'there is no python',
}, async (t) => {
  const { directory, spans } = await sampled(t, '');
  // Copies, as after a transfer that was repeated.
  cpSync(join(directory, 'data/storage'), join(directory, 'copy'), { recursive: true });
  const files = globSync(['data/storage/sampled/traces/**/*.gz', 'copy/sampled/traces/**/*.gz'], { cwd: directory });
  const counted = execFileSync(python ?? '', ['-', ...files], { cwd: directory, input: program('python') });
  check(Number(counted), spans);
});

test('the Node consumer counts Kafka records, each once', { skip: unavailable() ?? false }, async (t) => {
  const broker = await startBroker({ topics: ['otlp_spans'] });
  t.after(() => broker.stop());
  const sink = `  - { type: kafka, brokers: ["${broker.address}"], subscribe: { sampled: "otlp_{signal}" } }`;
  const { spans } = await sampled(t, sink);
  const records = await repeat(broker.address);
  const child = spawn(process.execPath, ['--input-type=module', '-', broker.address, 'otlp_spans'], {
    cwd: ROOT,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout.on('data', (piece: Buffer) => {
    said += piece.toString();
  });
  child.stdin.end(program('js'));
  const counts = () => said.split('\n').filter((line) => /^\d/.test(line));
  await eventually('the consumer has seen everything', 60_000, () => counts().length >= records || undefined);
  // The repeats stand behind the others and print nothing: time for those that would.
  await new Promise((resolve) => setTimeout(resolve, 2000));
  assert.equal(counts().length, records);
  check(Number(counts().at(-1)), spans);
});

/** Sends every record again, as after a time-out; returns how many there are without the repeats. */
async function repeat(address: string): Promise<number> {
  const reader = await openReader(address, ['otlp_spans']);
  await eventually('the records are read', 30_000, () => (reader.records.length > 0 ? true : undefined));
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await reader.close();
  const { Kafka, logLevel } = loadKafkajs();
  const producer = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).producer();
  await producer.connect();
  const messages = reader.records.map(({ key, value, headers }) => ({ key, value, headers }));
  await producer.send({ topic: 'otlp_spans', messages });
  await producer.disconnect();
  return messages.length;
}
