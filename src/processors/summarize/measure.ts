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
  const index = ((high >>> 20) - 1023) * PER_DOUBLING + within + BUCKET_BIAS;
  return index < 0 ? 0 : index >= ZERO_BUCKET ? ZERO_BUCKET - 1 : index;
}

export function createMeasurer(views: Views): Measurer {
  const bytes = views.pool.bytes;
  const { view } = views.reader;
  let rows = new Uint32Array(STEP * 256);
  let numbers = new Float64Array(rows.buffer);
  let rowCount = 0;
  let entries = new Uint32Array(4096);
  let entryCount = 0;
  /** Open addressing: row number + 1, 0 is empty. */
  let table = new Uint32Array(1024);
  /** Two of different making, as a name has them. */
  let resourceFirst = 0;
  let resourceSecond = 0;
  const value = emptyValue();
  const ot = new OtState();

  function growRows(): void {
    const grown = new Uint32Array(rows.length * 2);
    grown.set(rows);
    rows = grown;
    numbers = new Float64Array(rows.buffer);
    table = new Uint32Array(table.length * 2);
    for (let row = 0; row < rowCount; row++) place(row);
  }

  function place(row: number): void {
    let slot = rows[row * STEP]! & (table.length - 1);
    while (table[slot] !== 0) slot = (slot + 1) & (table.length - 1);
    table[slot] = row + 1;
  }

  /** The group's row, new with its identity filled in when it is the first of the task. */
  function rowOf(envelope: Envelope, nameAt: number, name: NameHash, kind: number, status: number): number {
    const group = Math.imul(kind * 31 + status + 1, 0x9e37_79b1);
    // 64 bits of identity, of which main keeps 53.
    const hash = mixHash(name.first ^ resourceFirst ^ group) >>> 0;
    const hash2 = (mixHash(name.second ^ resourceSecond) ^ group) >>> 0;
    let slot = hash & (table.length - 1);
    for (let found = table[slot]!; found !== 0; slot = (slot + 1) & (table.length - 1), found = table[slot]!) {
      const at = (found - 1) * STEP;
      if (rows[at] === hash && rows[at + 1] === hash2) return found - 1;
    }
    if ((rowCount + 1) * STEP > rows.length) growRows();
    const row = rowCount++;
    const at = row * STEP;
    rows[at] = hash;
    rows[at + 1] = hash2;
    rows[at + 2] = envelope.fromAt;
    rows[at + 3] = envelope.fromEnd;
    rows[at + 4] = nameAt;
    rows[at + 5] = name.length;
    rows[at + 6] = kind;
    rows[at + 7] = status;
    numbers[(at >>> 1) + 4] = 0;
    numbers[(at >>> 1) + 5] = 0;
    numbers[(at >>> 1) + 6] = Infinity;
    numbers[(at >>> 1) + 7] = 0;
    place(row);
    return row;
  }

  function weightOf(span: SpanView): number {
    if (span.traceStateTagAt < 0) return 1;
    readOtState(bytes, span.traceStateAt, span.traceStateEnd, ot);
    if (!ot.hasThreshold) return 1;
    return rounded(span.spanIdAt < 0 ? 2 ** 31 : hashBytes(bytes, span.spanIdAt, 8, HASH_SEED));
  }

  /** Samplers of log records write their threshold as an attribute. */
  function weightOfLog({ at, end, attributes }: LogView): number {
    const found = attributes.count === 0 ? -1 : attributes.find(bytes, THRESHOLD);
    if (found < 0) return 1;
    readValue(views.reader, attributes.valueAt(found), attributes.valueEnd(found), value);
    if (value.kind !== 'string' || !readThreshold(bytes, value.at, value.end, ot.threshold)) return 1;
    return rounded(hashBytes(bytes, at, end - at, HASH_SEED));
  }

  /** What the threshold read last says, rounded by a hash of the item, so that every reader rounds alike and the sum stays true. */
  function rounded(hash: number): number {
    const exact = adjustedCount(ot.threshold);
    const whole = Math.floor(exact);
    return Math.min(0xffff_ffff, exact - whole > hash / 2 ** 32 ? whole + 1 : whole);
  }

  function pushEntry(word: number): void {
    if (entryCount === entries.length) {
      const grown = new Uint32Array(entries.length * 2);
      grown.set(entries);
      entries = grown;
    }
    entries[entryCount++] = word;
  }

  return {
    reset() {
      rowCount = 0;
      entryCount = 0;
      table.fill(0);
    },
    enterResource(envelope) {
      const { resource } = envelope;
      let first = HASH_SEED;
      let second = 0;
      let told = 0;
      for (let i = 0; i < resource.count && told < MOST_ATTRIBUTES; i++) {
        const keyAt = resource.keyAt(i);
        const keyLength = resource.keyLength(i);
        if (keyLength < PREFIX_BYTES || view.getUint32(keyAt, true) !== SERV || view.getUint32(keyAt + 4, true) !== ICE)
          continue;
        readValue(views.reader, resource.valueAt(i), resource.valueEnd(i), value);
        if (value.kind !== 'string') continue;
        told++;
        const keyHash = hashBytes(bytes, keyAt, cutLength(bytes, keyAt, keyLength), HASH_SEED);
        const valueLength = cutLength(bytes, value.at, value.end - value.at);
        // Sums, so that their order says nothing; mixed, or what two texts that end alike change would cancel. Signed, because a uint32 in
        // a closure would be boxed.
        first = (first + mixHash(hashBytes(bytes, value.at, valueLength, keyHash))) | 0;
        second = (second + mixHash(hashWords(view, value.at, valueLength, keyHash))) | 0;
      }
      resourceFirst = first;
      resourceSecond = second;
    },
    span(span, envelope) {
      if (span.isAdded) return;
      const name = span.nameHash(views.reader);
      const row = rowOf(envelope, span.nameAt, name, span.kind & 0xff, span.status & 0xff);
      const ms = span.durationNs() / 1e6;
      const weight = weightOf(span);
      const at = row * (STEP / 2) + 4;
      numbers[at] = numbers[at]! + weight;
      numbers[at + 1] = numbers[at + 1]! + ms * weight;
      if (ms < numbers[at + 2]!) numbers[at + 2] = ms;
      if (ms > numbers[at + 3]!) numbers[at + 3] = ms;
      if (weight === 1) pushEntry((row << 12) | bucketOf(ms));
      else {
        pushEntry((row << 12) | WEIGHTED | bucketOf(ms));
        pushEntry(weight);
      }
    },
    log(log: LogView, envelope: Envelope) {
      if (log.isAdded) return;
      const row = rowOf(envelope, envelope.fromAt, NO_NAME, log.severity & 0xff, LOG_ROW);
      const at = row * (STEP / 2) + 4;
      numbers[at] = numbers[at]! + weightOfLog(log);
    },
    size: () => HEADER_BYTES + rowCount * ROW_BYTES + entryCount * 4,
    write(out, at) {
      const words = new Uint32Array(out.buffer, out.byteOffset + at, 2 + rowCount * STEP + entryCount);
      words[0] = rowCount;
      words[1] = entryCount;
      words.set(rows.subarray(0, rowCount * STEP), 2);
      words.set(entries.subarray(0, entryCount), 2 + rowCount * STEP);
      return at + words.byteLength;
    },
  };
}
