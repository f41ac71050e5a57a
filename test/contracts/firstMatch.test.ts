/** Holds src/contracts/firstMatch.ts: the first list that matches, as when each is asked one by one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConditionMap } from '../../src/contracts/contract.ts';
import { FirstMatch } from '../../src/contracts/firstMatch.ts';
import { createItems } from '../../src/contracts/items.ts';
import { Sight } from '../../src/contracts/lookup.ts';
import { compileConditions, matchesAll } from '../../src/contracts/match.ts';
import { LogView } from '../../src/otlp/logs.ts';
import { Reader } from '../../src/otlp/protobuf.ts';
import { Envelope, walkItems } from '../../src/otlp/resource.ts';
import { requestType } from '../../src/otlp/schema.ts';
import { readSpan, SpanView } from '../../src/otlp/traces.ts';
import { SEED, seeded } from '../otlp/generate.ts';

const KEYS = ['a', 'b', 'http.route', 'span.name', 'span.kind', 'resource.r', 'attr.a'];
const TEXTS = ['', 'x', 'y', '/a/1', '/a/2', '7', 'true'];
const SCALARS = [...TEXTS, 7, 8, true];

test('what it finds is what matches first one by one, for all kinds of conditions and values', (t) => {
  const random = seeded(t, 240);
  const found = { none: 0, some: 0 };
  const condition = (key: string): ConditionMap[string] => {
    if (key === 'span.kind') return 'server';
    const scalar = random.pick(SCALARS);
    return random.pick<ConditionMap[string]>([
      scalar,
      scalar,
      [scalar, random.pick(SCALARS)],
      { like: '/a/*' },
      { not: scalar },
      { exists: true },
      { gt: 7 },
    ]);
  };
  const attribute = (key: string) => {
    const scalar = random.pick(SCALARS);
    const value =
      typeof scalar === 'string'
        ? { stringValue: scalar }
        : typeof scalar === 'number'
          ? { intValue: scalar }
          : { boolValue: scalar };
    return { key, value };
  };
  for (let round = 0; round < 60; round++) {
    const maps = Array.from({ length: random.below(17) }, () =>
      Object.fromEntries(
        Array.from({ length: 1 + random.below(2) }, () => random.pick(KEYS)).map((key) => [key, condition(key)]),
      ),
    );
    const sight = new Sight();
    const first = new FirstMatch(maps.map((map) => compileConditions(map, sight)));
    const oracle = maps.map((map) => compileConditions(map));
    assert.equal(first.isEmpty, maps.length === 0);
    const spans = Array.from({ length: 20 }, () => ({
      name: random.pick(TEXTS),
      kind: random.below(4),
      attributes: ['a', 'b', 'http.route'].filter(() => random.below(2) === 0).map(attribute),
    }));
    const resourceSpans = [0, 1].map(() => ({
      resource: { attributes: ['r', 'b'].filter(() => random.below(2) === 0).map(attribute) },
      scopeSpans: [{ scope: { attributes: random.below(2) === 0 ? [attribute('a')] : [] }, spans }],
    }));
    const type = requestType('traces');
    const bytes = Buffer.from(type.encode(type.fromObject({ resourceSpans })).finish());
    const span = new SpanView();
    const aside = new Reader(bytes);
    const { spanItem } = createItems(span, new LogView(), aside);
    walkItems(new Reader(bytes), 0, bytes.length, new Envelope(bytes), {
      enterResource: () => sight.resource.begin(),
      item(reader, at, end, envelope) {
        readSpan(reader, at, end, span);
        sight.item.begin();
        const wanted = oracle.findIndex((conditions) => matchesAll(conditions, spanItem, envelope, aside));
        assert.equal(first.find(spanItem, envelope, aside), wanted, `${JSON.stringify(maps)} of seed ${SEED}`);
        found[wanted < 0 ? 'none' : 'some']++;
      },
    });
  }
  assert.ok(found.none > 300 && found.some > 300, JSON.stringify(found));
});
