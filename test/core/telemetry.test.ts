/** Holds src/core/telemetry.ts: what an alert asks the increase of is there before it rises. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTelemetry } from '../../src/core/telemetry.ts';

test('the first refusal, the first bad item and the first loss are increases: they are counted from 0 on', async () => {
  const text = await createTelemetry().registry.metrics();
  const series = ['traces', 'metrics', 'logs'].flatMap((signal) => [
    `plumbline_ingest_items_total{signal="${signal}",outcome="rejected"}`,
    `plumbline_ingest_requests_total{signal="${signal}",code="503"}`,
    `plumbline_ingest_warnings_total{signal="${signal}"}`,
  ]);
  for (const stream of ['summaries', 'events']) series.push(`plumbline_told_given_up_items_total{stream="${stream}"}`);
  const lines = text.split('\n');
  for (const one of series) assert.ok(lines.includes(`${one} 0`), one);
});
