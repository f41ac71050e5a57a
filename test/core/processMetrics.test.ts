/** Holds src/core/processMetrics.ts: the process says of itself what the system says of it, as of when it is asked. */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { createTelemetry } from '../../src/core/telemetry.ts';

async function valuesOf(registry: ReturnType<typeof createTelemetry>['registry']) {
  const text = await registry.metrics();
  return (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

/** CPU seconds of the thread. */
function work(seconds: number): void {
  const before = process.cpuUsage();
  for (let spent = 0; spent < seconds * 1e6; ) {
    const { user, system } = process.cpuUsage(before);
    spent = user + system;
  }
}

test('CPU, memory, start and work of the event loop are those of now', async () => {
  work(0.2);
  const { registry } = createTelemetry();
  // What runs before the loop's first turn is none of its work.
  await new Promise((resolve) => setImmediate(resolve));
  const before = await valuesOf(registry);
  work(0.2);
  await new Promise((resolve) => setImmediate(resolve));
  const after = await valuesOf(registry);
  const grown = (name: string) => after(name) - before(name);
  assert.ok(grown('process_cpu_seconds_total') >= 0.2);
  const { user, system } = process.cpuUsage();
  assert.ok(after('process_cpu_seconds_total') <= (user + system) / 1e6);
  assert.ok(grown('plumbline_event_loop_active_seconds_total') > 0.1);
  assert.ok(after('plumbline_event_loop_active_seconds_total') <= performance.now() / 1000);
  assert.equal(grown('process_start_time_seconds'), 0);
  assert.ok(Math.abs(after('process_start_time_seconds') * 1000 - performance.timeOrigin) < 150);
  const { rss } = process.memoryUsage();
  const told = after('process_resident_memory_bytes');
  assert.ok(told > rss / 2 && told < rss * 2);
});

const skip = process.platform === 'linux' ? false : 'open files are read from /proc';

test('an open file is counted while it is open', { skip }, async () => {
  const { registry } = createTelemetry();
  const open = async () => (await valuesOf(registry))('process_open_fds');
  const before = await open();
  const files = Array.from({ length: 50 }, () => openSync('/dev/null', 'r'));
  const during = await open();
  for (const file of files) closeSync(file);
  // Others of this process may come and go.
  assert.ok(during - before > 40 && during - (await open()) > 40);
  assert.ok((await valuesOf(registry))('process_max_fds') > during);
});
