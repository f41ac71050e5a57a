// HOT: once per span. Bench: bench/micro/processors/summarize/measure.bench.ts
/**
 * `summarize` in the worker: groups a task's spans by service, operation, kind and status, and its log records by service and severity.
 *
 * What it writes:  u32 rows, u32 entries | rows of ROW_BYTES | entries u32
 * A row is a group; an entry is one span: `row << 12 | bucket`, followed, if WEIGHTED is set, by a word with the number of spans it
 * stands for (it counts as an entry too). Main does the histograms, since 512 spans can fall into 300 groups: rows of buckets would be larger than the spans.
 */

import { cutLength } from '../../core/boundedText.ts';
import { emptyValue, readValue } from '../../otlp/attributes.ts';
import type { LogView } from '../../otlp/logs.ts';
import { HASH_SEED, hashBytes, hashWords, mixHash } from '../../otlp/protobuf.ts';
import type { Envelope } from '../../otlp/resource.ts';
import { NameHash } from '../../otlp/spanName.ts';
import type { SpanView } from '../../otlp/traces.ts';
import { adjustedCount, OtState, readOtState, readThreshold } from '../../otlp/tracestate.ts';
import type { Measurer, Views } from '../processor.ts';

/** Byte offsets in a row: hashes u32 each, addresses of the Resource... message and the name u32 each, then doubles in milliseconds. */
export const Row = {
  hash: 0,
  hash2: 4,
  fromAt: 8,
  fromEnd: 12,
  nameAt: 16,
  nameLength: 20,
  kind: 24,
  status: 28,
  count: 32,
  sum: 40,
  min: 48,
  max: 56,
} as const;
export const ROW_BYTES = 64;
export const HEADER_BYTES = 8;
/** `status` of a row that counts log records; its `kind` is the severity number. */
export const LOG_ROW = 0xffff;
/** An entry whose next word is how many spans it stands for. */
export const WEIGHTED = 0x800;
/** Bucket 0 of scale 5 in an entry; ZERO_BUCKET stands for a duration of zero. */
export const BUCKET_BIAS = 1024;
export const ZERO_BUCKET = 2047;
/** Buckets per doubling: scale 5, a relative error of 1.08 %. */
export const SCALE = 5;
const PER_DOUBLING = 2 ** SCALE;

const STEP = ROW_BYTES / 4;
/** What keys of a resource begin with that a summary tells: `serv` and `ice.`, as they lie in memory. */
const [SERV, ICE] = new Uint32Array(new Uint8Array(Buffer.from('service.')).buffer) as unknown as [number, number];
const PREFIX_BYTES = 8;
/** `service.*` attributes of a resource that are told. */
export const MOST_ATTRIBUTES = 64;
const THRESHOLD = Buffer.from('sampling.threshold');
/** Of log records. */
const NO_NAME = new NameHash();

/** Where the buckets of a doubling begin, as the upper 31 bits of a mantissa; the last one is the next doubling's first. */
const STARTS = Int32Array.from({ length: PER_DOUBLING + 1 }, (_, i) =>
  Math.min(2 ** 31 - 1, Math.floor((2 ** (i / PER_DOUBLING) - 1) * 2 ** 31)),
);
/** For each 64th of a doubling, of which none holds two starts, the bucket that it begins in. */
const BUCKET_AT = Uint8Array.from({ length: 64 }, (_, i) => STARTS.findLastIndex((start) => start <= i * 2 ** 25));
const double = new Float64Array(1);
const halves = new Uint32Array(double.buffer);

/**
 * Upper-inclusive bucket of a duration: `ceil(log2(ms) * PER_DOUBLING) - 1`, from the bits of the number (to 31 of its mantissa), in half the time.
 * https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
 */
export function bucketOf(ms: number): number {
  if (ms <= 0) return ZERO_BUCKET;
  double[0] = ms;
  const high = halves[1]!;
  const mantissa = ((high & 0xf_ffff) << 11) | (halves[0]! >>> 21);
  const start = BUCKET_AT[mantissa >>> 25]!;
  // A power of two is the last of the bucket below.
  const within = mantissa > STARTS[start + 1]! ? start + 1 : mantissa > STARTS[start]! ? start : start - 1;
  const index = (((high >>> 20) - 1023) * PER_DOUBLING + within + BUCKET_BIAS) | 0;
  return index < 0 ? 0 : index >= ZERO_BUCKET ? ZERO_BUCKET - 1 : index;
}

