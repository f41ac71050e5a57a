/**
 * Prints the table for our agent, or for any other OTLP/HTTP receiver; status 1 when a row failed.
 *
 *   npm run conformance [-- --url http://127.0.0.1:4318] [--row D14]... [--no-fast-path] [--verbose]
 *
 * CONFORMANCE_LIMIT says another receiver's limit of a request body in bytes.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROWS } from './rows.ts';
import { formatResult, runTable } from './table.ts';

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    row: { type: 'string', multiple: true },
    'fast-path': { type: 'boolean', default: true },
    verbose: { type: 'boolean' },
  },
  allowNegative: true,
});
const directory = mkdtempSync(join(tmpdir(), 'plumbline-conformance-'));
try {
  const results = await runTable({
    rows: values.row === undefined ? ROWS : ROWS.filter(({ id }) => values.row?.includes(id)),
    url: values.url?.replace(/\/$/, '') ?? null,
    directory,
    fastPath: values['fast-path'],
    log: (line) => values.verbose && console.error(line),
  });
  for (const result of results) console.log(formatResult(result));
  const count = (outcome: string) => results.filter((result) => result.outcome === outcome).length;
  const cases = results.reduce((sum, result) => sum + result.cases, 0);
  console.log(
    `\n${count('pass')} of ${results.length} rows pass, ${count('fail')} fail, ${count('not run')} not run; ${cases} cases`,
  );
  if (count('fail') > 0) process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
