/** Holds wiring/reload.ts where a file cannot be looked at (the change is refused, and the agent goes on), and what a reload warns about. */
import assert from 'node:assert/strict';
import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { type Logger, pino } from 'pino';
import { inspectConfig } from '../../src/config.ts';
import type { ContractPlan } from '../../src/contracts/plan.ts';
import { BlockPool, UNIT_BYTES } from '../../src/core/block.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import { Reload, signatureOf } from '../../src/wiring/reload.ts';
import { temporaryDirectory } from '../support/agent.ts';

const LOOK_EVERY_MS = 500;

function groundOf(directory: string, log: Logger) {
  const text = JSON.stringify({ contracts: ['*.yaml'] });
  const { config } = inspectConfig({ text, file: join(directory, 'agent.yaml'), env: {}, processors: [], sinks: [] });
  assert.ok(config !== null);
  return {
    config,
    log,
    telemetry: createTelemetry(),
    pool: BlockPool.create(UNIT_BYTES),
    now: Date.now,
    trouble: new Map(),
    refused: new Map(),
    undo: [],
  };
}

test('a reload warns about what a start warns about: the last contract is gone', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line) => lines.push(JSON.parse(line).msg) });
  const ground = groundOf(temporaryDirectory(t, 'reload'), log);
  const reload = new Reload(ground, null, new Map(), () => undefined);
  t.after(() => reload.stop());
  await reload.now();
  assert.deepEqual(lines, [`no file is at ${ground.config.contracts}: there is no contract, nothing is judged`]);
});

test('a contract that is a link to itself is refused when it appears, and what is put right is read', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const directory = temporaryDirectory(t, 'reload');
  const ground = groundOf(directory, pino({ level: 'silent' }));
  const reload = new Reload(ground, null, new Map(), () => undefined);
  t.after(() => reload.stop());
  const link = join(directory, 'loop.yaml');
  symlinkSync('loop.yaml', link);
  t.mock.timers.tick(LOOK_EVERY_MS);
  await reload.now();
  assert.match(reload.state.error ?? '', /loop\.yaml cannot be read: ELOOP/);
  rmSync(link);
  t.mock.timers.tick(LOOK_EVERY_MS);
  await reload.now();
  assert.equal(reload.state.error, null);
});

const contract = (limit: string) => `contract: v1
service: shop
signals: [{ name: errors, of: spans, bad: { status: error }, breached: above ${limit} }]
`;

/** What is in force, as the limits of the contracts, each time that something is put into force. */
function watch(
  t: TestContext,
  then: (times: number) => void = () => undefined,
  whileStarting: (file: string) => void = () => undefined,
) {
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
  const directory = temporaryDirectory(t, 'reload');
  const file = join(directory, 'shop.yaml');
  writeFileSync(file, contract('5%'));
  const applied: string[][] = [];
  const ground = groundOf(directory, pino({ level: 'silent' }));
  const seen = signatureOf(ground.config.contracts, '');
  whileStarting(file);
  const apply = (_: unknown, plans: ContractPlan[]) => {
    applied.push(plans.map(({ signals }) => signals[0]?.thresholds.breached ?? ''));
    then(applied.length);
  };
  const reload = new Reload(ground, null, new Map(), apply, seen);
  t.after(() => reload.stop());
  /** Half a second, or as many. */
  const pass = async (times = 1) => {
    for (let i = 0; i < 5 * times; i++) {
      t.mock.timers.tick(LOOK_EVERY_MS / 5);
      await setImmediate();
    }
  };
  return { file, applied, pass };
}

test('what changes while a reload is at work is read after it', async (t) => {
  const watched = watch(t, (times) => {
    if (times === 1) writeFileSync(watched.file, contract('25.5%'));
  });
  writeFileSync(watched.file, contract('15%'));
  await watched.pass(6);
  assert.deepEqual(watched.applied, [['above 15%'], ['above 25.5%']]);
});

test('what changes while the agent starts is read after it', async (t) => {
  const change = (file: string) => writeFileSync(file, contract('15%'));
  const { applied, pass } = watch(t, undefined, change);
  await pass(6);
  assert.deepEqual(applied, [['above 15%']]);
});

test('a file that is moved away and back, or written in parts, is not read in between', async (t) => {
  const { file, applied, pass } = watch(t);
  t.mock.timers.tick(LOOK_EVERY_MS - 1);
  renameSync(file, `${file}.old`);
  t.mock.timers.tick(1);
  await setImmediate();
  writeFileSync(file, contract('15%').slice(0, 20));
  t.mock.timers.tick(LOOK_EVERY_MS / 5);
  await setImmediate();
  writeFileSync(file, contract('15%'));
  await pass(4);
  assert.deepEqual(applied, [['above 15%']]);
});
