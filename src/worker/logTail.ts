// HOT: once per kept log record. Bench: bench/micro/worker/choose.bench.ts
/**
 * What sampling writes to a log record, which has no tracestate: `sampling.threshold`, and `sampling.randomness` where it was made from the
 * record. A threshold that is there and higher stays; a lower one is replaced, so that the key never stands twice.
 */
import { type AttributeTable, emptyValue, readValue } from '../otlp/attributes.ts';
import type { LogView } from '../otlp/logs.ts';
import { copyRange, Reader, readEnd, readTag, skipField } from '../otlp/protobuf.ts';
import { atLeast, type Bits56, readThreshold } from '../otlp/tracestate.ts';
import { holdsKey, Marks } from './marks.ts';
import { LOG_ATTRIBUTES, logAttribute, type Tail } from './tails.ts';

const THRESHOLD = Buffer.from('sampling.threshold');
const RANDOMNESS = Buffer.from('sampling.randomness');
const EMPTY_RANDOMNESS = logAttribute('sampling.randomness', '0'.repeat(14));
const RANDOMNESS_DIGITS_AT = EMPTY_RANDOMNESS.length - 14;
const DIGITS = Buffer.from('0123456789abcdef');
const DIGITS_A_HALF = 7;
const NONE = Buffer.alloc(0);

export class LogTail {
  readonly #log: LogView;
  readonly #reader: Reader;
  readonly #value = emptyValue();
  readonly #before: Bits56 = { high: 0, low: 0 };
  readonly #marks = new Marks();

  constructor(log: LogView, bytes: Buffer) {
    this.#log = log;
    this.#reader = new Reader(bytes);
  }

  /** How much the record read last grows by. */
  growth(tail: Tail, randomness: Bits56 | null): number {
    const { attributes } = this.#log;
    const growth = this.#readMarks(tail).length - this.#marks.bytes;
    if (tail.text === '0') return growth;
    const before = attributes.count === 0 ? -1 : attributes.find(this.#reader.bytes, THRESHOLD);
    if (before >= 0 && this.#stays(attributes, before, tail)) return growth;
    const removed = before < 0 ? 0 : this.#lengthOfThresholds();
    const randomnessBytes = this.#addsRandomness(randomness) ? EMPTY_RANDOMNESS.length : 0;
    return growth + tail.logThreshold.length - removed + randomnessBytes;
  }

  /** Writes the record read last with what `growth` counted. */
  write(bytes: Buffer, tail: Tail, randomness: Bits56 | null, to: number): number {
    const { at, end, attributes } = this.#log;
    const reason = this.#readMarks(tail);
    const isPlain = tail.text === '0';
    const before = isPlain || attributes.count === 0 ? -1 : attributes.find(bytes, THRESHOLD);
    if (isPlain || (before >= 0 && this.#stays(attributes, before, tail)))
      return append(bytes, reason, this.#marks.copy(bytes, at, end, -1, -1, to));
    const body = before < 0 ? this.#marks.copy(bytes, at, end, -1, -1, to) : this.#copyWithout(bytes, to);
    const out = append(bytes, tail.logThreshold, append(bytes, reason, body));
    if (!this.#addsRandomness(randomness)) return out;
    append(bytes, EMPTY_RANDOMNESS, out);
    writeDigits(bytes, randomness!.high, out + RANDOMNESS_DIGITS_AT);
    writeDigits(bytes, randomness!.low, out + RANDOMNESS_DIGITS_AT + DIGITS_A_HALF);
    return out + EMPTY_RANDOMNESS.length;
  }

  /** The reason that is written; none to what stays a look-back's. */
  #readMarks(tail: Tail): Buffer {
    const { at, end, attributes } = this.#log;
    this.#marks.read(this.#reader, at, end, LOG_ATTRIBUTES, attributes);
    return this.#marks.isLookBack ? NONE : tail.logReason;
  }

  #addsRandomness(randomness: Bits56 | null): boolean {
    return randomness !== null && this.#log.attributes.find(this.#reader.bytes, RANDOMNESS) < 0;
  }

  #stays(attributes: AttributeTable, index: number, tail: Tail): boolean {
    if (attributes.valueAt(index) < 0) return false;
    readValue(this.#reader, attributes.valueAt(index), attributes.valueEnd(index), this.#value);
    const { kind, at, end } = this.#value;
    return (
      kind === 'string' && readThreshold(this.#reader.bytes, at, end, this.#before) && atLeast(this.#before, tail.bits)
    );
  }

  #lengthOfThresholds(): number {
    let bytes = 0;
    this.#eachField((from, to, isThreshold) => {
      if (isThreshold) bytes += to - from;
    });
    return bytes;
  }

  #copyWithout(bytes: Buffer, to: number): number {
    let out = to;
    this.#eachField((from, stop, isThreshold) => {
      if (!isThreshold && !this.#marks.has(from)) out = copyRange(bytes, from, stop, out);
    });
    return out;
  }

  /** Rare: only for records that were sampled before, at a larger share. */
  #eachField(visit: (from: number, to: number, isThreshold: boolean) => void): void {
    const reader = this.#reader;
    const { at, end, attributes } = this.#log;
    reader.pos = at;
    while (reader.pos < end) {
      const from = reader.pos;
      const tag = readTag(reader, end);
      const start = reader.pos;
      let isThreshold = false;
      if (tag === LOG_ATTRIBUTES) {
        const stop = readEnd(reader, end);
        isThreshold = holdsKey(attributes, reader.bytes, start, stop, THRESHOLD);
      }
      reader.pos = start;
      skipField(reader, tag, end);
      visit(from, reader.pos, isThreshold);
    }
  }
}

/** Half of a randomness in hex. */
function writeDigits(bytes: Buffer, half: number, to: number): void {
  for (let i = DIGITS_A_HALF - 1, rest = half; i >= 0; i--, rest >>>= 4) bytes[to + i] = DIGITS[rest & 15]!;
}

function append(bytes: Buffer, tail: Buffer, to: number): number {
  for (let i = 0; i < tail.length; i++) bytes[to + i] = tail[i]!;
  return to + tail.length;
}
