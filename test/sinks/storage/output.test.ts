/** What is written to a file comes out of it in the same order, whatever the sizes. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { Part } from '../../../src/core/component.ts';
import { createOutput } from '../../../src/sinks/storage/output.ts';

const READ = { none: (file: Buffer) => file, gzip: gunzipSync, zstd: zstdDecompressSync };
/** Small beside large, and around the sizes at which parts are collected or not. */
const SIZES = [10_000, 100_000, 300, 65_535, 65_536, 1, 700_000, 262_144, 262_145, 5];

for (const compression of ['none', 'gzip', 'zstd'] as const) {
  test(`${compression}: parts of every size stand in the order in which they were written`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'plumbline-output-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const total = SIZES.reduce((sum, size) => sum + size, 0);
    const bytes = Buffer.alloc(total);
    let at = 0;
    const parts = SIZES.map((length, i) => {
      bytes.fill(i + 1, at, at + length);
      at += length;
      const sequence = i + 1;
      return { at: at - length, length, sequence, lastSequence: sequence, part: 0, items: 1, key: null } satisfies Part;
    });
    const path = join(directory, 'file');
    const output = await createOutput(path, true, compression);
    await output.write(bytes, parts.slice(0, 4));
    await output.write(bytes, parts.slice(4));
    await output.complete();
    await output.close();
    const read = READ[compression](readFileSync(path));
    // A difference of megabytes would take minutes to print.
    assert.ok(read.equals(bytes), 'the file holds something else, or in another order');
  });
}

test('files that are closed twice, as after a rename that failed, leave memory that one other file has', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'plumbline-output-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const bytes = Buffer.concat([Buffer.alloc(1000, 1), Buffer.alloc(1000, 2)]);
  const failed = await createOutput(join(directory, 'failed'), true, 'none');
  await failed.close();
  await failed.close();
  const paths = ['one', 'two'].map((name) => join(directory, name));
  const outputs = await Promise.all(paths.map((path) => createOutput(path, true, 'none')));
  for (const [i, output] of outputs.entries()) await output.write(bytes, [{ at: i * 1000, length: 1000 }]);
  for (const output of outputs) await output.complete();
  for (const output of outputs) await output.close();
  for (const [i, path] of paths.entries())
    assert.ok(
      readFileSync(path).equals(bytes.subarray(i * 1000, i * 1000 + 1000)),
      `${path} holds what is not its own`,
    );
});
