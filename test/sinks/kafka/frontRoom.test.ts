/** Holds that envelopes are written in front of a message only where nothing else is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocateBehindRoom, prepend } from '../../../src/sinks/kafka/frontRoom.ts';

function message(text: string): Buffer {
  const bytes = allocateBehindRoom(text.length);
  bytes.write(text);
  return bytes;
}

test('one envelope after the other goes in front, in the same memory', () => {
  const content = message('batch');
  const inner = prepend(Buffer.from('topic '), content);
  const outer = prepend(Buffer.from('request '), inner ?? Buffer.alloc(0));
  assert.equal(outer?.toString(), 'request topic batch');
  assert.equal(outer?.buffer, content.buffer);
  assert.equal(content.toString(), 'batch');
});

test('what is in front already is not written over, nor anything put before a part', () => {
  const content = message('batch');
  prepend(Buffer.from('one '), content);
  assert.equal(prepend(Buffer.from('another '), content), null);
  assert.equal(prepend(Buffer.from('x'), message('batch').subarray(1)), null);
});

test('nothing goes in front of other memory, or where there is no room', () => {
  assert.equal(prepend(Buffer.from('x'), Buffer.alloc(10_000)), null);
  assert.equal(prepend(Buffer.alloc(1025), message('batch')), null);
  assert.equal(prepend(Buffer.alloc(1024, 'x'), message('batch'))?.length, 1029);
});
