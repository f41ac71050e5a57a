/** Holds the docs to the program: YAML in them is valid, commands, keys, metrics and files they name exist, and none is missing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { runCommand } from '../src/cli/commands.ts';
import { processContext } from '../src/cli/context.ts';
import { inspectConfig, schemaOfAgent } from '../src/config.ts';
import { contractSchema } from '../src/contracts/contract.ts';
import { planContract } from '../src/contracts/planner.ts';
import { readContracts } from '../src/contracts/read.ts';
import { compileSchema } from '../src/core/schema.ts';
import { SETTINGS } from '../src/core/settings.ts';
import { createTelemetry } from '../src/core/telemetry.ts';
import { fakeWorld } from './cli/context.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SECTIONS = [...Object.keys(SETTINGS), 'processors', 'sinks'];
/** Programs that shell blocks may call beside those of the project. */
const PROGRAMS = ['npm', 'node', 'curl', 'find', 'export', 'for', 'done', '.ci/run', 'node_modules/.bin/node'];
const components = await processContext().components();
const documents = globSync(['*.md', 'docs/**/*.md', 'deploy/**/*.md'], { cwd: ROOT }).sort();

interface Block {
  where: string;
  language: string;
  text: string;
}

const blocks: Block[] = documents.flatMap((file) => {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map((match) => ({
    where: `${file}:${text.slice(0, match.index).split('\n').length}`,
    language: match[1] ?? '',
    text: match[2] ?? '',
  }));
});

test('every YAML block of the docs is configuration, a contract or a manifest', () => {
  const known = yamlBlocks((value) => isConfiguration(value) || 'contract' in value);
  const others = blocks.filter((block) => block.language === 'yaml' && !known.includes(block));
  assert.deepEqual(
    others.filter(({ text }) => !text.includes('apiVersion:')).map(({ where }) => where),
    [],
  );
});

test('every YAML block of the docs that is configuration is valid, optional sinks included', () => {
  const faults = yamlBlocks(isConfiguration).flatMap(({ where, text }) =>
    [everyVariable(text), { ...everyVariable(text), ...emptyVariables(text) }].flatMap(
      (env) => inspectConfig({ text, file: where, env, ...components }).faults,
    ),
  );
  assert.deepEqual(faults, []);
});

test('every YAML block of the docs that is a contract is valid', () => {
  const check = compileSchema(contractSchema);
  const faults = yamlBlocks((value) => 'contract' in value).flatMap(({ where, text }) => {
    const contract: unknown = parse(text);
    const found = check(contract, (path) => path.join('.')).map(({ message }) => message);
    // The schema has just said that it is one.
    if (found.length === 0) found.push(...planContract(contract as never).faults.map(({ message }) => message));
    return found.map((message) => `${where}: ${message}`);
  });
  assert.deepEqual(faults, []);
});

test('the contract of README.md may be put beside those of config/contracts', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-contract-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [shown] = yamlBlocks((value) => 'contract' in value).filter(({ where }) => where.startsWith('README.md'));
  writeFileSync(join(folder, 'shown.yaml'), shown?.text ?? '');
  const { faults, plans } = readContracts([join(ROOT, 'config/contracts/*.yaml'), join(folder, 'shown.yaml')]);
  assert.deepEqual(faults, []);
  assert.equal(plans.length, 6);
});

test('config/agent.yaml is valid with no variable set, and with brokers has a Kafka sink', () => {
  const text = readFileSync(join(ROOT, 'config/agent.yaml'), 'utf8');
  const bare = inspectConfig({ text, file: 'config/agent.yaml', env: {}, ...components });
  assert.deepEqual(bare.faults, []);
  assert.deepEqual(
    bare.config?.sinks.map(({ name }) => name),
    ['console', 'storage'],
  );
  const env = { KAFKA_BROKERS: 'a:1,b:2' };
  const { config, faults } = inspectConfig({ text, file: 'config/agent.yaml', env, ...components });
  assert.deepEqual(faults, []);
  assert.deepEqual(config?.sinks.find(({ type }) => type === 'kafka')?.brokers, ['a:1', 'b:2']);
});

