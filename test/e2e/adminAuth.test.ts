/** Holds admin.auth with the real agent: who is shown a trace under another host's name, and what becomes of a changed token file. */
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { startAgentProcess, temporaryDirectory } from '../support/agent.ts';

const YAML = `
agent: { id: auth, data_dir: ./data, shutdown: { serve_on: 0s } }
admin: { endpoint: "127.0.0.1:0", auth: { bearer_token_file: tokens } }
ingest: { http: { endpoint: "127.0.0.1:0" } }
sinks: [ { type: storage, subscribe: [raw], directory: ./data/storage } ]
`;

/** Not loopback: what is asked is another host's name. */
function ask(admin: string, token: string | null): Promise<number | undefined> {
  const { hostname, port } = new URL(admin);
  const headers = { host: 'agent.example', ...(token === null ? {} : { authorization: `Bearer ${token}` }) };
  return new Promise((resolve, reject) => {
    get({ hostname, port, path: `/traces/${'ab'.repeat(16)}`, headers, agent: false }, (reply) => {
      reply.resume();
      resolve(reply.statusCode);
    }).on('error', reject);
  });
}

/** Written beside and moved there, as editors and Kubernetes do. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

async function errorOf(admin: string): Promise<string | null> {
  const status = (await (await fetch(`${admin}/status`)).json()) as { agent: { config: { error: string | null } } };
  return status.agent.config.error;
}

test('a token of admin.auth sees traces; a changed file is followed, and one that is no good told', async (t) => {
  const directory = temporaryDirectory(t, 'admin-auth');
  const tokens = join(directory, 'tokens');
  writeFileSync(tokens, 'one\n');
  const agent = await startAgentProcess(directory, YAML);
  t.after(() => agent.end('SIGKILL'));
  const answers = async () => [
    await ask(agent.admin, null),
    await ask(agent.admin, 'one'),
    await ask(agent.admin, 'two'),
  ];
  assert.deepEqual(await answers(), [401, 200, 401]);
  replace(tokens, 'two name=b\n');
  assert.deepEqual(await answers(), [401, 401, 200]);
  assert.equal(await errorOf(agent.admin), null);
  replace(tokens, 'one\nse"cret\n');
  assert.deepEqual(await answers(), [401, 401, 200]);
  const told = /tokens of the admin port: admin\.auth\.bearer_token_file: tokens:2: a token consists of/;
  assert.match((await errorOf(agent.admin)) ?? '', told);
  assert.match(await (await fetch(`${agent.admin}/metrics`)).text(), /plumbline_config_errors_total 1/);
  replace(tokens, 'one\n');
  assert.deepEqual(await answers(), [401, 200, 401]);
  assert.equal(await errorOf(agent.admin), null);
  assert.equal(await agent.end('SIGTERM'), 0);
  assert.match(agent.output(), /tokens of the admin port are as before, the changed file is no good/);
  assert.doesNotMatch(agent.output(), /cret/);
});

test('a token file with a fault ends the start', async (t) => {
  const directory = temporaryDirectory(t, 'admin-auth');
  writeFileSync(join(directory, 'tokens'), 'one\n"\n');
  const told = /ended with 2 before[\s\S]*admin\.auth\.bearer_token_file: tokens:2: a token consists of/;
  await assert.rejects(startAgentProcess(directory, YAML), told);
});
