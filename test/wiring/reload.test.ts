/** Holds wiring/reload.ts where a file cannot be looked at (the change is refused, and the agent goes on), and what a reload warns about. */
import assert from 'node:assert/strict';
import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Logger, pino } from 'pino';
import { inspectConfig } from '../../src/config.ts';
import { BlockPool, UNIT_BYTES } from '../../src/core/block.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import { Reload } from '../../src/wiring/reload.ts';
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
