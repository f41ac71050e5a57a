// HOT: once per string in JSON. Bench: bench/micro/otlp/json.bench.ts
/** Contents of JSON strings as bytes: escapes, hex and base64. All write to `out` at `to` and answer the position after it, or -1. */
import { hexDigit } from './jsonText.ts';

const SHORT_BYTES = 40;
const ESCAPED: Record<number, number> = { 98: 8, 102: 12, 110: 10, 114: 13, 116: 9 };

/** Plain content, without escapes. */
export function copyPlain(bytes: Uint8Array, at: number, end: number, out: Buffer, to: number): number {
  if (end - at > SHORT_BYTES) {
    Buffer.prototype.copy.call(bytes, out, to, at, end);
    return to + end - at;
  }
  let next = to;
  for (let i = at; i < end; i++) out[next++] = bytes[i]!;
  return next;
}

/** Content with escapes, which readString has checked: never longer than it was. Half a surrogate pair becomes U+FFFD. */
export function copyUnescaped(bytes: Uint8Array, at: number, end: number, out: Buffer, to: number): number {
  let next = to;
  for (let i = at; i < end; ) {
    const byte = bytes[i]!;
    if (byte !== 0x5c) {
      out[next++] = byte;
      i++;
      continue;
    }
    const kind = bytes[i + 1]!;
    if (kind !== 0x75) {
      out[next++] = ESCAPED[kind] ?? kind;
      i += 2;
      continue;
    }
    let code = unit(bytes, i + 2);
    i += 6;
    if ((code & 0xfc00) === 0xd800 && i + 6 <= end && bytes[i] === 0x5c && bytes[i + 1] === 0x75) {
      const low = unit(bytes, i + 2);
      if ((low & 0xfc00) === 0xdc00) {
        code = 0x1_0000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
        i += 6;
      }
    }
    next = writeCodePoint((code & 0x1f_f800) === 0xd800 ? 0xfffd : code, out, next);
  }
  return next;
}

function unit(bytes: Uint8Array, at: number): number {
  let code = 0;
  for (let i = at; i < at + 4; i++) code = (code << 4) | hexDigit(bytes[i]!);
  return code;
}

function writeCodePoint(code: number, out: Buffer, to: number): number {
  let next = to;
  if (code < 0x80) out[next++] = code;
  else if (code < 0x800) {
    out[next++] = 0xc0 | (code >> 6);
    out[next++] = 0x80 | (code & 0x3f);
  } else {
    if (code < 0x1_0000) out[next++] = 0xe0 | (code >> 12);
    else {
      out[next++] = 0xf0 | (code >> 18);
      out[next++] = 0x80 | ((code >> 12) & 0x3f);
    }
    out[next++] = 0x80 | ((code >> 6) & 0x3f);
    out[next++] = 0x80 | (code & 0x3f);
  }
  return next;
}

/** Hex of any case; -1 when it is none. */
export function copyHex(bytes: Uint8Array, at: number, end: number, out: Buffer, to: number): number {
  if (((end - at) & 1) !== 0) return -1;
  let next = to;
  for (let i = at; i < end; i += 2) {
    const byte = (hexDigit(bytes[i]!) << 4) | hexDigit(bytes[i + 1]!);
    if (byte < 0) return -1;
    out[next++] = byte;
  }
  return next;
}

/** Base64 or base64url, padded or not (or too little); -1 when it is neither. */
export function copyBase64(bytes: Uint8Array, at: number, end: number, out: Buffer, to: number): number {
  let stop = end;
  while (stop > at && end - stop < 2 && bytes[stop - 1] === 0x3d) stop--;
  if (((stop - at) & 3) === 1) return -1;
  let next = to;
  let bits = 0;
  let held = 0;
  for (let i = at; i < stop; i++) {
    const sextet = sextetOf(bytes[i]!);
    if (sextet < 0) return -1;
    bits = ((bits << 6) | sextet) & 0xffff;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out[next++] = (bits >> held) & 0xff;
  }
  return next;
}

function sextetOf(byte: number): number {
  if (byte >= 0x41 && byte <= 0x5a) return byte - 0x41;
  if (byte >= 0x61 && byte <= 0x7a) return byte - 0x47;
  if (byte >= 0x30 && byte <= 0x39) return byte + 4;
  if (byte === 0x2b || byte === 0x2d) return 62;
  return byte === 0x2f || byte === 0x5f ? 63 : -1;
}
