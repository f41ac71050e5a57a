/** `summarize`'s table of groups, held against a Map. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Identity } from '../../src/processors/summarize/group.ts';
import { GroupTable, OVERFLOW } from '../../src/processors/summarize/groupTable.ts';
import { seeded } from '../journal/frames.ts';

test('a table of groups finds what a Map finds, however it has grown, and is the same when it is restored', () => {
  const random = seeded(11);
  let table = new GroupTable();
  const known = new Map<string, number>();
  const names: string[] = [];
  for (let i = 0; i < 20_000; i++) {
    // Few homes, so that many meet; hashes up to the highest bit.
    const hash = (Math.floor(random() * 60) * 0x0400_0001 + 0xf000_0000) >>> 0;
    const rest = random() < 0.02 ? OVERFLOW : Math.floor(random() * 50);
    const key = `${hash} ${rest}`;
    assert.equal(table.find(hash, rest), known.get(key) ?? -1);
    if (i % 7000 === 6999) table = GroupTable.restore(table.save());
    if (known.has(key)) continue;
    known.set(key, known.size);
    names.push(`\u00e9 ${i}`);
    table.add(hash, rest, new Identity({ 'service.name': `s-${i % 3}` }, `\u00e9 ${i}`, i % 6, i % 3));
  }
  assert.ok(known.size > 2000);
  assert.equal(table.size, known.size);
  for (const [i, { name, kind, status, resource }] of table.identities.entries()) {
    const number = Number(name.slice(2));
    assert.equal(name, names[i]);
    assert.deepEqual([kind, status, resource], [number % 6, number % 3, { 'service.name': `s-${number % 3}` }]);
  }
});
