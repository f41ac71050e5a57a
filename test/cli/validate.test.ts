/** Holds `plumbline validate`: exit status and every fault on a line of its own. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { Type } from '../../src/core/type.ts';
import { fakeWorld } from './context.ts';

function fileWith(context: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-validate-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'agent.yaml');
  writeFileSync(file, text);
  return file;
}

test('a sound file is exit status 0 and one line on stdout', async (context) => {
  const file = fileWith(context, 'sinks:\n  - { type: console, optional: true }\n');
  const world = fakeWorld();
  assert.equal(await runCommand(['validate', '--config', file], world.context), 0);
  assert.equal(world.stdout(), `${file} is valid\n`);
});

test('every fault is a line on stderr with file, line and column, exit status 2', async (context) => {
  const file = fileWith(context, 'agnt: {}\nsinks:\n  - { type: consle }\n');
  const world = fakeWorld();
  assert.equal(await runCommand(['validate', '--config', file], world.context), 2);
  assert.equal(world.stdout(), '');
  const faults = [
    `${file}:1:1: unknown key "agnt" in the file: did you mean "agent"?`,
    `${file}:3:13: unknown type "consle" in sinks[0]: did you mean "console"?`,
  ];
  assert.equal(world.stderr(), `${faults.join('\n')}\n`);
});

test('--set counts in validation', async (context) => {
  const world = fakeWorld();
  const args = ['validate', '--config', fileWith(context, ''), '--set', 'agent.workers=0'];
  assert.equal(await runCommand(args, world.context), 2);
  assert.match(world.stderr(), /^--set agent\.workers: agent\.workers must be >= 1, found 0\n$/);
});

test('what --set adds to a section of the file is placed at --set', async (context) => {
  const world = fakeWorld();
  const file = fileWith(context, 'agent:\n  id: a\n');
  const args = ['validate', '--config', file, '--set', 'agent.workers=0', '--set', 'agent.idd=b'];
  assert.equal(await runCommand(args, world.context), 2);
  assert.match(world.stderr(), /^--set agent\.workers: agent\.workers must be >= 1, found 0$/m);
  assert.match(world.stderr(), /^--set agent\.idd: unknown key "idd" in agent: did you mean "id"\?$/m);
});

test('what is valid and hardly meant is said, and is no fault', async (context) => {
  const file = fileWith(context, 'contracts: ["nowhere-*.yaml"]\n');
  const world = fakeWorld();
  assert.equal(await runCommand(['validate', '--config', file], world.context), 0);
  assert.match(world.stdout(), /^no file is at .*nowhere-\*\.yaml: there is no contract, nothing is judged$/m);
});

test('files of tokens and certificates that cannot be read here are said, and are no fault', async (context) => {
  const world = fakeWorld({
    components: async () => ({
      processors: [],
      sinks: [{ type: 'far', summary: '', config: Type.Object({ tls: Type.Object({ ca_file: Type.String() }) }) }],
    }),
  });
  const file = fileWith(
    context,
    'ingest: { http: { auth: { bearer_token_file: /nowhere/tokens }, tls: { cert_file: /, key_file: /nowhere/key } } }\n' +
      'admin: { auth: { bearer_token_file: "" } }\n',
  );
  writeFileSync(
    file,
    `${readFileSync(file, 'utf8')}sinks: [{ type: far, tls: { ca_file: /nowhere/ca } }, { type: far, name: b, tls: { ca_file: ${file} } }]\n`,
  );
  assert.equal(await runCommand(['validate', '--config', file], world.context), 0, world.stderr());
  const missing = (key: string, name: string) =>
    `${key} cannot be read here (ENOENT: no such file or directory, open '${name}'): the agent needs it where it runs`;
  const said = world.stdout().trimEnd().split('\n').slice(0, -1);
  assert.deepEqual(said.sort(), [
    missing('ingest.http.auth.bearer_token_file: /nowhere/tokens', '/nowhere/tokens'),
    'ingest.http.tls.cert_file: / cannot be read here (EISDIR: illegal operation on a directory, read): the agent needs it where it runs',
    missing('ingest.http.tls.key_file: /nowhere/key', '/nowhere/key'),
    missing('sinks[0].tls.ca_file: /nowhere/ca', '/nowhere/ca'),
  ]);
});

test('files of tokens and certificates that a start would refuse for what they hold are faults', async (context) => {
  const file = fileWith(context, '');
  const wrong = join(dirname(file), 'wrong');
  writeFileSync(wrong, 'token signals=tracez\n!\n');
  const [auth, tls] = [`auth: { bearer_token_file: ${wrong} }`, `cert_file: ${wrong}, key_file: ${wrong}`];
  writeFileSync(
    file,
    `ingest: { http: { ${auth}, tls: { ${tls}, client_ca_file: ${wrong}, client_allowed_sans_file: ${file} } } }\nadmin: { ${auth} }\n`,
  );
  const world = fakeWorld();
  assert.equal(await runCommand(['validate', '--config', file], world.context), 2);
  const characters = 'a token consists of letters, digits and ._~+/- (and = at its end)';
  const [certificate, ...others] = world.stderr().trimEnd().split('\n');
  assert.match(certificate ?? '', /^ingest\.http\.tls\.cert_file: .*wrong: no certificate in PEM in it/);
  assert.deepEqual(others, [
    `${wrong}:1: signals are traces, metrics, logs; found "tracez"`,
    `${wrong}:2: ${characters}`,
    `admin.auth.bearer_token_file: ${wrong}:2: ${characters}`,
  ]);
});

test('a file that cannot be read is exit status 2', async () => {
  const world = fakeWorld();
  assert.equal(await runCommand(['validate', '--config', '/nowhere/agent.yaml'], world.context), 2);
  assert.match(world.stderr(), /^\/nowhere\/agent\.yaml cannot be read: ENOENT/);
  const here = fakeWorld();
  assert.equal(await runCommand(['validate', '--config', import.meta.dirname], here.context), 2);
  const wayOut = `it is a directory: name a file, as ${join(import.meta.dirname, 'agent.yaml')}`;
  assert.equal(here.stderr(), `${import.meta.dirname} cannot be read: ${wayOut}\n`);
});

test('contracts that the file names are checked with it, each fault at its place', async (context) => {
  const file = fileWith(context, 'contracts: ["c-*.yaml"]');
  const good =
    'contract: v1\nservice: a\nsignals:\n  - { name: slow, of: spans, slower_than: 300ms, breached: above 5% }\n';
  writeFileSync(join(file, '../c-good.yaml'), good);
  const world = fakeWorld();
  assert.equal(await runCommand(['validate', '--config', file], world.context), 0, world.stderr());
  // No processor is known in this world.
  const advice = 'there are contracts and no `detect` among the processors: nothing is judged';
  assert.equal(world.stdout(), `${advice}\n${file} is valid with 1 contract\n`);
  writeFileSync(join(file, '../c-bad.yaml'), good.replace('slower_than', 'slowr_than').replace('service', 'servce'));
  assert.equal(await runCommand(['validate', '--config', file], world.context), 2);
  assert.match(world.stderr(), /c-bad\.yaml:2:1: unknown key "servce" in the contract: did you mean "service"\?$/m);
  assert.match(
    world.stderr(),
    /c-bad\.yaml:4:\d+: unknown key "slowr_than" in signals\.0: did you mean "slower_than"\?$/m,
  );
  assert.doesNotMatch(world.stderr(), /c-good/);
});

test('a contract that is named without a wildcard must be there', async (context) => {
  const world = fakeWorld();
  const file = fileWith(context, 'contracts: [none.yaml]');
  assert.equal(await runCommand(['validate', '--config', file], world.context), 2);
  assert.match(world.stderr(), /none\.yaml cannot be read: ENOENT/);
});
