// HOT: once per JSON value. Bench: bench/micro/otlp/json.bench.ts
/**
 * OTLP/JSON requests to canonical protobuf in one pass over the bytes: known fields in ascending order, defaults left out, nothing in
 * between. No tree and no tape: a message is written as it is read, behind a length of the guessed size, and mended when the guess or the
 * order of its keys was another.
 *
 * OTLP's deviations from ProtoJSON: trace and span ids are hex, enums are integers only, unknown fields are ignored.
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/docs/specification.md#json-protobuf-encoding
 */
import { isUtf8 } from 'node:buffer';
import type { Signal } from '../core/block.ts';
import { MAX_DEPTH } from './attributes.ts';
import { copyBase64, copyHex, copyPlain, copyUnescaped } from './jsonBytes.ts';
import { findField, type JsonField, type JsonMessage, requestFields } from './jsonFields.ts';
import { Integer, readDecimal, readInteger } from './jsonNumbers.ts';
import { JsonText, QUOTE } from './jsonText.ts';
import { ProtoOutput } from './protoOutput.ts';

const NULL = 0x6e;
/** A trace id of no bytes: the walk then rejects the span alone. */
const NO_TRACE_ID = 10;

export class JsonRequests {
  readonly #text = new JsonText();
  readonly #out: ProtoOutput;
  /** Made with a signal's first request. */
  readonly #requests: Partial<Record<Signal, JsonMessage>> = {};
  readonly #integer = new Integer();
  /** An id of the span (its own, its parent's, a link's) was no hex. */
  #badId = false;

  constructor(maxBytes: number) {
    this.#out = new ProtoOutput(maxBytes);
  }

  /** The request's protobuf, valid until the next call. Throws BODY_UNDECODABLE with the path of the fault, BODY_TOO_LARGE. */
  convert(signal: Signal, bytes: Uint8Array): Uint8Array {
    // What is no UTF-8 becomes U+FFFD, as the specification recommends; nearly nothing is, and all at once is cheaper than each string.
    const text = isUtf8(bytes) ? bytes : Buffer.from(Buffer.from(bytes).toString());
    this.#text.bytes = text;
    this.#text.pos = 0;
    this.#text.end = text.length;
    this.#out.reset(text.length);
    this.#requests[signal] ??= requestFields(signal);
    this.#message(this.#requests[signal], 0);
    if (this.#text.peek() !== -1) this.#text.fail('nothing behind the request');
    return this.#out.take();
  }

  #message(message: JsonMessage, depth: number): void {
    const text = this.#text;
    const out = this.#out;
    if (depth > MAX_DEPTH) text.fail(`at most ${MAX_DEPTH} values inside one another`);
    const pieces = out.pieces;
    let last = 0;
    let oneofs = 0;
    let ordered = true;
    for (let more = text.enterObject(); more; more = text.nextEntry()) {
      text.readKey();
      const field = this.#fieldOf(message);
      const byte = text.peek();
      if (field === null) text.skipValue();
      else if (byte !== NULL || !text.takeLiteral('null')) {
        const from = out.at;
        this.#value(field, depth);
        out.addPiece(field.number, from);
        if (field.number <= last || (oneofs & field.oneof) !== 0) ordered = false;
        last = field.number;
        oneofs |= field.oneof;
      }
    }
    if (!ordered) out.settle(message, pieces);
    out.pieces = pieces;
  }

