// HOT: once per data point that somebody measures. Bench: bench/micro/contracts/measure.bench.ts
/** Tells series apart: 53 bits of the resource, the scope, the metric's name and the point's attributes, in whatever order these come. */
import type { MetricView } from './metrics.ts';
import type { PointView } from './points.ts';
import { HASH_SEED, hashBytes, mixHash, Reader, readEnd, readTag, SECOND_SEED, skipField } from './protobuf.ts';
import type { Envelope } from './resource.ts';

export class SeriesKey {
  readonly #bytes: Uint8Array;
  readonly #reader: Reader;
  /** The resource is not yet hashed. */
  #isFresh = true;
  /** Two hashes, of different seeds: of the resource, and of it and the scope. */
  #resourceLow = 0;
  #resourceHigh = 0;
  #scopeLow = 0;
  #scopeHigh = 0;
  /** The ScopeMetrics message that they are of. */
  #scopeFrom = -1;
  #scopeEnd = -1;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#reader = new Reader(bytes);
  }

  /** Another resource is entered. */
  begin(): void {
    this.#isFresh = true;
  }

  of(metric: MetricView, { attributes }: PointView, envelope: Envelope): number {
    const bytes = this.#bytes;
    const { nameAt, nameLength } = metric;
    if (this.#isFresh) this.#enterResource(envelope);
    if (metric.at < this.#scopeFrom || metric.at >= this.#scopeEnd) this.#enterScope(metric.at);
    let low = hashBytes(bytes, nameAt, nameLength, this.#scopeLow);
    let high = hashBytes(bytes, nameAt, nameLength, this.#scopeHigh);
    for (let i = 0; i < attributes.count; i++) {
      const at = attributes.keyAt(i);
      const end = attributes.valueAt(i) < 0 ? at + attributes.keyLength(i) : attributes.valueEnd(i);
      // Mixed, or of `shard=1 replica=2` and `shard=2 replica=1` the sum would be the same.
      low = (low + mixHash(hashBytes(bytes, at, end - at, HASH_SEED))) >>> 0;
      high = (high + mixHash(hashBytes(bytes, at, end - at, SECOND_SEED))) >>> 0;
    }
    return (high >>> 11) * 0x1_0000_0000 + low;
  }

  #enterResource(envelope: Envelope): void {
    this.#isFresh = false;
    this.#resourceLow = envelope.hashResource(HASH_SEED);
    this.#resourceHigh = envelope.hashResource(SECOND_SEED);
    this.#scopeLow = this.#resourceLow;
    this.#scopeHigh = this.#resourceHigh;
    this.#scopeFrom = envelope.resourceEnd;
    this.#scopeEnd = envelope.resourceEnd;
  }

  /**
   * Finds the scope of the metric that lies at `at`, from the one before on: the envelope has the attributes of scopes alone. A scope behind
   * its metrics, or before the resource, as no SDK writes them, is none.
   *
   *   ResourceMetrics { ...; repeated ScopeMetrics = 2 }      ScopeMetrics { InstrumentationScope scope = 1; repeated Metric = 2 }
   */
  #enterScope(at: number): void {
    const reader = this.#reader;
    const { length } = this.#bytes;
    this.#scopeLow = this.#resourceLow;
    this.#scopeHigh = this.#resourceHigh;
    reader.pos = this.#scopeEnd;
    while (this.#scopeEnd <= at) {
      const tag = readTag(reader, length);
      if (tag === 18) {
        this.#scopeEnd = readEnd(reader, length);
        this.#scopeFrom = reader.pos;
        reader.pos = this.#scopeEnd;
      } else skipField(reader, tag, length);
    }
    reader.pos = this.#scopeFrom;
    if (at < this.#scopeFrom || readTag(reader, this.#scopeEnd) !== 10) return;
    const end = readEnd(reader, this.#scopeEnd);
    this.#scopeLow = hashBytes(this.#bytes, reader.pos, end - reader.pos, this.#resourceLow);
    this.#scopeHigh = hashBytes(this.#bytes, reader.pos, end - reader.pos, this.#resourceHigh);
  }
}
