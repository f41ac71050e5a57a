/** Holds src/contracts/judge.ts and what it reads: scripted incidents second by second, and random ones, against the oracle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom, type Random } from '../../bench/random.ts';
import { judgeSignal } from '../../src/contracts/judge.ts';
import { STATES, type State, worstState } from '../../src/contracts/judged.ts';
import { addItems, newMemory, restoreMemory, type SignalMemory, saveMemory } from '../../src/contracts/memory.ts';
import type { SignalPlan } from '../../src/contracts/plan.ts';
import { SEED, seeded } from '../otlp/generate.ts';
import { type Came, Oracle } from './oracle.ts';
import { signalOf } from './plans.ts';

const START_S = 1_750_000_020;
/** `LONG=1` plays all of them. */
const INCIDENTS = process.env.LONG ? 1000 : 150;

const SHARE = { bad: { status: 'error' }, degraded: 'above 1%', breached: 'above 5%', min_items: 10, window: '5s' };
const TIMES = { for: '2s', recover_after: '3s' };

function came(ms: number, items: number, bad: number): Came {
  return { ms, items, sum: bad, values: [] };
}

function add(memory: SignalMemory, { ms, items, sum, values }: Came): void {
  addItems(memory, ms, {
    items,
    sum,
    min: Math.min(...values),
    max: Math.max(...values),
    last: values.at(-1) ?? Number.NaN,
    spread: null,
  });
}

/** As a checkpoint does it. */
function restart(plan: SignalPlan, memory: SignalMemory): SignalMemory {
  return restoreMemory(plan, JSON.parse(JSON.stringify(saveMemory(memory))));
}

interface Played {
  /** First letters of the states. */
  states: string;
  events: string[];
}

/**
 * One letter a second: the share of bad items among 100 (g none, d 3 %, b 50 %), - nothing, R a restart before a second without
 * anything, C the changed plan from here on. The oracle has to agree after every second.
 */
function play(script: string, plan: SignalPlan, changed: SignalPlan = plan): Played {
  let memory = newMemory(plan);
  let current = plan;
  const oracle = new Oracle();
  const played: Played = { states: '', events: [] };
  [...script].forEach((letter, i) => {
    if (letter === 'R') memory = restart(current, memory);
    if (letter === 'C') {
      current = changed;
      memory = restart(current, memory);
    }
    const bad = letter === 'b' ? 50 : letter === 'd' ? 3 : 0;
    if ('gdb'.includes(letter)) {
      const one = came((START_S + i) * 1000 + 500, 100, bad);
      add(memory, one);
      oracle.came.push(one);
    }
    const change = judgeSignal(current, memory, START_S + i + 1);
    if (change !== null)
      played.events.push(`${i}:${change.kind === 'state' ? `${change.from}>${change.to}` : 'no_data'}`);
    const { state } = memory.judged;
    assert.equal(state, oracle.judge(current, START_S + i + 1), `second ${i} of ${script}`);
    played.states += state[0];
  });
  return played;
}

const one = (more: object = {}, times: object = TIMES) => signalOf({ ...SHARE, window: '1s', ...more }, times);

test('unknown until there is enough, healthy at once, worse only after `for`, better only after `recover_after`', () => {
  assert.equal(play('--ggbbbggggg', one()).states, 'uuhhhhbbbbhh');
  assert.equal(play('bbbb', one()).states, 'uubb');
  assert.equal(play('gdddddggggg', one()).states, 'hhhddddddhh');
});

test('a breach that turns into a degradation steps down, one that is over steps to healthy', () => {
  assert.deepEqual(play('gbbbddddddgggggg', one()).events, [
    '0:unknown>healthy',
    '3:healthy>breached',
    '7:breached>degraded',
    '13:degraded>healthy',
  ]);
});

test('an incident that flaps faster than `for` and `recover_after` changes nothing', () => {
  assert.deepEqual(play('gbbgbbgbbg', one()).events, ['0:unknown>healthy']);
  assert.deepEqual(play('gbbbgggbgggbgggb', one()).events, ['0:unknown>healthy', '3:healthy>breached']);
});

test('too few items freeze the state, say so once, and stop the clocks', () => {
  const noData = (no_data: string) => one({}, { ...TIMES, no_data });
  assert.deepEqual(play('gbb---b', one()).events, ['0:unknown>healthy', '3:no_data', '6:healthy>breached']);
  assert.deepEqual(play('gbb---b', noData('ignore')).events, ['0:unknown>healthy', '6:healthy>breached']);
  assert.deepEqual(play('g----', noData('breached')).events, ['0:unknown>healthy', '3:healthy>breached']);
  assert.deepEqual(play('-----', noData('breached')).events, []);
  assert.equal(play('ggg', one({ min_items: 101 })).states, 'uuu');
});

