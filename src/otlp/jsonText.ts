// HOT: once per JSON value. Bench: bench/micro/otlp/json.bench.ts
/** JSON text over plain bytes: a position, the grammar of RFC 8259 to the letter, and passing over values nobody asked for, without recursion. */
import { AgentError } from '../core/errors.ts';
import { pathTo } from './jsonPath.ts';

/** Arrays and objects inside one another. 100 AnyValues are up to 300 of them, and envelopes stand around. */
const MAX_DEPTH = 512;

export const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const LITERALS = { true: Buffer.from('true'), false: Buffer.from('false'), null: Buffer.from('null') } as const;

/** Bytes that stand in a string for themselves. */
const PLAIN = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte < 0x20 || byte === QUOTE || byte === BACKSLASH ? 0 : 1,
);

export class JsonText {
  bytes: Uint8Array = Buffer.alloc(0);
  pos = 0;
  end = 0;
  /** Of the string read last: its content, and whether an escape is in it. */
  stringAt = 0;
  stringEnd = 0;
  hasEscape = false;
  readonly #open = new Uint8Array(MAX_DEPTH);

  fail(wanted: string): never {
    const { pos, end, bytes } = this;
    const found =
      pos >= end ? 'the end' : JSON.stringify(Buffer.from(bytes.subarray(pos, Math.min(end, pos + 24))).toString());
    const path = pathTo(bytes, Math.min(pos, end));
    throw new AgentError(
      'BODY_UNDECODABLE',
      `${path === '' ? 'the request' : path}: expected ${wanted}, found ${found} (byte ${pos})`,
    );
  }

  /** Passes white space and answers the byte behind it; -1 at the end. */
  peek(): number {
    const byte = this.bytes[this.pos]!;
    return byte > 0x20 && this.pos < this.end ? byte : this.#peekFar();
  }

  #peekFar(): number {
    const { bytes, end } = this;
    let { pos } = this;
    while (pos < end) {
      const byte = bytes[pos]!;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) {
        this.pos = pos;
        return byte;
      }
      pos++;
    }
    this.pos = pos;
    return -1;
  }

  expect(byte: number, wanted: string): void {
    if (this.peek() !== byte) this.fail(wanted);
    this.pos++;
  }

  /** Enters `{` and answers whether there is a first key. */
  enterObject(): boolean {
    this.expect(OPEN_OBJECT, 'an object');
    if (this.peek() !== CLOSE_OBJECT) return true;
    this.pos++;
    return false;
  }

  enterArray(): boolean {
    this.expect(OPEN_ARRAY, 'an array');
    if (this.peek() !== CLOSE_ARRAY) return true;
    this.pos++;
    return false;
  }

  /** Behind an entry: true when another follows, false when the object has ended. */
  nextEntry(): boolean {
    const byte = this.peek();
    if (byte !== COMMA && byte !== CLOSE_OBJECT) this.fail('a comma or }');
    this.pos++;
    return byte === COMMA;
  }

  nextElement(): boolean {
    const byte = this.peek();
    if (byte !== COMMA && byte !== CLOSE_ARRAY) this.fail('a comma or ]');
    this.pos++;
    return byte === COMMA;
  }

  /** A key and its colon; the key is the string read last. */
  readKey(): void {
    if (this.peek() !== QUOTE) this.fail('a key');
    this.readString();
    this.expect(COLON, 'a colon');
  }

  /** At its quote. */
  readString(): void {
    const { bytes, end } = this;
    let pos = this.pos + 1;
    this.stringAt = pos;
    this.hasEscape = false;
    for (;;) {
      while (pos < end && PLAIN[bytes[pos]!] === 1) pos++;
      if (pos >= end) break;
      const byte = bytes[pos]!;
      if (byte === QUOTE) {
        this.stringEnd = pos;
        this.pos = pos + 1;
        return;
      }
      if (byte !== BACKSLASH) break;
      this.hasEscape = true;
      pos = this.#passEscape(pos);
    }
    this.pos = pos;
    this.fail('the end of a string');
  }

  #passEscape(at: number): number {
    const { bytes } = this;
    const kind = bytes[at + 1];
    if (kind === 0x75) {
      for (let i = at + 2; i < at + 6; i++) if (i >= this.end || hexDigit(bytes[i]!) < 0) this.#failAt(at);
      return at + 6;
    }
    if (at + 1 >= this.end || kind === undefined || !'"\\/bfnrt'.includes(String.fromCharCode(kind))) this.#failAt(at);
    return at + 2;
  }

  #failAt(at: number): never {
    this.pos = at;
    return this.fail('an escape of JSON');
  }

  /** Passes a number. */
  readNumber(): void {
    const { bytes, end } = this;
    let pos = bytes[this.pos] === MINUS ? this.pos + 1 : this.pos;
    const firstDigit = pos;
    while (pos < end && isDigit(bytes[pos]!)) pos++;
    if (pos === firstDigit || (bytes[firstDigit] === 0x30 && pos > firstDigit + 1)) this.fail('a number');
    if (pos < end && bytes[pos] === DOT) pos = this.#digits(pos + 1);
    if (pos < end && (bytes[pos]! | 0x20) === 0x65) {
      const sign = bytes[pos + 1];
      pos = this.#digits(pos + (sign === MINUS || sign === PLUS ? 2 : 1));
    }
    this.pos = pos;
  }

  #digits(at: number): number {
    let pos = at;
    while (pos < this.end && isDigit(this.bytes[pos]!)) pos++;
    if (pos === at) this.fail('a number');
    return pos;
  }

  /** Passes the literal when it stands here. */
  takeLiteral(name: keyof typeof LITERALS): boolean {
    const literal = LITERALS[name];
    if (this.pos + literal.length > this.end) return false;
    for (let i = 0; i < literal.length; i++) if (this.bytes[this.pos + i] !== literal[i]) return false;
    this.pos += literal.length;
    return true;
  }

  /** Passes any value. Iterative: the nesting is the sender's choice. */
  skipValue(): void {
    const open = this.#open;
    let depth = 0;
    for (;;) {
      const byte = this.peek();
      const isObject = byte === OPEN_OBJECT;
      if (isObject || byte === OPEN_ARRAY) {
        if (depth === MAX_DEPTH) this.fail(`at most ${MAX_DEPTH} arrays and objects inside one another`);
        if (isObject ? this.enterObject() : this.enterArray()) {
          open[depth++] = byte;
          if (isObject) this.readKey();
          continue;
        }
      } else this.#skipScalar(byte);
      while (depth > 0) {
        const inObject = open[depth - 1] === OPEN_OBJECT;
        if (inObject ? this.nextEntry() : this.nextElement()) {
          if (inObject) this.readKey();
          break;
        }
        depth--;
      }
      if (depth === 0) return;
    }
  }

  #skipScalar(byte: number): void {
    if (byte === QUOTE) this.readString();
    else if (byte === MINUS || isDigit(byte)) this.readNumber();
    else if (!this.takeLiteral('true') && !this.takeLiteral('false') && !this.takeLiteral('null')) this.fail('a value');
  }
}

export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** The value of a hex digit; -1 when it is none. */
export function hexDigit(byte: number): number {
  if (isDigit(byte)) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
