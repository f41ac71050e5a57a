/** Holds wiring/unsaid.ts: what is said is written once, in order, and nothing that cannot be written holds up the rest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockPool, FRAME_HEADER_BYTES, UNIT_BYTES } from '../../src/core/block.ts';
import { AgentError, messageOf } from '../../src/core/errors.ts';
import { Unsaid, type Words } from '../../src/wiring/unsaid.ts';

function words(stream: 'summaries' | 'events', text: string, ends = false): Words {
  const signal = stream === 'events' ? 'logs' : 'metrics';
  const emission = { stream, signal, bytes: Buffer.from(text), items: 1, timeMs: 1, ends } as const;
  return { processor: 1, covers: 1, emission };
}

/** `append` gets the first bytes of what is written. */
function createUnsaid(append: (text: string) => Promise<void>) {
  const pool = BlockPool.create(8 * UNIT_BYTES);
  const givenUp: string[] = [];
  const unsaid = new Unsaid({
    pool,
    segmentBytes: 2 * UNIT_BYTES,
    append({ first }) {
      const at = first + FRAME_HEADER_BYTES;
      return append(pool.bytes.toString('latin1', at, at + 'values 1'.length));
    },
    onGivenUp: ({ bytes }, cause) => void givenUp.push(`${bytes.length} ${messageOf(cause)}`),
  });
  return { pool, unsaid, givenUp };
}

test('newer values come while the older ones are being written: the event behind them is told', async () => {
  const written: string[] = [];
  const gate = Promise.withResolvers<void>();
  const { unsaid } = createUnsaid(async (text) => {
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

const HUGE = 'x'.repeat(2 * UNIT_BYTES);

test('what is larger than a segment is given up, also from a checkpoint, and what stands behind it is written', async () => {
  const written: string[] = [];
  const { unsaid, givenUp } = createUnsaid(async (text) => void written.push(text));
  unsaid.restore([words('summaries', HUGE, true)], { flushed: [], lastEventMs: [] });
  unsaid.add(words('summaries', 'values 1'));
  unsaid.add(words('events', HUGE));
  unsaid.add(words('events', 'breached'));
  assert.deepEqual(await unsaid.say(), { flushed: true, error: null }, 'a checkpoint has to follow');
  assert.deepEqual(written, ['values 1', 'breached']);
  assert.deepEqual([unsaid.save(), unsaid.flushing], [[], new Set()]);
  assert.equal(givenUp.length, 2);
  assert.match(givenUp[0] ?? '', /^2097152 2097\d{3} bytes in one piece, limit 2097152: .*raise journal\.segment_size/);
});

test('what the journal calls too large is given up, what it has no room for is not, nor what finds no block', async () => {
  const refusals = [
    new AgentError('BODY_TOO_LARGE', 'too large'),
    new AgentError('JOURNAL_FULL', 'full', { retryable: true }),
  ];
  const { pool, unsaid, givenUp } = createUnsaid(async () => {
    const refusal = refusals.shift();
    if (refusal !== undefined) throw refusal;
  });
  unsaid.add(words('summaries', 'first', true));
  unsaid.add(words('summaries', 'second'));
  const { flushed, error } = await unsaid.say();
  assert.deepEqual([flushed, messageOf(error), givenUp], [true, 'full', ['5 too large']]);
  const all = pool.allocate(pool.units * UNIT_BYTES);
  assert.match(messageOf((await unsaid.say()).error), /no free block/);
  pool.release(all);
  assert.deepEqual(await unsaid.say(), { flushed: false, error: null });
  assert.equal(givenUp.length, 1);
});
