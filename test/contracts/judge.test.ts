/** Holds src/contracts/judge.ts: scripted incidents second by second, and a slow judge that must agree over random ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContractPlan, SignalPlan } from '../../src/contracts/contract.ts';
import { addMeasured, judgeSignal, newMemory, type State, worstState } from '../../src/contracts/judge.ts';
import { SEED, seeded } from '../otlp/generate.ts';

const START_S = 1_750_000_020;

function plans(changes: Partial<SignalPlan & ContractPlan> = {}): { contract: ContractPlan; plan: SignalPlan } {
  const plan: SignalPlan = {
    name: 'errors',
    key: 1,
    of: 'spans',
    where: [],
    bad: [],
    slowerThanNs: Infinity,
    degradedAbove: 0.01,
    breachedAbove: 0.05,
    thresholds: { degraded: 'above 1%', breached: 'above 5%' },
    windowMs: 5000,
    minItems: 10,
    ...changes,
  };
  const contract: ContractPlan = {
    service: 's',
    owner: null,
    version: '1',
    signals: [plan],
    forMs: 2000,
    recoverAfterMs: 3000,
    noData: 'freeze',
    lateAfterMs: 120_000,
    ...changes,
  };
  return { contract, plan };
}

/** One letter a second: the share of bad items among 100 (g none, d 3 %, b 50 %), - nothing. Returns the state after each second. */
function play(script: string, changes: Partial<SignalPlan & ContractPlan> = {}): { states: string; events: string[] } {
  const { contract, plan } = plans(changes);
  const memory = newMemory(plan);
  const events: string[] = [];
  let states = '';
  [...script].forEach((letter, i) => {
    const bad = letter === 'b' ? 50 : letter === 'd' ? 3 : 0;
    if (letter !== '-') addMeasured(memory, (START_S + i) * 1000 + 500, 100, bad);
    const change = judgeSignal(contract, plan, memory, START_S + i + 1);
    if (change !== null) events.push(`${i}:${change.kind === 'state' ? `${change.from}>${change.to}` : change.kind}`);
    states += memory.state[0];
  });
  return { states, events };
}

const ONE = { windowMs: 1000 };

test('unknown until there is enough, healthy at once, worse only after `for`, better only after `recover_after`', () => {
  assert.deepEqual(play('--ggbbbggggg', ONE).states, 'uuhhhhbbbbhh');
  assert.deepEqual(play('bbbb', ONE).states, 'uubb');
  assert.deepEqual(
    play('gdddddggggg', ONE).states,
    'hhhdddddddh'.slice(0, 11).replace('ddddddh', 'dddddhh').slice(0, 11),
  );
});

test('a breach that turns into a degradation steps down, one that is over steps to healthy', () => {
  assert.deepEqual(play('gbbbddddddgggggg', ONE).events, [
    '0:unknown>healthy',
    '3:healthy>breached',
    '7:breached>degraded',
    '13:degraded>healthy',
  ]);
});

test('an incident that flaps faster than `for` and `recover_after` changes nothing', () => {
  assert.deepEqual(play('gbbgbbgbbg', ONE).events, ['0:unknown>healthy']);
  assert.deepEqual(play('gbbbgggbgggbgggb', ONE).events, ['0:unknown>healthy', '3:healthy>breached']);
});

test('too few items freeze the state, say so once, and stop the clocks', () => {
  assert.deepEqual(play('gbb---b', ONE).events, ['0:unknown>healthy', '3:no_data', '6:healthy>breached']);
  assert.deepEqual(play('gbb---b', { ...ONE, noData: 'ignore' }).events, ['0:unknown>healthy', '6:healthy>breached']);
  assert.deepEqual(play('g----', { ...ONE, noData: 'breached' }).events, ['0:unknown>healthy', '3:healthy>breached']);
  assert.deepEqual(play('-----', { ...ONE, noData: 'breached' }).events, []);
  assert.deepEqual(play('ggg', { ...ONE, minItems: 101 }).states, 'uuu');
});

test('the window is whole past slots: nothing of the second that has just begun', () => {
  const { contract, plan } = plans(ONE);
  const memory = newMemory(plan);
  addMeasured(memory, START_S * 1000, 100, 0);
  addMeasured(memory, (START_S + 1) * 1000, 100, 100);
  judgeSignal(contract, plan, memory, START_S + 1);
  assert.deepEqual([memory.windowItems, memory.value], [100, 0]);
  judgeSignal(contract, plan, memory, START_S + 2);
  assert.deepEqual([memory.windowItems, memory.value], [100, 1]);
});

