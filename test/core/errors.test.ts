/** Holds src/core/errors.ts: what an AgentError carries and how anything thrown becomes text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError, ERROR_CODES, messageOf } from '../../src/core/errors.ts';

test('an error is not retryable and has no cause unless the place that throws says so', () => {
  const plain = new AgentError('OVERLOADED', 'full');
  assert.equal(plain.retryable, false);
  assert.equal('cause' in plain, false);
  const cause = new Error('EIO');
  const rich = new AgentError('JOURNAL_SYNC_FAILED', 'disk', { retryable: true, cause });
  assert.deepEqual([rich.code, rich.message, rich.retryable, rich.cause], ['JOURNAL_SYNC_FAILED', 'disk', true, cause]);
  assert.ok(rich instanceof Error);
});

test('every code has one sentence that ends with a full stop', () => {
  for (const [code, sentence] of Object.entries(ERROR_CODES)) {
    assert.match(code, /^[A-Z]+(_[A-Z]+)*$/);
    assert.match(sentence, /^[A-Z].*\.$/, code);
  }
});

test('anything thrown has a text', () => {
  assert.equal(messageOf(new Error('x')), 'x');
  for (const thrown of ['x', undefined, null, 3, {}]) assert.equal(typeof messageOf(thrown), 'string');
});