  #fieldOf(message: JsonMessage): JsonField | null {
    const { bytes, stringAt, stringEnd, hasEscape } = this.#text;
    if (!hasEscape) return findField(message, bytes, stringAt, stringEnd - stringAt);
    const key = Buffer.alloc(stringEnd - stringAt);
    return message.byName.get(key.toString('utf8', 0, copyUnescaped(bytes, stringAt, stringEnd, key, 0))) ?? null;
  }

  #value(field: JsonField, depth: number): void {
    if (!field.repeated) this.#single(field, depth);
    else if (field.kind === 'message' || field.kind === 'string') this.#list(field, depth);
    else this.#packed(field);
  }

  #list(field: JsonField, depth: number): void {
    const text = this.#text;
    for (let more = text.enterArray(); more; more = text.nextElement()) {
      if (field.message !== null) this.#inner(field, field.message, depth);
      else this.#string(field, true);
    }
  }

  #packed(field: JsonField): void {
    const text = this.#text;
    const out = this.#out;
    const before = out.at;
    const start = out.open(field.packedTag, 1);
    const content = out.at;
    for (let more = text.enterArray(); more; more = text.nextElement()) {
      text.peek();
      this.#number(field);
    }
    if (out.at === content) out.at = before;
    else out.close(start, 1);
  }

  #inner(field: JsonField, message: JsonMessage, depth: number): void {
    // Kept: messages of this type inside this one change it.
    const { lengthBytes } = message;
    const start = this.#out.open(field.tag, lengthBytes);
    const isSpan = message.name === 'Span';
    if (isSpan) this.#badId = false;
    this.#message(message, message.name === 'AnyValue' ? depth + 1 : depth);
    if (isSpan && this.#badId) this.#out.writeEmpty(NO_TRACE_ID);
    message.lengthBytes = this.#out.close(start, lengthBytes);
  }

  #single(field: JsonField, depth: number): void {
    const out = this.#out;
    const before = out.at;
    switch (field.kind) {
      case 'message':
        this.#inner(field, field.message!, depth);
        break;
      case 'string':
        this.#string(field, field.explicit);
        break;
      case 'bytes':
      case 'id':
        this.#bytes(field);
        break;
      case 'bool':
        this.#bool(field);
        break;
      default: {
        out.writeTag(field.tag);
        if (this.#number(field) && !field.explicit) out.at = before;
      }
    }
  }

  #string(field: JsonField, explicit: boolean): void {
    const text = this.#text;
    const out = this.#out;
    if (text.peek() !== QUOTE) text.fail('a string');
    text.readString();
    const { bytes, stringAt, stringEnd } = text;
    const length = stringEnd - stringAt;
    if (length === 0 && !explicit) return;
    const before = out.reserve(field.tag, length);
    if (!text.hasEscape) out.at = copyPlain(bytes, stringAt, stringEnd, out.bytes, out.at);
    else out.closeReserved(before, field.tag, copyUnescaped(bytes, stringAt, stringEnd, out.bytes, out.at));
  }

  #bytes(field: JsonField): void {
    const text = this.#text;
    const out = this.#out;
    if (text.peek() !== QUOTE) text.fail(field.kind === 'id' ? 'hex digits' : 'base64');
    const { pos } = text;
    text.readString();
    const { bytes, stringAt, stringEnd, hasEscape } = text;
    const before = out.reserve(field.tag, stringEnd - stringAt);
    // An escape has a backslash, which is neither hex nor base64: a slash alone may be written with one.
    const copy = field.kind === 'id' ? copyHex : copyBase64;
    const source = hasEscape ? unescaped(bytes, stringAt, stringEnd) : null;
    const end =
      source === null
        ? copy(bytes, stringAt, stringEnd, out.bytes, out.at)
        : copy(source, 0, source.length, out.bytes, out.at);
    if (end >= 0) {
      const isEmpty = end === out.at && !field.explicit;
      out.closeReserved(before, field.tag, end);
      if (isEmpty) out.at = before;
      return;
    }
    out.at = before;
    if (field.kind === 'bytes') {
      text.pos = pos;
      text.fail('base64');
    }
    // Whatever has it in protobuf, an id of one byte is one of a wrong length, and is dealt with as such.
    out.writeOneByte(field.tag);
    this.#badId = true;
  }

  #bool(field: JsonField): void {
    const text = this.#text;
    text.peek();
    const isTrue = text.takeLiteral('true');
    if (!isTrue && !text.takeLiteral('false')) text.fail('true or false');
    if (isTrue || field.explicit) this.#out.writeByte(field.tag, isTrue ? 1 : 0);
  }

  /** Writes a number without its tag, and answers whether it is the default. */
  #number(field: JsonField): boolean {
    const text = this.#text;
    const isQuoted = text.peek() === QUOTE;
    const start = text.pos;
    if (isQuoted) text.readString();
    else text.readNumber();
    const at = isQuoted ? text.stringAt : start;
    const end = isQuoted ? text.stringEnd : text.pos;
    if (field.kind === 'double') return this.#double(at, end, isQuoted);
    const integer = this.#integer;
    if (!readInteger(text.bytes, at, end, integer) || !this.#out.writeInteger(field.kind, integer)) {
      text.pos = start;
      text.fail(`an integer of type ${field.kind}`);
    }
    return integer.low === 0 && integer.high === 0;
  }

  #double(at: number, end: number, isQuoted: boolean): boolean {
    const { bytes } = this.#text;
    const value = isQuoted ? quotedDouble(bytes, at, end) : readDecimal(bytes, at, end);
    if (value === null || (!isQuoted && !Number.isFinite(value))) {
      this.#text.pos = at;
      return this.#text.fail('a number that fits a double');
    }
    this.#out.writeDouble(value);
    return value === 0 && !Object.is(value, -0);
  }
}

const DOUBLES: ReadonlyMap<string, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
]);
const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;

/** Null when it is none, or none that fits. */
function quotedDouble(bytes: Uint8Array, at: number, end: number): number | null {
  const text = Buffer.from(bytes.subarray(at, end)).toString('latin1');
  const named = DOUBLES.get(text);
  if (named !== undefined) return named;
  return NUMBER.test(text) && Number.isFinite(Number(text)) ? Number(text) : null;
}

function unescaped(bytes: Uint8Array, at: number, end: number): Buffer {
  const out = Buffer.alloc(end - at);
  return out.subarray(0, copyUnescaped(bytes, at, end, out, 0));
}
