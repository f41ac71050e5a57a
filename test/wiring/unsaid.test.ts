/** Holds wiring/unsaid.ts: what is said is written once, in order, and nothing that cannot be written holds up the rest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockPool, FRAME_HEADER_BYTES, UNIT_BYTES } from '../../src/core/block.ts';
import { Unsaid, type Words } from '../../src/wiring/unsaid.ts';

function words(stream: 'summaries' | 'events', text: string, ends = false): Words {
  const signal = stream === 'events' ? 'logs' : 'metrics';
  const emission = { stream, signal, bytes: Buffer.from(text), items: 1, timeMs: 1, ends } as const;
  return { processor: 1, covers: 1, emission };
}

test('newer values come while the older ones are being written: the event behind them is told', async () => {
  const pool = BlockPool.create(8 * UNIT_BYTES);
  const written: string[] = [];
  const gate = Promise.withResolvers<void>();
  const unsaid = new Unsaid(pool, async ({ first }) => {
    const at = first + FRAME_HEADER_BYTES;
    const text = pool.bytes.toString('latin1', at, at + 'values 1'.length);
    if (text === 'values 1') await gate.promise;
    written.push(text);
  });
  unsaid.add(words('summaries', 'values 1'));
  const saying = unsaid.say();
  unsaid.add(words('summaries', 'values 2'));
  unsaid.add(words('events', 'breached'));
  gate.resolve();
  await saying;
  assert.deepEqual(await unsaid.say(), { flushed: false, error: null });
  assert.deepEqual(written, ['values 1', 'values 2', 'breached']);
  assert.deepEqual(unsaid.save(), []);
});
