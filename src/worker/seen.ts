// HOT: once per item of a look-back. Bench: bench/micro/worker/seen.bench.ts
/**
 * Which items the derived journal already has: a set of 64-bit keys in shared memory, filled by one task after the other. A span's key is made
 * from its ids, a log record's from its bytes without what sampling adds.
 */
import type { LogView } from '../otlp/logs.ts';
import { HASH_SEED, hashBytes, Reader, readEnd, readTag, sameBytes, skipField } from '../otlp/protobuf.ts';
import type { SpanView } from '../otlp/traces.ts';

const OTHER_SEED = 0x9e37_79b1;
const LOG_ATTRIBUTES = 50;
const KEY = 10;
const ADDED = [
  'plumbline.kept',
  'plumbline.partial',
  'plumbline.rule',
  'sampling.threshold',
  'sampling.randomness',
].map((key) => Buffer.from(key));

/** Room for `items` keys at half load. */
export function createSeen(items: number): SharedArrayBuffer {
  return new SharedArrayBuffer(2 ** Math.ceil(Math.log2(Math.max(1024, items * 2))) * 8);
}

export class Seen {
  readonly #keys: Uint32Array;
  readonly #mask: number;
  readonly #reader: Reader;
  #low = 0;
  #high = 0;

  constructor(memory: SharedArrayBuffer, bytes: Uint8Array) {
    this.#keys = new Uint32Array(memory);
    this.#mask = this.#keys.length / 2 - 1;
    this.#reader = new Reader(bytes);
  }

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

  #has(): boolean {
    return this.#keys[this.#place() * 2] !== 0;
  }

  #add(): void {
    const place = this.#place();
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
