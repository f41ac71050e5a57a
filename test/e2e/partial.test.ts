/** A trace that fails after a restart: what was decided before is not decided anew, and what is kept alone says so. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Explained } from '../../src/status/explained.ts';
import { startAgentProcess, temporaryDirectory } from '../support/agent.ts';
import { readAllStored, spansOf } from '../support/storage.ts';
import { idOf, span, traces } from '../worker/world.ts';

/** Longer than any restart takes. */
const YAML = `
agent: { id: partial, data_dir: ./data, shutdown: { serve_on: 0ms, grace: 20s }, log_level: warn }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
processors: [{ type: sample, wait: 10m, base: 0%, keep: { rare: 0% } }]
sinks: [{ type: storage, subscribe: [sampled], directory: ./data/storage, compression: none }]
`;

const CASES = [
  // All that was there was decided at the stop.
  { ends: ['SIGTERM', 'SIGTERM'], kept: ['failed error partial'] },
  // Nothing was decided, and now it is known how the trace ended.
  { ends: ['SIGKILL', 'SIGTERM'], kept: ['begun error whole', 'failed error whole'] },
  // What was decided stays so.
  { ends: ['SIGTERM', 'SIGKILL', 'SIGTERM'], kept: ['failed error partial'] },
  { ends: ['SIGTERM', 'SIGTERM', 'SIGTERM'], kept: ['again error partial', 'failed error partial'], again: 'again' },
] as const;

for (const { ends, kept: expected, ...more } of CASES) {
  test(`a trace that fails within wait of a restart is kept as it was decided: ${ends.join(', ')}`, async (t) => {
    const directory = temporaryDirectory(t, 'partial');
    const traceId = idOf(1, 16);
    const send = async (ingest: string, more: object) => {
      const headers = { 'content-type': 'application/x-protobuf' };
      const body = new Uint8Array(traces(span(1, { traceId, ...more })));
      assert.equal((await fetch(`${ingest}/v1/traces`, { method: 'POST', headers, body })).status, 200);
    };
    const names = ['begun', 'failed', 'again' in more ? more.again : null];
    for (const [i, end] of ends.entries()) {
      const agent = await startAgentProcess(directory, YAML);
      t.after(() => agent.end('SIGKILL'));
      const asked = await fetch(`${agent.admin}/traces/${traceId.toString('hex')}`);
      const { decision, decided_at } = (await asked.json()) as Explained;
      if (i === 1) {
        assert.equal(decision, ends[0] === 'SIGTERM' ? 'dropped' : 'undecided');
        assert.equal(decided_at === null, ends[0] === 'SIGTERM', `decided at ${decided_at}`);
      }
      const name = names[i] ?? null;
      if (name !== null)
        await send(agent.ingest, { spanId: idOf(i, 8), name, ...(i > 0 ? { status: { code: 2 } } : {}) });
      assert.equal(await agent.end(end), end === 'SIGTERM' ? 0 : end, agent.output());
    }
    const kept = spansOf(readAllStored(join(directory, 'data/storage'), 'sampled', 'traces')).map(
      ({ name, attributes }) => {
        const of = (key: string) =>
          (attributes as { key: string; value: Record<string, unknown> }[]).find((one) => one.key === key)?.value;
        const isPartial = of('plumbline.partial')?.boolValue === true;
        return `${name} ${of('plumbline.kept')?.stringValue} ${isPartial ? 'partial' : 'whole'}`;
      },
    );
    assert.deepEqual(kept.sort(), expected);
  });
}
