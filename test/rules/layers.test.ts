/** Holds the rules of docs/architecture.md over src/ by reading it: who may import whom, how long a file is, what a header promises. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ERROR_CODES } from '../../src/core/errors.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SRC = join(ROOT, 'src');
const MOST_LINES = 300;
const MOST_LINES_HOT = 70;
/** Those that docs/architecture.md wants on one screen. */
const ONE_SCREEN = /^(ingest\/accept|worker\/(observe|select|encode)|sinks\/[^/]+\/encode)\.ts$/;

/** First match wins: paths below src/ and what they may import from it. `$1` is what the first group matched. */
const LAYERS: [from: RegExp, to: string[]][] = [
  [/^core\//, ['core/']],
  [/^otlp\//, ['core/', 'otlp/']],
  // Conditions are compiled to comparisons over the wire format: docs/adr/0001-layers.md.
  [/^contracts\//, ['core/', 'otlp/', 'contracts/']],
  // A component sees its own folder and the words that all of its kind share, never a sibling.
  [/^processors\/([^/]+)\//, ['core/', 'otlp/', 'contracts/', 'processors/$1/', 'processors/*.ts']],
  [/^processors\//, ['core/', 'otlp/', 'contracts/', 'processors/']],
  [/^sinks\/([^/]+)\//, ['core/', 'otlp/', 'contracts/', 'sinks/$1/', 'sinks/*.ts']],
  [/^sinks\//, ['core/', 'otlp/', 'contracts/', 'sinks/']],
  [/^journal\//, ['core/', 'journal/']],
  [
    /^worker\//,
    [
      'core/',
      'otlp/',
      'contracts/',
      'worker/',
      'journal/format.ts',
      'processors/registry.ts',
      'processors/processor.ts',
      'sinks/registry.ts',
    ],
  ],
  [/^ingest\//, ['core/', 'otlp/reply.ts', 'ingest/']],
  [/^status\//, ['core/', 'contracts/', 'status/']],
  [/^config\.ts$/, ['core/', 'contracts/', 'processors/registry.ts', 'sinks/registry.ts']],
  [/^main\.ts$/, ['cli/']],
  [/^wiring\//, ['!cli/', '!agent.ts', '!main.ts', '']],
  [/^(agent\.ts$|cli\/)/, ['']],
];

/** Paths below src/ that only these may import. */
const RESERVED: [target: string, importers: RegExp][] = [
  ['wiring/', /^(agent\.ts$|wiring\/)/],
  ['agent.ts', /^cli\//],
];

const files = globSync('**/*.ts', { cwd: SRC })
  .sort()
  .map((path) => ({ path, text: readFileSync(join(SRC, path), 'utf8') }));

test('every layer imports only what it may', () => {
  const faults: string[] = [];
  for (const { path, text } of files) {
    const layer = LAYERS.find(([from]) => from.test(path));
    assert.ok(layer !== undefined, `src/${path} belongs to no layer`);
    const own = layer[0].exec(path)?.[1] ?? '';
    const rules = layer[1].map((to) => to.replace('$1', own));
    for (const { target, line } of importsOf(path, text)) {
      if (!isAllowed(rules, target)) faults.push(`src/${path}:${line} imports src/${target}`);
    }
  }
  assert.deepEqual(faults, []);
});

test('wiring is imported by agent.ts alone, and agent.ts by the command line', () => {
  const faults: string[] = [];
  for (const { path, text } of files) {
    for (const { target, line } of importsOf(path, text)) {
      const reserved = RESERVED.find(([to]) => covers(to, target));
      if (reserved !== undefined && !reserved[1].test(path)) faults.push(`src/${path}:${line} imports src/${target}`);
    }
  }
  assert.deepEqual(faults, []);
});

test('imports end in .ts and lead to a file', () => {
  const faults: string[] = [];
  for (const { path, text } of files) {
    for (const { target, line } of importsOf(path, text)) {
      const leads = target.endsWith('.ts') && existsSync(join(SRC, target));
      if (!leads) faults.push(`src/${path}:${line} imports src/${target}`);
    }
  }
  assert.deepEqual(faults, []);
});

test('no file re-exports everything of another', () => {
  assert.deepEqual(having(/^export \* /m), []);
});

test('every file opens with a comment that says what it does', () => {
  const opens = ({ text }: { text: string }) => /^(#!.*\n)?\/(\/|\*)/.test(text);
  assert.deepEqual(
    files.filter((file) => !opens(file)).map(({ path }) => path),
    [],
  );
});

test(`every file has at most ${MOST_LINES} lines`, () => {
  const long = files.filter(({ text }) => text.trimEnd().split('\n').length > MOST_LINES);
  assert.deepEqual(
    long.map(({ path, text }) => `${path}: ${text.trimEnd().split('\n').length}`),
    [],
  );
});

test('accept.ts, the three of worker/ and every encode.ts of a sink fit on one screen', () => {
  const hot = files.filter(({ path }) => ONE_SCREEN.test(path));
  const long = hot.filter(({ text }) => codeLines(text) > MOST_LINES_HOT);
  assert.deepEqual(
    long.map(({ path, text }) => `${path}: ${codeLines(text)} lines of code`),
    [],
  );
});

test('a HOT header names a bench that exists', () => {
  const faults: string[] = [];
  for (const { path, text } of files) {
    for (const [line] of text.matchAll(/^.*\bHOT: .*$/gm)) {
      const bench = /Bench: (bench\/[\w./-]+\.ts)/.exec(line)?.[1];
      if (bench === undefined) faults.push(`src/${path} names no bench: ${line.trim()}`);
      else if (!existsSync(join(ROOT, bench))) faults.push(`src/${path} names ${bench}, which does not exist`);
    }
  }
  assert.deepEqual(faults, []);
});

test('only main.ts ends the process', () => {
  assert.deepEqual(having(/process\.exit\(/), ['main.ts']);
});

test('docs/errors.md explains every code of the catalogue, in its words, and no other', () => {
  const rows = [
    ...readFileSync(join(ROOT, 'docs/errors.md'), 'utf8').matchAll(/^\| `([A-Z_]+)` \| (.+?) \| (.+) \|$/gm),
  ];
  const explained = Object.fromEntries(rows.map(([, code, meaning]) => [code, meaning]));
  assert.deepEqual(explained, { ...ERROR_CODES });
  for (const [, code, , wayOut] of rows) assert.ok((wayOut ?? '').length > 20, `${code} says no way out`);
});

/** Paths below src/ that a file imports, types included, and where. */
function importsOf(path: string, text: string): { target: string; line: number }[] {
  return [...text.matchAll(/\b(?:from|import)\s*\(?\s*'(\.[^']*)'/g)].map(({ 1: specifier, index }) => ({
    target: relative(SRC, join(SRC, dirname(path), specifier as string)),
    line: text.slice(0, index).split('\n').length,
  }));
}

/** `!x/` forbids what a later rule would allow. */
function isAllowed(rules: readonly string[], target: string): boolean {
  if (rules.some((rule) => rule.startsWith('!') && covers(rule.slice(1), target))) return false;
  return rules.some((rule) => !rule.startsWith('!') && covers(rule, target));
}

/** `x/` covers all below x, `x/*.ts` the files in x itself, anything else one file. */
function covers(allowed: string, target: string): boolean {
  if (allowed === '') return true;
  if (allowed.endsWith('/*.ts')) return dirname(target) === dirname(allowed);
  return allowed.endsWith('/') ? target.startsWith(allowed) : target === allowed;
}

function having(pattern: RegExp): string[] {
  return files.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
}

/** Lines that are neither blank nor comment. */
function codeLines(text: string): number {
  return text.split('\n').filter((line) => line.trim() !== '' && !/^\s*(\/\/|\/\*|\*)/.test(line)).length;
}