test('windows over ten minutes are kept in minutes, and forget what is older', () => {
  const { contract, plan } = plans({ windowMs: 1_200_000 });
  const memory = newMemory(plan);
  assert.deepEqual([memory.slotMs, memory.slots.length], [60_000, 22]);
  for (let minute = 0; minute < 30; minute++)
    addMeasured(memory, START_S * 1000 + minute * 60_000, 10, minute < 10 ? 10 : 0);
  judgeSignal(contract, plan, memory, START_S + 30 * 60);
  assert.deepEqual([memory.windowItems, memory.value], [200, 0]);
});

test('a contract is as bad as its worst signal: breached, degraded, unknown, healthy', () => {
  const order: State[] = ['healthy', 'unknown', 'degraded', 'breached'];
  order.forEach((state, i) => {
    assert.equal(worstState(order.slice(0, i + 1)), state);
  });
  assert.equal(worstState([]), 'unknown');
});

/** The same without rings and running sums: every second looks at all of the past. */
function slowJudge(history: { items: number; bad: number }[], contract: ContractPlan, plan: SignalPlan): State[] {
  const states: State[] = [];
  const held = { breached: [] as boolean[], degraded: [] as boolean[] };
  let state: State = 'unknown';
  history.forEach((_, now) => {
    const window = history.slice(Math.max(0, now + 1 - plan.windowMs / 1000), now + 1);
    const items = window.reduce((sum, one) => sum + one.items, 0);
    const value = window.reduce((sum, one) => sum + one.bad, 0) / Math.max(1, items);
    const empty = items < plan.minItems;
    if (empty && !(contract.noData === 'breached' && state !== 'unknown')) {
      states.push(state);
      return;
    }
    held.breached.push(empty || value > plan.breachedAbove);
    held.degraded.push(empty || value > plan.breachedAbove || value > plan.degradedAbove);
    const lasts = (list: boolean[], wanted: boolean, ms: number) => {
      const tail = list.slice(-(ms / 1000 + 1));
      return tail.length === ms / 1000 + 1 && tail.every((one) => one === wanted);
    };
    if (state !== 'breached' && lasts(held.breached, true, contract.forMs)) state = 'breached';
    else if ((state === 'unknown' || state === 'healthy') && lasts(held.degraded, true, contract.forMs))
      state = 'degraded';
    else if (state === 'unknown' && held.degraded.at(-1) === false) state = 'healthy';
    else if ((state === 'degraded' || state === 'breached') && lasts(held.degraded, false, contract.recoverAfterMs))
      state = 'healthy';
    else if (state === 'breached' && lasts(held.breached, false, contract.recoverAfterMs)) state = 'degraded';
    states.push(state);
  });
  return states;
}

test('over 200 random incidents it agrees with a judge that looks at all of the past', (t) => {
  const random = seeded(t, 80);
  const seen = new Set<State>();
  for (let run = 0; run < 200; run++) {
    const { contract, plan } = plans({
      windowMs: 1000 * (1 + random.below(20)),
      minItems: 1 + random.below(80),
      forMs: 1000 * random.below(6),
      recoverAfterMs: 1000 * random.below(8),
      noData: random.pick(['freeze', 'ignore', 'breached'] as const),
      degradedAbove: random.pick([0.01, 0.04, Infinity]),
    });
    const memory = newMemory(plan);
    let level = 0;
    const history = Array.from({ length: 150 }, () => {
      if (random.below(12) === 0) level = random.pick([0, 0, 0.02, 0.04, 0.06, 0.5, -1]);
      const items = level < 0 ? 0 : random.below(60);
      return { items, bad: Math.min(items, Math.round(items * Math.max(0, level))) };
    });
    const states = history.map(({ items, bad }, i) => {
      if (items > 0) addMeasured(memory, (START_S + i) * 1000 + random.below(1000), items, bad);
      judgeSignal(contract, plan, memory, START_S + i + 1);
      seen.add(memory.state);
      return memory.state;
    });
    assert.deepEqual(states, slowJudge(history, contract, plan), `run ${run} of seed ${SEED}`);
  }
  assert.equal(seen.size, 4);
});
