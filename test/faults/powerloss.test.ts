/** The plug is pulled: what lies on an ext4 image at that moment is mounted elsewhere, and an agent on it has everything that was acknowledged. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { settledLedger, startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { Client, checkIds } from '../support/owing.ts';
import { readAllStored, spansOf } from '../support/storage.ts';
import { copyImage, makeImage, mountImage, unmountable } from './mounted.ts';

const LOSSES = Number(process.env.PLUMBLINE_POWER_LOSSES ?? 4);
/** A hang, not a measurement: the machine may be busy with other tests. */
const UP_MS = 20_000;

const YAML = `
agent: { id: power-test, workers: 1, data_dir: ./data, log_level: warn, shutdown: { serve_on: 0ms, grace: 20s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0", max_request_body_size: 1MiB } }
journal: { segment_size: 8MiB, max_size: 64MiB, look_back: 0s }
processors: [ { type: summarize, every: 1s }, { type: sample, wait: 200ms, base: 100% } ]
sinks: [ { type: storage, subscribe: [raw, sampled], directory: ./data/storage, compression: none, rotate: { every: 1s } } ]
`;

test(`${LOSSES} power losses under load: 0 missing`, {
  skip: unmountable('ext4') ?? false,
}, async (t) => {
  const images = temporaryDirectory(t, 'power');
  const owed = new Set<string>();
  const sent = new Set<string>();
  let image = join(images, '0.img');
  let slowestMs = 0;
  let inTheMiddle = 0;
  makeImage(image, 192);
  for (let loss = 0; ; loss++) {
    const disk = mountImage(image);
    t.after(disk.unmount);
    const began = performance.now();
    const agent = await startAgentProcess(disk.directory, YAML);
    t.after(() => agent.end('SIGKILL'));
    slowestMs = Math.max(slowestMs, performance.now() - began);
    if (loss === LOSSES) {
      await settledLedger(agent, 60_000);
      assert.equal(await agent.end('SIGTERM'), 0);
      for (const stream of ['raw', 'sampled']) {
        const stored = spansOf(readAllStored(join(disk.directory, 'data/storage'), stream, 'traces'));
        checkIds(
          `${stream} after ${loss} power losses`,
          stored.map(({ spanId }) => spanId),
          owed,
          sent,
        );
      }
      break;
    }
    const clients = Array.from({ length: 4 }, () => new Client(agent.ingest, sent));
    await new Promise((resolve) => setTimeout(resolve, 400 + Math.random() * 1200));
    // Stopped, so that the copy is of one moment: what the agent has not synced by now is in no image.
    process.kill(agent.pid, 'SIGSTOP');
    const before = owed.size;
    for (const client of clients) for (const id of client.owed) owed.add(id);
    if (owed.size > before) inTheMiddle++;
    const next = join(images, `${loss + 1}.img`);
    copyImage(image, next);
    const stopping = clients.map((client) => client.stop());
    assert.equal(await agent.end('SIGKILL'), 'SIGKILL');
    await Promise.all(stopping);
    disk.unmount();
    rmSync(image);
    image = next;
  }
  assert.equal(inTheMiddle, LOSSES, 'every loss came under load');
  assert.ok(slowestMs < UP_MS, `a start took ${slowestMs} ms`);
  t.diagnostic(`${owed.size} spans owed, up after ${Math.round(slowestMs)} ms at most`);
});
