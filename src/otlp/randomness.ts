// HOT: once per log record. Bench: bench/micro/processors/sample/select.bench.ts
/** R of a log record: as a sampler before this one has written it, else that of its trace, else made from the record. */
import { emptyValue, readValue } from './attributes.ts';
import type { LogView } from './logs.ts';
import { HASH_SEED, hashWords, mixHash, type Reader } from './protobuf.ts';
import { type Bits56, readRandomness, readStatedRandomness, readThreshold } from './tracestate.ts';

const STATED = Buffer.from('sampling.randomness');
const THRESHOLD = Buffer.from('sampling.threshold');
const HALF = 0x1000_0000;
const value = emptyValue();
const before: Bits56 = { high: 0, low: 0 };

/** Fills `into` for the record read last; true when it was made from the record, and nothing else says it. */
export function logRandomness(reader: Reader, log: LogView, into: Bits56): boolean {
  if (isStated(reader, log, into)) return false;
  if (log.traceIdAt < 0) {
    recordRandomness(reader.view, log, into);
    if (isText(reader, log, THRESHOLD) && readThreshold(reader.bytes, value.at, value.end, before)) raise(into, before);
    return true;
  }
  readRandomness(reader.bytes, log.traceIdAt, into);
  return false;
}

function isStated(reader: Reader, log: LogView, into: Bits56): boolean {
  return isText(reader, log, STATED) && readStatedRandomness(reader.bytes, value.at, value.end, into);
}

/** Whether the attribute is there and a text; `value` is that then. */
function isText(reader: Reader, { attributes }: LogView, key: Buffer): boolean {
  if (attributes.count === 0) return false;
  const row = attributes.find(reader.bytes, key);
  if (row < 0 || attributes.valueAt(row) < 0) return false;
  readValue(reader, attributes.valueAt(row), attributes.valueEnd(row), value);
  return value.kind === 'string';
}

/**
 * Who kept the record by a threshold and does not say by which randomness had one that reached it: evenly spread from there on. With one of its
 * own, a record would have to be as lucky a second time, and would not count for that.
 */
function raise(random: Bits56, { high, low }: Bits56): void {
  // 48 bits of it, so that no rounding leads beyond the end.
  const share = (random.high + (random.low >>> 8) / 2 ** 20) / HALF;
  const more = Math.floor(share * ((HALF - 1 - high) * HALF + (HALF - low)));
  const moreHigh = Math.floor(more / HALF);
  const sum = low + (more - moreHigh * HALF);
  random.high = high + moreHigh + (sum >= HALF ? 1 : 0);
  random.low = sum >= HALF ? sum - HALF : sum;
}

/** From its time and body, so that a repeated record is decided alike. */
export function recordRandomness(view: DataView, log: LogView, into: Bits56): void {
  const from = log.bodyAt < 0 ? log.at : log.bodyAt;
  const length = (log.bodyAt < 0 ? log.end : log.bodyEnd) - from;
  // The hash alone leaves the high bits uneven.
  const first = mixHash(hashWords(view, from, length, HASH_SEED ^ log.timeLow) ^ log.timeHigh);
  into.high = first >>> 4;
  into.low = mixHash(first ^ log.timeLow) >>> 4;
}
