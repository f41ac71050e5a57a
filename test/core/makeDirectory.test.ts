/** Holds core/makeDirectory.ts: every directory above, those that are there, and what cannot be made. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeDirectory } from '../../src/core/makeDirectory.ts';

const root = mkdtempSync(join(tmpdir(), 'plumbline-directory-'));
after(() => rmSync(root, { recursive: true, force: true }));

test('it and all above it are made, with the mode, by several at once and again', async () => {
  const deep = join(root, 'a/b/c');
  await Promise.all([makeDirectory(deep, 0o700), makeDirectory(join(root, 'a/b/d'), 0o700)]);
  assert.equal(await makeDirectory(deep, 0o700), null);
  assert.equal(await makeDirectory(join(deep, 'd'), 0o700), join(deep, 'd'));
  assert.equal(await makeDirectory(join(deep, 'e/f/g'), 0o700), join(deep, 'e'));
  assert.equal(statSync(deep).mode & 0o777, 0o700);
  assert.equal(statSync(join(root, 'a')).mode & 0o777, 0o700);
});

test('a file in its place or above it is an error', async () => {
  const file = join(root, 'file');
  writeFileSync(file, '');
  await assert.rejects(makeDirectory(file, 0o700), { code: 'EEXIST' });
  await assert.rejects(makeDirectory(join(file, 'below'), 0o700), { code: 'ENOTDIR' });
});

test('below a working directory that is gone it is an error, and ends', () => {
  const gone = mkdtempSync(join(root, 'gone-'));
  const module = fileURLToPath(new URL('../../src/core/makeDirectory.ts', import.meta.url));
  const child = `
    const { makeDirectory } = await import(${JSON.stringify(module)});
    const { rmdirSync } = await import('node:fs');
    rmdirSync(process.cwd());
    makeDirectory('data/journal', 0o750).catch(({ code }) => console.log(code));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', child], { cwd: gone, timeout: 20_000 });
  assert.equal(String(stdout).trim(), 'ENOENT');
});
