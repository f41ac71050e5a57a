/** Holds who may send: TLS, certificates of clients, bearer tokens, and both exchanged while the server runs. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { createTelemetry } from '../../src/core/telemetry.ts';
import { type IngestOptions, startIngest } from '../../src/ingest/server.ts';

/**
 * Made with openssl for these tests alone: `ca` signed server, successor and client, `stranger` signed itself. `workloads` signed api (a DNS
 * name and a URI), batch (a DNS name and an IP), nameless (no SAN) and forger, whose one URI holds ", DNS:api.shop.svc" and whose e-mail
 * address is the URI of api.
 */
const pem = (name: string) => join(import.meta.dirname, 'tls', name);
const PROTOBUF = 'application/x-protobuf';

async function start(t: TestContext, changes: Partial<IngestOptions>) {
  const reloads: [string, string | null][] = [];
  const submitted: number[] = [];
  const server = await startIngest({
    endpoint: '127.0.0.1:0',
    paths: { traces: '/v1/traces', metrics: '/v1/metrics', logs: '/v1/logs' },
    maxBodyBytes: 1000,
    inFlightBytes: 10_000,
    waitingBytes: 0,
    pressure: () => null,
    cors: { allowedOrigins: [], allowedHeaders: [], maxAgeS: 7200 },
    tls: null,
    tokenFile: null,
    fastPath: true,
    onNoFastPath: () => assert.fail('no fast path'),
    onReload: (what, error) => reloads.push([what, error?.message ?? null]),
    onFault: () => {},
    submit: async ({ bytes }) => {
      submitted.push(bytes);
      return { kind: 'accepted', items: 1, rejected: 0, warned: 0 };
    },
    telemetry: createTelemetry(),
    now: () => 0,
    ...changes,
  });
  t.after(() => server.close(5000));
  return { ...server, reloads, submitted };
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'plumbline-access-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** Status of an empty export over TLS, and the CN of the certificate it met. */
function post(
  url: string,
  identity: { cert: Buffer; key: Buffer } | null,
  agent: Agent | false = false,
): Promise<{ status: number; peer: string; reused: boolean }> {
  return new Promise((resolve, reject) => {
    const call = request(
      `${url}/v1/traces`,
      {
        method: 'POST',
        agent,
        ca: readFileSync(pem('ca.pem')),
        headers: { 'content-type': PROTOBUF },
        ...identity,
      },
      (reply) => {
        const peer = String((reply.socket as TLSSocket).getPeerCertificate().subject.CN);
        reply.resume().on('end', () => resolve({ status: reply.statusCode ?? 0, peer, reused: call.reusedSocket }));
      },
    );
    call.on('error', reject);
    call.end();
  });
}

const identity = (name: string) => ({ cert: readFileSync(pem(`${name}.pem`)), key: readFileSync(pem(`${name}.key`)) });

test('TLS 1.2 and later; another certificate is taken up while it runs, a broken one is not', async (t) => {
  const directory = folder(t);
  const certFile = join(directory, 'cert.pem');
  const keyFile = join(directory, 'key.pem');
  const install = (name: string) => {
    copyFileSync(pem(`${name}.pem`), certFile);
    copyFileSync(pem(`${name}.key`), keyFile);
  };
  install('server');
  const server = await start(t, { tls: { certFile, keyFile, clientCaFile: '', clientSansFile: '', reloadMs: 60_000 } });
  assert.match(server.url, /^https:/);
  assert.deepEqual(await post(server.url, null), { status: 200, peer: 'server', reused: false });
  writeFileSync(certFile, 'nonsense');
  server.reload();
  assert.deepEqual(await post(server.url, null), { status: 200, peer: 'server', reused: false });
  install('successor');
  server.reload();
  assert.deepEqual(await post(server.url, null), { status: 200, peer: 'successor', reused: false });
  server.reload();
  assert.deepEqual(
    server.reloads.map(([what, error]) => [what, error === null]),
    [
      ['certificates', false],
      ['certificates', true],
    ],
  );
  const old = connect({
    port: Number(new URL(server.url).port),
    host: '127.0.0.1',
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
  });
  await assert.rejects(new Promise((resolve, reject) => old.on('secureConnect', resolve).on('error', reject)));
});

test('with client_ca_file only a client with a certificate of that CA gets in', async (t) => {
  const tls = {
    certFile: pem('server.pem'),
    keyFile: pem('server.key'),
    clientCaFile: pem('ca.pem'),
    clientSansFile: '',
    reloadMs: 60_000,
  };
  const { url, submitted } = await start(t, { tls });
  assert.equal((await post(url, identity('client'))).status, 200);
  await assert.rejects(post(url, null));
  await assert.rejects(post(url, identity('stranger')));
  assert.deepEqual(submitted, [0]);
});

test('with client_allowed_sans_file a certificate needs a DNS name or URI of the list, which is exchanged while it runs', async (t) => {
  const clientSansFile = join(folder(t), 'clients');
  const [certFile, keyFile, clientCaFile] = [pem('server.pem'), pem('server.key'), pem('workloads.pem')];
  const tls = { certFile, keyFile, clientCaFile, clientSansFile, reloadMs: 60_000 };
  const allow = (...lines: string[]) => writeFileSync(clientSansFile, lines.join('\n'));
  allow('# nobody yet', '');
  await assert.rejects(start(t, { tls }), /client_allowed_sans_file: .*clients: no name in it/);
  await assert.rejects(
    start(t, { tls: { ...tls, clientSansFile: pem('missing') } }),
    /client_allowed_sans_file: .*missing/,
  );
  allow('# workloads', 'api.shop.svc', '127.0.0.1', '');
  const server = await start(t, { tls });
  const statuses = async () => {
    const found: number[] = [];
    for (const name of ['api', 'batch', 'forger', 'nameless'])
      found.push((await post(server.url, identity(name))).status);
    return found;
  };
  assert.deepEqual(await statuses(), [200, 403, 403, 403]);
  assert.deepEqual(server.submitted, [0], 'a refused body was handed on');
  await assert.rejects(post(server.url, identity('client')), 'of another CA');
  allow('spiffe://cluster/ns/shop/sa/api', 'batch.shop.svc');
  server.reload();
  assert.deepEqual(await statuses(), [200, 200, 403, 403]);
  allow('spiffe://cluster/x, DNS:api.shop.svc');
  server.reload();
  assert.deepEqual(await statuses(), [403, 403, 200, 403], 'the whole URI, comma and all');
  allow('');
  server.reload();
  assert.deepEqual(await statuses(), [403, 403, 200, 403], 'an empty list changes nothing');
  assert.deepEqual(
    server.reloads.map(([what, error]) => [what, error === null]),
    [
      ['certificates', true],
      ['certificates', true],
      ['certificates', false],
    ],
  );
});

test('a list that is exchanged holds for connections that are open', async (t) => {
  const clientSansFile = join(folder(t), 'clients');
  writeFileSync(clientSansFile, 'api.shop.svc');
  const [certFile, keyFile, clientCaFile] = [pem('server.pem'), pem('server.key'), pem('workloads.pem')];
  const server = await start(t, { tls: { certFile, keyFile, clientCaFile, clientSansFile, reloadMs: 60_000 } });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  assert.equal((await post(server.url, identity('api'), agent)).status, 200);
  writeFileSync(clientSansFile, 'batch.shop.svc');
  server.reload();
  const refused = await post(server.url, identity('api'), agent);
  assert.deepEqual([refused.status, refused.reused], [403, true]);
});

test('a client that sends plain HTTP to a port with TLS is told of in the log', async (t) => {
  const told: string[] = [];
  const tls = {
    certFile: pem('server.pem'),
    keyFile: pem('server.key'),
    clientCaFile: '',
    clientSansFile: '',
    reloadMs: 1e6,
  };
  const { url } = await start(t, { tls, onStranger: (message) => told.push(message) });
  const failed = await fetch(url.replace('https:', 'http:'), { method: 'POST', body: 'x' }).catch(
    (error: unknown) => error,
  );
  assert.ok(failed instanceof TypeError);
  assert.equal(told.length, 1);
  assert.match(told[0] ?? '', /^a client.* sends plain HTTP where ingest\.http\.tls is set: give it .*https:/);
});

test('a file that is missing or no certificate refuses the start and is named', async (t) => {
  const tls = {
    certFile: pem('missing.pem'),
    keyFile: pem('server.key'),
    clientCaFile: '',
    clientSansFile: '',
    reloadMs: 1000,
  };
  await assert.rejects(start(t, { tls }), /ingest\.http\.tls\.cert_file: .*missing\.pem/);
  await assert.rejects(start(t, { tls: { ...tls, certFile: pem('client.pem') } }), { code: 'CONFIG_INVALID' });
  await assert.rejects(start(t, { tokenFile: pem('missing') }), /bearer_token_file: .*missing/);
  const sound = { ...tls, certFile: pem('server.pem') };
  const other = pem('server.key');
  for (const [key, files] of Object.entries({
    cert_file: { certFile: other },
    client_ca_file: { clientCaFile: other },
    key_file: { keyFile: pem('server.pem') },
  })) {
    const message = new RegExp(
      `^ingest\\.http\\.tls\\.${key}: .*/server\\.(key|pem): no (certificate|private key) in PEM`,
    );
    await assert.rejects(start(t, { tls: { ...sound, ...files } }), { code: 'CONFIG_INVALID', message });
  }
});

test('tokens: 401 without, 403 for another signal, 429 over the quota, and no body is handed on', async (t) => {
  const tokenFile = join(folder(t), 'tokens');
  writeFileSync(tokenFile, 'first name=a signals=traces quota=100B/s\nsecond\n');
  const { url, submitted, admission } = await start(t, { tokenFile });
  const send = (token: string | null, path = '/v1/traces', bytes = 0) =>
    fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': PROTOBUF, ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
      body: new Uint8Array(bytes),
    });
  for (const token of [null, 'wrong']) {
    const refused = await send(token, '/v1/traces', 50);
    assert.deepEqual([refused.status, refused.headers.get('www-authenticate')], [401, 'Bearer']);
  }
  assert.equal((await send('first', '/v1/logs')).status, 403);
  assert.deepEqual(submitted, []);
  assert.equal((await send('first', '/v1/traces', 350)).status, 200);
  const over = await send('first', '/v1/traces', 1);
  assert.deepEqual([over.status, over.headers.get('retry-after')], [429, '3']);
  assert.equal((await send('second', '/v1/logs', 900)).status, 200);
  assert.deepEqual([submitted, admission.used], [[350, 900], 0]);
});

test('tokens are taken up while it runs; a broken file changes nothing', async (t) => {
  const tokenFile = join(folder(t), 'tokens');
  writeFileSync(tokenFile, 'old\n');
  const server = await start(t, { tokenFile });
  const status = async (token: string) =>
    (
      await fetch(`${server.url}/v1/traces`, {
        method: 'POST',
        headers: { 'content-type': PROTOBUF, authorization: `Bearer ${token}` },
      })
    ).status;
  writeFileSync(tokenFile, 'old\nnew signals=everything\n');
  server.reload();
  assert.deepEqual([await status('old'), await status('new')], [200, 401]);
  writeFileSync(tokenFile, 'new\n');
  server.reload();
  assert.deepEqual([await status('old'), await status('new')], [401, 200]);
  assert.equal(server.reloads.length, 2);
  assert.ok(!JSON.stringify(server.reloads).includes('new '));
});
