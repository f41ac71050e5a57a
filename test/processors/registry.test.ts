/** Runs every processor of the registry through the same: empty block, one item, full block, and twice the same answer. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Field } from '../../src/core/block.ts';
import { processors } from '../../src/processors/registry.ts';
import { traceTableFor } from '../../src/processors/sample/index.ts';
import { decoded, itemsOf, type Plain } from '../otlp/generate.ts';
import {
  configured,
  contentOf,
  createWorld,
  liveFrames,
  logs,
  measuredBytes,
  NOW_MS,
  plainly,
  type Sent,
  sampleConfig,
  span,
  traces,
} from '../worker/world.ts';

/** The least that each needs beside its type. */
const LEAST: Record<string, Plain> = {
  redact: { attributes: [{ match: 'k', action: 'mask' }] },
  enrich: { resource: { node: 'n1' } },
  filter: { drop: [{ of: 'spans', where: { 'span.name': 'span 3' } }] },
};
const TABLE = traceTableFor(sampleConfig({ wait: '1s', traces: 1000 }), NOW_MS);
const full = plainly(
  traces(
    ...Array.from({ length: 3000 }, (_, i) => span(i, { attributes: [{ key: 'k', value: { stringValue: 'v' } }] })),
  ),
);
const BLOCKS: Record<string, Sent[]> = {
  empty: [],
  'of one empty request': [plainly(Buffer.alloc(0))],
  'of one item': [plainly(traces(span(1)))],
  full: [full],
};

for (const { type } of processors) {
  for (const [name, sent] of Object.entries(BLOCKS)) {
    test(`${type}: a block ${name} gives the same answer twice and keeps every item`, () => {
      const runs = [0, 1].map(() => {
        const world = createWorld({ processors: [{ type, ...LEAST[type] }], table: TABLE });
        const { result, frames } = world.observe(sent);
        const live = liveFrames(world, frames, result.moved);
        const items = live.reduce((sum, at) => sum + (world.pool.words[(at + Field.items) >>> 2] as number), 0);
        assert.equal(items, sent === BLOCKS.full ? 3000 : name === 'of one item' ? 1 : 0);
        const chosen = sent.length === 0 ? null : world.select(live);
        const dropped = (chosen?.filtered[0] ?? 0) + (chosen?.sampledOut[0] ?? 0);
        const kept = chosen?.selected[0]?.items ?? 0;
        assert.equal(kept + dropped, items, 'an item was neither kept nor dropped');
        return [live.map((at) => contentOf(world, at)), [...measuredBytes(world, result.measured)], kept, dropped];
      });
      assert.deepEqual(runs[1], runs[0]);
    });
  }
  test(`${type}: its schema fills in the defaults, and an unknown key is a fault`, () => {
    const [made] = configured([{ type, ...LEAST[type] }]);
    assert.equal((made?.config as Plain | undefined)?.type, type);
    assert.throws(() => configured([{ type, ...LEAST[type], nonsense: 1 }]), /unknown key "nonsense"/);
  });
}

for (const type of ['summarize', 'detect', 'flag'])
  test(`${type}: \`every\` is above 0: with 0 nothing was ever sent`, () => {
    assert.throws(() => configured([{ type, every: '0s' }]), /every \(\w+\) must be a duration above 0 such as/);
  });

test('redact masks, hashes and removes by key or prefix; the first rule that matches decides', () => {
  const rules = [
    { match: 'user.name', action: 'remove' },
    { match: 'user.*', action: 'hash' },
    { match: 'token', action: 'mask' },
  ];
  const world = createWorld({ processors: [{ type: 'redact', attributes: rules }] });
  const attributes = ['user.name', 'user.id', 'token', 'tokens', 'usr'].map((key) => ({
    key,
    value: { stringValue: key === 'user.id' ? 'ann' : 'v' },
  }));
  const twice = [1, 2].map((n) => span(n, { attributes }));
  const { result, frames } = world.observe([plainly(traces(...twice))]);
  const [at = 0] = liveFrames(world, frames, result.moved);
  const lists = itemsOf('traces', contentOf(world, at)).map(
    ({ item }) => item.attributes as { key: string; value: Plain }[],
  );
  assert.deepEqual(lists[0], lists[1], 'equal values stay equal');
  const [hashed, ...rest] = lists[0] ?? [];
  assert.equal(hashed?.key, 'user.id');
  // printf ann | sha256sum
  assert.equal(hashed?.value.stringValue, createHash('sha256').update('ann').digest('hex').slice(0, 16));
  assert.deepEqual(rest, [
    { key: 'token', value: { stringValue: '****' } },
    { key: 'tokens', value: { stringValue: 'v' } },
    { key: 'usr', value: { stringValue: 'v' } },
  ]);
});

