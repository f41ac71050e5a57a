/** Holds `plumbline why`: which address it asks. What an agent answers is held by test/e2e/why.test.ts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { fakeWorld } from './context.ts';

const ID = '5b8efff798038103d269b633813fc60c';

test('an admin port that listens everywhere is asked on loopback, where alone it shows traces', async (t) => {
  const asked: (string | undefined)[] = [];
  const server = createServer(({ headers }, reply) => {
    asked.push(headers.host);
    reply.writeHead(403).end('{"error":"not here"}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  // Not null, no path: it has just bound a port.
  const { port } = server.address() as { port: number };
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-why-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'agent.yaml');
  const hosts = ['127.0.0.1', '0.0.0.0', '[::]', ''];
  for (const host of hosts) {
    writeFileSync(file, `admin: { endpoint: "${host}:${port}" }`);
    const world = fakeWorld();
    assert.equal(await runCommand(['why', ID, '--config', file], world.context), 1);
    assert.match(world.stderr(), /AGENT_UNREACHABLE: http:\/\/127\.0\.0\.1:\d+ answers 403: .*not here/);
  }
  assert.deepEqual(
    asked,
    hosts.map(() => `127.0.0.1:${port}`),
  );
});
