/** Holds the docs to the program: YAML in them is valid, and commands they name exist. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { runCommand } from '../src/cli/commands.ts';
import { processContext } from '../src/cli/context.ts';
import { inspectConfig, schemaOfAgent } from '../src/config.ts';
import { contractSchema, planContract } from '../src/contracts/contract.ts';
import { compileSchema } from '../src/core/schema.ts';
import { SETTINGS } from '../src/core/settings.ts';
import { fakeWorld } from './cli/context.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SECTIONS = [...Object.keys(SETTINGS), 'processors', 'sinks'];
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

test('every YAML block of the docs that is configuration is valid', () => {
  const faults = yamlBlocks(isConfiguration).flatMap(({ where, text }) => {
    const report = inspectConfig({ text, file: where, env: everyVariable(text), ...components });
    return report.faults;
  });
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
  assert.deepEqual(Object.keys(parse(shown?.text ?? '')), SECTIONS);
});

test('config/schema.json is what `npm run schema` writes', () => {
  const made = `${JSON.stringify(schemaOfAgent(components.processors, components.sinks), null, 2)}\n`;
  assert.equal(readFileSync(join(ROOT, 'config/schema.json'), 'utf8'), made);
});

test('every format that a schema names is known, and every key of a component has a description', () => {
  const schema = JSON.stringify(schemaOfAgent(components.processors, components.sinks));
  const formats = new Set([...schema.matchAll(/"format":"(\w+)"/g)].map(([, format]) => format));
  for (const format of formats)
    assert.ok(['duration', 'bytes', 'rate', 'share', 'host_port'].includes(format ?? ''), format);
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

test('every plumbline command that the docs name exists', async () => {
  const named = everyMatch(/^\s*(?:npx |npm run (?:--silent )?)?plumbline (?:-- )?([a-z]+)/gm, true);
  const unknown: string[] = [];
  for (const { name, where } of named) {
    const world = fakeWorld();
    await runCommand([name, '--help'], world.context);
    if (world.stderr() !== '') unknown.push(`${where}: plumbline ${name}`);
  }
  assert.deepEqual(unknown, []);
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

/** First groups that matched, in shell blocks alone or everywhere. */
function everyMatch(pattern: RegExp, inShell = false): { where: string; name: string }[] {
  const texts = inShell
    ? blocks.filter(({ language }) => language === 'sh').map(({ where, text }) => ({ where, text }))
    : documents.map((file) => ({ where: file, text: readFileSync(join(ROOT, file), 'utf8') }));
  return texts.flatMap(({ where, text }) =>
    [...text.matchAll(pattern)].map((match) => ({ where, name: match[1] ?? match[2] ?? '' })),
  );
}
