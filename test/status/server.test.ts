/** Holds src/status/server.ts over real HTTP: what each path answers, and that nothing outlives a stop. */
import assert from 'node:assert/strict';
import { get } from 'node:http';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import { AgentError } from '../../src/core/errors.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import { type StatusSources, startStatus } from '../../src/status/server.ts';
import { quietSources } from './sources.ts';

async function start(context: TestContext, changes: Partial<StatusSources> = {}): Promise<string> {
  const server = await startStatus({ ...quietSources(), ...changes });
  context.after(() => server.stop());
  return server.url;
}

test('metrics are refreshed before they are rendered, in the Prometheus text format', async (context) => {
  const telemetry = createTelemetry();
  const url = await start(context, { telemetry, refresh: () => telemetry.sinkLagItems.set({ sink: 'kafka' }, 7) });
  const reply = await fetch(`${url}/metrics`);
  assert.match(reply.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.match(await reply.text(), /^plumbline_sink_lag_items\{sink="kafka"\} 7$/m);
});

test('ready answers 200, or 503 with reasons; live answers 200 in either case', async (context) => {
  const reasons = ['the journal is full: 8 GiB of 8 GiB'];
  for (const found of [[], reasons]) {
    const url = await start(context, { reasons: () => found });
    const ready = await fetch(`${url}/health/ready`);
    assert.equal(ready.status, found.length === 0 ? 200 : 503);
    assert.deepEqual(await ready.json(), { ready: found.length === 0, reasons: found });
    const live = await fetch(`${url}/health/live`);
    assert.equal(live.status, 200);
    assert.deepEqual(await live.json(), { live: true, reasons: [] });
  }
});

test('status is the object that was handed in, as it is at the time of the request', async (context) => {
  let received = 1;
  const url = await start(context, { status: () => ({ received }) });
  assert.deepEqual(await (await fetch(`${url}/status`)).json(), { received: 1 });
  received = 2;
  assert.deepEqual(await (await fetch(`${url}/status`)).json(), { received: 2 });
});

/** This host by an address that others would use; null where there is none. */
const OUTER = Object.values(networkInterfaces())
  .flat()
  .find((one) => one !== undefined && !one.internal && one.family === 'IPv4')?.address;

test('traces are shown to this host alone: 403 to an address of the network, whatever the id, and nothing is looked for', {
  skip: OUTER === undefined ? 'this host has no address but loopback' : false,
}, async (context) => {
  const asked: string[] = [];
  const trace = async (id: string) => {
    asked.push(id);
    return { id };
  };
  const id = 'ab'.repeat(16);
  for (const endpoint of ['0.0.0.0:0', '[::]:0']) {
    const { port } = new URL(await start(context, { endpoint, trace }));
    for (const one of [id, 'nonsense']) {
      const reply = await fetch(`http://${OUTER}:${port}/traces/${one}`);
      assert.equal(reply.status, 403);
      assert.match(((await reply.json()) as { error: string }).error, /loopback alone/);
    }
    assert.deepEqual(asked, []);
    assert.equal((await fetch(`http://${OUTER}:${port}/status`)).status, 200, 'all else is shown');
    const here = await fetch(`http://127.0.0.1:${port}/traces/${id.toUpperCase()}`);
    assert.deepEqual([here.status, await here.json()], [200, { id }]);
    assert.deepEqual(asked.splice(0), [id]);
  }
});

test('traces are not shown to a page whose name was made to point here', async (context) => {
  const url = new URL(await start(context, { trace: async (id: string) => ({ id }) }));
  const askAs = (host: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      const { hostname, port } = url;
      const headers = { host };
      get({ hostname, port, path: `/traces/${'ab'.repeat(16)}`, headers, agent: false }, (reply) => {
        reply.resume();
        resolve(reply.statusCode);
      }).on('error', reject);
    });
  for (const host of ['attacker.example', `attacker.example:${url.port}`, '127.0.0.1.nip.io', '10.0.0.1'])
    assert.equal(await askAs(host), 403, host);
  for (const host of ['localhost', `localhost:${url.port}`, `127.0.0.1:${url.port}`, '[::1]', `[::1]:${url.port}`])
    assert.equal(await askAs(host), 200, host);
});

test('contracts are listed, and found by service, whatever its name', async (context) => {
  const contracts = [
    { service: 'checkout', state: 'healthy' },
    { service: 'pay/ments ü', state: 'breached' },
    { service: 'twice', environment: 'a' },
    { service: 'twice', environment: 'b' },
  ];
  const url = await start(context, { contracts: () => contracts });
  assert.deepEqual(await (await fetch(`${url}/contracts`)).json(), contracts);
  assert.deepEqual(await (await fetch(`${url}/contracts/checkout`)).json(), contracts[0]);
  assert.deepEqual(await (await fetch(`${url}/contracts/${encodeURIComponent('pay/ments ü')}`)).json(), contracts[1]);
  const several = await fetch(`${url}/contracts/twice`);
  assert.equal(several.status, 300);
  assert.deepEqual(await several.json(), contracts.slice(2));
  assert.equal((await fetch(`${url}/contracts/nobody`)).status, 404);
});

test('another path is 404 with those there are, for who sends telemetry there, too', async (context) => {
  const url = await start(context);
  for (const [method, path] of [
    ['GET', '/healthz'],
    ['POST', '/v1/traces'],
  ] as const) {
    const reply = await fetch(url + path, { method });
    assert.equal(reply.status, 404);
    const { error } = (await reply.json()) as { error: string };
    assert.match(
      error,
      new RegExp(`^nothing answers ${method} ${path}: known are GET /metrics, /health/live, /health/ready,`),
    );
  }
});

test('a taken port is ADDRESS_IN_USE, with the way out', async (context) => {
  const port = Number(new URL(await start(context)).port);
  const isTaken = (error: unknown) =>
    error instanceof AgentError && error.code === 'ADDRESS_IN_USE' && /set another port/.test(error.message);
  await assert.rejects(start(context, { endpoint: `127.0.0.1:${port}` }), isTaken);
});

test('a stop does not wait for idle connections, and frees the port', async () => {
  const server = await startStatus(quietSources());
  // fetch keeps its connection alive.
  await (await fetch(`${server.url}/status`)).text();
  await server.stop();
  await assert.rejects(fetch(`${server.url}/status`));
});
