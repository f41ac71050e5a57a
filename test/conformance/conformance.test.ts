/** Holds the whole table: one hundred rows, three signals, two encodings. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { temporaryDirectory } from '../support/agent.ts';
import type { Row } from './row.ts';
import { ROWS } from './rows.ts';
import { runTable } from './table.ts';

test('the table has one hundred rows, each with a name of its own', () => {
  assert.equal(ROWS.length, 100);
  assert.equal(new Set(ROWS.map(({ id }) => id)).size, 100);
});

async function allPass(t: TestContext, rows: readonly Row[], fastPath: boolean): Promise<void> {
  const results = await runTable({
    rows,
    url: null,
    directory: temporaryDirectory(t, 'conformance'),
    fastPath,
    log: (line) => t.diagnostic(line),
  });
  for (const { row, outcome, reason } of results)
    if (outcome === 'not run') t.diagnostic(`${row.id} not run: ${reason}`);
  // Port 4318 may be taken by an agent in use.
  const others = results.filter(({ row, outcome }) => outcome === 'fail' || (outcome === 'not run' && row.id !== 'A5'));
  assert.deepEqual(
    others.map(({ row, reason }) => `${row.id}: ${reason}`),
    [],
  );
}

test('every row passes', { timeout: 280_000 }, (t) => allPass(t, ROWS, true));

test('every row about HTTP passes without the fast path, too', { timeout: 280_000 }, (t) =>
  allPass(
    t,
    ROWS.filter(({ id }) => /^[ABD]/.test(id)),
    false,
  ),
);