test('redact reaches into maps: a key counts by itself and with those of the maps around it, as many as a rule names', () => {
  const rules = [
    { match: 'password', action: 'mask' },
    { match: 'user.email', action: 'remove' },
    { match: 'query.parameter.*', action: 'hash' },
  ];
  const world = createWorld({ processors: [{ type: 'redact', attributes: rules }] });
  const text = (stringValue: string) => ({ stringValue });
  const map = (values: Record<string, Plain>) => ({
    kvlistValue: { values: Object.entries(values).map(([key, value]) => ({ key, value })) },
  });
  const many = (...values: Plain[]) => ({ arrayValue: { values } });
  const content = (secret: string, gone: Record<string, Plain>, hashed: string) => ({
    body: map({
      login: map({ password: text(secret), user: map({ at: text('9'), ...gone }) }),
      user: map({ id: text('7'), ...gone }),
    }),
    attributes: [
      { key: 'query', value: map({ parameter: map({ id: text(hashed) }), text: text('select') }) },
      {
        key: 'users',
        value: many(map({ password: text(secret) }), text('ann'), many(map({ password: text(secret) }))),
      },
      { key: 'email', value: text('is none of a user') },
    ],
  });
  const bytes = logs(content('hunter2', { email: text('ann@example.com') }, 'ann'));
  const { result, frames } = world.observe([{ signal: 'logs', bytes }]);
  const [at = 0] = liveFrames(world, frames, result.moved);
  const digits = createHash('sha256').update('ann').digest('hex').slice(0, 16);
  assert.deepEqual(contentOf(world, at, 'logs'), decoded('logs', logs(content('****', {}, digits))));
});

test('redact refuses a * that it would not read as one: such a rule would take out nothing', () => {
  const redacting = (match: string) => configured([{ type: 'redact', attributes: [{ match, action: 'mask' }] }]);
  for (const match of ['k', 'k.*', '*']) assert.equal(redacting(match).length, 1);
  for (const match of ['*.email', 'user.*.email', '**'])
    assert.throws(
      () => redacting(match),
      /match \(redact\) must be an attribute key, in which a \* can only stand at the end/,
    );
});

test('conditions of filter and sample that could never hold are faults, as in a contract', () => {
  const drop = (of: string, where: object) => configured([{ type: 'filter', drop: [{ of, where }] }]);
  const rule = (where: object) => configured([{ type: 'sample', rules: [{ where: { a: 1 } }, { where }] }]);
  assert.equal(drop('logs', { severity: { lt: 9 } }).length + rule({ status: 'ERROR' }).length, 2);
  assert.throws(
    () => drop('logs', { severity: 'INFO' }),
    /processors\[0\] \(filter\): drop\[0\]\.where: severity is a number and never "INFO": write \{ gte: 9 \} for INFO/,
  );
  assert.throws(
    () => drop('spans', { severity: { lt: 9 } }),
    /drop\[0\]\.where: severity is of logs, this is over spans/,
  );
  assert.throws(
    () => rule({ 'span.kind': 'SPAN_KIND_SERVER' }),
    /\(sample\): rules\[1\]\.where: "SPAN_KIND_SERVER" is no span\.kind/,
  );
});

test('enrich adds what is missing and never overwrites; an empty value adds nothing', () => {
  const world = createWorld({
    processors: [{ type: 'enrich', resource: { 'service.name': 'mine', node: 'n1', empty: '' } }],
  });
  const { result, frames } = world.observe([plainly(traces(span(1)))]);
  const [at = 0] = liveFrames(world, frames, result.moved);
  assert.deepEqual(itemsOf('traces', contentOf(world, at))[0]?.resource?.attributes, [
    { key: 'service.name', value: { stringValue: 'shop' } },
    { key: 'node', value: { stringValue: 'n1' } },
  ]);
});

test('what one enrich has added the next does not add again', () => {
  const world = createWorld({
    processors: [
      { type: 'enrich', resource: { node: 'n1', zone: 'z1' } },
      { type: 'enrich', resource: { node: 'n2', rack: 'r2' } },
      { type: 'enrich', resource: { zone: 'z3' } },
    ],
  });
  const { result, frames } = world.observe([plainly(traces(span(1)))]);
  const [at = 0] = liveFrames(world, frames, result.moved);
  assert.deepEqual(itemsOf('traces', contentOf(world, at))[0]?.resource?.attributes, [
    { key: 'service.name', value: { stringValue: 'shop' } },
    { key: 'node', value: { stringValue: 'n1' } },
    { key: 'zone', value: { stringValue: 'z1' } },
    { key: 'rack', value: { stringValue: 'r2' } },
  ]);
});

test('enrich adds to spans without a resource, too', {}, () => {
  const world = createWorld({ processors: [{ type: 'enrich', resource: { node: 'n1' } }] });
  const bytes = Buffer.from(traces(span(1)));
  const scope = bytes.subarray(bytes.indexOf('shop') + 4);
  const { result, frames } = world.observe([plainly(Buffer.concat([Buffer.from([10, scope.length]), scope]))]);
  const [at = 0] = liveFrames(world, frames, result.moved);
  assert.equal(itemsOf('traces', contentOf(world, at))[0]?.resource !== undefined, true);
});

test('a filter drops what matches all of a rule and nothing else', () => {
  const where = { 'span.name': { like: 'span *' }, 'http.route': '/health' };
  const world = createWorld({ processors: [{ type: 'filter', drop: [{ of: 'spans', where }] }] });
  const attributes = [{ key: 'http.route', value: { stringValue: '/health' } }];
  const { frames } = world.observe([
    plainly(traces(span(1, { attributes }), span(2), span(3, { name: 'x', attributes }))),
  ]);
  const { selected, filtered } = world.select(frames);
  assert.deepEqual([selected[0]?.items, filtered[0]], [2, 1]);
});

test('a misspelt operator in a filter is a fault, and never drops everything', {}, () => {
  const drop = [{ of: 'spans', where: { 'http.route': { lik: '/health*' } } }];
  let kept = 1;
  try {
    const world = createWorld({ processors: [{ type: 'filter', drop }] });
    kept = world.select(world.observe([plainly(traces(span(1)))]).frames).selected[0]?.items ?? 0;
  } catch (error) {
    assert.match(String(error), /lik/);
  }
  assert.equal(kept, 1);
});
