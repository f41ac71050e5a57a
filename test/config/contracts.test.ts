/** The contracts that come with the agent: all valid, and the API's says what its comments and the README promise. */
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { judgeSignal } from '../../src/contracts/judge.ts';
import type { State } from '../../src/contracts/judged.ts';
import { addItems, newMemory } from '../../src/contracts/memory.ts';
import { readContracts } from '../../src/contracts/read.ts';
import { noAmounts } from '../../src/contracts/window.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const [contract] = readContracts([join(ROOT, 'config/contracts/http-api.yaml')]).plans;
const START = 1_700_000_000;

test('every contract in the repository is valid', () => {
  const files = globSync('{config,demo,bench}/contracts/*.yaml', { cwd: ROOT });
  const { plans, faults } = readContracts(files.map((file) => join(ROOT, file)));
  assert.deepEqual(faults, []);
  assert.equal(plans.length, files.length);
});

test('http-api: sixty slow requests break the latency within 15 seconds, and errors stay healthy', () => {
  assert.deepEqual(statesOf('latency', { items: 60, bad: 60, seconds: 15 }), ['breached']);
  assert.deepEqual(statesOf('errors', { items: 60, bad: 0, seconds: 15 }), ['healthy']);
});

test('http-api: fewer than fifty requests say nothing', () => {
  assert.deepEqual(statesOf('errors', { items: 49, bad: 49, seconds: 30 }), []);
});

/** The states a signal moves through when so many items come at once. */
function statesOf(name: string, { items, bad, seconds }: { items: number; bad: number; seconds: number }): State[] {
  const plan = contract?.signals.find((signal) => signal.name === name);
  assert.ok(plan !== undefined);
  const memory = newMemory(plan);
  addItems(memory, START * 1000, { ...noAmounts(), items, sum: bad });
  const states: State[] = [];
  for (let second = START + 1; second <= START + seconds; second++) {
    const change = judgeSignal(plan, memory, second);
    if (change?.kind === 'state') states.push(change.to);
  }
  return states;
}
