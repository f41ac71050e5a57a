// HOT: once per group of a flush, on main, where requests wait meanwhile. Bench: bench/micro/otlp/writeMetrics.bench.ts
/**
 * Writes the agent's own metrics as an ExportMetricsServiceRequest, without objects between.
 *
 * Field numbers: opentelemetry-proto 1.11.0, https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/opentelemetry/proto/metrics/v1/metrics.proto
 */
import type { Attributes, HistogramValue, Metric, Point } from '../core/otel.ts';
import { Integer } from './jsonNumbers.ts';
import { Reader, readEnd, writeCount } from './protobuf.ts';
import { ProtoOutput } from './protoOutput.ts';

const WORD = 0x1_0000_0000;
const DELTA = 1;
const SCOPE_NAME = 'plumbline';
/** Of `oneof data` in Metric, by kind. */
const DATA_TAGS: Record<Metric['kind'], number> = { gauge: 42, sum: 58, histogram: 82 };
/** Most bytes that the length of a point, and of what encloses many, takes as a rule; another one moves what follows. */
const POINT_LENGTH = 2;
const LIST_LENGTH = 3;
/** Characters up to which text is copied one by one. */
const MOST_COPIED = 64;
/** Of attributes that were encoded beforehand. It takes a byte, as do those of attributes in every message. */
const ENCODED_TAG = 10;

/** Sums and histograms are deltas from `startMs` to `endMs`. */
export function writeMetrics(
  resources: readonly { attributes: Attributes; metrics: readonly Metric[] }[],
  startMs: number,
  endMs: number,
): Uint8Array {
  const writer = new MetricWriter(startMs, endMs);
  for (const { attributes, metrics } of resources) writer.resource(attributes, metrics);
  return writer.take();
}

/** Attributes as `Point.attributes` may have them instead: made once, copied into each request. */
export function encodeAttributes(attributes: Attributes): Uint8Array {
  attributeWriter.out.reset(0);
  attributeWriter.attributes(ENCODED_TAG, attributes);
  return Uint8Array.from(attributeWriter.out.take());
}

/** The same, one resource after the other. */
export class MetricWriter {
  readonly out = new ProtoOutput(Number.MAX_SAFE_INTEGER);
  readonly #number = new Integer();
  #reader = new Reader(this.out.bytes);
  /** Start and time of every point, with their tags: they have the same numbers in all kinds. */
  readonly #times = Buffer.alloc(18);

  constructor(startMs: number, endMs: number) {
    this.#times[0] = 17;
    this.#times.writeBigUInt64LE(BigInt(Math.round(startMs * 1000)) * 1000n, 1);
    this.#times[9] = 25;
    this.#times.writeBigUInt64LE(BigInt(Math.round(endMs * 1000)) * 1000n, 10);
  }

  take(): Uint8Array {
    return this.out.take();
  }

  resource(attributes: Attributes, metrics: readonly Metric[]): void {
    const { out } = this;
    const whole = out.open(10, LIST_LENGTH);
    const resource = out.open(10, POINT_LENGTH);
    this.attributes(10, attributes);
    out.close(resource, POINT_LENGTH);
    const scopeMetrics = out.open(18, LIST_LENGTH);
    const scope = out.open(10, 1);
    this.#text(10, SCOPE_NAME);
    out.close(scope, 1);
    for (const metric of metrics) this.#metric(metric);
    out.close(scopeMetrics, LIST_LENGTH);
    out.close(whole, LIST_LENGTH);
  }

