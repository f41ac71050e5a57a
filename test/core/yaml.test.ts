/** Holds src/core/yaml.ts against text that is broken, hostile or both: a fault with a place, never a throw. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fastCheck from 'fast-check';
import { readYaml } from '../../src/core/yaml.ts';

function inspect(text: string) {
  return readYaml({ text, file: 'agent.yaml', env: {} });
}

function only(text: string): string {
  const { faults } = inspect(text);
  assert.equal(faults.length, 1, `expected one fault, found:\n${faults.join('\n')}`);
  return faults[0] ?? '';
}

test('broken YAML, duplicate keys and bombs are faults with a place', () => {
  assert.match(only('agent:\n  id: "open'), /^agent\.yaml:2:\d+: not YAML: Missing closing "quote$/);
  assert.equal(only('agent: {}\nadmin: {}\nagent: {}'), 'agent.yaml:3:1: duplicate key "agent": keep one of them');
  assert.match(only('{"a": "b"} : c d: e\n  - f'), /^agent\.yaml:\d+:\d+: /);
  const levels = Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(', ')}]`);
  assert.match(only(`a0: &a0 [x, x]\n${levels.join('\n')}`), /Excessive alias count/);
  assert.equal(only('a: &x\n  b: [*x]'), 'agent.yaml:2:7: an alias of what it stands in, which has no end');
  assert.equal(only('a: 1\n---\nb: 2'), 'agent.yaml:2:1: a second document: give it a file of its own');
  assert.match(only('a: "${env:HOME"'), /^agent\.yaml:1:4: a "\$\{\.\.\.\}" that is no variable: write/);
  assert.deepEqual(inspect('a: "$${env:HOME"').value, { a: '${env:HOME' });
  assert.match(
    only(`# ${'x'.repeat(1 << 20)}`),
    /^agent\.yaml:1:1: the file has 1048578 bytes, at most 1048576 are read$/,
  );
  assert.match(inspect('['.repeat(100_000)).faults[0] ?? '', /^agent\.yaml:\d+:\d+: /);
});

test('any text gives a value or faults', () => {
  const pieces = fastCheck.constantFrom(
    'a',
    ':',
    ' ',
    '\n',
    '- ',
    '{',
    '}',
    '[',
    ']',
    '&x',
    '*x',
    '${env:',
    '"',
    '!!t',
    '#',
    '?',
    '|',
    '\t',
  );
  const text = fastCheck.array(pieces, { maxLength: 40 }).map((parts) => parts.join(''));
  fastCheck.assert(
    fastCheck.property(text, (broken) => {
      const { readable, faults } = inspect(broken);
      assert.ok(readable || faults.length > 0);
      for (const fault of faults) assert.match(fault, /^agent\.yaml:\d+:\d+: /);
    }),
    { verbose: true },
  );
});

test('a path that leads nowhere is placed at its nearest ancestor, and one through an alias at the anchor', () => {
  const { where } = readYaml({ text: 'a: &x\n  b: 1\nc: *x\n', file: 'f', env: {} });
  assert.equal(where(['a', 'b'], 'value'), 'f:2:6');
  assert.equal(where(['a', 'b'], 'key'), 'f:2:3');
  assert.equal(where(['a', 'z', 'y'], 'value'), 'f:2:3');
  assert.equal(where(['c', 'b'], 'value'), 'f:2:6');
  assert.equal(where(['nowhere'], 'value'), 'f:1:1');
});
