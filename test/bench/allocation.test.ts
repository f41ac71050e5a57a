/** The hot path makes no garbage: walk, select and re-slice allocate at most 8 bytes of heap a span. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const RUN = fileURLToPath(new URL('../../bench/micro/run.ts', import.meta.url));
const MOST_BYTES = 8;

interface Line {
  name: string;
  heapBytesPerItem: number;
}

for (const file of ['worker/walk', 'worker/select', 'otlp/reslice']) {
  test(`${file} allocates at most ${MOST_BYTES} bytes of heap a span`, async () => {
    const args = ['--expose-gc', '--max-semi-space-size=16', RUN, '--quick', '--bounded', '--json', `${file}.bench.ts`];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    // run.ts prints one measurement a line.
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);
    assert.ok(lines.length >= 3, `${lines.length} benches of ${file} have a bound`);
    assert.deepEqual(
      lines
        .filter(({ heapBytesPerItem }) => !(heapBytesPerItem <= MOST_BYTES))
        .map(({ name, heapBytesPerItem }) => `${name}: ${heapBytesPerItem.toFixed(2)} bytes`),
      [],
    );
  });
}
