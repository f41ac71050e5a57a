/** Measures one checkout once, in a fresh process: its micro benches, or one level. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CAN_PIN } from '../child.ts';

const CORE = '1';

/** Nanoseconds an item by the bench's name, of the files that contain one of `only` (none: all). */
export function runMicro(directory: string, only: readonly string[], slower = 1): Map<string, number> {
  const bench = [join(directory, 'bench/micro/run.ts'), '--json', '--quick', ...only];
  const command = [...(CAN_PIN ? ['taskset', '-c', CORE] : []), process.execPath, '--max-semi-space-size=16', ...bench];
  const [file = '', ...args] = command;
  const env = { ...process.env, PLUMBLINE_BENCH_SLOWER: String(slower) };
  const { status, stdout, stderr } = spawnSync(file, args, { cwd: directory, env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${bench.join(' ')} ended with ${status}:\n${stderr}`);
  const costs = new Map<string, number>();
  for (const line of stdout.split('\n')) {
    if (!line.startsWith('{')) continue;
    // run.ts prints a Measurement for each bench.
    const { name, nsPerItem } = JSON.parse(line) as { name: string; nsPerItem: number };
    costs.set(name, nsPerItem);
  }
  return costs;
}

/** CPU-seconds per million items of a level. */
export function runLevel(directory: string, level: string, seconds: number): Map<string, number> {
  const out = mkdtempSync(join(tmpdir(), 'plumbline-guard-level-'));
  try {
    const file = join(out, 'slots.json');
    const args = ['--levels', level, '--rounds', '1', '--seconds', String(seconds), '--out', file];
    execFileSync(process.execPath, [join(directory, 'bench/main.ts'), ...args], { cwd: directory, stdio: 'pipe' });
    // main.ts writes its slots.
    const { slots } = JSON.parse(readFileSync(file, 'utf8')) as { slots: { cpuSPerMillion: number }[] };
    return new Map(slots.map(({ cpuSPerMillion }) => [level, cpuSPerMillion]));
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}
