/** Holds wiring/retention.ts: what it asks of sinks it does not wait for without end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ground } from '../../src/wiring/ground.ts';
import { Retention } from '../../src/wiring/retention.ts';
import type { Running } from '../../src/wiring/sinks.ts';
import type { Store } from '../../src/wiring/store.ts';
import { eventually } from '../sinks/harness.ts';

test('a sink whose disk hangs while it finishes a file holds up nothing else, and is asked once', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const journal = {
    maxBytes: 400,
    bytesFrom: (first: number) => 1000 - first,
    spans: () => [{ first: 0 }, { first: 950 }],
  };
  let asked = 0;
  const delivery = {
    expire: () => 0,
    finish: () => {
      asked++;
      return new Promise<void>(() => {});
    },
  };
  const row = { stream: 'raw', signal: 'traces' };
  const running = { name: 'archive', delivery, maxLagBytes: Infinity, rows: [{ row, cursor: { next: 0 } }] };
  // As much of them as is looked at here.
  const retention = new Retention(
    { config: { journal: { max_age: 'none', when_full: 'reject' } }, now: Date.now } as unknown as Ground,
    { intake: journal, derived: { ...journal, spans: () => [] } } as unknown as Store,
    [running as unknown as Running],
    null,
  );
  for (let second = 0; second < 3; second++) {
    let isDone = false;
    void retention.enforce().then(() => {
      isDone = true;
    });
    await eventually(
      () => isDone,
      () => t.mock.timers.tick(100),
    );
  }
  assert.equal(asked, 1);
});

test('a clock that is set back keeps no full journal from being asked for room', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let nowMs = 1_000_000_000;
  let asked = 0;
  const journal = { maxBytes: 400, bytesFrom: () => 0, spans: () => [], hasRecyclable: false };
  const memory = {
    checkpoint: async () => {
      asked++;
    },
    saveCursors: async () => {},
  };
  const ground = { config: { journal: { max_age: 'none', when_full: 'reject' } }, now: () => nowMs };
  const retention = new Retention(
    ground as unknown as Ground,
    { intake: journal, derived: journal, memory } as unknown as Store,
    [],
    null,
  );
  const performanceNow = t.mock.method(performance, 'now', () => 10_000);
  const make = () => retention.makeRoom(journal as unknown as Parameters<Retention['makeRoom']>[0]);
  assert.equal(await make(), false);
  assert.equal(await make(), false);
  assert.equal(asked, 1, 'not twice within half a second');
  nowMs -= 3_600_000;
  performanceNow.mock.mockImplementation(() => 10_600);
  assert.equal(await make(), false);
  assert.equal(asked, 2);
});

test('drop_oldest gives the oldest segment up also where a full disk has no room for a checkpoint', async () => {
  let first = 0;
  const journal = {
    directory: 'intake',
    maxBytes: 400,
    bytesFrom: () => 0,
    spans: () => [first, 100].map((at) => ({ first: at, total: () => at })),
    get hasRecyclable() {
      return first > 0;
    },
  };
  const cursor = { next: 0 };
  const memory = {
    checkpoint: async () => {
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    },
    saveCursors: async () => {
      first = cursor.next;
    },
    lose: () => {},
  };
  const delivery = {
    finish: async () => {},
    expire: (_: unknown, next: number) => {
      cursor.next = next;
      return 7;
    },
  };
  const rows = [{ row: { stream: 'raw', signal: 'traces' }, cursor }];
  const warned: string[] = [];
  const log = { warn: (line: string) => void warned.push(line) };
  const config = { journal: { max_age: 'none', when_full: 'drop_oldest' } };
  const retention = new Retention(
    { config, now: Date.now, log } as unknown as Ground,
    { intake: journal, derived: journal, memory } as unknown as Store,
    [{ name: 'dead', delivery, maxLagBytes: Infinity, rows } as unknown as Running],
    null,
  );
  assert.equal(await retention.makeRoom(journal as unknown as Parameters<Retention['makeRoom']>[0]), true);
  assert.deepEqual([cursor.next, warned], [100, []]);
});
