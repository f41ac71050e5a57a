/** Holds src/otlp/tracestate.ts against the vectors of the specification and against a reading of tracestate with strings. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  adjustedCount,
  atLeast,
  type Bits56,
  fitsOt,
  OtState,
  readOtState,
  readRandomness,
  thresholdOf,
} from '../../src/otlp/tracestate.ts';
import { placed, seeded } from './generate.ts';

const bits = (value: bigint): Bits56 => ({ high: Number(value >> 28n), low: Number(value & 0xfff_ffffn) });
const whole = ({ high, low }: Bits56) => (BigInt(high) << 28n) | BigInt(low);

function read(text: string, filler = 0xff): OtState {
  const { buffer, at, end } = placed(Buffer.from(text), filler);
  const state = new OtState();
  readOtState(buffer, at, end, state);
  return state;
}

test('th is padded on the right, rv has 14 digits, as the reference vectors say', () => {
  for (const [text, count] of [
    ['c', 4],
    ['8', 2],
    ['08', 1 / 0.968_75],
    ['4', 4 / 3],
    ['0', 1],
  ] as const) {
    const { hasThreshold, threshold } = read(`ot=th:${text}`);
    assert.equal(hasThreshold, true);
    assert.equal(whole(threshold), BigInt(`0x${text.padEnd(14, '0')}`));
    assert.equal(adjustedCount(threshold), count);
  }
  const { hasRandomness, randomness, threshold } = read('ot=th:fd70a4;rv:6e6d1a75832a2f,vendor=x');
  assert.equal(hasRandomness, true);
  assert.equal(whole(randomness), 0x6e6d1a75832a2fn);
  assert.equal(whole(threshold), 0xfd70a400000000n);
});

test('thresholds have the digits the specification prints, and their adjusted counts', () => {
  const vectors: [probability: number, precision: number, text: string][] = [
    [1 / 100, 3, 'fd71'],
    [1 / 100, 4, 'fd70a'],
    [1 / 100, 5, 'fd70a4'],
    [1 / 3, 3, 'aab'],
    [1 / 3, 4, 'aaab'],
    [1 / 3, 5, 'aaaab'],
    [1 / 10, 3, 'e66'],
    [1 / 10, 4, 'e666'],
    [1 / 10, 5, 'e6666'],
    [1 / 1000, 3, 'ffbe7'],
    [1 / 1000, 4, 'ffbe77'],
    [1 / 1000, 5, 'ffbe76d'],
    [1e-6, 3, 'ffffef4'],
    [1e-6, 4, 'ffffef39'],
    [1e-6, 5, 'ffffef391'],
    [0.25, 4, 'c'],
    [0.5, 4, '8'],
    [0.968_75, 4, '08'],
    [0.75, 4, '4'],
    [1, 4, '0'],
  ];
  for (const [probability, precision, text] of vectors) {
    const { text: made, bits: value } = thresholdOf(probability, precision);
    assert.equal(made, text, `1 in ${1 / probability} at ${precision}`);
    assert.equal(whole(value), BigInt(`0x${text.padEnd(14, '0')}`));
  }
  assert.equal(thresholdOf(0.01).text, 'fd70a', 'precision 4 unless said otherwise');
  const counts = [
    [3, '100.0550'],
    [4, '99.9977'],
    [5, '100.0001'],
  ] as const;
  for (const [precision, count] of counts)
    assert.equal(adjustedCount(thresholdOf(0.01, precision).bits).toFixed(4), count);
});

test('a probability of nothing, or next to nothing, is the largest threshold, never an overflow', () => {
  for (const probability of [0, 1e-30, 2 ** -56, Number.NaN, -1])
    assert.equal(whole(thresholdOf(probability).bits), 0xff_ffff_ffff_ffffn, String(probability));
  for (let i = 0; i < 56; i++) {
    const { text, bits: value } = thresholdOf(2 ** -i);
    assert.match(text, /^[0-9a-f]{1,14}$/);
    assert.ok(whole(value) < 1n << 56n);
  }
});

test('the largest threshold has an adjusted count of 2^56, not infinity', {}, () => {
  assert.equal(adjustedCount(bits(0xff_ffff_ffff_ffffn)), 2 ** 56);
  assert.equal(adjustedCount(bits(0xff_ffff_ffff_fffen)), 2 ** 55);
});

test('the randomness of a trace id is its last 56 bits', () => {
  const value: Bits56 = { high: 0, low: 0 };
  readRandomness(Buffer.from('ffffffffffffffffff6e6d1a75832a2f', 'hex'), 0, value);
  assert.equal(whole(value), 0x6e6d1a75832a2fn);
  // The specification's example is kept at 56.9 % and above.
  assert.equal(atLeast(value, thresholdOf(0.57).bits), true);
  assert.equal(atLeast(value, thresholdOf(0.568).bits), false);
});

test('comparing halves is comparing 56-bit numbers', (t) => {
  const random = seeded(t, 30);
  const draw = () => (BigInt(random.below(2 ** 28)) << 28n) | BigInt(random.below(2 ** 28));
  for (let i = 0; i < 2000; i++) {
    const a = draw();
    const b = i % 3 === 0 ? (a & ~0xfffn) | BigInt(random.below(4096)) : draw();
    assert.equal(atLeast(bits(a), bits(b)), a >= b);
  }
  assert.equal(atLeast(bits(5n), bits(5n)), true);
});

/** The same with strings: what RFC-like prose says, straightforwardly. */
function oracle(text: string) {
  const member = text
    .split(',')
    .map((one) => one.replace(/^[ \t]+|[ \t]+$/g, ''))
    .find((one) => one.startsWith('ot='));
  let threshold: string | null = null;
  let randomness: string | null = null;
  for (const part of member?.slice(3).split(';') ?? []) {
    if (part.startsWith('th:')) threshold = /^[0-9a-f]{1,14}$/.test(part.slice(3)) ? part.slice(3) : null;
    if (part.startsWith('rv:')) randomness = /^[0-9a-f]{14}$/.test(part.slice(3)) ? part.slice(3) : null;
  }
  return { member: member ?? null, threshold, randomness };
}

