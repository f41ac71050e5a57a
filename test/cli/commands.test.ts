/** Holds the command line itself: usage, unknown words, and which exit status stands for what. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { AgentError } from '../../src/core/errors.ts';
import { fakeWorld } from './context.ts';

test('--help prints every command on stdout and is no failure; no command at all is one', async () => {
  const world = fakeWorld();
  assert.equal(await runCommand(['--help'], world.context), 0);
  for (const name of ['run', 'validate', 'schema', 'version'])
    assert.match(world.stdout(), new RegExp(`plumbline ${name}`));
  const silent = fakeWorld();
  assert.equal(await runCommand([], silent.context), 2);
  assert.equal(silent.stdout(), '');
});

test('--help behind a command prints that command alone', async () => {
  const world = fakeWorld();
  assert.equal(await runCommand(['run', '--help'], world.context), 0);
  assert.match(world.stdout(), /^plumbline run \[--config FILE\]/);
  assert.doesNotMatch(world.stdout(), /plumbline schema/);
});

test('an unknown command or option is exit status 2, with the nearest command', async () => {
  const world = fakeWorld();
  assert.equal(await runCommand(['valdate'], world.context), 2);
  assert.match(world.stderr(), /unknown command "valdate": did you mean "validate"\?/);
  assert.equal(await runCommand(['toString'], world.context), 2);
  assert.equal(await runCommand(['validate', '--confg', 'x'], world.context), 2);
  assert.match(world.stderr(), /--confg.*\nusage: plumbline validate/s);
});

test('a thrown AgentError is one line with its code, exit status 1; a configuration fault is its message, exit status 2', async () => {
  const cases = [
    ['ADDRESS_IN_USE', 1, 'plumbline: ADDRESS_IN_USE: port 1 is taken\n'],
    ['CONTRACT_INVALID', 2, 'port 1 is taken\n'],
  ] as const;
  for (const [code, status, line] of cases) {
    const world = fakeWorld({
      components: async () => {
        throw new AgentError(code, 'port 1 is taken');
      },
    });
    assert.equal(await runCommand(['schema'], world.context), status);
    assert.equal(world.stderr(), line);
  }
});

test('version says name, version and Node', async () => {
  const world = fakeWorld();
  assert.equal(await runCommand(['version'], world.context), 0);
  assert.match(world.stdout(), /^plumbline \d+\.\d+\.\d+\S* \(Node v\d+\.\d+\.\d+\)\n$/);
  assert.equal(await runCommand(['version', '--nonsense'], fakeWorld().context), 2, 'as every command does');
});

test('a directory that holds no journal is told with the way out, exit status 1', async () => {
  for (const [directory, found] of [
    ['/nowhere', 'does not exist'],
    [import.meta.dirname, 'holds no journal'],
    [import.meta.filename, `cannot be read (ENOTDIR: not a directory, scandir '${import.meta.filename}')`],
  ] as const) {
    const world = fakeWorld();
    assert.equal(await runCommand(['journal', '--directory', directory], world.context), 1);
    assert.ok(world.stderr().includes(`${directory} ${found}: name the journal's directory with --directory DIR`));
    assert.equal(world.stdout(), '');
  }
});

test('a file that the schema cannot be written to is one line, exit status 2', async () => {
  const world = fakeWorld();
  assert.equal(await runCommand(['schema', '--output', '/nowhere/schema.json'], world.context), 2);
  assert.match(world.stderr(), /^--output \/nowhere\/schema\.json cannot be written: ENOENT[^\n]*\n$/);
});

test('schema prints JSON Schema of agent.yaml or of a contract', async () => {
  const world = fakeWorld();
  assert.equal(await runCommand(['schema'], world.context), 0);
  assert.ok('ingest' in JSON.parse(world.stdout()).properties);
  const contract = fakeWorld();
  assert.equal(await runCommand(['schema', '--contract'], contract.context), 0);
  assert.ok('signals' in JSON.parse(contract.stdout()).properties);
});