test('scripted incidents: outage, brown-out, slow leak, flapping, no data, a restart and a changed contract in their midst', () => {
  const plan = signalOf(SHARE, TIMES);
  const looser = signalOf({ ...SHARE, degraded: 'above 40%', breached: 'above 60%' }, TIMES);
  const wider = signalOf({ ...SHARE, window: '9s' }, TIMES);
  const scripts: [name: string, script: string, changed?: SignalPlan][] = [
    ['outage', `${'g'.repeat(20)}${'b'.repeat(30)}${'g'.repeat(30)}`],
    ['brown-out', `${'g'.repeat(20)}${'d'.repeat(30)}${'g'.repeat(30)}`],
    ['slow leak', `${'g'.repeat(9)}gggdggdggdgdgdgdddddbdddbddbdbdbbbbbbbbb${'g'.repeat(20)}`],
    ['flapping', 'gb'.repeat(40)],
    ['no data', `ggggbbbb${'-'.repeat(20)}bbgg${'-'.repeat(9)}gggggggg`],
    ['restart', `ggggbbRbbbRRbbbbRgggggRgggggg`],
    ['restart without data', `ggggbbbb${'R-'.repeat(10)}gggggggg`],
    ['looser contract', `ggggbbbbbbCbbbbbbbbbbggggggg`, looser],
    ['wider window', `ggggbbbbbbCbbbbbbbbbbgggggggggggggggggg`, wider],
  ];
  for (const [name, script, changed] of scripts) {
    const { states } = play(script, plan, changed);
    assert.ok(states.length === script.length, name);
  }
  assert.match(
    play(scripts[7]?.[1] ?? '', plan, looser).events.at(-1) ?? '',
    /breached>(healthy|degraded)|degraded>healthy/,
  );
});

test('a state that a stricter contract begins with is held against its own limits from then on', () => {
  const stricter = one({ degraded: 'above 0.5%', breached: 'above 2%' });
  assert.deepEqual(play('ggddddddCdddd', one(), stricter).events, [
    '0:unknown>healthy',
    '4:healthy>degraded',
    '8:no_data',
    '11:degraded>breached',
  ]);
});

test('the window is whole past slots: nothing of the second that has just begun', () => {
  const plan = one();
  const memory = newMemory(plan);
  add(memory, came(START_S * 1000, 100, 0));
  add(memory, came((START_S + 1) * 1000, 100, 100));
  judgeSignal(plan, memory, START_S + 1);
  assert.deepEqual([memory.judged.items, memory.judged.value], [100, 0]);
  judgeSignal(plan, memory, START_S + 2);
  assert.deepEqual([memory.judged.items, memory.judged.value], [100, 1]);
});

test('windows over ten minutes begin at a whole minute, end now, and forget what is older', () => {
  const plan = signalOf({ ...SHARE, window: '20m' });
  const memory = newMemory(plan);
  const oracle = new Oracle();
  for (let second = 0; second < 1900; second += 10) {
    const one = came((START_S + second) * 1000, 10, second < 700 ? 10 : 0);
    add(memory, one);
    oracle.came.push(one);
    judgeSignal(plan, memory, START_S + second + 5);
    if (second > 300) assert.equal(memory.judged.value, oracle.value(plan, START_S + second + 5));
  }
});

test('a total outage of a 99.9 % objective is breached within 60 seconds, whenever it begins within a minute', () => {
  const plan = signalOf({ bad: { status: 'error' }, objective: '99.9%' });
  for (const offset of [0, 1, 20, 31, 59]) {
    const memory = newMemory(plan);
    const begins = START_S + 2 * 3600 + offset;
    let breached = 0;
    for (let second = START_S; second < begins + 70 && breached === 0; second++) {
      add(memory, came(second * 1000, 10, second < begins ? 0 : 10));
      if (second < begins - 100 && second % 60 > 0) continue;
      if (judgeSignal(plan, memory, second + 1)?.to === 'breached') breached = second + 1;
    }
    assert.ok(breached > begins && breached - begins <= 60, `${breached - begins} s after it began at :${offset}`);
  }
});

