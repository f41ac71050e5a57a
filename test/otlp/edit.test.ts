/** Holds src/otlp/edit.ts: attributes are removed, replaced and added as on protobufjs's object, wherever they stand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SIGNALS, type Signal } from '../../src/core/block.ts';
import { type Edits, editRequest, surveyRequest } from '../../src/otlp/edit.ts';
import { Reader, writeVarint } from '../../src/otlp/protobuf.ts';
import { messageType } from '../../src/otlp/schema.ts';
import { decoded, encodeRequest, list, type Plain, placed, request, SEED, seeded } from './generate.ts';

const resourceType = messageType('Resource');
const ADDED = Buffer.from(
  resourceType
    .encode(resourceType.fromObject({ attributes: [{ key: 'node', value: { stringValue: 'n1' } }] }))
    .finish(),
);

/** `password` goes, `password.old` gets `value`, everything else stays; resources get `node` when `adding`, also those that were missing. */
function rules(value: Buffer, adding: boolean, touchesItems = true): Edits {
  return {
    touchesItems,
    growth: value.length + 32 + ADDED.length,
    attribute(bytes, edit) {
      const key = bytes.toString('utf8', edit.keyAt, edit.keyAt + edit.keyLength);
      if (key === 'password') return 'remove';
      if (key !== 'password.old') return 'keep';
      edit.replacement = value;
      return 'replace';
    },
    addToResource: () => (adding ? ADDED : null),
  };
}

function apply(signal: Signal, bytes: Uint8Array, edits: Edits) {
  const { buffer, at, end } = placed(bytes, 0xff);
  const survey = surveyRequest(new Reader(buffer), buffer, signal, at, end, edits);
  const room = bytes.length + survey.places * edits.growth;
  const memory = Buffer.concat([buffer, Buffer.alloc(room + 64, 0xee)]);
  const stop = editRequest(new Reader(memory), memory, signal, at, end, buffer.length, edits);
  assert.ok(stop - buffer.length <= room, 'more was written than the survey promised');
  assert.equal(memory[buffer.length + room], 0xee, 'a byte was written behind the room it has');
  return { bytes: memory.subarray(buffer.length, stop), survey };
}

/** The same on the decoded object: lists called attributes, filteredAttributes or metadata, and those of maps, in values and in bodies. */
function expected(plain: unknown, value: Plain, adding: boolean, key = ''): unknown {
  if (Array.isArray(plain)) return plain.map((entry) => expected(entry, value, adding, key));
  if (typeof plain !== 'object' || plain === null) return plain;
  const edited: Plain = {};
  for (const [name, content] of Object.entries(plain)) {
    const isList = ['attributes', 'filteredAttributes', 'metadata'].includes(name);
    if (isList || (name === 'values' && key === 'kvlistValue')) {
      const left = (content as Plain[]).filter((one) => one.key !== 'password');
      edited[name] = left.map((one) =>
        one.key === 'password.old' ? { key: one.key, value } : expected(one, value, adding),
      );
    } else edited[name] = expected(content, value, adding, name);
  }
  // A message that should hold a resource and does not gets one.
  if (/^resource(Spans|Metrics|Logs)$/.test(key) && adding && edited.resource === undefined)
    edited.resource = { attributes: [{ key: 'node', value: { stringValue: 'n1' } }], entityRefs: [] };
  if (key === 'resource' && adding)
    edited.attributes = [...((edited.attributes ?? []) as Plain[]), { key: 'node', value: { stringValue: 'n1' } }];
  return edited;
}

/** A resource that stands twice gets what is added between its halves: the order of attributes means nothing. */
function addedLast(plain: Plain): Plain {
  for (const key of ['resourceSpans', 'resourceMetrics', 'resourceLogs']) {
    for (const { resource } of list(plain[key]) as unknown as { resource?: { attributes?: Plain[] } }[]) {
      const isAdded = ({ key: name, value }: Record<string, unknown>) =>
        name === 'node' && JSON.stringify(value).includes('n1');
      const attributes = resource?.attributes;
      if (attributes !== undefined) attributes.sort((a, b) => Number(isAdded(a)) - Number(isAdded(b)));
    }
  }
  return plain;
}

