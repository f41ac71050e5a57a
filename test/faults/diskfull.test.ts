/** A disk that fills up, again and again: the agent says 503, never exits, takes data again soon after there is room, and loses nothing. */
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, settledLedger, startAgentProcess } from '../support/agent.ts';
import { Client, checkIds } from '../support/owing.ts';
import { storedSpanIds } from '../support/storage.ts';
import { mountTmpfs, unmountable } from './mounted.ts';

const CYCLES = Number(process.env.PLUMBLINE_FULL_CYCLES ?? 4);
const BACK_MS = 5000;
const LEFT_BYTES = 6 << 20;

/** Fills the disk up to the last few MiB, which the agent beside it may be quicker to take, or wholly. */
function fillUp(directory: string, file: string, left = LEFT_BYTES): void {
  const piece = Buffer.alloc(left > 0 ? 1 << 20 : 4096, 1);
  const fd = openSync(file, 'w');
  try {
    for (let free = Infinity; free > left; ) {
      writeSync(fd, piece);
      const { bavail, bsize } = statfsSync(directory);
      free = bavail * bsize;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(fd);
  }
}

/** The storage sink lies on the same disk: while that is full nothing is drained, so the journal needs new segments. */
const YAML = `
agent: { id: full-test, workers: 1, data_dir: ./data, log_level: warn, shutdown: { serve_on: 0ms, grace: 20s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0", max_request_body_size: 1MiB } }
journal: { segment_size: 4MiB, max_size: 512MiB, look_back: 0s }
processors: [ { type: summarize, every: 1s } ]
sinks: [ { type: storage, subscribe: [raw], directory: ./data/storage, compression: none, rotate: { size: 2MiB, every: 1s } } ]
`;

test(`${CYCLES} times a full disk: only 200 and 503, back within ${BACK_MS} ms of room, 0 missing`, {
  skip: unmountable('tmpfs') ?? false,
}, async (t) => {
  const { directory, unmount } = mountTmpfs(160 + CYCLES * 24);
  t.after(unmount);
  const agent = await startAgentProcess(directory, YAML);
  t.after(() => agent.end('SIGKILL'));
  const ballast = join(directory, 'ballast');
  const sent = new Set<string>();
  const owed = new Set<string>();
  let refused = 0;
  let slowestMs = 0;
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const clients = Array.from({ length: 4 }, () => new Client(agent.ingest, sent, { padding: 20_000 }));
    const total = () => clients.reduce((sum, client) => sum + client.owed.size, 0);
    fillUp(directory, ballast);
    await eventually('the agent refuses', 30_000, () => clients.some((client) => client.refused > 0) || undefined);
    const ready = await fetch(`${agent.admin}/health/ready`);
    if (ready.status === 503) assert.match(await ready.text(), /full|disk|journal/i);
    rmSync(ballast);
    const began = performance.now();
    const before = total();
    await eventually('data is taken again', BACK_MS, () => total() > before || undefined);
    slowestMs = Math.max(slowestMs, performance.now() - began);
    await Promise.all(clients.map((client) => client.stop()));
    for (const client of clients) {
      refused += client.refused;
      for (const id of client.owed) owed.add(id);
    }
    await settledLedger(agent, 60_000);
  }
  assert.equal(await agent.end('SIGTERM'), 0, agent.output());
  const stored = storedSpanIds(join(directory, 'data/storage'), 'raw');
  checkIds('storage', stored, owed, sent);
  assert.ok(refused >= CYCLES, 'the disk really was full');
  t.diagnostic(`${owed.size} spans owed, ${refused} requests refused, back after ${Math.round(slowestMs)} ms at most`);
});

test('an agent that is killed on a disk without a free byte starts again, and takes data when there is room', {
  skip: unmountable('tmpfs') ?? false,
}, async (t) => {
  const { directory, unmount } = mountTmpfs(160);
  t.after(unmount);
  const before = await startAgentProcess(directory, YAML);
  t.after(() => before.end('SIGKILL'));
  await before.end('SIGKILL');
  const ballast = join(directory, 'ballast');
  fillUp(directory, ballast, 0);
  assert.equal(statfsSync(directory).bavail, 0);
  const agent = await startAgentProcess(directory, YAML);
  t.after(() => agent.end('SIGKILL'));
  assert.equal((await fetch(`${agent.admin}/health/live`)).status, 200);
  rmSync(ballast);
  const client = new Client(agent.ingest, new Set(), { padding: 20_000 });
  await eventually('data is taken', BACK_MS, () => client.owed.size > 0 || undefined);
  await client.stop();
  assert.equal(await agent.end('SIGTERM'), 0, agent.output());
});

test('SIGTERM on a disk without a free byte: exit status 0, and the last line says what is queued', {
  skip: unmountable('tmpfs') ?? false,
}, async (t) => {
  const { directory, unmount } = mountTmpfs(160);
  t.after(unmount);
  // Storage may still find the room that the reserve gives up; nobody listens at this port.
  const unreachable = ', { type: otlp, name: gone, subscribe: [raw], endpoint: "http://127.0.0.1:1" } ]';
  const yaml = YAML.replace('grace: 20s', 'grace: 2s').replace(/ \]\n$/, `${unreachable}\n`);
  const agent = await startAgentProcess(directory, yaml);
  t.after(() => agent.end('SIGKILL'));
  const client = new Client(agent.ingest, new Set(), { pauseMs: 20 });
  await eventually('data is taken', 10_000, () => client.owed.size > 0 || undefined);
  fillUp(directory, join(directory, 'ballast'), 0);
  // Its room was meant for this, and somebody else has it now.
  const reserve = join(directory, 'data/journal/reserve');
  await eventually('the reserve is given up', 30_000, () => !existsSync(reserve) || undefined);
  fillUp(directory, join(directory, 'more'), 0);
  assert.equal(await agent.end('SIGTERM'), 0, agent.output());
  await client.stop();
  assert.match(
    agent.output(),
    /"queued":\{("storage":[1-9][0-9]*,)?"gone":[1-9][0-9]*\},"msg":"stopped: .* next start"\}\n$/,
  );
  assert.doesNotMatch(agent.output(), /"level":"error"/);
});

test('a max_size beyond the size of the volume is warned about, and one that fits is not', {
  skip: unmountable('tmpfs') ?? false,
}, async (t) => {
  const { directory, unmount } = mountTmpfs(160);
  t.after(unmount);
  for (const [size, warned] of [
    // A quarter more for derived/.
    ['128MiB', false],
    ['129MiB', true],
  ] as const) {
    const agent = await startAgentProcess(directory, YAML.replace('512MiB', size));
    t.after(() => agent.end('SIGKILL'));
    const said =
      /journal\.max_size 129MiB is up to 161\.3 MiB with derived\/, and the volume of \S+ has 160 MiB: lower it/;
    assert.equal(said.test(agent.output()), warned, agent.output());
    assert.equal(await agent.end('SIGTERM'), 0);
  }
});
