// HOT: once per log record without a trace. Bench: bench/micro/processors/sample/select.bench.ts
/** R of a log record that belongs to no trace: from its time and body, so that a repeated record is decided alike. */
import type { LogView } from './logs.ts';
import { HASH_SEED, signedHashName } from './protobuf.ts';
import type { Bits56 } from './tracestate.ts';

export function recordRandomness(view: DataView, log: LogView, into: Bits56): void {
  const from = log.bodyAt < 0 ? log.at : log.bodyAt;
  const length = (log.bodyAt < 0 ? log.end : log.bodyEnd) - from;
  const first = mix(signedHashName(view, from, length, HASH_SEED ^ log.timeLow) ^ log.timeHigh);
  into.high = first >>> 4;
  into.low = mix(first ^ log.timeLow) >>> 4;
}

/** MurmurHash3's finaliser: the hash alone leaves the high bits uneven. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