test('the defaults that docs/configuration.md shows are the defaults', () => {
  const shown = blocks.find(
    ({ where, text }) => where.startsWith('docs/configuration.md') && text.startsWith('agent:'),
  );
  const [written, empty] = [shown?.text ?? '', ''].map(
    (text) => inspectConfig({ text, file: 'agent.yaml', env: {}, ...components }).config,
  );
  assert.deepEqual(written, empty);
  const sections = parse(shown?.text ?? '') as Record<string, unknown>;
  assert.deepEqual(Object.keys(sections), SECTIONS);
  const missing = Object.entries(SETTINGS).flatMap(([name, schema]) => missingKeys(schema, sections[name], name));
  assert.deepEqual(missing, []);
});

test('docs/configuration.md has every key of every processor and sink, and no other default than the real one', () => {
  const text = readFileSync(join(ROOT, 'docs/configuration.md'), 'utf8');
  const everySink = Object.keys(components.sinks[0]?.config.properties ?? {}).filter((key) =>
    components.sinks.every(({ config }) => key in config.properties),
  );
  const faults: string[] = [];
  for (const kind of ['processors', 'sinks'] as const) {
    const shown = blocks
      .filter(({ where, text }) => where.startsWith('docs/configuration.md') && text.startsWith(`${kind}:`))
      .flatMap((block) => (parse(block.text) as Record<string, { type: string }[]>)[kind] ?? []);
    for (const { type, config } of components[kind]) {
      // A key may stand in another example than one that excludes it.
      const example = Object.assign({}, ...shown.filter((one) => one.type === type));
      const missing = missingKeys(config, example, `${kind}.${type}`);
      // Keys of every sink stand in a table.
      const inTable = (path: string) =>
        everySink.includes(path.split('.')[2] ?? '') && text.includes(`\`${path.split('.').slice(2).join('.')}\``);
      faults.push(...missing.filter((path) => kind === 'processors' || !inTable(path)).map((path) => `no ${path}`));
      faults.push(...otherDefaults(config, example, `${kind}.${type}`));
    }
  }
  assert.deepEqual(faults, []);
});

test('docs/operations.md has every metric of the agent, and no other', async () => {
  const rows = [
    ...readFileSync(join(ROOT, 'docs/operations.md'), 'utf8').matchAll(
      /^\| `((?:plumbline|process)_\w+)` \| ([^|]*)\|/gm,
    ),
  ];
  const documented = Object.fromEntries(rows.map(([, name, labels]) => [name, (labels ?? '').trim()]));
  const metrics = Object.values(createTelemetry()).filter((one) => 'labelNames' in one);
  const real = metrics.map((metric) => {
    // prom-client keeps both on the metric; its types do not say so.
    const { name, labelNames } = metric as unknown as { name: string; labelNames: string[] };
    return [name, labelNames.join(', ')];
  });
  assert.deepEqual(documented, Object.fromEntries(real));
  const named = new Set(
    everyMatch(/\b(plumbline_[a-z_]+_(?:total|seconds|items|bytes|state|flight))\b/g).map(({ name }) => name),
  );
  assert.deepEqual(
    [...named].filter((name) => !(name in documented)),
    [],
  );
});

test('links between the documents lead somewhere', () => {
  const faults: string[] = [];
  for (const file of documents) {
    const text = readFileSync(join(ROOT, file), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      const [path = '', anchor] = target.split('#');
      const found = path === '' ? join(ROOT, file) : join(ROOT, dirname(file), path);
      const leads =
        existsSync(found) && (anchor === undefined || anchorsOf(readFileSync(found, 'utf8')).includes(anchor));
      if (!leads) faults.push(`${file}: ${target}`);
    }
  }
  assert.deepEqual(faults, []);
});

