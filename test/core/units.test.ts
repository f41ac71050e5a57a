/** Holds src/core/units.ts: what is a unit, what is none, and what people read back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bytesOf,
  bytesPerSecondOf,
  formatDuration,
  millisecondsOf,
  parseBytes,
  parseBytesPerSecond,
  parseDurationMs,
  parseShare,
  parseTimerMs,
  shareOf,
} from '../../src/core/units.ts';

const NO_UNITS = ['', ' ', '10', '-1s', '1.s', '.5s', '1e3s', 's', '1 s', '1s1m', '1S', '10sec', 'Infinitys', '0x1s'];

test('durations are milliseconds', () => {
  const cases = {
    '200ms': 200,
    '10s': 10_000,
    '5m': 300_000,
    '2h': 7_200_000,
    '7d': 604_800_000,
    '1.5s': 1500,
    '0': 0,
    ' 1s ': 1000,
  };
  for (const [text, ms] of Object.entries(cases)) assert.equal(parseDurationMs(text), ms, text);
});

test('sizes are whole bytes, decimal and binary', () => {
  const cases = {
    '16KiB': 16384,
    '4MiB': 4194304,
    '8GiB': 8589934592,
    '1KB': 1000,
    '2MB': 2e6,
    '1GB': 1e9,
    '7B': 7,
    '0.5KiB': 512,
  };
  for (const [text, bytes] of Object.entries(cases)) assert.equal(parseBytes(text), bytes, text);
});

test('shares lie between 0 % and 100 %', () => {
  assert.equal(parseShare('10%'), 0.1);
  assert.equal(parseShare('0%'), 0);
  assert.equal(parseShare('100%'), 1);
  // As many of a thousand are exactly at the limit, and not above it.
  for (let n = 1; n <= 1000; n++) assert.equal(parseShare(`${n / 10}%`), n / 1000);
  for (const text of ['101%', '-1%', '10', '0.1', '%', '1e1%']) assert.equal(parseShare(text), undefined, text);
});

test('rates are bytes per second', () => {
  assert.equal(parseBytesPerSecond('20MiB/s'), 20 * 2 ** 20);
  assert.equal(parseBytesPerSecond('60KiB/min'), 1024);
  assert.equal(parseBytesPerSecond('3600B/h'), 1);
  for (const text of ['20MiB', '20MiB/', '/s', '20MiB/day', '20/s'])
    assert.equal(parseBytesPerSecond(text), undefined, text);
});

test('what is no unit is undefined, never a number', () => {
  for (const text of NO_UNITS) {
    assert.equal(parseDurationMs(text), undefined, `duration ${text}`);
    assert.equal(parseBytes(text), undefined, `size ${text}`);
  }
});

test('durations are formatted in at most two units, and rounding never shows 60 of the smaller one', () => {
  const cases = {
    0: '0ms',
    999: '999ms',
    1000: '1s',
    59999: '1m',
    90000: '1m30s',
    3599999: '1h',
    5400000: '1h30m',
    7200000: '2h',
  };
  for (const [ms, text] of Object.entries(cases)) assert.equal(formatDuration(Number(ms)), text);
});

test('a unit that is a property of every object is no unit', () => {
  for (const text of ['1constructor', '1toString']) assert.equal(parseDurationMs(text), undefined, text);
});

test('a timer lasts as long as timers can', () => {
  assert.deepEqual(['10s', '24d', '30d', 'x'].map(parseTimerMs), [10_000, 24 * 86_400_000, 2 ** 31 - 1, undefined]);
});

test('a text that no schema has let pass is a fault of ours', () => {
  assert.deepEqual(
    [millisecondsOf('2s'), bytesOf('1KiB'), shareOf('5%'), bytesPerSecondOf('60B/min')],
    [2000, 1024, 0.05, 1],
  );
  for (const read of [millisecondsOf, bytesOf, shareOf, bytesPerSecondOf])
    assert.throws(() => read('none'), RangeError);
});
