/** Holds src/otlp/reslice.ts: exactly the chosen items are left, everything beside them stays, and empty envelopes go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reader } from '../../src/otlp/protobuf.ts';
import { type Chooser, DROP, Reslicer } from '../../src/otlp/reslice.ts';
import { Envelope } from '../../src/otlp/resource.ts';
import { decoded, encodeRequest, list, type Plain, placed, request, SEED, seeded } from './generate.ts';

/** 100,000 takes a minute and a half. */
const CASES = Number(process.env.PLUMBLINE_CASES ?? 2400);

const NAMES = {
  traces: ['resourceSpans', 'scopeSpans', 'spans'],
  logs: ['resourceLogs', 'scopeLogs', 'logRecords'],
} as const;

/** Cuts the request; `keep` is asked with the item's number. `tail` is appended to each kept item. */
function cut(bytes: Uint8Array, keep: (index: number) => boolean, tail = Buffer.alloc(0), reslicer = new Reslicer()) {
  const { buffer, at, end } = placed(bytes, 0xff);
  const memory = Buffer.concat([buffer, Buffer.alloc(bytes.length * 2 + 4096 + tail.length * 1000, 0xee)]);
  let index = 0;
  const chooser: Chooser = {
    choose: () => (keep(index++) ? tail.length : DROP),
    copy(all, from, to, _index, out) {
      all.copyWithin(out, from, to);
      return out + to - from + tail.copy(all, out + to - from);
    },
  };
  const reader = new Reader(memory);
  const planned = reslicer.plan(reader, at, end, new Envelope(memory), chooser);
  if (planned === 0) return { bytes: Buffer.alloc(0), reslicer };
  const to = buffer.length;
  assert.equal(reslicer.write(memory, to, chooser), to + planned, 'write must write what plan promised');
  assert.equal(memory[to + planned], 0xee, 'a byte was written behind the end');
  assert.deepEqual(memory.subarray(at, end), Buffer.from(bytes), 'the input was touched');
  return { bytes: memory.subarray(to, to + planned), reslicer };
}

/** The same on protobufjs's object. */
function cutPlain(signal: 'traces' | 'logs', plain: Plain, keep: (index: number) => boolean): Plain {
  const [resources, scopes, items] = NAMES[signal];
  let index = 0;
  const left = list(plain[resources]).flatMap((resource) => {
    const kept = list(resource[scopes]).flatMap((scope) => {
      const chosen = list(scope[items]).filter(() => keep(index++));
      return chosen.length === 0 ? [] : [{ ...scope, [items]: chosen }];
    });
    return kept.length === 0 ? [] : [{ ...resource, [scopes]: kept }];
  });
  return { [resources]: left };
}

test('the chosen items are left with their envelopes, empty envelopes are gone, as on the decoded objects', (t) => {
  const random = seeded(t, 20);
  let kept = 0;
  const reslicer = new Reslicer();
  for (let i = 0; i < CASES; i++) {
    const signal = i % 2 === 0 ? 'traces' : 'logs';
    const bytes = encodeRequest(signal, request(random, signal, 5), random);
    const share = random.pick([0, 0.2, 0.5, 0.9, 1]);
    const salt = random.below(1e6);
    const keep = (index: number) => (Math.imul(index + salt, 0x9e37_79b1) >>> 0) / 2 ** 32 < share;
    const result = cut(bytes, keep, undefined, reslicer);
    assert.deepEqual(
      decoded(signal, result.bytes),
      cutPlain(signal, decoded(signal, bytes), keep),
      `case ${i} of seed ${SEED}`,
    );
    kept += reslicer.kept;
  }
  assert.ok(kept > CASES * 0.8, `only ${kept} items were kept`);
});

test('unknown fields beside the items stay, byte for byte and in their place', () => {
  const unknown = 'fa0602abcd'; // field 111: two bytes
  const item = '12020a00';
  const other = '12023001';
  const scope = (inside: string) => `12${(inside.length / 2).toString(16).padStart(2, '0')}${inside}`;
  const resource = (inside: string) => `0a${(inside.length / 2).toString(16).padStart(2, '0')}${inside}`;
  const whole = unknown + resource(unknown + scope(unknown + item + unknown + other + unknown) + unknown) + unknown;
  const wanted = unknown + resource(unknown + scope(unknown + unknown + other + unknown) + unknown) + unknown;
  assert.equal(cut(Buffer.from(whole, 'hex'), (index) => index === 1).bytes.toString('hex'), wanted);
});