export class SummaryMeasurer implements Measurer {
  readonly #views: Views;
  readonly #bytes: Buffer;
  #rows = new Uint32Array(STEP * 256);
  #numbers = new Float64Array(this.#rows.buffer);
  #rowCount = 0;
  #entries = new Uint32Array(4096);
  #entryCount = 0;
  /** Open addressing: row number + 1, 0 is empty. */
  #table = new Uint32Array(1024);
  /** Two of different making, as a name has them. */
  #resourceFirst = 0;
  #resourceSecond = 0;
  readonly #value = emptyValue();
  readonly #ot = new OtState();

  constructor(views: Views) {
    this.#views = views;
    this.#bytes = views.pool.bytes;
  }

  reset(): void {
    this.#rowCount = 0;
    this.#entryCount = 0;
    this.#table.fill(0);
  }

  enterResource({ resource }: Envelope): void {
    const bytes = this.#bytes;
    const { reader } = this.#views;
    const { view } = reader;
    const value = this.#value;
    let first = HASH_SEED | 0;
    let second = 0;
    let told = 0;
    for (let i = 0; i < resource.count && told < MOST_ATTRIBUTES; i++) {
      const keyAt = resource.keyAt(i);
      const keyLength = resource.keyLength(i);
      if (keyLength < PREFIX_BYTES || view.getUint32(keyAt, true) !== SERV || view.getUint32(keyAt + 4, true) !== ICE)
        continue;
      readValue(reader, resource.valueAt(i), resource.valueEnd(i), value);
      if (value.kind !== 'string') continue;
      told++;
      const keyHash = hashBytes(bytes, keyAt, cutLength(bytes, keyAt, keyLength), HASH_SEED);
      const valueLength = cutLength(bytes, value.at, value.end - value.at);
      // Sums, so that their order says nothing; mixed, or what two texts that end alike change would cancel. Signed, because half of the
      // uint32 would be boxed.
      first = (first + mixHash(hashBytes(bytes, value.at, valueLength, keyHash))) | 0;
      second = (second + mixHash(hashWords(view, value.at, valueLength, keyHash))) | 0;
    }
    this.#resourceFirst = first;
    this.#resourceSecond = second;
  }

