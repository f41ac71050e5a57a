/**
 * `npm run bench:guard`: base commit and head in turns; fails when a cost is worse by more than 5 % with 95 % confidence, in fresh runs of
 * what looked worse.
 *
 *   node bench/guard/main.ts [--base HEAD^] [--levels F3,F4 [--seconds 10]] [--self-test] [bench/micro path ...]
 *
 * Without --levels: the micro benches, all or those whose path contains one of the arguments. --self-test measures this checkout against
 * itself: ten times as it is, which must pass, and once with every bench made 10 % slower, which must fail; it says how many were stopped.
 */
import { parseArgs } from 'node:util';
import { CAN_PIN } from '../child.ts';
import { checkOut, commitOf, isChangedSince, ROOT } from './checkout.ts';
import {
  addRun,
  FIRST_RUNS,
  FRESH_ROUNDS,
  judge,
  looksWorse,
  MOST_RATIO,
  RUNS_A_ROUND,
  type Verdict,
} from './decide.ts';
import { compareLevel, compareMicro, type Sides } from './sides.ts';

const SELF_TESTS = 10;

const { values, positionals } = parseArgs({
  options: {
    base: { type: 'string', default: 'HEAD^' },
    levels: { type: 'string' },
    seconds: { type: 'string', default: '10' },
    'self-test': { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

/** Head's cost by base's once, by name, of the names asked for, or all. */
type Run = (only: readonly string[]) => Promise<Map<string, number>>;

async function measureRuns(run: Run, only: readonly string[], count: number): Promise<Map<string, number[]>> {
  const ratios = new Map<string, number[]>();
  for (let i = 0; i < count; i++) addRun(ratios, await run(only));
  return ratios;
}

/** Names of what looked worse, and is worse by fresh runs alone: chance does not look worse twice. */
async function findWorse(run: Run, only: readonly string[]): Promise<string[]> {
  const first = await measureRuns(run, only, FIRST_RUNS);
  judgeAll(first);
  let suspects = [...first].flatMap(([name, ratios]) => (looksWorse(ratios) ? [name] : []));
  const fresh = new Map<string, number[]>();
  for (let round = 0; round < FRESH_ROUNDS && suspects.length > 0; round++) {
    console.log(`measured again: ${suspects.join(', ')}`);
    const again = await measureRuns(run, suspects, RUNS_A_ROUND);
    for (const name of suspects) fresh.set(name, [...(fresh.get(name) ?? []), ...(again.get(name) ?? [])]);
    suspects = suspects.filter((name) => looksWorse(fresh.get(name) ?? []));
  }
  const left = judgeAll(new Map(suspects.map((name) => [name, fresh.get(name) ?? []])));
  return [...left].flatMap(([name, { isWorse }]) => (isWorse ? [name] : []));
}

function judgeAll(all: ReadonlyMap<string, number[]>): Map<string, Verdict> {
  const verdicts = new Map<string, Verdict>();
  for (const [name, ratios] of all) {
    const verdict = judge(ratios);
    verdicts.set(name, verdict);
    const { ratio, low, high, isWorse } = verdict;
    const change = `${ratio.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`;
    console.log(`${isWorse ? 'WORSE' : 'ok   '} ${name.padEnd(64)} ${change}`);
  }
  return verdicts;
}

/** True when the guard lets the same code pass and stops a slower one. */
async function selfTest(): Promise<boolean> {
  const same = { base: ROOT, head: ROOT, slower: 1 };
  let alarms = 0;
  for (let i = 0; i < SELF_TESTS; i++)
    alarms += (await findWorse((only) => compareMicro(same, only), positionals)).length;
  let all = 0;
  const slower: Run = async (only) => {
    const run = await compareMicro({ ...same, slower: 1.1 }, only);
    all = Math.max(all, run.size);
    return run;
  };
  const found = (await findWorse(slower, positionals)).length;
  console.log(`the same code: ${alarms} alarms in ${SELF_TESTS} runs; 10 % slower: ${found} of ${all} benches stopped`);
  return alarms === 0 && found > 0;
}

async function guard(): Promise<boolean> {
  const base = commitOf(values.base);
  if (base === null) {
    console.log(`skipped: there is no commit ${values.base} here (a shallow clone?)`);
    return true;
  }
  if (!isChangedSince(base)) {
    console.log(`nothing that is measured has changed since ${base.slice(0, 12)}`);
    return true;
  }
  const checkout = checkOut(base);
  try {
    const sides: Sides = { base: checkout.directory, head: ROOT, slower: 1 };
    const worse: string[] = [];
    if (values.levels === undefined) {
      worse.push(...(await findWorse((only) => compareMicro(sides, only), positionals)));
    } else {
      let isHeadFirst = true;
      for (const level of values.levels.split(','))
        worse.push(
          ...(await findWorse(async () => {
            isHeadFirst = !isHeadFirst;
            return compareLevel(sides, level, Number(values.seconds), isHeadFirst);
          }, [])),
        );
    }
    const bound = `${Math.round((MOST_RATIO - 1) * 100)} %`;
    if (worse.length > 0) console.log(`\nslower than ${base.slice(0, 12)} by more than ${bound}: ${worse.join(', ')}`);
    return worse.length === 0;
  } finally {
    checkout.remove();
  }
}

if (!CAN_PIN) console.log('taskset is missing: the runs are not pinned to a core, their spread is larger');
process.exitCode = (await (values['self-test'] ? selfTest() : guard())) ? 0 : 1;
