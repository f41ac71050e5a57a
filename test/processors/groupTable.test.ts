/** `summarize`'s table of groups, held against a Map. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Identity } from '../../src/processors/summarize/group.ts';
import { GroupTable, halvesOf, keyOf, OVERFLOW } from '../../src/processors/summarize/groupTable.ts';
import { seeded } from '../journal/frames.ts';

const group = (name: string): Identity => ({ resource: {}, name, kind: 0, status: 0 });

test('a table of groups finds what a Map finds, however it has grown, and gives it back in order', () => {
  const random = seeded(11);
  const table = new GroupTable();
  const known = new Map<number, Identity>();
  const order: number[] = [];
  for (let i = 0; i < 20_000; i++) {
    // Few homes, so that many meet; hashes up to the highest bit.
    const hash = (Math.floor(random() * 60) * 0x0400_0001 + 0xf000_0000) >>> 0;
    const rest = random() < 0.02 ? OVERFLOW : Math.floor(random() * 50);
    const key = keyOf(hash, rest);
    assert.deepEqual(halvesOf(key), [hash, rest]);
    const found = table.find(hash, rest);
    assert.equal(found, order.indexOf(key));
    if (found >= 0) continue;
    order.push(key);
    const made = group(`${i}`);
    known.set(key, made);
    table.add(hash, rest, made);
  }
  assert.ok(known.size > 2000);
  assert.deepEqual([table.size, table.entries()], [known.size, [...known]]);
});
