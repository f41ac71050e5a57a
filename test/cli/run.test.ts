/** Holds `plumbline run`: the ready line, signals and exit statuses; the agent itself is a fake. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { runAgent } from '../../src/cli/run.ts';
import { loadConfig } from '../../src/config.ts';
import { AgentError } from '../../src/core/errors.ts';
import { fakeAgent, fakeWorld } from './context.ts';

const log = pino({ level: 'silent' });
const { config } = loadConfig({ text: '', file: 'agent.yaml', env: {}, processors: [], sinks: [] });

test('one ready line names both ports; SIGTERM stops the agent, exit status 0', async () => {
  let stopped = 0;
  const agent = fakeAgent({
    stop: async () => {
      stopped++;
    },
  });
  const world = fakeWorld({ start: async () => agent });
  const status = runAgent(config, log, world.context);
  await world.printed;
  assert.equal(world.stdout(), 'ready ingest=http://127.0.0.1:1 admin=http://127.0.0.1:2\n');
  world.signal('SIGTERM');
  assert.equal(await status, 0);
  assert.equal(stopped, 1);
});

test('SIGINT during the start stops the agent as soon as it has started', async () => {
  const started = Promise.withResolvers<ReturnType<typeof fakeAgent>>();
  const world = fakeWorld({ start: () => started.promise });
  const status = runAgent(config, log, world.context);
  world.signal('SIGINT');
  started.resolve(fakeAgent());
  assert.equal(await status, 0);
});

test('SIGHUP asks for a reload, during the start for one behind it', async () => {
  const started = Promise.withResolvers<ReturnType<typeof fakeAgent>>();
  const world = fakeWorld({ start: () => started.promise });
  const status = runAgent(config, log, world.context);
  world.hangUp();
  const reloaded = Promise.withResolvers<void>();
  started.resolve(fakeAgent({ reload: async () => reloaded.resolve() }));
  await reloaded.promise;
  world.signal('SIGTERM');
  assert.equal(await status, 0);
});

test('a second signal leaves at once though the stop hangs, exit status 1', async () => {
  const world = fakeWorld({ start: async () => fakeAgent({ stop: () => new Promise(() => {}) }) });
  const status = runAgent(config, log, world.context);
  await world.printed;
  world.signal('SIGTERM');
  world.signal('SIGTERM');
  assert.equal(await status, 1);
});

test('a stop that fails is thrown to the caller', async () => {
  const world = fakeWorld({ start: async () => fakeAgent({ stop: () => Promise.reject(new Error('disk gone')) }) });
  const status = runAgent(config, log, world.context);
  await world.printed;
  world.signal('SIGTERM');
  await assert.rejects(status, /disk gone/);
});

test('an uncaught exception is exit status 1', async () => {
  const world = fakeWorld();
  const status = runAgent(config, log, world.context);
  await world.printed;
  world.crash(new Error('a bug'));
  assert.equal(await status, 1);
});

test('a start that fails is thrown to the caller', async () => {
  const start = () => Promise.reject(new AgentError('JOURNAL_LOCKED', 'in use'));
  await assert.rejects(runAgent(config, log, fakeWorld({ start }).context), { code: 'JOURNAL_LOCKED' });
});