test('all kept is all the bytes, in any order of fields', (t) => {
  const random = seeded(t, 21);
  for (let i = 0; i < 300; i++) {
    const bytes = encodeRequest('traces', request(random, 'traces', 4), random);
    const plain = decoded('traces', bytes);
    assert.deepEqual(
      decoded('traces', cut(bytes, () => true).bytes),
      cutPlain('traces', plain, () => true),
    );
  }
});

test('a kept item grows by what its chooser adds, and enclosing lengths grow with it', (t) => {
  const random = seeded(t, 22);
  const tail = Buffer.from('4a160a0a706c756d626c696e6512080a0662617365', 'hex').subarray(0, 0);
  for (const [length, text] of [
    [1, 'x'],
    [40, 'y'.repeat(40)],
    [300, 'z'.repeat(300)],
  ] as const) {
    // Field 5 of a span: the name that stands last wins.
    const head = length < 128 ? [0x2a, length] : [0x2a, (length & 127) | 128, length >> 7];
    const name = Buffer.concat([tail, Buffer.from(head), Buffer.from(text)]);
    for (let i = 0; i < 100; i++) {
      const bytes = encodeRequest('traces', request(random, 'traces', 4), random);
      const after = decoded('traces', cut(bytes, () => true, name).bytes);
      for (const resource of list(after.resourceSpans))
        for (const scope of list(resource.scopeSpans))
          for (const span of list(scope.spans)) assert.equal(span.name, text);
    }
  }
});

test('an answer that holds for several items is asked for once, and what is kept of them stays byte for byte', () => {
  const item = (n: number) => Buffer.from([0x12, 2, 0x3a, 0, 0x12, 4, 0x3a, 2, 0x61, 0x61 + n]);
  const two = [item(0), item(1), item(2)];
  const scope = Buffer.concat([Buffer.from([0x12, 30]), ...two]);
  const bytes = Buffer.concat([Buffer.from([0x0a, 32]), scope]);
  const reslicer = new Reslicer();
  const memory = Buffer.concat([bytes, Buffer.alloc(100)]);
  let asked = 0;
  const chooser: Chooser = {
    choose(_reader, _at, end) {
      reslicer.alike(end + 6, 2);
      return asked++ === 1 ? DROP : 0;
    },
    copy: () => assert.fail('nothing is copied item by item'),
  };
  const length = reslicer.plan(new Reader(memory), 0, bytes.length, new Envelope(memory), chooser);
  assert.deepEqual([asked, reslicer.kept], [3, 4]);
  reslicer.write(memory, bytes.length, chooser);
  const wanted = Buffer.concat([Buffer.from([0x0a, 22, 0x12, 20]), item(0), item(2)]);
  assert.deepEqual(memory.subarray(bytes.length, bytes.length + length), wanted);
});

test('what it counts is about the last plan', () => {
  const bytes = Buffer.from('0a0a120812003a001200120012', 'hex').subarray(0, 12);
  const { reslicer } = cut(Buffer.from('0a08120612001200 1200'.replace(' ', ''), 'hex'), (index) => index > 0);
  assert.equal(reslicer.kept, 2);
  cut(bytes.subarray(0, 0), () => true, undefined, reslicer);
  assert.equal(reslicer.kept, 0);
});

test('thousands of items and hundreds of envelopes fit: its arrays grow', () => {
  const scope = Buffer.concat([Buffer.from([18, 20]), Buffer.alloc(20, 0).map((_, i) => (i % 2 === 0 ? 18 : 0))]);
  const resource = Buffer.concat([Buffer.from([10, 44]), scope, scope]);
  const bytes = Buffer.concat(Array.from({ length: 500 }, () => resource));
  const { bytes: left, reslicer } = cut(bytes, (index) => index % 10 !== 3);
  assert.equal(reslicer.kept, 9000);
  assert.equal(list(decoded('traces', left).resourceSpans).length, 500);
});