test('README leads to every document, and docs/architecture.md to every decision', () => {
  const linksOf = (file: string) =>
    new Set([...readFileSync(join(ROOT, file), 'utf8').matchAll(/\]\(([^)#]+)/g)].map(([, to = '']) => to));
  const missing = (file: string, pattern: string, cwd: string) =>
    globSync(pattern, { cwd: join(ROOT, cwd) }).filter((to) => !linksOf(file).has(to));
  assert.deepEqual(missing('README.md', 'docs/*.md', '.'), []);
  assert.deepEqual(missing('docs/architecture.md', 'adr/*.md', 'docs'), []);
});

test('config/schema.json is what `npm run schema` writes', () => {
  const made = `${JSON.stringify(schemaOfAgent(components.processors, components.sinks), null, 2)}\n`;
  assert.equal(readFileSync(join(ROOT, 'config/schema.json'), 'utf8'), made);
});

test('every format that a schema names is known, and every key of a component has a description', () => {
  const schema = JSON.stringify(schemaOfAgent(components.processors, components.sinks));
  const formats = new Set([...schema.matchAll(/"format":"(\w+)"/g)].map(([, format]) => format));
  for (const format of formats)
    assert.ok(
      [
        'duration',
        'positive_duration',
        'bytes',
        'positive_bytes',
        'rate',
        'share',
        'host_port',
        'listen_address',
        'http_url',
        'record_key',
      ].includes(format ?? ''),
      format,
    );
  for (const { type, config } of [...components.processors, ...components.sinks]) {
    for (const [key, part] of Object.entries(config.properties)) {
      assert.ok('description' in part, `${key} of ${type} has no description`);
    }
  }
});

test('every npm script that the docs name exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const named = everyMatch(/\bnpm (?:run (?:--silent )?([\w:-]+)|(start|test)\b)/g);
  assert.deepEqual(
    named.filter(({ name }) => !(name in scripts)),
    [],
  );
});

test('every plumbline command that the docs name exists, with the options they give it', async () => {
  const named = [
    ...everyMatch(/^\s*(?:npx |npm run (?:--silent )?|node \S+\/)?(?:plumbline|main\.ts) (?:-- )?([a-z]+.*)/gm, true),
    ...everyMatch(/`(?:npm run (?:--silent )?)?plumbline (?:-- )?([a-z]+[^`]*)`/g),
    ...everyMatch(/\bnpm start -- ([^`\n]+)/g).map(({ name, where }) => ({ name: `run ${name}`, where })),
  ];
  assert.ok(named.length > 10);
  const faults: string[] = [];
  for (const { name, where } of named) {
    const [command = '', ...words] = name.replace(/#.*/, '').trim().split(/\s+/);
    const world = fakeWorld();
    await runCommand([command, '--help'], world.context);
    if (world.stderr() !== '') faults.push(`${where}: plumbline ${command}`);
    const unknown = words.filter((word) => word.startsWith('--') && !world.stdout().includes(word));
    faults.push(...unknown.map((word) => `${where}: plumbline ${command} ${word}`));
  }
  assert.deepEqual(faults, []);
});

test("the workflow of docs/ci.md runs its command in the service's own directory", (t) => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'plumbline-workflow-')));
  t.after(() => rmSync(folder, { recursive: true }));
  symlinkSync(ROOT, join(folder, 'plumbline'));
  mkdirSync(join(folder, 'contracts'));
  cpSync(join(ROOT, 'config/contracts/http-api.yaml'), join(folder, 'contracts/checkout.yaml'));
  const workflow = blocks.find(({ where, text }) => where.startsWith('docs/ci.md') && text.startsWith('jobs:'));
  const { jobs } = parse(workflow?.text ?? '') as { jobs: { contract: { steps: { run?: string }[] } } };
  const script = jobs.contract.steps.at(-1)?.run ?? '';
  assert.match(script, / -- npm test /);
  const env = { ...process.env, PWD: folder, GITHUB_STEP_SUMMARY: join(folder, 'summary.md') };
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script.replace('-- npm test', '-- pwd')], {
    cwd: folder,
    env,
    encoding: 'utf8',
  });
  assert.equal(stderr, `${folder}\n`);
  assert.equal(status, 3, 'nothing was sent');
  assert.match(stdout, /\*\*not enough data: /);
  assert.equal(readFileSync(env.GITHUB_STEP_SUMMARY, 'utf8'), stdout);
});

