/** A trace that fails after a restart: what was decided before is not decided anew, and what is kept alone says so. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
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

const EXPECTED = {
  // All that was there was decided at the stop.
  SIGTERM: ['failed error partial'],
  // Nothing was decided, and now it is known how the trace ended.
  SIGKILL: ['begun error whole', 'failed error whole'],
} as const;

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test(`a trace that fails within wait of a restart by ${signal} is ${EXPECTED[signal].join(', ')}`, async (t) => {
    const directory = temporaryDirectory(t, 'partial');
    const traceId = idOf(1, 16);
    const send = async (ingest: string, more: object) => {
      const headers = { 'content-type': 'application/x-protobuf' };
      const body = new Uint8Array(traces(span(1, { traceId, ...more })));
      assert.equal((await fetch(`${ingest}/v1/traces`, { method: 'POST', headers, body })).status, 200);
    };
    const before = await startAgentProcess(directory, YAML);
    t.after(() => before.end('SIGKILL'));
    await send(before.ingest, { spanId: idOf(1, 8), name: 'begun' });
    await before.end(signal);
    const after = await startAgentProcess(directory, YAML);
    t.after(() => after.end('SIGKILL'));
    await send(after.ingest, { spanId: idOf(2, 8), name: 'failed', status: { code: 2 } });
    assert.equal(await after.end('SIGTERM'), 0, after.output());
    const kept = spansOf(readAllStored(join(directory, 'data/storage'), 'sampled', 'traces')).map(
      ({ name, attributes }) => {
        const of = (key: string) =>
          (attributes as { key: string; value: Record<string, unknown> }[]).find((one) => one.key === key)?.value;
        const isPartial = of('plumbline.partial')?.boolValue === true;
        return `${name} ${of('plumbline.kept')?.stringValue} ${isPartial ? 'partial' : 'whole'}`;
      },
    );
    assert.deepEqual(kept.sort(), EXPECTED[signal]);
  });
}
