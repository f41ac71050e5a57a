/** Holds `plumbline redeliver` as a command: what it says of sinks that it does not send to. Sending is held by test/sinks/redeliver.test.ts. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { processContext } from '../../src/cli/context.ts';
import { temporaryDirectory } from '../support/agent.ts';
import { fakeWorld } from './context.ts';

async function redeliver(t: TestContext, sinks: string, ...args: string[]) {
  const directory = temporaryDirectory(t, 'redeliver');
  const file = join(directory, 'agent.yaml');
  writeFileSync(file, `agent: { data_dir: ${directory}, memory_limit: 32MiB }\nsinks: ${sinks}\n`);
  const world = fakeWorld({ components: () => processContext().components() });
  const status = await runCommand(['redeliver', '--config', file, ...args], world.context);
  return { status, stdout: world.stdout(), stderr: world.stderr() };
}

const KAFKA = '{ type: kafka, optional: true, brokers: ["${env:KAFKA_BROKERS:-}"], subscribe: { raw: t } }';
const LEFT_OUT = 'is left out: brokers is empty and it is optional\n';

test('a sink that is left out for want of a variable is said, not passed over', async (t) => {
  const both = await redeliver(t, `[{ type: console }, ${KAFKA}]`);
  assert.deepEqual(both, {
    status: 0,
    stdout: 'console: 0 dead letters delivered (0 items), 0 left\n',
    stderr: `sinks[1] (kafka) ${LEFT_OUT}`,
  });
  const named = await redeliver(t, `[{ type: console }, ${KAFKA}]`, '--sink', 'kafka');
  assert.deepEqual(named, {
    status: 2,
    stdout: '',
    stderr: `sinks[1] (kafka) ${LEFT_OUT}no sink "kafka": known are console\n`,
  });
});

test('without any sink it says so', async (t) => {
  const none = await redeliver(t, '[]');
  assert.deepEqual([none.status, none.stderr], [0, 'no sink is configured: there is nothing to send to\n']);
});
