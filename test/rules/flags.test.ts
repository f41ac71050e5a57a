/** One way to start the agent: the command, npm start, the image, the docs and what the bench measures have the same flags of Node and of malloc. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { NODE_FLAGS, SERVER_ENV } from '../../bench/slot.ts';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const flags = NODE_FLAGS.join(' ');
const malloc = `MALLOC_ARENA_MAX=${SERVER_ENV.MALLOC_ARENA_MAX}`;

test('the agent is started with the same flags everywhere', () => {
  assert.equal(read('src/main.ts').split('\n')[0], `#!/usr/bin/env -S ${malloc} node ${flags}`);
  // package.json has scripts.
  const { scripts } = JSON.parse(read('package.json')) as { scripts: { start: string } };
  assert.equal(scripts.start, `node ${flags} src/main.ts run --config config/agent.yaml`);
  const image = read('Dockerfile');
  assert.match(image, new RegExp(`^ENV .*\\b${malloc}$`, 'm'));
  const entry = /^ENTRYPOINT (.*)$/m.exec(image)?.[1] ?? assert.fail('no entry point');
  assert.deepEqual(JSON.parse(entry), ['node', ...NODE_FLAGS, '/opt/plumbline/dist/main.js']);
  assert.ok(
    image.includes(` node ${flags} /opt/plumbline/dist/main.js run `),
    'the start that fills the cache of code',
  );
  const operations = read('docs/operations.md');
  assert.ok(operations.includes(`\`${flags}\``) && operations.includes(`\`${malloc}\``), 'docs/operations.md');
});