  #metric(metric: Metric): void {
    const { out } = this;
    const whole = out.open(18, LIST_LENGTH);
    this.#text(10, metric.name);
    this.#text(18, metric.description);
    this.#text(26, metric.unit);
    const data = out.open(DATA_TAGS[metric.kind], LIST_LENGTH);
    if (metric.kind === 'histogram') for (const point of metric.points) this.#histogram(point);
    else for (const point of metric.points) this.#value(point, metric.kind === 'sum');
    if (metric.kind !== 'gauge') out.writeByte(16, DELTA);
    if (metric.kind === 'sum') out.writeByte(24, 1);
    out.close(data, LIST_LENGTH);
    out.close(whole, LIST_LENGTH);
  }

  /** NumberDataPoint: a sum is an integer, a gauge a double. */
  #value({ attributes, value }: Point<number>, isSum: boolean): void {
    const { out } = this;
    const point = out.open(10, POINT_LENGTH);
    this.#writeTimes();
    if (isSum) this.#integer(49, 'sfixed64', value);
    else this.#double(33, value);
    this.attributes(58, attributes);
    out.close(point, POINT_LENGTH);
  }

  /** ExponentialHistogramDataPoint */
  #histogram({ attributes, value }: Point<HistogramValue>): void {
    const { count, sum, min, max, scale, zeroCount, offset, counts } = value;
    const { out } = this;
    const point = out.open(10, POINT_LENGTH);
    this.attributes(10, attributes);
    this.#writeTimes();
    this.#integer(33, 'fixed64', count);
    this.#double(41, sum);
    this.#integer(48, 'sint32', scale);
    this.#integer(57, 'fixed64', zeroCount);
    const positive = out.open(66, POINT_LENGTH);
    this.#integer(8, 'sint32', offset);
    this.#counts(counts);
    out.close(positive, POINT_LENGTH);
    this.#double(97, min);
    this.#double(105, max);
    out.close(point, POINT_LENGTH);
  }

  /** packed uint64, at most ten bytes each. */
  #counts(counts: readonly number[]): void {
    const { out } = this;
    const before = out.reserve(18, counts.length * 10);
    const { bytes } = out;
    let to = out.at;
    for (let i = 0; i < counts.length; i++) to = writeCount(bytes, to, counts[i]!);
    out.closeReserved(before, 18, to);
  }

  #writeTimes(): void {
    const { out } = this;
    const times = this.#times;
    // Without a call: it is short, and there are two for each group.
    const { bytes, at } = out.ensure(times.length);
    for (let i = 0; i < times.length; i++) bytes[at + i] = times[i]!;
    out.at += times.length;
  }

  /** A field of this tag for each. */
  attributes(tag: number, attributes: Attributes | Uint8Array): void {
    if (attributes instanceof Uint8Array) {
      this.#encoded(tag, attributes);
      return;
    }
    const { out } = this;
    for (const key in attributes) {
      const value = attributes[key]!;
      const entry = out.open(tag, 1);
      this.#text(10, key);
      const any = out.open(18, 1);
      if (Array.isArray(value)) {
        const array = out.open(42, 1);
        for (const one of value) {
          const item = out.open(10, 1);
          this.#text(10, one);
          out.close(item, 1);
        }
        out.close(array, 1);
      } else this.#anyValue(value);
      out.close(any, 1);
      out.close(entry, 1);
    }
  }

  #encoded(tag: number, fields: Uint8Array): void {
    const { bytes, at } = this.out.ensure(fields.length);
    bytes.set(fields, at);
    this.out.at += fields.length;
    if (tag === ENCODED_TAG) return;
    if (this.#reader.bytes !== bytes) this.#reader = new Reader(bytes);
    const reader = this.#reader;
    for (reader.pos = at; reader.pos < this.out.at; reader.pos = readEnd(reader, this.out.at))
      bytes[reader.pos++] = tag;
  }

  #anyValue(value: string | number | boolean): void {
    if (typeof value === 'string') this.#text(10, value);
    else if (typeof value === 'boolean') this.out.writeByte(16, value ? 1 : 0);
    else if (Number.isInteger(value)) this.#integer(24, 'int64', value);
    else this.#double(33, value);
  }

  #text(tag: number, text: string): void {
    const { out } = this;
    if (text.length > MOST_COPIED || !this.#copyText(tag, text)) {
      out.reserve(tag, Buffer.byteLength(text));
      out.at += out.bytes.write(text, out.at);
    }
  }

  /** What is short and has one byte a character goes without a call of the runtime's; false, and nothing is written, for other text. */
  #copyText(tag: number, text: string): boolean {
    const { out } = this;
    const before = out.reserve(tag, text.length);
    const { bytes, at } = out;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) {
        out.at = before;
        return false;
      }
      bytes[at + i] = code;
    }
    out.at += text.length;
    return true;
  }

  #double(tag: number, value: number): void {
    this.out.writeTag(tag);
    this.out.writeDouble(value);
  }

  /** `value`: an integer that a double holds exactly. */
  #integer(tag: number, kind: 'int64' | 'fixed64' | 'sfixed64' | 'sint32', value: number): void {
    this.out.writeTag(tag);
    this.#hold(value);
    this.out.writeInteger(kind, this.#number);
  }

  #hold(value: number): void {
    const size = Math.abs(value);
    this.#number.negative = value < 0;
    this.#number.high = Math.floor(size / WORD);
    this.#number.low = size % WORD;
  }
}

/** Its memory is used again for each. */
const attributeWriter = new MetricWriter(0, 0);
