/** Holds src/otlp/attributes.ts: which attribute is found, what a value is, how deep values may nest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../src/core/errors.ts';
import {
  AttributeTable,
  emptyValue,
  readAnyValue,
  readAttributes,
  readKeyValue,
  readValue,
} from '../../src/otlp/attributes.ts';
import { Reader } from '../../src/otlp/protobuf.ts';
import { messageType } from '../../src/otlp/schema.ts';

const refused = (error: unknown) => error instanceof AgentError && error.code === 'BODY_UNDECODABLE';

function field(tag: number, content: Buffer): Buffer {
  const length: number[] = [];
  for (let rest = content.length; ; rest >>>= 7) {
    if (rest < 128) {
      length.push(rest);
      break;
    }
    length.push((rest & 127) | 128);
  }
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

/** `depth` AnyValues inside one another, through arrays or lists of pairs. */
function nested(depth: number, pairs: boolean): Buffer {
  let value: Buffer = Buffer.from('0a0178', 'hex');
  for (let i = 1; i < depth; i++) value = pairs ? field(50, field(10, field(18, value))) : field(42, field(10, value));
  return value;
}

test('99 and 100 values inside one another are read, 101 are refused, in arrays and in lists of pairs', () => {
  for (const pairs of [false, true]) {
    for (const depth of [1, 99, 100]) {
      const bytes = nested(depth, pairs);
      const reader = new Reader(bytes);
      readAnyValue(reader, bytes.length, 1);
      assert.equal(reader.pos, bytes.length);
    }
    for (const depth of [101, 1000]) {
      const bytes = nested(depth, pairs);
      assert.throws(() => readAnyValue(new Reader(bytes), bytes.length, 1), refused);
    }
  }
});

test('a key that stands twice is found at its last place, a missing one nowhere', () => {
  const type = messageType('KeyValue');
  const table = new AttributeTable();
  const parts = ['a', 'b', 'a', 'ab'].map((key, i) =>
    Buffer.from(type.encode(type.fromObject({ key, value: { intValue: i } })).finish()),
  );
  const bytes = Buffer.concat(parts);
  const reader = new Reader(bytes);
  for (const part of parts) readKeyValue(reader, reader.pos + part.length, table, 1);
  assert.equal(table.count, 4);
  assert.equal(table.find(bytes, Buffer.from('a')), 2);
  assert.equal(table.find(bytes, Buffer.from('ab')), 3);
  assert.equal(table.find(bytes, Buffer.from('')), -1);
  assert.equal(table.find(bytes, Buffer.from('abc')), -1);
});

test('more attributes than can be noted are validated all the same', () => {
  const table = new AttributeTable();
  const bytes = Buffer.concat(Array.from({ length: 1030 }, () => Buffer.from('0a0161', 'hex')));
  const reader = new Reader(bytes);
  for (let i = 0; i < 1030; i++) readKeyValue(reader, reader.pos + 3, table, 1);
  assert.equal(table.count, 1024);
  for (const usual of ['4a080a016112030a0178', '4a00']) {
    const many = Buffer.from(usual.repeat(1030), 'hex');
    table.clear();
    readAttributes(new Reader(many), 0, many.length, 74, table);
    assert.equal(table.count, 1024);
    // One that is bad stands behind those that were noted.
    const bad = Buffer.concat([many, Buffer.from('4a080a016112030a0578', 'hex')]);
    assert.throws(() => readAttributes(new Reader(bad), 0, bad.length, 74, table), refused);
  }
  const broken = Buffer.from('0a0561', 'hex');
  assert.throws(() => readKeyValue(new Reader(broken), 3, table, 1), refused);
});

test('an attribute that is cut off is refused although the rest of it stands behind the end', () => {
  for (const usual of ['4a080a016112030a0178', '4a070a016112021805', '4a0e0a01611209210000000000000840', '4a00']) {
    const bytes = Buffer.from(`${usual}4a080a016112030a0178`, 'hex');
    for (let end = 1; end < usual.length / 2; end++)
      assert.throws(
        () => readAttributes(new Reader(bytes), 0, end, 74, new AttributeTable()),
        refused,
        `${usual} ${end}`,
      );
  }
});

test('an attribute is usual by all of its lengths', () => {
  const read = (bytes: Buffer) => {
    const table = new AttributeTable();
    readAttributes(new Reader(bytes), 0, bytes.length, 74, table);
    return Array.from({ length: table.count }, (_, i) => table.keyLength(i));
  };
  // The length of the value is not that of what stands there.
  for (const hex of ['4a0e0a01611203210000000000000840', '4a080a016112040a0178', '4a080a016112020a0178'])
    assert.throws(() => read(Buffer.from(hex, 'hex')), refused, hex);
  // A field that nobody knows stands behind the value.
  assert.deepEqual(read(Buffer.from('4a090a0161120218051801', 'hex')), [1]);
  // A length of two bytes, which looks like one of 16 and a key of ten bytes, with an empty string behind it.
  const key = Buffer.alloc(1293, 'k');
  key.set(Buffer.from('12020a00', 'hex'), 8);
  assert.deepEqual(read(field(74, field(10, key))), [1293]);
});

test('the last kind that is set is the value, and what no field says is none', () => {
  const value = emptyValue();
  const kindOf = (hex: string) => {
    const bytes = Buffer.from(hex, 'hex');
    readValue(new Reader(bytes), 0, bytes.length, value);
    return value.kind;
  };
  assert.equal(kindOf('0a01781001'), 'bool');
  assert.equal(value.number, 1);
  assert.equal(kindOf('10010a0178'), 'string');
  assert.equal(kindOf('18ac02'), 'int');
  assert.equal(value.number, 300);
  assert.equal(kindOf('21000000000000f83f'), 'double');
  assert.equal(value.number, 1.5);
  assert.equal(kindOf('3a00'), 'bytes');
  assert.equal(kindOf('2a00'), 'other');
  assert.equal(kindOf('3200'), 'other');
  assert.equal(kindOf(''), 'none');
  // Field 8 is profiles' alone: as absent.
  assert.equal(kindOf('4001'), 'none');
  readValue(new Reader(Buffer.alloc(0)), -1, -1, value);
  assert.equal(value.kind, 'none');
});
