/** What goes wrong at start is one line that says what to do, with the right exit status; what is away at start is no error. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { service, span } from '../worker/world.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

const yaml = (more = '', http = '127.0.0.1:0') => `
agent: { id: startup, data_dir: ./data, shutdown: { serve_on: 0ms, grace: 2s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "${http}" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
${more}
`;

/** Runs the agent to its end and returns what it said. */
async function runToEnd(
  directory: string,
  text: string,
): Promise<{ status: number | null; stderr: string; stdout: string }> {
  const file = join(directory, 'agent.yaml');
  writeFileSync(file, text);
  const child = spawn(process.execPath, [MAIN, 'run', '--config', file], {
    cwd: directory,
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  let stderr = '';
  let stdout = '';
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString();
  });
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString();
  });
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stderr, stdout };
}

describe('start-up', () => {
  it('an unknown key is told with its place and the nearest key, exit status 2', async (t) => {
    const directory = temporaryDirectory(t, 'startup');
    const { status, stderr } = await runToEnd(
      directory,
      yaml('sinks: [ { type: storage, subscribe: [raw], directory: ./out, compresion: zstd } ]'),
    );
    assert.equal(status, 2);
    assert.match(stderr, /agent\.yaml:\d+:\d+: .*compresion.*did you mean "compression"/);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  });

  it('a journal that another agent id has made keeps its identity, which is told: it may be a copy', async (t) => {
    const directory = temporaryDirectory(t, 'startup');
    const first = await startAgentProcess(directory, yaml());
    const { id } = (await first.status()).agent;
    assert.equal(await first.end('SIGTERM'), 0);
    assert.doesNotMatch(first.output(), /was made by/);
    const second = await startAgentProcess(directory, yaml().replace('id: startup', 'id: copy'));
    assert.equal((await second.status()).agent.id, id);
    assert.equal(await second.end('SIGTERM'), 0);
    assert.match(
      second.output(),
      new RegExp(`data/journal was made by startup: what copy sends is still marked ${id}; if it is a copy`),
    );
  });

  it('a port in use is told in one line, exit status 1, and nothing of what is queued has gone anywhere', async (t) => {
    const directory = temporaryDirectory(t, 'startup');
    const out = join(directory, 'out');
    writeFileSync(out, '');
    const sinks = 'sinks: [ { type: storage, subscribe: [raw], directory: ./out, rotate: { every: 100ms } } ]';
    const first = await startAgentProcess(directory, yaml(sinks));
    t.after(() => first.end('SIGKILL'));
    const headers = { 'content-type': 'application/x-protobuf' };
    const body = new Uint8Array(service('shop', span(1)));
    assert.equal((await fetch(`${first.ingest}/v1/traces`, { method: 'POST', headers, body })).status, 200);
    await first.end('SIGKILL');
    rmSync(out);
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    t.after(() => taken.close());
    const address = taken.address();
    assert.ok(address !== null && typeof address === 'object');
    const { status, stderr, stdout } = await runToEnd(directory, yaml(sinks, `127.0.0.1:${address.port}`));
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`127\\.0\\.0\\.1:${address.port}.*(taken|in use)`));
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
    assert.equal(stdout, '', 'it never said ready');
    assert.ok(!existsSync(out), 'it had begun to send');
  });

  it('a journal directory that cannot be used is told in one line, exit status 1', async (t) => {
    const directory = temporaryDirectory(t, 'startup');
    // A file where the directory should be: root, too, cannot write below it.
    mkdirSync(join(directory, 'data'));
    writeFileSync(join(directory, 'data/journal'), '');
    const { status, stderr } = await runToEnd(directory, yaml());
    assert.equal(status, 1);
    assert.match(stderr, /data\/journal.*journal\.directory/);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  });

  it('a second agent on the same directory is refused and disturbs nothing', async (t) => {
    const directory = temporaryDirectory(t, 'startup');
    const first = await startAgentProcess(directory, yaml());
    t.after(() => first.end('SIGKILL'));
    const second = runToEnd(directory, yaml());
    const answer = await fetch(`${first.ingest}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    assert.equal(answer.status, 200);
    const { status, stderr } = await second;
    assert.equal(status, 1);
    assert.match(stderr, /data\/journal.*waiting up to 30 s/, 'it says what it waits for');
    assert.match(stderr, /data\/journal/);
    assert.match(stderr, /another agent|in use/i);
    assert.equal(await first.end('SIGTERM'), 0);
  });

  it('a broker that is away is no error: the agent serves, journals, and says so in its status', async (t) => {
    const directory = temporaryDirectory(t, 'startup');
    const kafka = 'sinks: [ { type: kafka, brokers: ["127.0.0.1:9"], subscribe: { raw: "raw_{signal}" } } ]';
    const agent = await startAgentProcess(directory, yaml(kafka));
    t.after(() => agent.end('SIGKILL'));
    const span = { traceId: '5b8efff798038103d269b633813fc60c', spanId: 'eee19b7ec3c1b174', name: 'a' };
    const body = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] });
    const answer = await fetch(`${agent.ingest}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    assert.equal(answer.status, 200);
    const status = await eventually('the sink says that it retries', 10_000, async () => {
      const now = await agent.status();
      return now.sinks.kafka?.state === 'retrying' ? now : undefined;
    });
    assert.match(status.sinks.kafka?.error ?? '', /127\.0\.0\.1:9/);
    assert.equal(status.sinks.kafka?.streams.raw?.traces?.queued, 1);
    assert.equal((await fetch(`${agent.admin}/health/ready`)).status, 200, 'a dead broker fails no probe');
    assert.equal(await agent.end('SIGTERM'), 0);
  });
});
