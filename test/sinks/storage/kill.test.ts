/** kill -9 of a process that writes files, at random: no file is torn, none holds what another one holds, and nothing is missing. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../harness.ts';
import { namesInFile } from './files.ts';

const KILLS = Number(process.env.PLUMBLINE_KILLS ?? 12);
const WRITER = fileURLToPath(new URL('./mortal_writer.ts', import.meta.url));

test(`${KILLS} kills: no file is torn, no item is doubled or missing`, async (t) => {
  // A kill leaves what was written, synced or not: where a sync costs nothing there are more files to a life.
  const folder = temporaryFolder(t, existsSync('/dev/shm') ? '/dev/shm' : undefined);
  const directory = join(folder, 'storage');
  const cursor = join(folder, 'cursor.json');
  for (let kill = 0; kill < KILLS; kill++) {
    const child = spawn(process.execPath, [WRITER, directory, cursor], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = new Promise<string>((resolve) => child.once('exit', (code, signal) => resolve(signal ?? `${code}`)));
    await Promise.race([new Promise((resolve) => child.stdout.once('data', resolve)), exited]);
    await new Promise((resolve) => setTimeout(resolve, 10 + Math.random() * 150));
    child.kill('SIGKILL');
    assert.equal(await exited, 'SIGKILL', 'it ended by itself');
  }
  const before = finished(directory);
  const end = Math.max(...before.map(({ last }) => last)) + 100;
  const child = spawn(process.execPath, [WRITER, directory, cursor, `${end}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.equal(await new Promise((resolve) => child.once('exit', resolve)), 0);
  const files = finished(directory);
  let next = 0;
  for (const { path, first, last } of files) {
    assert.equal(first, next, `${path} does not begin where the one before it ends`);
    const expected = Array.from({ length: last - first + 1 }, (_, i) => `${first + i}`);
    assert.deepEqual(namesInFile(path), expected, path);
    next = last + 1;
  }
  assert.equal(next, end);
  const left = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.tmp'));
  assert.deepEqual(left, []);
  assert.equal(JSON.parse(readFileSync(cursor, 'utf8')).delivered, end);
  t.diagnostic(`${KILLS} kills, ${before.length} files before the last start, ${end} items`);
});

/** Finished files in the order of their names' sequences. */
function finished(directory: string): { path: string; first: number; last: number }[] {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return names
    .flatMap((name) => {
      const [, first, last] = /_(\d+)-(\d+)\.binpb\.zst$/.exec(name) ?? [];
      return last === undefined ? [] : [{ path: join(directory, name), first: Number(first), last: Number(last) }];
    })
    .sort((a, b) => a.first - b.first);
}
