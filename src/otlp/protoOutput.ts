// HOT: once per JSON value. Bench: bench/micro/otlp/json.bench.ts
/**
 * Protobuf written front to back into memory that grows to a bound. A message's length is written behind its content: room for it is
 * guessed, and the content moves when the guess was wrong.
 */
import { AgentError } from '../core/errors.ts';
import type { JsonMessage, Kind } from './jsonFields.ts';
import type { Integer } from './jsonNumbers.ts';
import { varintBytes, writeVarint } from './protobuf.ts';

const LEAST_BYTES = 64 << 10;
/** What is kept between requests; a larger one gives its memory back. */
const MOST_KEPT_BYTES = 4 << 20;
/** Tag and length, or tag and number, at most. */
const MARGIN = 32;

export class ProtoOutput {
  bytes: Buffer = Buffer.alloc(LEAST_BYTES);
  at = 0;
  /** Fields of the messages that are open: how many of the list below are in use. */
  pieces = 0;
  /** Of each: field number, from, to. */
  #pieces = new Int32Array(3 * 256);
  #scratch: Buffer = Buffer.alloc(0);
  readonly #maxBytes: number;
  readonly #double = new DataView(new ArrayBuffer(8));

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  reset(expectedBytes: number): void {
    this.at = 0;
    this.pieces = 0;
    if (this.bytes.length > MOST_KEPT_BYTES && expectedBytes < MOST_KEPT_BYTES) {
      this.bytes = Buffer.alloc(LEAST_BYTES);
      this.#scratch = Buffer.alloc(0);
    }
  }

  /** What was written; valid until the next reset. */
  take(): Uint8Array {
    if (this.at > this.#maxBytes) this.#refuse();
    return this.bytes.subarray(0, this.at);
  }

  #refuse(): never {
    const message = `as protobuf the request has more than ${this.#maxBytes} bytes: raise ingest.http.max_request_body_size`;
    throw new AgentError('BODY_TOO_LARGE', message);
  }

  #room(bytes: number): void {
    const needed = this.at + bytes + MARGIN;
    if (needed <= this.bytes.length) return;
    if (this.at > this.#maxBytes) this.#refuse();
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(grown, 0, 0, this.at);
    this.bytes = grown;
  }

  /** Sees to room for `bytes` at `at`. */
  ensure(bytes: number): this {
    this.#room(bytes);
    return this;
  }

  writeTag(tag: number): void {
    this.#room(0);
    this.at = writeVarint(this.bytes, this.at, tag);
  }

  /** A field of one byte. */
  writeByte(tag: number, value: number): void {
    this.writeTag(tag);
    this.bytes[this.at++] = value;
  }

  /** A field of length 0. */
  writeEmpty(tag: number): void {
    this.writeByte(tag, 0);
  }

  /** A field of length 1. */
  writeOneByte(tag: number): void {
    this.writeByte(tag, 1);
    this.bytes[this.at++] = 0;
  }

  /** Begins a field whose length nobody knows yet; what is written next is its content. Answers where the length stands. */
  open(tag: number, lengthBytes: number): number {
    this.writeTag(tag);
    const start = this.at;
    this.at += lengthBytes;
    return start;
  }

  /** Ends the field; answers how many bytes its length took. */
  close(start: number, lengthBytes: number): number {
    this.#room(0);
    const length = this.at - start - lengthBytes;
    const needed = varintBytes(length);
    if (needed !== lengthBytes) {
      this.bytes.copyWithin(start + needed, start + lengthBytes, this.at);
      this.at += needed - lengthBytes;
    }
    writeVarint(this.bytes, start, length);
    return needed;
  }

  /** Writes tag and length and sees to room for the content, which the caller writes at `at`. Answers the position before the tag. */
  reserve(tag: number, length: number): number {
    this.#room(length);
    const before = this.at;
    this.at = writeVarint(this.bytes, writeVarint(this.bytes, before, tag), length);
    return before;
  }

  /** The content of a reserved field ends at `end`, perhaps earlier than was reserved. */
  closeReserved(before: number, tag: number, end: number): void {
    const length = end - this.at;
    const content = before + varintBytes(tag) + varintBytes(length);
    if (content !== this.at) this.bytes.copyWithin(content, this.at, end);
    writeVarint(this.bytes, before + varintBytes(tag), length);
    this.at = content + length;
  }

