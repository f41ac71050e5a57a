/**
 * `npm run bench:guard`: base commit and head in alternating runs; fails when a cost is worse by more than 5 % with 95 % confidence,
 * in fresh runs of what looked worse.
 *
 *   node bench/guard/main.ts [--base HEAD^] [--pairs 4] [--levels F3,F4 [--seconds 10]] [--self-test] [bench/micro path ...]
 *
 * Without --levels: the micro benches, all or those whose path contains one of the arguments. --self-test measures this checkout against
 * itself: ten times as it is, which must pass, and once with every bench made 10 % slower, which must fail.
 */
import { parseArgs } from 'node:util';
import { CAN_PIN } from '../child.ts';
import { checkOut, commitOf, isChangedSince, ROOT } from './checkout.ts';
import { addPairs, FRESH_ROUNDS, judgePairs, looksWorse, MOST_RATIO, type Pair, type Verdict } from './decide.ts';
import { runLevel, runMicro } from './sides.ts';

const SELF_TESTS = 10;

const { values, positionals } = parseArgs({
  options: {
    base: { type: 'string', default: 'HEAD^' },
    pairs: { type: 'string', default: '4' },
    levels: { type: 'string' },
    seconds: { type: 'string', default: '10' },
    'self-test': { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const count = Number(values.pairs);

/** Measures one side once: cost by name, of the names asked for, or all. */
type Side = (only: readonly string[]) => Map<string, number>;

function measurePairs(base: Side, head: Side, only: readonly string[], times: number): Map<string, Pair[]> {
  const pairs = new Map<string, Pair[]>();
  for (let i = 0; i < times; i++) {
    // A B, B A, ...: a drift of the machine falls on both alike.
    const first = (i % 2 === 0 ? base : head)(only);
    const second = (i % 2 === 0 ? head : base)(only);
    addPairs(pairs, i % 2 === 0 ? first : second, i % 2 === 0 ? second : first);
  }
  return pairs;
}

/** Names of what looked worse, and is worse by fresh pairs alone: chance does not look worse twice. */
function compare(base: Side, head: Side, only: readonly string[]): string[] {
  const first = measurePairs(base, head, only, count);
  judgeAll(first);
  let suspects = [...first].flatMap(([name, pairs]) => (looksWorse(pairs) ? [name] : []));
  const fresh = new Map<string, Pair[]>();
  for (let round = 0; round < FRESH_ROUNDS && suspects.length > 0; round++) {
    console.log(`measured again: ${suspects.join(', ')}`);
    const again = measurePairs(base, head, suspects.map(pathOf), count);
    for (const name of suspects) fresh.set(name, [...(fresh.get(name) ?? []), ...(again.get(name) ?? [])]);
    suspects = suspects.filter((name) => looksWorse(fresh.get(name) ?? []));
  }
  const left = judgeAll(new Map(suspects.map((name) => [name, fresh.get(name) ?? []])));
  return [...left].flatMap(([name, { isWorse }]) => (isWorse ? [name] : []));
}

/** A bench's name is the path of its file, a colon and what it does. */
function pathOf(name: string): string {
  return name.split(':')[0] as string;
}

function judgeAll(all: ReadonlyMap<string, Pair[]>): Map<string, Verdict> {
  const verdicts = new Map<string, Verdict>();
  for (const [name, pairs] of all) {
    const verdict = judgePairs(pairs);
    verdicts.set(name, verdict);
    const { ratio, low, high, isWorse } = verdict;
    const change = `${ratio.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`;
    console.log(`${isWorse ? 'WORSE' : 'ok   '} ${name.padEnd(64)} ${change}`);
  }
  return verdicts;
}

/** True when the guard lets the same code pass and stops a slower one. */
function selfTest(): boolean {
  const same: Side = (only) => runMicro(ROOT, only);
  const slower: Side = (only) => runMicro(ROOT, only, 1.1);
  let alarms = 0;
  for (let i = 0; i < SELF_TESTS; i++) if (compare(same, same, positionals).length > 0) alarms++;
  const found = compare(same, slower, positionals);
  const all = same(positionals).size;
  console.log(
    `the same code: ${alarms} alarms in ${SELF_TESTS} runs; 10 % slower: ${found.length} of ${all} benches stopped`,
  );
  return alarms === 0 && found.length > 0;
}

function guard(): boolean {
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
    const { directory } = checkout;
    const worse: string[] = [];
    if (values.levels === undefined) {
      worse.push(
        ...compare(
          (only) => runMicro(directory, only),
          (only) => runMicro(ROOT, only),
          positionals,
        ),
      );
    } else {
      const seconds = Number(values.seconds);
      for (const level of values.levels.split(','))
        worse.push(
          ...compare(
            () => runLevel(directory, level, seconds),
            () => runLevel(ROOT, level, seconds),
            [],
          ),
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
process.exitCode = (values['self-test'] ? selfTest() : guard()) ? 0 : 1;
