/**
 * The `ot` member of a W3C tracestate: sampling threshold `th` and explicit randomness `rv`, read and written on bytes.
 *
 *   tracestate: vendor=x,ot=th:fd70a4;rv:6e6d1a75832a2f
 * https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/ (Development). 56-bit numbers are two 28-bit halves here, because
 * they do not fit a double and BigInt costs ten times as much.
 */

/** A 56-bit threshold or randomness: `high` and `low` have 28 bits each. */
export interface Bits56 {
  high: number;
  low: number;
}

const HALF = 0x1000_0000;
const COMMA = 44;
const EQUALS = 61;
const SEMICOLON = 59;
const COLON = 58;
/** The specification's bound on the whole `ot` value. */
const MAX_OT_BYTES = 256;

/** What a tracestate says about sampling. Addresses; one object per walk, refilled. */
export class OtState {
  /** The `ot=...` member without its commas; -1 when there is none. */
  memberAt = -1;
  memberEnd = -1;
  hasThreshold = false;
  readonly threshold: Bits56 = { high: 0, low: 0 };
  /** The `th:...` sub-key inside the member. */
  thresholdAt = -1;
  thresholdEnd = -1;
  hasRandomness = false;
  readonly randomness: Bits56 = { high: 0, low: 0 };
}

/** Reads the tracestate text between `at` and `end`. Anything malformed counts as absent. */
export function readOtState(bytes: Uint8Array, at: number, end: number, state: OtState): void {
  state.memberAt = -1;
  state.memberEnd = -1;
  state.thresholdAt = -1;
  state.thresholdEnd = -1;
  state.hasThreshold = false;
  state.hasRandomness = false;
  for (let from = at; from < end; ) {
    let stop = from;
    while (stop < end && bytes[stop] !== COMMA) stop++;
    let start = from;
    let last = stop;
    while (start < last && isBlank(bytes[start]!)) start++;
    while (last > start && isBlank(bytes[last - 1]!)) last--;
    const isOt = start + 3 <= last && bytes[start] === 0x6f && bytes[start + 1] === 0x74 && bytes[start + 2] === EQUALS;
    if (isOt) {
      state.memberAt = start;
      state.memberEnd = last;
      readMember(bytes, start + 3, last, state);
      return;
    }
    from = stop + 1;
  }
}

/** Optional white space around list members, as HTTP has it. */
function isBlank(byte: number): boolean {
  return byte === 32 || byte === 9;
}

function readMember(bytes: Uint8Array, at: number, end: number, state: OtState): void {
  for (let from = at; from < end; ) {
    let stop = from;
    while (stop < end && bytes[stop] !== SEMICOLON) stop++;
    if (from + 3 <= stop && bytes[from + 2] === COLON) {
      if (bytes[from] === 0x74 && bytes[from + 1] === 0x68) {
        state.thresholdAt = from;
        state.thresholdEnd = stop;
        state.hasThreshold = readHex(bytes, from + 3, stop, 1, state.threshold);
      } else if (bytes[from] === 0x72 && bytes[from + 1] === 0x76) {
        state.hasRandomness = readHex(bytes, from + 3, stop, 14, state.randomness);
      }
    }
    from = stop + 1;
  }
}

/** Reads `least` to 14 lowercase hex digits, right-padded with zeros. */
function readHex(bytes: Uint8Array, at: number, end: number, least: number, into: Bits56): boolean {
  const digits = end - at;
  if (digits < least || digits > 14) return false;
  let high = 0;
  let low = 0;
  for (let i = 0; i < 14; i++) {
    const digit = i < digits ? hexDigit(bytes[at + i] as number) : 0;
    if (digit < 0) return false;
    if (i < 7) high = high * 16 + digit;
    else low = low * 16 + digit;
  }
  into.high = high;
  into.low = low;
  return true;
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  return byte >= 97 && byte <= 102 ? byte - 87 : -1;
}

/** A threshold on its own, as log records carry it in `sampling.threshold`; false when it is none. */
export function readThreshold(bytes: Uint8Array, at: number, end: number, into: Bits56): boolean {
  return readHex(bytes, at, end, 1, into);
}

/** A randomness on its own, as log records carry it in `sampling.randomness`; false when it is none. */
export function readStatedRandomness(bytes: Uint8Array, at: number, end: number, into: Bits56): boolean {
  return readHex(bytes, at, end, 14, into);
}

/** The randomness of a trace id at `at`: its last seven bytes. */
export function readRandomness(bytes: Uint8Array, at: number, into: Bits56): void {
  into.high = (bytes[at + 9]! << 20) | (bytes[at + 10]! << 12) | (bytes[at + 11]! << 4) | (bytes[at + 12]! >>> 4);
  into.low = ((bytes[at + 12]! & 15) << 24) | (bytes[at + 13]! << 16) | (bytes[at + 14]! << 8) | bytes[at + 15]!;
}

/** a >= b */
export function atLeast(a: Bits56, b: Bits56): boolean {
  return a.high > b.high || (a.high === b.high && a.low >= b.low);
}

/** 1/p of a threshold: how many items a kept one stands for. */
export function adjustedCount(threshold: Bits56): number {
  // Subtracted in halves: 2^56 - T loses its low bits in a double.
  return 2 ** 56 / ((HALF - 1 - threshold.high) * HALF + (HALF - threshold.low));
}

/**
 * The threshold for a probability, rounded to `precision` hex digits plus one for every leading `f`, as the specification
 * recommends. `text` is what stands behind `th:`; probability 1 is "0".
 */
export function thresholdOf(probability: number, precision = 4): { text: string; bits: Bits56 } {
  if (!(probability > 0)) return { text: 'ffffffffffffff', bits: { high: HALF - 1, low: HALF - 1 } };
  if (probability >= 1) return { text: '0', bits: { high: 0, low: 0 } };
  const exact = BigInt(Math.round((1 - probability) * 2 ** 53)) << 3n;
  let hex = exact.toString(16).padStart(14, '0');
  const leading = /^f*/.exec(hex)?.[0].length ?? 0;
  const digits = Math.min(14, precision + leading);
  if (digits < 14) {
    const shift = BigInt(4 * (14 - digits));
    const rounded = ((exact + (1n << (shift - 1n))) >> shift) << shift;
    // Rounding up to certainty would keep nothing: the largest threshold stands for it.
    hex = (rounded > 0xff_ffff_ffff_ffffn ? 0xff_ffff_ffff_ffffn : rounded).toString(16).padStart(14, '0');
  }
  const bits = { high: Number.parseInt(hex.slice(0, 7), 16), low: Number.parseInt(hex.slice(7), 16) };
  return { text: hex.replace(/0+$/, '') || '0', bits };
}

/** What stands behind `th:` for a threshold: its 14 hex digits without trailing zeros; certainty is "0". */
export function thresholdText({ high, low }: Bits56): string {
  return hexOf({ high, low }).replace(/0+$/, '') || '0';
}

/** All 14 digits. */
export function hexOf({ high, low }: Bits56): string {
  return high.toString(16).padStart(7, '0') + low.toString(16).padStart(7, '0');
}

/** Whether the `ot` value stays within its bound when `th:` grows to `textBytes` digits. */
export function fitsOt(state: OtState, textBytes: number): boolean {
  if (state.memberAt < 0) return true;
  const before =
    state.memberEnd - state.memberAt - 3 - (state.thresholdAt < 0 ? 0 : state.thresholdEnd - state.thresholdAt + 1);
  return before + textBytes + 4 <= MAX_OT_BYTES;
}