test('the edited request is the edited object, for all signals, with values that make it shorter and longer', (t) => {
  const random = seeded(t, 60);
  let changed = 0;
  for (let i = 0; i < 1500; i++) {
    const signal = SIGNALS[i % 3] as Signal;
    const text = random.pick(['****', '', 'x'.repeat(130), 'y'.repeat(300)]);
    const adding = random.below(2) === 1;
    const value = messageType('AnyValue')
      .encode(messageType('AnyValue').fromObject({ stringValue: text }))
      .finish();
    const bytes = encodeRequest(signal, request(random, signal), random);
    const before = decoded(signal, bytes);
    const { bytes: after, survey } = apply(signal, bytes, rules(Buffer.from(value), adding));
    const wanted = expected(before, { stringValue: text }, adding);
    assert.deepEqual(addedLast(decoded(signal, after)), addedLast(wanted as Plain), `case ${i} of seed ${SEED}`);
    const differs = JSON.stringify(wanted) !== JSON.stringify(before);
    if (differs) assert.equal(survey.changes, true, 'a change was not foreseen');
    if (!survey.changes) assert.deepEqual(after, Buffer.from(bytes), 'nothing changes, so every byte stays');
    changed += Number(differs);
  }
  assert.ok(changed > 500);
});

test('edits of resources alone leave items unread and untouched', (t) => {
  const random = seeded(t, 61);
  const edits: Edits = { ...rules(Buffer.alloc(0), true, false), attribute: () => 'keep' };
  for (let i = 0; i < 300; i++) {
    const bytes = encodeRequest('traces', request(random, 'traces'), random);
    const { bytes: after } = apply('traces', bytes, edits);
    const wanted = decoded('traces', bytes);
    for (const one of (wanted.resourceSpans ?? []) as { resource?: { attributes?: Plain[]; entityRefs?: Plain[] } }[]) {
      // Decoded lists are there even when they are empty.
      one.resource ??= { entityRefs: [] };
      one.resource.attributes = [...(one.resource.attributes ?? []), { key: 'node', value: { stringValue: 'n1' } }];
    }
    assert.deepEqual(addedLast(decoded('traces', after)), addedLast(wanted));
  }
});

test('a tag in more bytes than it needs is replaced like any other', {}, () => {
  // Span { attributes = 9 } whose tag 74 is written ca 00.
  const attribute = 'ca0010' + '0a0c70617373776f72642e6f6c641200';
  const bytes = Buffer.from(`0a17${'1215'}${'1213'}${attribute}`, 'hex');
  const { bytes: after } = apply('traces', bytes, rules(Buffer.from('0a0178', 'hex'), false));
  const wanted = expected(decoded('traces', bytes), { stringValue: 'x' }, false);
  assert.deepEqual(decoded('traces', after), wanted);
});

test('arrays within arrays around what grows take no more room than the survey says', (t) => {
  const random = seeded(t, 62);
  let values: Plain = { kvlistValue: { values: [{ key: 'password.old', value: { boolValue: true } }] } };
  for (let i = 0; i < 90; i++) values = { arrayValue: { values: [values] } };
  const bytes = encodeRequest('logs', { resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: values }] }] }] }, random);
  for (const length of [1, 40, 130, 300]) {
    const text = { stringValue: 'x'.repeat(length) };
    const value = messageType('AnyValue').encode(messageType('AnyValue').fromObject(text)).finish();
    const { bytes: after } = apply('logs', bytes, rules(Buffer.from(value), false));
    assert.deepEqual(decoded('logs', after), expected(decoded('logs', bytes), text, false));
  }
});

test('a fault is told by its byte in the request, wherever that lies in memory', () => {
  const bytes = Buffer.concat([Buffer.alloc(1000), Buffer.from('0a050000', 'hex')]);
  const reader = new Reader(bytes);
  reader.base = 7; // of the request before
  assert.throws(() => surveyRequest(reader, bytes, 'traces', 1000, 1004, rules(Buffer.alloc(0), false)), {
    code: 'BODY_UNDECODABLE',
    message: 'malformed protobuf: length 5 where 2 bytes are left (byte 2)',
  });
});

test('values inside one another without end are refused as they are where nothing is edited, and take no stack', () => {
  const around = (tag: number, inner: Buffer) => Buffer.concat([Buffer.from([tag]), lengthOf(inner.length), inner]);
  for (const depth of [100, 102, 50_000]) {
    let value = Buffer.from('0a0161', 'hex');
    for (let i = 1; i < depth; i++) value = around(42, around(10, value));
    const bytes = around(10, around(18, around(18, around(42, value))));
    if (depth <= 100) assert.equal(apply('logs', bytes, rules(Buffer.alloc(0), false)).survey.changes, false);
    else assert.throws(() => apply('logs', bytes, rules(Buffer.alloc(0), false)), { code: 'BODY_UNDECODABLE' });
  }
});

function lengthOf(length: number): Buffer {
  const bytes = Buffer.alloc(5);
  return bytes.subarray(0, writeVarint(bytes, 0, length));
}
