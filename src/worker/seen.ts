// HOT: once per item of a look-back. Bench: bench/micro/worker/seen.bench.ts
/**
 * Which items the derived journal already has: a set of 64-bit keys in shared memory, filled by one task after the other. A span's key is made
 * from its ids, a log record's from its bytes without what sampling adds. Where there are more than there is room for, a set is of one part of
 * all keys, and the look-back is made once for each part.
 *
 *   | parts | which part | keys | pad | key | key | ... |      key: | low, 0 is none | high |
 */
import { AgentError } from '../core/errors.ts';
import type { LogView } from '../otlp/logs.ts';
import { HASH_SEED, hashBytes, Reader, readEnd, readTag, sameBytes, skipField } from '../otlp/protobuf.ts';
import type { SpanView } from '../otlp/traces.ts';
import { LOG_ATTRIBUTES } from './tails.ts';

const OTHER_SEED = 0x9e37_79b1;
const KEY = 10;
const ADDED = [
  'plumbline.kept',
  'plumbline.partial',
  'plumbline.rule',
  'sampling.threshold',
  'sampling.randomness',
].map((key) => Buffer.from(key));

const HEADER_WORDS = 4;
const LEAST_PLACES = 64;
/** Parts are equal but for chance; a set that were full would be searched for ever. */
const MOST_LOAD = 0.75;

/** Bytes that a key takes at most, in a set at half load whose places are a power of two. */
export const SEEN_KEY_BYTES = 32;

/** Room for `items` keys at half load, of part number `part` of `parts`. */
export function createSeen(items: number, parts = 1, part = 0): SharedArrayBuffer {
  const places = 2 ** Math.ceil(Math.log2(Math.max(LEAST_PLACES, items * 2)));
  const memory = new SharedArrayBuffer((HEADER_WORDS + places * 2) * 4);
  new Uint32Array(memory).set([parts, part]);
  return memory;
}

export class Seen {
  readonly #header: Uint32Array;
  readonly #keys: Uint32Array;
  readonly #parts: number;
  readonly #part: number;
  readonly #mask: number;
  readonly #reader: Reader;
  #low = 0;
  #high = 0;

  constructor(memory: SharedArrayBuffer, bytes: Uint8Array) {
    this.#header = new Uint32Array(memory, 0, HEADER_WORDS);
    this.#keys = new Uint32Array(memory, HEADER_WORDS * 4);
    this.#parts = this.#header[0]!;
    this.#part = this.#header[1]!;
    this.#mask = this.#keys.length / 2 - 1;
    this.#reader = new Reader(bytes);
  }

  /** True also of a span whose turn is another part's. */
  hasSpan(span: SpanView): boolean {
    this.#keySpan(span);
    return this.#has();
  }

  addSpan(span: SpanView): void {
    this.#keySpan(span);
    this.#add();
  }

  hasLog(log: LogView): boolean {
    this.#keyLog(log);
    return this.#has();
  }

  addLog(log: LogView): void {
    this.#keyLog(log);
    this.#add();
  }

  #keySpan({ traceIdAt, spanIdAt }: SpanView): void {
    const { bytes } = this.#reader;
    this.#low = hashBytes(bytes, spanIdAt, 8, hashBytes(bytes, traceIdAt, 16, HASH_SEED)) || 1;
    this.#high = hashBytes(bytes, spanIdAt, 8, hashBytes(bytes, traceIdAt, 16, OTHER_SEED));
  }

  #keyLog({ at, end }: LogView): void {
    const reader = this.#reader;
    let low = HASH_SEED;
    let high = OTHER_SEED;
    reader.pos = at;
    while (reader.pos < end) {
      const from = reader.pos;
      const tag = readTag(reader, end);
      const start = reader.pos;
      const isAdded = tag === LOG_ATTRIBUTES && hasAddedKey(reader, readEnd(reader, end));
      reader.pos = start;
      skipField(reader, tag, end);
      if (isAdded) continue;
      low = hashBytes(reader.bytes, from, reader.pos - from, low);
      high = hashBytes(reader.bytes, from, reader.pos - from, high);
    }
    this.#low = low || 1;
    this.#high = high;
  }

  #isOther(): boolean {
    return this.#parts > 1 && this.#high % this.#parts !== this.#part;
  }

  #has(): boolean {
    return this.#isOther() || this.#keys[this.#place() * 2] !== 0;
  }

  #add(): void {
    if (this.#isOther()) return;
    const place = this.#place();
    if (this.#keys[place * 2] === 0 && ++this.#header[2]! > (this.#mask + 1) * MOST_LOAD) {
      const message = `the keys of ${this.#header[2]} items fall into one part of ${this.#parts}: span ids are not random`;
      throw new AgentError('OVERLOADED', message, { retryable: true });
    }
    this.#keys[place * 2] = this.#low;
    this.#keys[place * 2 + 1] = this.#high;
  }

  /** Where the key is, or the free place where it goes. */
  #place(): number {
    const keys = this.#keys;
    let place = (this.#low ^ (this.#low >>> 15)) & this.#mask;
    while (keys[place * 2] !== 0 && (keys[place * 2] !== this.#low || keys[place * 2 + 1] !== this.#high))
      place = (place + 1) & this.#mask;
    return place;
  }
}

/** Of the KeyValue at the reader; the record's table does not note each. */
function hasAddedKey(reader: Reader, stop: number): boolean {
  while (reader.pos < stop) {
    const tag = readTag(reader, stop);
    if (tag !== KEY) {
      skipField(reader, tag, stop);
      continue;
    }
    const length = readEnd(reader, stop) - reader.pos;
    for (let i = 0; i < ADDED.length; i++) {
      const key = ADDED[i]!;
      if (key.length === length && sameBytes(reader.bytes, reader.pos, key, 0, length)) return true;
    }
    return false;
  }
  return false;
}