  span(span: SpanView, envelope: Envelope): void {
    if (span.isAdded) return;
    const name = span.nameHash(this.#views.reader);
    const row = this.#rowOf(envelope, span.nameAt, name, span.kind & 0xff, span.status & 0xff);
    const ms = span.durationNs() / 1e6;
    const weight = this.#weightOf(span);
    const numbers = this.#numbers;
    const at = (row * (STEP / 2) + 4) | 0;
    numbers[at] = numbers[at]! + weight;
    numbers[at + 1] = numbers[at + 1]! + ms * weight;
    if (ms < numbers[at + 2]!) numbers[at + 2] = ms;
    if (ms > numbers[at + 3]!) numbers[at + 3] = ms;
    if (weight === 1) this.#pushEntry((row << 12) | bucketOf(ms));
    else {
      this.#pushEntry((row << 12) | WEIGHTED | bucketOf(ms));
      this.#pushEntry(weight);
    }
  }

  log(log: LogView, envelope: Envelope): void {
    if (log.isAdded) return;
    const row = this.#rowOf(envelope, envelope.fromAt, NO_NAME, log.severity & 0xff, LOG_ROW);
    const at = row * (STEP / 2) + 4;
    this.#numbers[at] = this.#numbers[at]! + this.#weightOfLog(log);
  }

  size(): number {
    return HEADER_BYTES + this.#rowCount * ROW_BYTES + this.#entryCount * 4;
  }

  write(out: DataView, at: number): number {
    const rowWords = this.#rowCount * STEP;
    const words = new Uint32Array(out.buffer, out.byteOffset + at, 2 + rowWords + this.#entryCount);
    words[0] = this.#rowCount;
    words[1] = this.#entryCount;
    words.set(this.#rows.subarray(0, rowWords), 2);
    words.set(this.#entries.subarray(0, this.#entryCount), 2 + rowWords);
    return at + words.byteLength;
  }

  /** The group's row, new with its identity filled in when it is the first of the task. */
  #rowOf(envelope: Envelope, nameAt: number, name: NameHash, kind: number, status: number): number {
    const rows = this.#rows;
    const table = this.#table;
    const mask = table.length - 1;
    const group = Math.imul(kind * 31 + status + 1, 0x9e37_79b1);
    // 64 bits of identity, of which main keeps 53.
    const hash = mixHash(name.first ^ this.#resourceFirst ^ group) >>> 0;
    const hash2 = (mixHash(name.second ^ this.#resourceSecond) ^ group) >>> 0;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const found = table[slot]!;
      if (found === 0) return this.#addRow(hash, hash2, envelope, nameAt, name.length, kind, status);
      const at = ((found - 1) * STEP) | 0;
      if (rows[at] === hash && rows[at + 1] === hash2) return found - 1;
    }
  }

  #addRow(
    hash: number,
    hash2: number,
    envelope: Envelope,
    nameAt: number,
    nameLength: number,
    kind: number,
    status: number,
  ): number {
    if ((this.#rowCount + 1) * STEP > this.#rows.length) this.#growRows();
    const row = this.#rowCount++;
    const at = row * STEP;
    const rows = this.#rows;
    rows[at] = hash;
    rows[at + 1] = hash2;
    rows[at + 2] = envelope.fromAt;
    rows[at + 3] = envelope.fromEnd;
    rows[at + 4] = nameAt;
    rows[at + 5] = nameLength;
    rows[at + 6] = kind;
    rows[at + 7] = status;
    const numbers = this.#numbers;
    numbers[(at >>> 1) + 4] = 0;
    numbers[(at >>> 1) + 5] = 0;
    numbers[(at >>> 1) + 6] = Infinity;
    numbers[(at >>> 1) + 7] = 0;
    this.#place(row);
    return row;
  }

  #growRows(): void {
    const grown = new Uint32Array(this.#rows.length * 2);
    grown.set(this.#rows);
    this.#rows = grown;
    this.#numbers = new Float64Array(grown.buffer);
    this.#table = new Uint32Array(this.#table.length * 2);
    for (let row = 0; row < this.#rowCount; row++) this.#place(row);
  }

  #place(row: number): void {
    const table = this.#table;
    let slot = this.#rows[row * STEP]! & (table.length - 1);
    while (table[slot] !== 0) slot = (slot + 1) & (table.length - 1);
    table[slot] = row + 1;
  }

  #weightOf(span: SpanView): number {
    if (span.traceStateTagAt < 0) return 1;
    const ot = this.#ot;
    readOtState(this.#bytes, span.traceStateAt, span.traceStateEnd, ot);
    if (!ot.hasThreshold) return 1;
    return this.#rounded(span.spanIdAt < 0 ? 2 ** 31 : hashBytes(this.#bytes, span.spanIdAt, 8, HASH_SEED));
  }

  /** Samplers of log records write their threshold as an attribute. */
  #weightOfLog({ at, end, attributes }: LogView): number {
    const bytes = this.#bytes;
    const value = this.#value;
    const found = attributes.count === 0 ? -1 : attributes.find(bytes, THRESHOLD);
    if (found < 0) return 1;
    readValue(this.#views.reader, attributes.valueAt(found), attributes.valueEnd(found), value);
    if (value.kind !== 'string' || !readThreshold(bytes, value.at, value.end, this.#ot.threshold)) return 1;
    return this.#rounded(hashBytes(bytes, at, end - at, HASH_SEED));
  }

  /** What the threshold read last says, rounded by a hash of the item, so that every reader rounds alike and the sum stays true. */
  #rounded(hash: number): number {
    const exact = adjustedCount(this.#ot.threshold);
    const whole = Math.floor(exact);
    return Math.min(0xffff_ffff, exact - whole > hash / 2 ** 32 ? whole + 1 : whole);
  }

  #pushEntry(word: number): void {
    if (this.#entryCount === this.#entries.length) {
      const grown = new Uint32Array(this.#entries.length * 2);
      grown.set(this.#entries);
      this.#entries = grown;
    }
    this.#entries[this.#entryCount++] = word;
  }
}
