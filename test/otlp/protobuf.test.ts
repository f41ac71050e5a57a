/** Holds src/otlp/protobuf.ts: every number as protobufjs reads it, every bound held. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import protobuf from 'protobufjs';
import { AgentError } from '../../src/core/errors.ts';
import {
  copyRange,
  HASH_SEED,
  hashBytes,
  Reader,
  readEnd,
  readInt64,
  readTag,
  readVarint,
  sameBytes,
  skipField,
  varintBytes,
  writeVarint,
} from '../../src/otlp/protobuf.ts';
import { placed, seeded, unknownField } from './generate.ts';

const refused = (error: unknown) =>
  error instanceof AgentError && error.code === 'BODY_UNDECODABLE' && !error.retryable;
const group = (open: number) => Buffer.concat([Buffer.alloc(open, 0x0b), Buffer.alloc(open, 0x0c)]);

test('varints are written and read alike, at every size', (t) => {
  const random = seeded(t, 40);
  const bytes = Buffer.alloc(16);
  for (let i = 0; i < 3000; i++) {
    const value = Math.floor(random.next() * 2 ** random.below(33));
    const end = writeVarint(bytes, 0, value);
    assert.equal(end, varintBytes(value));
    assert.deepEqual(bytes.subarray(0, end), Buffer.from(protobuf.Writer.create().uint32(value).finish()));
    const reader = new Reader(bytes);
    assert.equal(readVarint(reader, end), value);
    assert.equal(reader.pos, end);
  }
});

test('int64 is exact to 2^53 and the nearest double beyond, negative numbers too', () => {
  for (const text of [
    '0',
    '1',
    '-1',
    '300',
    '9007199254740991',
    '-9007199254740991',
    '9223372036854775807',
    '-9223372036854775808',
  ]) {
    const bytes = protobuf.Writer.create()
      .int64(text as never)
      .finish();
    assert.equal(readInt64(new Reader(bytes), bytes.length), Number(text), text);
  }
});

test('negative enums keep their low 32 bits', () => {
  for (const value of [-1, -2, -(2 ** 31)]) {
    const bytes = protobuf.Writer.create().int32(value).finish();
    assert.equal(bytes.length, 10);
    assert.equal(readVarint(new Reader(bytes), 10) | 0, value);
  }
});

test('a varint of eleven bytes is refused, and one that is cut off', () => {
  const long = Buffer.from(`${'ff'.repeat(10)}01`, 'hex');
  for (const read of [readVarint, readInt64, readTag, readEnd]) {
    assert.throws(() => read(new Reader(long), long.length), refused);
    for (let length = 0; length < 10; length++) assert.throws(() => read(new Reader(long), length), refused);
  }
});

test('a length that leads beyond the end is refused at once, also one of 2^31 and more', () => {
  for (const hex of ['01', '7f', 'ffffffff07', '8080808008', 'ffffffff0f', 'ffffffffffffff7f'])
    assert.throws(() => readEnd(new Reader(Buffer.from(hex, 'hex')), hex.length / 2), refused, hex);
  const { buffer, at, end } = placed(Buffer.from('0203', 'hex'), 0);
  const reader = new Reader(buffer);
  reader.pos = at;
  assert.throws(() => readEnd(reader, end), refused);
});

test('field 0, fields over 2^29 - 1 and wire types 6 and 7 are refused', () => {
  for (const hex of ['00', '07', '8080808010', 'ffffffff1f'])
    assert.throws(() => readTag(new Reader(Buffer.from(hex, 'hex')), hex.length / 2), refused, hex);
  assert.equal(readTag(new Reader(Buffer.from('f8ffffff0f', 'hex')), 5) >>> 3, 2 ** 29 - 1);
  for (const tag of [14, 15, 12]) assert.throws(() => skipField(new Reader(Buffer.alloc(8)), tag, 8), refused);
});

test('unknown fields of every wire type, groups in groups too, are passed exactly', (t) => {
  const random = seeded(t, 41);
  for (let i = 0; i < 3000; i++) {
    const field = unknownField(random, 0);
    const { buffer, at, end } = placed(field, 0xff);
    const reader = new Reader(buffer);
    reader.pos = at;
    skipField(reader, readTag(reader, end), end);
    assert.equal(reader.pos, end);
    for (let length = 1; length < Math.min(field.length, 40); length++) {
      reader.pos = at;
      assert.throws(() => skipField(reader, readTag(reader, at + length), at + length), refused);
    }
  }
});

test('groups nest 64 deep and no deeper; 30,000 of them are refused without recursion', () => {
  const skip = (bytes: Buffer) => {
    const reader = new Reader(bytes);
    skipField(reader, readTag(reader, bytes.length), bytes.length);
    return reader.pos;
  };
  assert.equal(skip(group(64)), 128);
  assert.throws(() => skip(group(65)), refused);
  assert.throws(() => skip(group(30_000)), refused);
  // A group that another number ends.
  assert.throws(() => skip(Buffer.from('0b14', 'hex')), refused);
});

test('hash, comparison and copies are about the bytes they are given', () => {
  const bytes = Buffer.from('xxfoobarxfoobar');
  assert.equal(hashBytes(bytes, 2, 6, HASH_SEED), 0xbf9c_f968);
  assert.equal(hashBytes(bytes, 5, 3, hashBytes(bytes, 2, 3, HASH_SEED)), 0xbf9c_f968);
  assert.equal(sameBytes(bytes, 2, bytes, 9, 6), true);
  assert.equal(sameBytes(bytes, 0, bytes, 8, 6), false);
  for (const length of [0, 1, 511, 512, 3000]) {
    const memory = Buffer.alloc(8000, 0xee);
    for (let i = 0; i < length; i++) memory[i] = i % 251;
    assert.equal(copyRange(memory, 0, length, 4000), 4000 + length);
    assert.deepEqual(memory.subarray(4000, 4000 + length), memory.subarray(0, length));
    assert.equal(memory[4000 + length], 0xee);
  }
});
