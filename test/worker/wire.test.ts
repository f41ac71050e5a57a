/** Holds src/worker/wire.ts: what crosses between main and a worker arrives as it was sent, the usual as numbers. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { SIGNALS } from '../../src/core/block.ts';
import type { ObserveResult, ObserveTask, SelectResult, SelectTask } from '../../src/worker/tasks.ts';
import { packResult, packTask, unpackResult, unpackTask } from '../../src/worker/wire.ts';
import { seeded } from '../otlp/generate.ts';

const TIMES = 500;
const OBSERVE: ObserveTask = { kind: 'observe', frames: [8], receivedMs: 1, measureOnly: false };
const SELECT: SelectTask = { kind: 'select', frames: [8], from: [0, 0, 0], decided: [] };

function numbers(t: TestContext) {
  const random = seeded(t, 7);
  const list = (most: number, bound = 2 ** 33) => Array.from({ length: random.below(most) }, () => number(bound));
  // Mostly small, as addresses are, and some beyond 31 bits.
  const number = (bound: number) => (random.below(4) === 0 ? random.below(2 ** 31) * 4 : random.below(1 << 28)) % bound;
  return { random, list, number };
}

test('tasks arrive as they were sent', (t) => {
  const { random, list, number } = numbers(t);
  for (let i = 0; i < TIMES; i++) {
    const observe: ObserveTask = {
      kind: 'observe',
      frames: list(20),
      receivedMs: 1_790_000_000_000 + number(2 ** 40),
      measureOnly: random.below(2) === 0,
      ...(random.below(2) === 0 ? {} : { shortlists: { at: number(2 ** 33), end: number(2 ** 33) } }),
    };
    const select: SelectTask = {
      kind: 'select',
      frames: list(20),
      from: SIGNALS.map(() => number(2 ** 33) * random.below(2 ** 16)),
      decided: [],
      ...(random.below(2) === 0 ? {} : { isShort: true }),
    };
    for (const task of [observe, select]) {
      const wire = structuredClone(packTask(task));
      assert.ok(Array.isArray(wire) && wire.every(Number.isInteger));
      assert.deepEqual(unpackTask(wire), task);
    }
  }
});

test('results arrive as they were sent', (t) => {
  const { random, list, number } = numbers(t);
  const some = <Made>(make: () => Made) => Array.from({ length: random.below(5) }, make);
  for (let i = 0; i < TIMES; i++) {
    const address = () => number(2 ** 33);
    const observed: ObserveResult = {
      moved: some(() => ({ block: address(), first: address(), end: address() })),
      refused: [],
      measured:
        random.below(3) === 0
          ? null
          : { block: address(), sections: some(() => ({ processor: random.below(9), at: address(), end: address() })) },
      shortlists: random.below(3) === 0 ? null : { frames: [-1, ...list(9)], end: address() },
    };
    const selected: SelectResult = {
      block: random.below(3) === 0 ? -1 : address(),
      selected: some(() => ({
        signal: SIGNALS[random.below(3)] ?? 'logs',
        at: address(),
        length: address(),
        items: address(),
      })),
      filtered: SIGNALS.map(address),
      sampledOut: SIGNALS.map(address),
      ...(random.below(2) === 0 ? {} : { unsure: list(9) }),
    };
    for (const [task, result] of [[OBSERVE, observed] as const, [SELECT, selected] as const]) {
      const wire = structuredClone(packResult(task, result));
      assert.ok(Array.isArray(wire) && wire.every(Number.isInteger));
      assert.deepEqual(unpackResult(wire), result);
    }
  }
});

test('what is not usual arrives, too', () => {
  const nothing = { moved: [], measured: null, shortlists: null };
  const refused = [{ index: 1, code: 'BODY_UNDECODABLE' as const, message: 'no' }];
  const results = [
    [OBSERVE, { ...nothing, refused }],
    [OBSERVE, { moved: [], refused: [], measured: null }],
    [
      { kind: 'encode', sink: 0, frames: [], stream: 'raw', signal: 'logs' },
      { parts: [], blocks: [8] },
    ],
    [
      { kind: 'filter', frames: [8] },
      { frames: [8], filtered: 0, blocks: [] },
    ],
    [{ kind: 'shrink' }, { heapBytes: 5 }],
  ] as const;
  for (const [task, result] of results) {
    // Literals of the tasks' and results' types, but for lists that are constant.
    const wire = packResult(task as unknown as ObserveTask, result as unknown as ObserveResult);
    assert.deepEqual(unpackResult(structuredClone(wire)), result);
  }
  const failure = { failed: { code: 'WORKER_DIED' as const, message: 'it died', retryable: false } };
  assert.deepEqual(unpackResult(structuredClone(failure)), failure);
  const whose = { service: 'shop', namespace: null, environment: null, serviceVersion: null };
  const decided = [{ whose, from: 1, to: 2 }] as unknown as SelectTask['decided'];
  for (const task of [{ ...SELECT, decided }, { kind: 'shrink' as const }])
    assert.deepEqual(unpackTask(structuredClone(packTask(task))), task);
});