test('reading bytes is reading strings, for any text and whatever stands behind it', (t) => {
  const random = seeded(t, 31);
  const words = [
    'ot=',
    'rv:6e6d1a75832a2f',
    'th:',
    'rv:',
    ';',
    ',',
    ' ',
    '8',
    'fd70a4',
    '6e6d1a75832a2f',
    'vendor=',
    'x',
    'zz',
    '0123456789abcde',
    'th',
    'o',
    'ot',
    '=',
    'a:b',
    'A',
  ];
  let found = 0;
  for (let i = 0; i < 20_000; i++) {
    const text =
      (i % 2 === 0 ? 'ot=' : '') + Array.from({ length: random.below(9) }, () => random.pick(words)).join('');
    const wanted = oracle(text);
    const { buffer, at, end } = placed(Buffer.from(text), random.pick([0xff, 0x3b, 0x61]));
    const state = new OtState();
    readOtState(buffer, at, end, state);
    assert.equal(
      state.memberAt < 0 ? null : buffer.toString('latin1', state.memberAt, state.memberEnd),
      wanted.member,
      text,
    );
    assert.equal(state.hasThreshold, wanted.threshold !== null, text);
    if (wanted.threshold !== null)
      assert.equal(whole(state.threshold), BigInt(`0x${wanted.threshold.padEnd(14, '0')}`), text);
    assert.equal(state.hasRandomness, wanted.randomness !== null, text);
    if (wanted.randomness !== null) {
      assert.equal(whole(state.randomness), BigInt(`0x${wanted.randomness}`), text);
      found++;
    }
  }
  assert.ok(found > 100, 'the words never made a randomness');
});

test('a colon behind the end of the text makes no sub-key of it', {}, () => {
  assert.equal(read('ot=th', 0x3a).thresholdAt, -1);
});

test('blanks around a member belong to the list, not to the member', {}, () => {
  assert.equal(read('ot=th:8 ,vendor=x').hasThreshold, true);
  assert.equal(read('vendor=x,\tot=th:8').hasThreshold, true);
});

test('an ot value grows to 256 bytes and no further', () => {
  const state = (text: string) => read(text);
  assert.equal(fitsOt(state('vendor=x'), 14), true);
  const rest = (length: number) => `ot=a:${'x'.repeat(length - 2)}`;
  // `th:` with 4 digits and its semicolon take 8.
  assert.equal(fitsOt(state(rest(248)), 4), true);
  assert.equal(fitsOt(state(rest(249)), 4), false);
  assert.equal(fitsOt(state(`${rest(250)};th:0`), 1), true);
  assert.equal(fitsOt(state(`${rest(251)};th:00`), 3), false);
});
