// HOT: once per number in JSON. Bench: bench/micro/otlp/json.bench.ts
/**
 * Numbers of JSON text, exactly: integers to halves of 64 bits, decimals to doubles, both without making a string where digits allow.
 *
 * ProtoJSON takes "1e3" and 1.0 for integers: https://protobuf.dev/programming-guides/json/
 */
import { isDigit } from './jsonText.ts';

/** No 64-bit integer has more digits; more zeros would only cost time. */
const MOST_ZEROS = 20;
const MOST_DIGITS = 400;
const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
/** Powers of ten that are exact doubles. */
const TENS = Array.from({ length: 23 }, (_, i) => 10 ** i);
const MOST_EXACT_DIGITS = 15;

/** A 64-bit integer as sign and magnitude. */
export class Integer {
  negative = false;
  high = 0;
  low = 0;
}

/** Reads the bytes [at, end) into `into`; false when they are no integer of at most 64 bits. */
export function readInteger(bytes: Uint8Array, at: number, end: number, into: Integer): boolean {
  into.negative = bytes[at] === 0x2d;
  let from = into.negative ? at + 1 : at;
  if (from >= end) return false;
  while (from < end - 1 && bytes[from] === 0x30 && isDigit(bytes[from + 1]!)) from++;
  // Upper digits and the lower nine: both halves stay below 2^53.
  const split = Math.max(from, end - 9);
  let upper = 0;
  let lower = 0;
  for (let i = from; i < end; i++) {
    const digit = bytes[i]! - 0x30;
    if (digit < 0 || digit > 9) return readAnyInteger(Buffer.from(bytes.subarray(at, end)).toString('latin1'), into);
    if (i < split) upper = upper * 10 + digit;
    else lower = lower * 10 + digit;
  }
  if (end - from > 20) return false;
  // upper * 10^9 + lower, in pieces of 16 bits that cannot lose one.
  const low = (upper % 0x1_0000) * 1e9 + lower;
  const high = Math.floor(upper / 0x1_0000) * 1e9;
  const carried = low + (high % 0x1_0000) * 0x1_0000;
  into.low = carried % 0x1_0000_0000;
  into.high = Math.floor(high / 0x1_0000) + Math.floor(carried / 0x1_0000_0000);
  return into.high <= 0xffff_ffff;
}

/** "1e3", "1.0" and "9007199254740993.0", to the last digit. */
function readAnyInteger(text: string, into: Integer): boolean {
  const match = DECIMAL.exec(text);
  if (match === null) return false;
  const [, sign, whole = '', fraction = '', exponent = '0'] = match;
  const shift = Number(exponent) - fraction.length;
  const digits = whole + fraction;
  if (shift > MOST_ZEROS || digits.length > MOST_DIGITS) return false;
  const kept = shift < 0 ? digits.slice(0, shift) : digits + '0'.repeat(shift);
  if (shift < 0 && /[^0]/.test(digits.slice(shift))) return false;
  const value = BigInt(kept === '' ? '0' : kept);
  into.negative = sign === '-';
  into.low = Number(value & 0xffff_ffffn);
  into.high = Number(value >> 32n);
  return into.high <= 0xffff_ffff;
}

/** The bytes [at, end), a number of JSON, as the nearest double. */
export function readDecimal(bytes: Uint8Array, at: number, end: number): number {
  const negative = bytes[at] === 0x2d;
  let mantissa = 0;
  let digits = 0;
  let fraction = 0;
  let inFraction = false;
  for (let i = negative ? at + 1 : at; i < end; i++) {
    const byte = bytes[i]!;
    if (byte === 0x2e) inFraction = true;
    else if (!isDigit(byte) || digits === MOST_EXACT_DIGITS)
      return Number(Buffer.from(bytes.subarray(at, end)).toString('latin1'));
    else {
      mantissa = mantissa * 10 + byte - 0x30;
      if (mantissa !== 0) digits++;
      if (inFraction) fraction++;
    }
  }
  if (fraction >= TENS.length) return Number(Buffer.from(bytes.subarray(at, end)).toString('latin1'));
  // Both are exact, so one division rounds once: Clinger, "How to read floating point numbers accurately", 1990.
  const value = mantissa / TENS[fraction]!;
  return negative ? -value : value;
}
