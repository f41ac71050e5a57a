// HOT: once per span. Bench: bench/micro/processors/sample/mark.bench.ts
/**
 * From which duration on a span is slow for its operation (service, span name and kind), in shared memory: main learns it (operations.ts),
 * workers read it.
 *
 *   | table in force | entries of table 0 | of table 1 | pad | table 0 | table 1 |     entry: | operation's hash | milliseconds, f32 |
 *
 * Main fills the table that is not in force, then puts it in force; a worker stays with one for a task. Between two changes lie seconds,
 * and a worker that is slower than that may miss a mark or make one too many.
 */
import { mixHash } from '../../otlp/protobuf.ts';
import { hashOfService } from '../../otlp/resource.ts';
import { NameHash } from '../../otlp/spanName.ts';
import type { SpanView } from '../../otlp/traces.ts';

/** Operations that can have a limit at once: half of the places. */
export const MOST_LIMITS = 2048;
const PLACES = MOST_LIMITS * 2;
const HEADER_WORDS = 4;
const TABLE_WORDS = PLACES * 2;

export function createLimits(): SharedArrayBuffer {
  return new SharedArrayBuffer((HEADER_WORDS + 2 * TABLE_WORDS) * 4);
}

/** What an operation is known by; never 0. Signed, as all that is compared with it. `service`: the envelope's `serviceMix`. */
export function hashOfOperation(name: NameHash, kind: number, service: number): number {
  return mixHash(name.first ^ service ^ Math.imul((kind & 0xff) + 1, 0x9e37_79b1)) || 1;
}

/** The same, by names. */
export function operationOf(service: string, name: string, kind: number): number {
  return hashOfOperation(NameHash.of(name), kind, mixHash(hashOfService(service)));
}

function homeOf(operation: number): number {
  return (operation ^ (operation >>> 15)) & (PLACES - 1);
}

/** A worker's side. */
export class Limits {
  readonly #words: Int32Array;
  readonly #numbers: Float32Array;
  #from = HEADER_WORDS;
  #isEmpty = true;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
    this.#numbers = new Float32Array(memory);
    this.begin();
  }

  /** A task begins: goes on with the table in force. */
  begin(): void {
    const table = Atomics.load(this.#words, 0);
    this.#from = HEADER_WORDS + table * TABLE_WORDS;
    this.#isEmpty = this.#words[1 + table] === 0;
  }

  /** Whether the span lasted longer than what is usual of its operation; false of one that has no limit. */
  isOver(operation: number, span: SpanView): boolean {
    if (this.#isEmpty) return false;
    const at = this.#placeOf(operation);
    return at >= 0 && span.durationNs() > this.#numbers[at + 1]! * 1e6;
  }

  /** The operation's limit, milliseconds; Infinity when it has none. */
  of(operation: number): number {
    const at = this.#placeOf(operation);
    return at < 0 ? Infinity : this.#numbers[at + 1]!;
  }

  #placeOf(operation: number): number {
    const words = this.#words;
    // Half of the places are free, so it ends.
    for (let place = homeOf(operation); ; place = (place + 1) & (PLACES - 1)) {
      const at = this.#from + place * 2;
      if (words[at] === operation) return at;
      if (words[at] === 0) return -1;
    }
  }
}

/** Main's side: puts these limits (milliseconds by operation) in force; those beyond MOST_LIMITS are left out. */
export function publishLimits(memory: SharedArrayBuffer, limits: ReadonlyMap<number, number>): void {
  const words = new Int32Array(memory);
  const numbers = new Float32Array(memory);
  const table = 1 - Atomics.load(words, 0);
  const from = HEADER_WORDS + table * TABLE_WORDS;
  words.fill(0, from, from + TABLE_WORDS);
  let count = 0;
  for (const [operation, limitMs] of limits) {
    if (count === MOST_LIMITS) break;
    let place = homeOf(operation);
    while (words[from + place * 2] !== 0) place = (place + 1) & (PLACES - 1);
    numbers[from + place * 2 + 1] = limitMs;
    words[from + place * 2] = operation;
    count++;
  }
  words[1 + table] = count;
  Atomics.store(words, 0, table);
}
