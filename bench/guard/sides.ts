/** Measures two checkouts against each other once: their micro benches by turns in fresh processes, or one level. */
import { execFileSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startNode } from '../child.ts';
import { INLINING_FLAGS } from '../slot.ts';
import { median } from '../statistics.ts';
import { ROOT } from './checkout.ts';

const CORE = 1;
const END_MS = 1000;
/** Slots of each side; odd, so that a median is one of them. */
const TURNS = 11;

/** What is measured against what. `slower`: the head's benches are made so many times as slow. */
export interface Sides {
  base: string;
  head: string;
  slower: number;
}

/** Head's cost by base's, by the bench's name: of those named in `only` (none: all), or of files whose path contains one of it. */
export async function compareMicro(
  { base, head, slower }: Sides,
  only: readonly string[],
): Promise<Map<string, number>> {
  const sides = [startSide(base, 1), startSide(head, slower)] as const;
  const ratios = new Map<string, number>();
  try {
    const files = globSync('**/*.bench.ts', { cwd: join(ROOT, 'bench/micro') }).sort();
    for (const file of files.filter((one) => only.length === 0 || only.some((part) => one.includes(pathOf(part))))) {
      const before = await sides[0].ask<string[]>(`names ${file}`);
      const after = await sides[1].ask<string[]>(`names ${file}`);
      for (const [i, name] of after.entries()) {
        const at = before.indexOf(name);
        const isWanted = only.length === 0 || only.some((part) => part === name || file.includes(part));
        // What only one side has cannot be compared.
        if (at >= 0 && isWanted) ratios.set(name, await compareBench(sides[0], at, sides[1], i));
      }
    }
  } finally {
    for (const side of sides) await side.end();
  }
  return ratios;
}

/** A bench's name is the path of its file, a colon and what it does. */
function pathOf(name: string): string {
  return name.split(':')[0] as string;
}

async function compareBench(base: Side, baseIndex: number, head: Side, headIndex: number): Promise<number> {
  await base.ask(`warm ${baseIndex}`);
  await head.ask(`warm ${headIndex}`);
  const ratios: number[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    // A B, B A, ...: a drift of the machine falls on both alike.
    const early = turn % 2 === 0 ? await base.ask<number>(`time ${baseIndex}`) : 0;
    const cost = await head.ask<number>(`time ${headIndex}`);
    ratios.push(cost / (early > 0 ? early : await base.ask<number>(`time ${baseIndex}`)));
  }
  return median(ratios);
}

interface Side {
  ask<Answer>(request: string): Promise<Answer>;
  end(): Promise<void>;
}

function startSide(directory: string, slower: number): Side {
  const turn = fileURLToPath(new URL('turn.ts', import.meta.url));
  const env = { ...process.env, PLUMBLINE_BENCH_SLOWER: String(slower) };
  const child = startNode(CORE, ['--max-semi-space-size=16', ...INLINING_FLAGS, turn, directory], env);
  let asked = 0;
  return {
    async ask<Answer>(request: string) {
      const id = ++asked;
      child.say(`${id} ${request}`);
      const [, answer = ''] = await child.line(new RegExp(`^${id} (.*)$`));
      return JSON.parse(answer) as Answer;
    },
    async end() {
      await child.stop(END_MS);
    },
  };
}

/** The same for a level's CPU-seconds per million items. */
export function compareLevel(
  { base, head }: Sides,
  level: string,
  seconds: number,
  headFirst: boolean,
): Map<string, number> {
  const early = headFirst ? runLevel(head, level, seconds) : 0;
  const before = runLevel(base, level, seconds);
  return new Map([[level, (headFirst ? early : runLevel(head, level, seconds)) / before]]);
}

function runLevel(directory: string, level: string, seconds: number): number {
  const out = mkdtempSync(join(tmpdir(), 'plumbline-guard-level-'));
  try {
    const file = join(out, 'slots.json');
    const args = ['--levels', level, '--rounds', '1', '--seconds', String(seconds), '--out', file];
    execFileSync(process.execPath, [join(directory, 'bench/main.ts'), ...args], { cwd: directory, stdio: 'pipe' });
    // main.ts writes its slots.
    const { slots } = JSON.parse(readFileSync(file, 'utf8')) as { slots: { cpuSPerMillion: number }[] };
    return median(slots.map(({ cpuSPerMillion }) => cpuSPerMillion));
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}
