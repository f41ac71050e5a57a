/** Holds src/otlp/spanName.ts: the hashes of a name are those of its bytes wherever they lie, and of all of them that are told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reader, viewOf } from '../../src/otlp/protobuf.ts';
import { NameHash } from '../../src/otlp/spanName.ts';
import { readSpan, SpanView } from '../../src/otlp/traces.ts';

function hashOf(bytes: Uint8Array, at: number, length: number): number[] {
  const hash = new NameHash();
  hash.read(viewOf(bytes), bytes, at, length);
  return [hash.first, hash.second];
}

test('both are those of the bytes wherever they lie, and each bit changes both', () => {
  const name = Buffer.from('GET /api/v1/orders');
  for (let length = 0; length <= name.length; length++) {
    const hashes = hashOf(name, 0, length);
    const moved = Buffer.concat([Buffer.alloc(3, 1), name.subarray(0, length), Buffer.alloc(2, length)]);
    assert.deepEqual(hashOf(moved, 3, length), hashes);
    assert.ok(hashes.every((hash) => hash === (hash | 0)));
    for (let bit = 0; bit < length * 8; bit++) {
      moved[3 + (bit >>> 3)]! ^= 1 << (bit & 7);
      const others = hashOf(moved, 3, length);
      assert.ok(others[0] !== hashes[0] && others[1] !== hashes[1], `bit ${bit} of ${length} bytes`);
      moved[3 + (bit >>> 3)]! ^= 1 << (bit & 7);
    }
  }
});

test('names of one letter, or of zeros, are told apart by their length; what is not told of a long name does not count', () => {
  for (const letter of [0, 0x78]) {
    const same = Buffer.alloc(16, letter);
    const hashes = Array.from({ length: 17 }, (_, length) => hashOf(same, 0, length));
    for (const which of [0, 1]) assert.equal(new Set(hashes.map((both) => both[which])).size, 17);
  }
  const long = (end: string) => NameHash.of(`${'x'.repeat(255)}é${end}`);
  assert.deepEqual(long('1'), long('2'));
  assert.equal(long('').length, 255);
  assert.notDeepEqual(NameHash.of('x'.repeat(256)), NameHash.of(`${'x'.repeat(255)}y`));
});

test('a span has the hash of its own name, not of the one read before', () => {
  const span = new SpanView();
  for (const name of ['first', 'second', '']) {
    const bytes = Buffer.concat([Buffer.from([42, name.length]), Buffer.from(name)]);
    const reader = new Reader(bytes);
    readSpan(reader, 0, bytes.length, span);
    assert.deepEqual(span.nameHash(reader), NameHash.of(name));
    assert.deepEqual(span.nameHash(reader), NameHash.of(name));
  }
});
