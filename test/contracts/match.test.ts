/** Holds src/contracts/match.ts, lookup.ts and keys.ts: what is compared as it lies in the message, to what reading each value says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConditionMap } from '../../src/contracts/contract.ts';
import { createItems } from '../../src/contracts/items.ts';
import { Sight } from '../../src/contracts/lookup.ts';
import { compileConditions, matchesAll } from '../../src/contracts/match.ts';
import { LogView } from '../../src/otlp/logs.ts';
import { Reader } from '../../src/otlp/protobuf.ts';
import { Envelope, walkItems } from '../../src/otlp/resource.ts';
import { readSpan, SpanView } from '../../src/otlp/traces.ts';
import { SEED, seeded } from '../otlp/generate.ts';

type Held = { kind: 'none' | 'string' | 'bool' | 'number' | 'bytes'; is: string | number | boolean };
const NONE: Held = { kind: 'none', is: '' };

/** A varint in at least `least` bytes. */
function varint(value: number | bigint, least = 1): number[] {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  while (rest > 127n || bytes.length < least - 1) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  return [...bytes, Number(rest)];
}

const field = (tag: number, content: number[], least = 1) => [tag, ...varint(content.length, least), ...content];
const string = (text: string, least = 1) => field(10, [...Buffer.from(text)], least);
const double = (number: number) => [33, ...new Uint8Array(new Float64Array([number]).buffer)];

const TEXTS = [
  '',
  'x',
  'refused',
  'refuse',
  '/api/',
  '/api/1/x',
  '/apx',
  '500',
  'true',
  'y'.repeat(127),
  'y'.repeat(128),
];
const INTS = [0, 1, 127, 128, 499, 500, 501, 16_383, 16_384, -1, 2 ** 31, 2 ** 40];

