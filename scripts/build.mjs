/** Builds dist/: empties it, compiles src/ with tsc, and makes the command executable. */
import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const COMMAND = join(ROOT, 'dist', 'main.js');
const COMPILER = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');

rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
const { status } = spawnSync(process.execPath, [COMPILER, '-p', 'tsconfig.build.json'], {
  cwd: ROOT,
  stdio: 'inherit',
});
if (status !== 0) process.exit(1);
if (!readFileSync(COMMAND, 'utf8').startsWith('#!/usr/bin/env -S node ')) {
  console.error('dist/main.js has lost its first line, with which the shell finds Node and its flags');
  process.exit(1);
}
chmodSync(COMMAND, 0o755);
