/** Holds `plumbline why`: which address it asks, and with which token. What an agent answers is held by test/e2e/why.test.ts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { fakeWorld } from './context.ts';

const ID = '5b8efff798038103d269b633813fc60c';

/** An admin port that refuses everybody and keeps who asked, and an agent.yaml whose text is set for it. */
async function start(t: TestContext, status: number) {
  const asked: { host: string | undefined; authorization: string | undefined }[] = [];
  const server = createServer(({ headers: { host, authorization } }, reply) => {
    asked.push({ host, authorization });
    reply.writeHead(status).end('{"error":"not here"}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-why-'));
  t.after(() => rmSync(folder, { recursive: true }));
  // Not null, no path: it has just bound a port.
  const { port } = server.address() as { port: number };
  return { asked, port, file: join(folder, 'agent.yaml'), tokens: join(folder, 'tokens') };
}

async function why(...args: string[]): Promise<{ status: number; said: string }> {
  const world = fakeWorld();
  const status = await runCommand(['why', ID, ...args], world.context);
  return { status, said: world.stderr() };
}

test('an admin port that listens everywhere is asked on loopback, where it shows traces without a token', async (t) => {
  const { asked, port, file } = await start(t, 403);
  const hosts = ['127.0.0.1', '0.0.0.0', '[::]', ''];
  for (const host of hosts) {
    writeFileSync(file, `admin: { endpoint: "${host}:${port}", auth: { bearer_token_file: /not/read } }`);
    const { status, said } = await why('--config', file);
    assert.equal(status, 1);
    assert.match(said, /AGENT_UNREACHABLE: http:\/\/127\.0\.0\.1:\d+ answers 403: .*not here/);
  }
  assert.deepEqual(
    asked,
    hosts.map(() => ({ host: `127.0.0.1:${port}`, authorization: undefined })),
  );
});

test('an --admin that is no URL is bad usage, not an agent that does not answer', async () => {
  for (const admin of ['127.0.0.1:8888', 'localhost', 'ftp://127.0.0.1', 'http://']) {
    const { status, said } = await why('--admin', admin);
    assert.equal(status, 2, admin);
    assert.equal(said, `plumbline why: --admin must be a URL such as http://127.0.0.1:8888, found "${admin}"\n`);
  }
});

test('beyond loopback the first token of the configured file is sent, or that of --token-file', async (t) => {
  const { asked, port, file, tokens } = await start(t, 401);
  const other = `${tokens}.other`;
  writeFileSync(tokens, '# people\n\nfirst name=a\nsecond\n');
  writeFileSync(other, 'third\n');
  // A host that is not known as loopback, and leads there.
  writeFileSync(file, `admin: { endpoint: "127.1:${port}", auth: { bearer_token_file: ${tokens} } }`);
  const { status, said } = await why('--config', file);
  assert.equal(status, 1);
  assert.match(said, /answers 401: .*not here.*: name a file .* --token-file FILE\n$/);
  await why('--config', file, '--token-file', other);
  await why('--admin', `http://127.0.0.1:${port}`, '--token-file', other);
  await why('--admin', `http://127.0.0.1:${port}`);
  assert.deepEqual(
    asked.map(({ authorization }) => authorization),
    ['Bearer first', 'Bearer third', 'Bearer third', undefined],
  );
});

test('a token file that is no good is told with what names it, and nobody is asked', async (t) => {
  const { asked, port, file, tokens } = await start(t, 401);
  writeFileSync(file, `admin: { endpoint: "127.1:${port}", auth: { bearer_token_file: ${tokens} } }`);
  const missing = await why('--config', file);
  assert.equal(missing.status, 2);
  assert.match(missing.said, /^admin\.auth\.bearer_token_file: ENOENT/);
  writeFileSync(tokens, 'se"cret\n');
  const wrong = await why('--admin', `http://127.0.0.1:${port}`, '--token-file', tokens);
  assert.equal(wrong.status, 2);
  assert.match(wrong.said, /^--token-file: .*tokens:1: a token consists of [^"]*$/);
  assert.deepEqual(asked, []);
});
