/** Holds src/status/access.ts over real HTTP: who is shown traces beyond loopback, and what a changed token file does. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type StatusSources, startStatus } from '../../src/status/server.ts';
import { temporaryDirectory } from '../support/agent.ts';
import { quietSources } from './sources.ts';

const PATH = `/traces/${'ab'.repeat(16)}`;

async function start(t: TestContext, changes: Partial<StatusSources> = {}) {
  const asked: string[] = [];
  const told: (string | null)[] = [];
  const server = await startStatus({
    ...quietSources(),
    trace: async (id) => {
      asked.push(id);
      return { id };
    },
    onReload: (error) => told.push(error?.message ?? null),
    ...changes,
  });
  t.after(() => server.stop());
  return { ...server, asked, told };
}

function tokenFile(t: TestContext, text: string): string {
  const file = join(temporaryDirectory(t, 'access'), 'tokens');
  writeFileSync(file, text);
  return file;
}

/** As from beyond loopback: by a name that is not this host's. */
function ask(
  url: string,
  authorization?: string,
  path = PATH,
): Promise<{ status?: number; asks?: string; text: string }> {
  const { hostname, port } = new URL(url);
  const headers = { host: 'agent.example', ...(authorization === undefined ? {} : { authorization }) };
  return new Promise((resolve, reject) => {
    get({ hostname, port, path, headers, agent: false }, (reply) => {
      let text = '';
      reply.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      reply.on('end', () =>
        resolve({ status: reply.statusCode ?? 0, asks: reply.headers['www-authenticate'] ?? '', text }),
      );
    }).on('error', reject);
  });
}

test('without admin.auth no token helps beyond loopback: 403, and the way out', async (t) => {
  const { url, asked } = await start(t);
  for (const authorization of [undefined, 'Bearer ', 'Bearer any']) {
    const { status, asks, text } = await ask(url, authorization);
    assert.deepEqual([status, asks], [403, '']);
    assert.match(text, /loopback alone: ask 127\.0\.0\.1 .* or set admin\.auth\.bearer_token_file/);
  }
  assert.deepEqual(asked, []);
});

test('with admin.auth a token of the file sees traces; without or with another one: 401, and nothing is looked for', async (t) => {
  const { url, asked } = await start(t, { tokenFile: tokenFile(t, '# people\none\ntwo name=b signals=logs\n') });
  for (const wrong of [
    undefined,
    'one',
    'Basic one',
    'Bearer',
    'Bearer on',
    'Bearer onee',
    'Bearer name=b',
    'Bearer #',
  ])
    for (const path of [PATH, '/traces/nonsense']) {
      const { status, asks, text } = await ask(url, wrong, path);
      assert.deepEqual([status, asks], [401, 'Bearer'], wrong);
      assert.match(text, /send one of admin\.auth\.bearer_token_file as Authorization: Bearer TOKEN/);
    }
  assert.deepEqual(asked, []);
  for (const right of ['Bearer one', 'bearer  two']) assert.equal((await ask(url, right)).status, 200, right);
  assert.equal((await ask(url, 'Bearer one', '/traces/nonsense')).status, 400);
  assert.equal((await ask(url, undefined, '/status')).status, 200, 'all else is shown');
  assert.equal((await fetch(url + PATH)).status, 200, 'loopback needs none');
});

/** This host by an address that others would use; undefined where there is none. */
const OUTER = Object.values(networkInterfaces())
  .flat()
  .find((one) => one !== undefined && !one.internal && one.family === 'IPv4')?.address;

test('a token opens an address of the network, too', {
  skip: OUTER === undefined ? 'this host has no address but loopback' : false,
}, async (t) => {
  const { url } = await start(t, { endpoint: '0.0.0.0:0', tokenFile: tokenFile(t, 'one\n') });
  const outside = `http://${OUTER}:${new URL(url).port}${PATH}`;
  assert.equal((await fetch(outside)).status, 401);
  assert.equal((await fetch(outside, { headers: { authorization: 'Bearer one' } })).status, 200);
});

test('a changed file counts from the next request on; one that is no good is told once, and the tokens stay', async (t) => {
  const file = tokenFile(t, 'one\n');
  const { url, told, reload } = await start(t, { tokenFile: file });
  const statuses = async () => [(await ask(url, 'Bearer one')).status, (await ask(url, 'Bearer two')).status];
  writeFileSync(file, 'two\n');
  assert.deepEqual(await statuses(), [401, 200]);
  assert.deepEqual(told.splice(0), [null]);
  writeFileSync(file, 'one\nse"cret\n');
  assert.deepEqual(await statuses(), [401, 200]);
  assert.equal(told.length, 1);
  assert.match(told.splice(0)[0] ?? '', /^admin\.auth\.bearer_token_file: .*tokens:2: a token consists of/);
  rmSync(file);
  assert.deepEqual(await statuses(), [401, 200]);
  assert.equal(told.length, 1);
  assert.match(told.splice(0)[0] ?? '', /^admin\.auth\.bearer_token_file: ENOENT.*tokens/);
  writeFileSync(file, 'one\n');
  reload();
  assert.deepEqual(told, [null], 'without a request');
  assert.deepEqual(await statuses(), [200, 401]);
});

test('a file that is missing or has a fault refuses the start, with the key and the line; no token is named', async (t) => {
  const faults: [text: string | null, told: RegExp][] = [
    [null, /^admin\.auth\.bearer_token_file: ENOENT/],
    ['# none\n\n', /^admin\.auth\.bearer_token_file: .*tokens: no token in it/],
    ['one\nse"cret\n', /^admin\.auth\.bearer_token_file: .*tokens:2: a token consists of [^"]*$/],
  ];
  for (const [text, message] of faults) {
    const file = tokenFile(t, text ?? '');
    if (text === null) rmSync(file);
    await assert.rejects(start(t, { tokenFile: file }), { code: 'CONFIG_INVALID', message });
  }
});
