// HOT: once per log record. Bench: bench/micro/processors/sample/select.bench.ts
/** R of a log record: as a sampler before this one has written it, else that of its trace, else made from the record. */
import { emptyValue, readValue } from './attributes.ts';
import type { LogView } from './logs.ts';
import { HASH_SEED, hashWords, mixHash, type Reader } from './protobuf.ts';
import { type Bits56, readRandomness, readStatedRandomness } from './tracestate.ts';

const STATED = Buffer.from('sampling.randomness');
const value = emptyValue();

/** Fills `into` for the record read last; true when it was made from the record, and nothing else says it. */
export function logRandomness(reader: Reader, log: LogView, into: Bits56): boolean {
  if (isStated(reader, log, into)) return false;
  if (log.traceIdAt < 0) {
    recordRandomness(reader.view, log, into);
    return true;
  }
  readRandomness(reader.bytes, log.traceIdAt, into);
  return false;
}

function isStated(reader: Reader, { attributes }: LogView, into: Bits56): boolean {
  if (attributes.count === 0) return false;
  const row = attributes.find(reader.bytes, STATED);
  if (row < 0 || attributes.valueAt(row) < 0) return false;
  readValue(reader, attributes.valueAt(row), attributes.valueEnd(row), value);
  return value.kind === 'string' && readStatedRandomness(reader.bytes, value.at, value.end, into);
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