  writeDouble(value: number): void {
    this.#room(8);
    this.#double.setFloat64(0, value, true);
    for (let i = 0; i < 8; i++) this.bytes[this.at++] = this.#double.getUint8(i);
  }

  /** False when the kind cannot hold it. */
  writeInteger(kind: Kind, { negative, high, low }: Integer): boolean {
    this.#room(10);
    const isZero = high === 0 && low === 0;
    switch (kind) {
      case 'int64':
      case 'sfixed64':
        if (high > 0x7fff_ffff && !(negative && high === 0x8000_0000 && low === 0)) return false;
        break;
      case 'uint64':
      case 'fixed64':
        if (negative && !isZero) return false;
        break;
      case 'int32':
      case 'sint32':
        if (high !== 0 || low > (negative ? 0x8000_0000 : 0x7fff_ffff)) return false;
        break;
      default:
        if (high !== 0 || (negative && !isZero)) return false;
    }
    // Two's complement.
    const complement = negative && !isZero;
    const lowBits = complement ? (~low + 1) >>> 0 : low;
    const highBits = complement ? (lowBits === 0 ? (~high + 1) >>> 0 : ~high >>> 0) : high;
    if (kind === 'fixed64' || kind === 'sfixed64') this.#fixed(lowBits, highBits, 8);
    else if (kind === 'fixed32') this.#fixed(lowBits, highBits, 4);
    else if (kind === 'sint32') this.at = writeVarint(this.bytes, this.at, ((lowBits << 1) ^ (lowBits >> 31)) >>> 0);
    else this.#varint64(lowBits, highBits);
    return true;
  }

  #fixed(low: number, high: number, size: number): void {
    for (let i = 0; i < size; i++) this.bytes[this.at++] = ((i < 4 ? low : high) >>> ((i & 3) * 8)) & 0xff;
  }

  #varint64(low: number, high: number): void {
    let lowBits = low;
    let highBits = high;
    while (highBits !== 0 || lowBits > 0x7f) {
      this.bytes[this.at++] = (lowBits & 0x7f) | 0x80;
      lowBits = ((lowBits >>> 7) | (highBits << 25)) >>> 0;
      highBits >>>= 7;
    }
    this.bytes[this.at++] = lowBits;
  }

  /** A field of the open message was written from `from` to here. */
  addPiece(number: number, from: number): void {
    const row = this.pieces++ * 3;
    if (row === this.#pieces.length) {
      const grown = new Int32Array(row * 2);
      grown.set(this.#pieces);
      this.#pieces = grown;
    }
    this.#pieces[row] = number;
    this.#pieces[row + 1] = from;
    this.#pieces[row + 2] = this.at;
  }

  /** Puts the pieces of a message, from `first` on, into the order of their numbers; of a field, and of a oneof, the last one stays. */
  settle(message: JsonMessage, first: number): void {
    const start = this.#pieces[first * 3 + 1] as number;
    const length = this.at - start;
    if (this.#scratch.length < length) this.#scratch = Buffer.allocUnsafeSlow(length * 2);
    this.bytes.copy(this.#scratch, 0, start, this.at);
    this.at = start;
    for (const { number, oneof } of message.fields) {
      const piece = this.#lastPiece(first, number);
      if (piece < 0 || (oneof !== 0 && this.#isReplaced(message, oneof, piece))) continue;
      const row = piece * 3;
      this.#scratch.copy(this.bytes, this.at, this.#pieces[row + 1]! - start, this.#pieces[row + 2]! - start);
      this.at += this.#pieces[row + 2]! - this.#pieces[row + 1]!;
    }
  }

  #lastPiece(first: number, number: number): number {
    let piece = this.pieces - 1;
    while (piece >= first && this.#pieces[piece * 3] !== number) piece--;
    return piece >= first ? piece : -1;
  }

  /** Whether another field of the oneof came after the piece. */
  #isReplaced({ fields }: JsonMessage, oneof: number, piece: number): boolean {
    for (let later = piece + 1; later < this.pieces; later++) {
      const number = this.#pieces[later * 3];
      if (fields.some((field) => field.number === number && field.oneof === oneof)) return true;
    }
    return false;
  }
}
