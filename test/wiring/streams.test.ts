/** Holds wiring/streams.ts: what is remembered of the selection goes with the last sink of what it makes. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { processContext } from '../../src/cli/context.ts';
import { inspectConfig } from '../../src/config.ts';
import { BlockPool, SIGNALS, UNIT_BYTES } from '../../src/core/block.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import { LookBacks } from '../../src/wiring/lookBacks.ts';
import { openStore } from '../../src/wiring/store.ts';
import { prepareSelection } from '../../src/wiring/streams.ts';
import { createWorkers } from '../../src/wiring/workers.ts';
import { createPolicy } from '../../src/worker/policy.ts';
import { append, temporaryDirectory } from '../journal/frames.ts';

/** A start of the agent up to its selection, with a sink of this stream. */
async function start(t: TestContext, directory: string, stream: string) {
  const text = JSON.stringify({
    agent: { id: 'a', data_dir: directory },
    sinks: [{ type: 'storage', subscribe: [stream], directory: `${directory}/out` }],
  });
  const { config, faults } = inspectConfig({
    text,
    file: 'agent.yaml',
    env: {},
    ...(await processContext().components()),
  });
  assert.ok(config !== null, faults.join('\n'));
  const pool = BlockPool.create(96 * UNIT_BYTES);
  const undo: (() => Promise<void> | void)[] = [];
  const log = pino({ level: 'silent' });
  const rest = { telemetry: createTelemetry(), now: Date.now, trouble: new Map(), refused: new Map() };
  const ground = { config, log, pool, undo, ...rest };
  const store = await openStore(ground);
  const workers = createWorkers(ground, null, createPolicy({ contracts: [], processors: [] }));
  await workers.ready();
  const prepared = await prepareSelection(ground, store, workers, undefined, null, new LookBacks(ground, store, null));
  const stop = async () => {
    if (undo.length === 0) return;
    await store.memory.saveCursors();
    await workers.close();
    for (const one of undo.splice(0).reverse()) await one();
  };
  t.after(stop);
  const send = (id: number) => append(store.intake, pool, [{ id, bytes: 100 }]);
  return { next: prepared?.progress.next ?? null, head: () => store.intake.head, send, stop };
}

test('a sink of `sampled` that comes back begins at the head, whatever arrived while there was none', async (t) => {
  const directory = temporaryDirectory();
  const first = await start(t, directory, 'sampled');
  await first.stop();
  const without = await start(t, directory, 'raw');
  assert.equal(without.next, null);
  for (let id = 1; id < 5; id++) await without.send(id);
  await without.stop();
  const again = await start(t, directory, 'sampled');
  assert.ok(again.head() > (first.next?.[0] ?? 0));
  assert.deepEqual(again.next, SIGNALS.map(again.head));
});