test('an objective whose budget is spent as planned never changes its state, however noisy', (t) => {
  const random = seeded(t, 81);
  const plan = signalOf({ bad: { status: 'error' }, objective: '99%' });
  const memory = newMemory(plan);
  const changes: string[] = [];
  for (let second = START_S; second < START_S + 7 * 3600; second++) {
    const bad = Array.from({ length: 20 }, () => (random.below(100) === 0 ? 1 : 0)).reduce<number>((a, b) => a + b, 0);
    add(memory, came(second * 1000, 20, bad));
    const change = judgeSignal(plan, memory, second + 1);
    if (change !== null) changes.push(`${change.from}>${change.to}`);
  }
  assert.deepEqual(changes, ['unknown>healthy']);
});

test('a contract is as bad as its worst signal: breached, degraded, unknown, healthy', () => {
  const order: State[] = ['healthy', 'unknown', 'degraded', 'breached'];
  order.forEach((state, i) => {
    assert.equal(worstState(order.slice(0, i + 1)), state);
  });
  assert.equal(worstState([]), 'unknown');
});

/** What a random incident's signal is: every way of measuring, with random times and limits. */
function randomSignal(random: Random, limits: number): SignalPlan {
  const window = `${1 + random.below(20)}s`;
  const times = {
    for: `${random.below(6)}s`,
    recover_after: `${random.below(8)}s`,
    no_data: random.pick(['freeze', 'ignore', 'breached']),
  };
  const share = {
    bad: { status: 'error' },
    breached: `above ${3 + limits}%`,
    ...(random.below(3) > 0 ? { degraded: `above ${random.pick(['0.5', '1', '2'])}%` } : {}),
    min_items: 1 + random.below(80),
  };
  const value = { value: 'duration', breached: `above ${20 + 10 * limits}ms`, degraded: 'above 12ms' };
  switch (random.below(8)) {
    case 0:
      return signalOf({ bad: { status: 'error' }, objective: '99%', min_items: 5 + random.below(50) }, times);
    case 1:
      return signalOf({ rate: true, window, breached: `below ${5 + limits}/s` }, times);
    case 2:
      return signalOf({ silent_for: `${2 + random.below(9)}s` }, times);
    case 3:
    case 4:
      return signalOf({ take: random.pick(['last', 'min', 'max', 'mean', 'sum']), window, ...value }, times);
    case 5:
      return signalOf({ ...share, window: '11m' }, times);
    default:
      return signalOf({ ...share, window }, times);
  }
}

test(`over ${INCIDENTS} random incidents, with restarts and changed limits in their midst, it agrees with the oracle`, (t) => {
  const random = seeded(t, 80);
  const seen = new Map<string, number>();
  for (let run = 0; run < INCIDENTS; run++) {
    const salt = random.below(2 ** 31);
    let plan = randomSignal(createRandom(salt), 2);
    const other = randomSignal(createRandom(salt), 9);
    let memory = newMemory(plan);
    const oracle = new Oracle();
    let level = 0;
    const length = plan.windowMs === 660_000 ? 800 : 150;
    for (let i = 0; i < length; i++) {
      if (random.below(12) === 0) level = random.pick([0, 0, 0.02, 0.04, 0.06, 0.5, -1]);
      if (random.below(40) === 0) memory = restart(plan, memory);
      if (random.below(60) === 0) {
        plan = plan.breached === other.breached ? plan : other;
        memory = restart(plan, memory);
      }
      const items = level < 0 ? 0 : random.below(60);
      if (items > 0) {
        const ms = (START_S + i) * 1000 + random.below(1000);
        const values = Array.from({ length: items }, () => (random.below(80) + level * 100) / 4);
        const bad = Math.min(items, Math.round(items * level));
        const sum = plan.measured === 'take' ? values.reduce((total, value) => total + value, 0) : bad;
        const one = { ms, items, sum, values };
        add(memory, one);
        oracle.came.push(one);
      }
      judgeSignal(plan, memory, START_S + i + 1);
      const { state } = memory.judged;
      assert.equal(
        state,
        oracle.judge(plan, START_S + i + 1),
        `run ${run}, second ${i}, ${plan.measured}, seed ${SEED}`,
      );
      const key = `${plan.measured} ${state}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
  }
  t.diagnostic([...seen].map(([key, count]) => `${key} ${count}`).join(', '));
  for (const state of STATES) assert.ok(seen.has(`share ${state}`), state);
  for (const measured of ['burn', 'rate', 'take', 'silence']) assert.ok(seen.has(`${measured} breached`), measured);
});
