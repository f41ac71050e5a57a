/** Holds src/otlp/resource.ts: the walk over hostile bytes ends in a result or BODY_UNDECODABLE, and looks at nothing beyond its end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SIGNALS, type Signal } from '../../src/core/block.ts';
import { AgentError } from '../../src/core/errors.ts';
import { Reader } from '../../src/otlp/protobuf.ts';
import { Envelope, walkItems } from '../../src/otlp/resource.ts';
import { requestType } from '../../src/otlp/schema.ts';
import { decoded, encodeRequest, itemsOf, placed, request, seeded } from './generate.ts';
import { walk } from './walked.ts';

/** The same bytes, whatever surrounds them: two placements must agree. */
function outcome(signal: Signal, bytes: Uint8Array): string {
  const told = [0xff, 0x0a, 0x3a].map((filler) => {
    const { buffer, at, end } = placed(bytes, filler);
    try {
      return JSON.stringify(walk(signal, buffer, at, end));
    } catch (error) {
      assert.ok(error instanceof AgentError && error.code === 'BODY_UNDECODABLE', `threw ${error}`);
      return error.message;
    }
  });
  assert.equal(told[1], told[0], 'what stands behind the end changed the result');
  assert.equal(told[2], told[0], 'what stands behind the end changed the result');
  return told[0] as string;
}

test('every truncation gives a result or BODY_UNDECODABLE', (t) => {
  const random = seeded(t, 4);
  for (const signal of SIGNALS) {
    for (let i = 0; i < 12; i++) {
      const bytes = encodeRequest(signal, request(random, signal, 2), random);
      for (let length = 0; length < Math.min(bytes.length, 1500); length++) outcome(signal, bytes.subarray(0, length));
    }
  }
});

test('thousands of mutated requests give a result or BODY_UNDECODABLE, never more than their bytes', (t) => {
  const random = seeded(t, 5);
  const outcomes = { read: 0, refused: 0 };
  for (let i = 0; i < 6000; i++) {
    const signal = random.pick(SIGNALS);
    const bytes = encodeRequest(signal, request(random, signal, 2), random);
    for (let flips = 1 + random.below(4); flips > 0 && bytes.length > 0; flips--)
      bytes[random.below(bytes.length)] = random.below(256);
    outcomes[outcome(signal, bytes).startsWith('[') ? 'read' : 'refused']++;
  }
  assert.ok(outcomes.read > 300 && outcomes.refused > 300, JSON.stringify(outcomes));
});

test('a fault is told by its byte in the request, wherever that lies in memory', () => {
  // A length of five where two bytes are left.
  const request = [0x0a, 0x05, 0x00, 0x00];
  for (const before of [0, 1000]) {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(request)]);
    assert.throws(() => walk('traces', bytes, before, bytes.length), {
      code: 'BODY_UNDECODABLE',
      message: 'malformed protobuf: length 5 where 2 bytes are left (byte 2)',
    });
  }
});

test('random bytes give a result or BODY_UNDECODABLE', (t) => {
  const random = seeded(t, 6);
  for (let i = 0; i < 5000; i++) {
    const bytes = Buffer.from(Array.from({ length: random.below(60) }, () => random.below(256)));
    outcome(random.pick(SIGNALS), bytes);
  }
});

test('what the walk refuses without a change of bytes protobufjs refuses too: no valid request is lost', (t) => {
  const random = seeded(t, 7);
  for (let i = 0; i < 600; i++) {
    const signal = random.pick(SIGNALS);
    const bytes = encodeRequest(signal, request(random, signal), random);
    assert.equal(walk(signal, bytes, 0, bytes.length).length, itemsOf(signal, decoded(signal, bytes)).length);
  }
});

test('the service is found in any position, and a request without one has an empty name', () => {
  const type = requestType('traces');
  const resource = {
    attributes: [
      { key: 'a', value: { intValue: 1 } },
      { key: 'service.name', value: { stringValue: 'shop' } },
    ],
  };
  const plain = { resourceSpans: [{ resource, scopeSpans: [{ spans: [{}] }] }, { scopeSpans: [{ spans: [{}] }] }] };
  const bytes = Buffer.from(type.encode(type.fromObject(plain)).finish());
  assert.deepEqual(
    walk('traces', bytes, 0, bytes.length).map(({ service }) => service),
    ['shop', ''],
  );
});

test('an envelope that was noted is read once, when it is asked for', () => {
  const type = requestType('traces');
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] };
  const bytes = Buffer.from(type.encode(type.fromObject({ resourceSpans: [{ resource }] })).finish());
  const envelope = new Envelope(bytes);
  // The ResourceSpans message lies behind tag and length.
  envelope.noteResource(2, bytes.length);
  assert.equal(envelope.resource.count, 0);
  assert.equal(envelope.load(), true);
  assert.equal(bytes.toString('utf8', envelope.serviceAt, envelope.serviceAt + envelope.serviceLength), 'shop');
  assert.equal(envelope.load(), false);
});

test('a walk visits nothing of an empty request', () => {
  const visited: string[] = [];
  const bytes = Buffer.alloc(4, 0xff);
  walkItems(new Reader(bytes), 2, 2, new Envelope(bytes), {
    enterResource: () => visited.push('resource'),
    item: () => visited.push('item'),
  });
  assert.deepEqual(visited, []);
});