test('values in any encoding are what reading them says, with and without a sight', (t) => {
  const random = seeded(t, 512);
  const seen = new Map<string, number>();
  /** What an AnyValue may consist of, each part saying what it makes of the value. */
  const part = (): [bytes: number[], Held | null, name: string] => {
    const text = random.pick(TEXTS);
    const int = random.pick(INTS);
    const least = 1 + random.below(10);
    return random.pick<[number[], Held | null, string]>([
      [string(text), { kind: 'string', is: text }, 'text'],
      [string(text), { kind: 'string', is: text }, 'text'],
      [string(text, 3), { kind: 'string', is: text }, 'text of long length'],
      [[24, ...varint(int)], { kind: 'number', is: int }, 'int'],
      [[24, ...varint(int)], { kind: 'number', is: int }, 'int'],
      [[24, ...varint(int, least)], { kind: 'number', is: int }, 'long int'],
      [[0x98, 0, ...varint(int)], { kind: 'number', is: int }, 'int of long tag'],
      [double(int), { kind: 'number', is: int }, 'double'],
      [double(int + 0.5), { kind: 'number', is: int + 0.5 }, 'fraction'],
      [[16, 1], { kind: 'bool', is: true }, 'bool'],
      [field(58, [...Buffer.from(text)]), { kind: 'bytes', is: text }, 'bytes'],
      [field(122, [10, 1, 120]), null, 'unknown field'],
      [[80, 5], null, 'unknown number'],
    ]);
  };
  const value = (): [bytes: number[], Held] => {
    let held = NONE;
    const bytes: number[] = [];
    for (let parts = random.pick([0, 1, 1, 1, 1, 2, 3]); parts > 0; parts--) {
      const [more, becomes, name] = part();
      bytes.push(...more);
      held = becomes ?? held;
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
    return [bytes, held];
  };
  const KEYS = ['k', 'ab', 'abc', 'abcd', 'abcx', 'xbcd', 'http.route', 'http.routf', 'xttp.route', 'http.rxute'];
  const attributes = (tag: number): [bytes: number[], Map<string, Held>] => {
    const held = new Map<string, Held>();
    const bytes: number[] = [];
    for (let i = random.below(6); i > 0; i--) {
      const key = random.pick(KEYS);
      const [encoded, is] = value();
      const isBare = random.below(9) === 0;
      // The last one counts where a key stands twice, whether it has a value or not.
      held.set(key, isBare ? NONE : is);
      bytes.push(...field(tag, [...string(key), ...(isBare ? [] : field(18, encoded))]));
    }
    return [bytes, held];
  };
  const counts = { true: 0, false: 0 };
  for (let round = 0; round < 400; round++) {
    const maps = Array.from({ length: 12 }, () => ({
      [random.pick(['', 'attr.', 'resource.']) + random.pick(KEYS)]: wanted(),
    }));
    const sight = new Sight();
    const shared = maps.map((map) => compileConditions(map, sight));
    const alone = maps.map((map) => compileConditions(map));
    const [ofResource, resource] = attributes(10);
    const [ofScope, scope] = attributes(26);
    const items = Array.from({ length: 4 }, () => attributes(74));
    const spans = items.flatMap(([bytes]) => field(18, bytes));
    const bytes = Buffer.from([
      ...field(10, [...field(10, ofResource), ...field(18, [...field(10, ofScope), ...spans])]),
    ]);
    const span = new SpanView();
    const aside = new Reader(bytes);
    const { spanItem } = createItems(span, new LogView(), aside);
    let n = 0;
    walkItems(new Reader(bytes), 0, bytes.length, new Envelope(bytes), {
      enterResource: () => sight.resource.begin(),
      item(reader, at, end, envelope) {
        readSpan(reader, at, end, span);
        sight.item.begin();
        const item = items[n++]![1];
        for (const [i, map] of maps.entries()) {
          const [[written, asked]] = Object.entries(map) as [[string, ConditionMap[string]]];
          const key = written.replace(/^(attr|resource)\./, '');
          const places = written.startsWith('attr.')
            ? [item]
            : written.startsWith('resource.')
              ? [resource]
              : [item, scope, resource];
          const expected = holds(asked, places.find((place) => place.has(key))?.get(key) ?? NONE);
          const what = `${JSON.stringify(map)} of span ${n} in ${bytes.toString('hex')}, seed ${SEED}`;
          assert.equal(matchesAll(shared[i]!, spanItem, envelope, aside), expected, what);
          assert.equal(matchesAll(alone[i]!, spanItem, envelope, aside), expected, what);
          counts[`${expected}`]++;
        }
      },
    });
  }
  assert.ok(counts.true > 3000 && counts.false > 3000, JSON.stringify(counts));
  assert.ok(seen.size === 11 && [...seen.values()].every((times) => times > 100), JSON.stringify([...seen]));

  function wanted(): ConditionMap[string] {
    const scalar = () =>
      random.pick<string | number | boolean>([random.pick(TEXTS), random.pick(INTS), 500.5, true, false]);
    const bound = random.pick([...INTS, 499.5]);
    return random.pick<ConditionMap[string]>([
      scalar(),
      [scalar(), scalar(), scalar()],
      { gt: bound },
      { gte: bound },
      { lt: bound },
      { lte: bound },
      { gte: 128, lt: bound },
      { like: random.pick(['/api/*', '*', 'refused', '*/x', '/a*/*x', '']) },
      { exists: random.below(2) === 0 },
      { not: scalar() },
      { not: [scalar(), scalar()] },
      { like: '/api/*', not: scalar() },
    ]);
  }
});

/** As docs/contracts.md says it, over what the value is. */
function holds(asked: ConditionMap[string], { kind, is }: Held): boolean {
  if (Array.isArray(asked)) return asked.some((one) => holds(one, { kind, is }));
  if (typeof asked !== 'object') {
    if (kind === 'string') return is === String(asked);
    return (kind === 'number' || kind === 'bool') && is === asked;
  }
  const number = kind === 'number' ? (is as number) : Number.NaN;
  const { gt = -Infinity, gte = -Infinity, lt = Infinity, lte = Infinity, like, exists, not } = asked;
  const compares =
    asked.gt !== undefined || asked.gte !== undefined || asked.lt !== undefined || asked.lte !== undefined;
  if (compares && !(number > gt && number >= gte && number < lt && number <= lte)) return false;
  if (like !== undefined) {
    const parts = like.split('*').map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    if (kind !== 'string' || !new RegExp(`^${parts.join('.*')}$`, 's').test(String(is))) return false;
  }
  if (exists !== undefined && (kind !== 'none') !== exists) return false;
  return not === undefined || !holds(not, { kind, is });
}

test('many keys of like lengths and ends are told apart', () => {
  const sight = new Sight();
  const keys = Array.from({ length: 300 }, (_, i) => `${'k'.repeat(i % 9)}${i % 7}.${i}.end`);
  const numbers = keys.map((key) => sight.keys.add(Buffer.from(key)));
  assert.deepEqual(
    numbers,
    keys.map((_, i) => i),
  );
  assert.equal(sight.keys.add(Buffer.from(keys[17]!)), 17);
  const bytes = Buffer.from(
    keys.flatMap((key) => field(74, field(10, [...Buffer.from(key)]))).concat(field(74, [...string('0.0.enx')])),
  );
  const span = new SpanView();
  readSpan(new Reader(bytes), 0, bytes.length, span);
  sight.item.begin();
  assert.deepEqual(
    numbers.map((number) => sight.item.rowOf(number, sight.keys, span.attributes, bytes)),
    numbers,
  );
});
