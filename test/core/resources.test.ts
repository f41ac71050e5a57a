/** Holds src/core/resources.ts and src/core/endpoint.ts: what `auto` comes to, and which hosts are loopback. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatEndpoint, isLoopback, parseEndpoint } from '../../src/core/endpoint.ts';
import { nearest } from '../../src/core/nearest.ts';
import { cgroupLimitBytes, memoryLimitBytes, workerCount } from '../../src/core/resources.ts';

const MiB = 2 ** 20;

test('memory is what was set, else 90 % of the cgroup limit of either version, at most 512 MiB', () => {
  const v2 = (text: string) => (file: string) => (file.endsWith('memory.max') ? text : undefined);
  const v1 = (text: string) => (file: string) => (file.endsWith('limit_in_bytes') ? text : undefined);
  assert.equal(memoryLimitBytes('100MiB', v2('1')), 100 * MiB);
  assert.equal(memoryLimitBytes('auto', v2(`${100 * MiB}\n`)), 90 * MiB);
  assert.equal(memoryLimitBytes('auto', v1(`${200 * MiB}\n`)), 180 * MiB);
  assert.equal(memoryLimitBytes('auto', v2(`${2 ** 40}\n`)) <= 512 * MiB, true);
  for (const unlimited of [v2('max\n'), v1('9223372036854771712\n'), () => undefined]) {
    const bytes = memoryLimitBytes('auto', unlimited);
    assert.ok(bytes > 0 && bytes <= 512 * MiB);
  }
});

test('a service of systemd has the least limit of its cgroup and of those around it, in either version', () => {
  const files = (all: Record<string, string>) => (file: string) => all[file];
  const v2 = { '/proc/self/cgroup': '0::/system.slice/plumbline.service\n' };
  const service = '/sys/fs/cgroup/system.slice/plumbline.service/memory.max';
  const slice = '/sys/fs/cgroup/system.slice/memory.max';
  assert.equal(cgroupLimitBytes(files({ ...v2, [service]: `${200 * MiB}\n`, [slice]: 'max\n' })), 200 * MiB);
  assert.equal(cgroupLimitBytes(files({ ...v2, [service]: 'max\n', [slice]: `${100 * MiB}\n` })), 100 * MiB);
  assert.equal(cgroupLimitBytes(files({ ...v2, [service]: 'max\n', [slice]: 'max\n' })), null);
  const v1 = { '/proc/self/cgroup': '5:cpu,cpuacct:/a\n4:memory:/system.slice/x\n1:name=systemd:/b\n0::/\n' };
  const limit = '/sys/fs/cgroup/memory/system.slice/x/memory.limit_in_bytes';
  const root = '/sys/fs/cgroup/memory/memory.limit_in_bytes';
  assert.equal(cgroupLimitBytes(files({ ...v1, [limit]: `${64 * MiB}\n`, [root]: '9223372036854771712\n' })), 64 * MiB);
  // A container that sees the path of its host, and at the root what is its own; one whose path leads out of what it sees.
  assert.equal(cgroupLimitBytes(files({ ...v1, [root]: `${32 * MiB}\n` })), 32 * MiB);
  const out = { '/proc/self/cgroup': '0::/../../a\n', '/sys/fs/cgroup/memory.max': `${16 * MiB}\n` };
  assert.equal(cgroupLimitBytes(files(out)), 16 * MiB);
});

test('workers are one less than the cores, from 1 to 4, unless set', () => {
  assert.deepEqual(
    [1, 2, 3, 5, 64].map((cores) => workerCount('auto', cores)),
    [1, 1, 2, 4, 4],
  );
  assert.equal(workerCount(8, 2), 8);
});

test('endpoints have a host and a port, or are none', () => {
  assert.deepEqual(parseEndpoint('127.0.0.1:4318'), { host: '127.0.0.1', port: 4318 });
  assert.deepEqual(parseEndpoint('[::1]:0'), { host: '::1', port: 0 });
  assert.deepEqual(parseEndpoint(':4318'), { host: '::', port: 4318 });
  assert.deepEqual(
    parseEndpoint('[10.0.0.1]:4318'),
    { host: '10.0.0.1', port: 4318 },
    'as [${env:POD_IP}]:4318 may be',
  );
  for (const text of [
    '',
    '4318',
    'a',
    'a:',
    'a:65536',
    'a:-1',
    'http://a:1',
    '::1:1',
    '[a]:1',
    'a b:1',
    '[::1]',
    'a:1/x',
  ]) {
    assert.equal(parseEndpoint(text), undefined, text);
  }
  for (const text of ['127.0.0.1:4318', '[::1]:80', 'db:1']) {
    const endpoint = parseEndpoint(text);
    assert.equal(endpoint && formatEndpoint(endpoint), text);
  }
});

test('only what this machine alone can reach is loopback', () => {
  for (const host of ['127.0.0.1', '127.255.0.3', '::1', 'localhost', '::ffff:127.0.0.1'])
    assert.ok(isLoopback(host), host);
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'localhost.example', '', '::2'])
    assert.ok(!isLoopback(host), host);
});

test('the nearest word is one that can have been meant, or none', () => {
  const words = ['compression', 'concurrency', 'brokers', 'acks'];
  assert.equal(nearest('compresion', words), 'compression');
  assert.equal(nearest('Brokers', words), 'brokers');
  assert.equal(nearest('ack', words), 'acks');
  assert.equal(nearest('password', words), undefined);
  assert.equal(nearest('', words), undefined);
});
