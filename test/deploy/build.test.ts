/** What `npm run build` makes is the agent of src/: every thread and every part that is loaded late is found, in little memory. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, startAgentProcess, temporaryDirectory } from '../support/agent.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Measured 94 to 95; before modules were bundled and the start's garbage given back it was 128. */
const MOST_IDLE_MIB = 105;
let home = '';
let main = '';

before(() => {
  // Below node_modules, where what is not bundled is found.
  const cache = join(ROOT, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  home = mkdtempSync(join(cache, 'build-'));
  copyFileSync(join(ROOT, 'package.json'), join(home, 'package.json'));
  execFileSync(process.execPath, [join(ROOT, 'scripts/build.mjs'), join(home, 'dist')]);
  main = join(home, 'dist/main.js');
});
after(() => rmSync(home, { recursive: true, force: true }));

const yaml = (sinks: string) => `
agent: { id: build, data_dir: ./data, workers: 1, shutdown: { serve_on: 0ms, grace: 2s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
processors: [ { type: summarize, every: 1s }, { type: detect }, { type: flag }, { type: sample, wait: 0s } ]
sinks: [ ${sinks} ]
`;

test('the command says its version', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const said = execFileSync(process.execPath, [main, 'version'], { encoding: 'utf8' });
  assert.ok(said.startsWith(`plumbline ${version} `), said);
});

test('the built agent reads JSON, says summaries, and has the client of every sink', async (t) => {
  const directory = temporaryDirectory(t, 'build');
  const away = '127.0.0.1:9';
  const sinks = [
    `{ type: kafka, brokers: ["${away}"], subscribe: { raw: "raw_{signal}" } }`,
    `{ type: otlp, endpoint: "http://${away}", subscribe: [raw] }`,
    `{ type: storage, name: bucket, subscribe: [raw], s3: { bucket: b, endpoint: "http://${away}", region: x }, rotate: { every: 1s } }`,
    '{ type: storage, name: files, subscribe: [raw, summaries], directory: ./out, format: otlp_json, rotate: { every: 1s } }',
    '{ type: console, subscribe: [events] }',
  ];
  const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
  const agent = await startAgentProcess(directory, yaml(sinks.join(', ')), env, main);
  t.after(() => agent.end('SIGKILL'));
  const span = { traceId: '5b8efff798038103d269b633813fc60c', spanId: 'eee19b7ec3c1b174', name: 'a' };
  const answer = await fetch(`${agent.ingest}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }),
  });
  assert.equal(answer.status, 200, agent.output());
  await eventually('every sink has tried', 20_000, async () => {
    const { sinks } = await agent.status();
    const tried = ['kafka', 'otlp', 'bucket'].every((name) => sinks[name]?.error?.includes(away));
    const delivered = sinks.files?.streams.summaries?.metrics?.delivered ?? 0;
    return tried && delivered > 0 && sinks.files?.streams.raw?.traces?.delivered === 1 ? true : undefined;
  }).catch(async (error: unknown) => {
    assert.fail(`${String(error)}: ${JSON.stringify((await agent.status()).sinks)}`);
  });
  const metrics = await (await fetch(`${agent.admin}/metrics`)).text();
  assert.match(metrics, /plumbline_ingest_items_total\{signal="traces",outcome="accepted"\} 1/);
  assert.equal((await fetch(`${agent.admin}/contracts/none`)).status, 404);
});

test('an idle agent is small', { skip: process.platform === 'linux' ? false : 'reads /proc' }, async (t) => {
  const directory = temporaryDirectory(t, 'build');
  const storage = '{ type: storage, subscribe: [raw], directory: ./out }';
  const agent = await startAgentProcess(directory, yaml(storage), {}, main);
  t.after(() => agent.end('SIGKILL'));
  await eventually(`at most ${MOST_IDLE_MIB} MiB`, 10_000, () => {
    const kib = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))?.[1]);
    return kib / 1024 <= MOST_IDLE_MIB ? true : undefined;
  });
});