test('shell blocks call programs that are known, and files that exist', () => {
  const faults: string[] = [];
  for (const { where, text } of blocks.filter(({ language }) => language === 'sh')) {
    // What is quoted or bound to a variable is data.
    const lines = text.replaceAll(/'[^']*'/g, "''").split('\n');
    for (const line of lines.map((one) => one.replace(/#.*/, '').trim())) {
      const [program = '', ...words] = line.split(/\s+/).filter((word) => !/^\w+=/.test(word));
      const continues = /^[$'"-]|^\d|^tr$|^\|/.test(program) || words.length === 0;
      if (program !== '' && !continues && !PROGRAMS.includes(program)) faults.push(`${where}: ${line}`);
      for (const word of words) {
        if (/^(test|config|docs|bench|demo)\/[\w./-]+\.\w+$/.test(word) && !existsSync(join(ROOT, word)))
          faults.push(`${where}: ${word}`);
      }
    }
  }
  assert.deepEqual(faults, []);
});

function yamlBlocks(wanted: (value: object) => boolean): Block[] {
  return blocks.filter(({ language, text }) => {
    if (language !== 'yaml') return false;
    const value: unknown = parse(text);
    return typeof value === 'object' && value !== null && !('apiVersion' in value) && wanted(value);
  });
}

/** True when it begins with a key of agent.yaml: then all its keys have to be. */
function isConfiguration(value: object): boolean {
  const [first] = Object.keys(value);
  return first !== undefined && SECTIONS.includes(first);
}

/** Examples name variables that are not set here. */
function everyVariable(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/\$\{env:(\w+)\}/g)].map(([, name]) => [name ?? '', '1']));
}

/** Variables whose default is empty, set to something that a broker or a password could be. */
function emptyVariables(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/\$\{env:(\w+):-\}/g)].map(([, name]) => [name ?? '', 'localhost:9092']));
}

interface SchemaNode {
  properties?: Record<string, SchemaNode>;
  anyOf?: SchemaNode[];
  items?: SchemaNode;
  default?: unknown;
}

/** Properties of an object's schema, or of the branch of a union that is one. */
function propertiesOf(schema: SchemaNode): Record<string, SchemaNode> {
  return schema.properties ?? schema.anyOf?.find(({ properties }) => properties !== undefined)?.properties ?? {};
}

/** Paths of keys that the schema has and the value has not. Keys of a list's maps and of `subscribe` are examples. */
function missingKeys(schema: object, value: unknown, path: string): string[] {
  return Object.entries(propertiesOf(schema as SchemaNode)).flatMap(([key, part]) => {
    const inner: unknown = Reflect.get(Object(value), key);
    const here = `${path}.${key}`;
    if (key === 'subscribe' || typeof inner === 'boolean') return inner === undefined ? [here] : [];
    const below = Object.keys(part.properties ?? {});
    if (inner === undefined) return below.length === 0 ? [here] : below.map((one) => `${here}.${one}`);
    return part.properties === undefined ? [] : missingKeys(part, inner, here);
  });
}

/** What an example says about keys that have another default; those that are there to show something are left out. */
function otherDefaults(schema: object, value: unknown, path: string): string[] {
  return Object.entries(propertiesOf(schema as SchemaNode)).flatMap(([key, part]) => {
    const inner: unknown = Reflect.get(Object(value), key);
    if (inner === undefined || part.default === undefined || key === 'tls') return [];
    if (part.properties !== undefined) return otherDefaults(part, inner, `${path}.${key}`);
    const same = JSON.stringify(inner) === JSON.stringify(part.default);
    return same ? [] : [`${path}.${key} is ${JSON.stringify(inner)}, its default ${JSON.stringify(part.default)}`];
  });
}

/** Anchors that headings get: lower case, spaces to dashes, punctuation gone. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    (heading ?? '')
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  );
}

/** First groups that matched, in shell blocks alone or everywhere. */
function everyMatch(pattern: RegExp, inShell = false): { where: string; name: string }[] {
  const texts = inShell
    ? blocks.filter(({ language }) => language === 'sh').map(({ where, text }) => ({ where, text }))
    : documents.map((file) => ({ where: file, text: readFileSync(join(ROOT, file), 'utf8') }));
  return texts.flatMap(({ where, text }) =>
    [...text.matchAll(pattern)].map((match) => ({ where, name: match[1] ?? match[2] ?? '' })),
  );
}
