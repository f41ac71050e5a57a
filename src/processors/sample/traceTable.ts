// HOT: once per trace of a request. Bench: bench/micro/processors/sample/traceTable.bench.ts
/**
 * The trace table: what is known of every trace that passed lately, in shared memory. Main is the only writer, workers read.
 *
 *   entry, 16 bytes:  | id low | id high | first seen, ticks since start | late classes << 8 | class |
 *
 * Open addressing over PROBES neighbouring slots; where all are taken the oldest trace goes, which is counted when it was not decided
 * yet. Nothing is ever deleted otherwise, so readers need no lock: they see an entry before or after, and a half-written one matches
 * an id by a chance of 2^-32 alone.
 */

import type { TraceTableHandle } from '../processor.ts';

/** In the order in which one outdoes another. */
export const CLASSES = ['base', 'anomalous', 'slow', 'error'] as const;
export type TraceClass = (typeof CLASSES)[number];
export const BASE = 0;
export const ANOMALOUS = 1;
export const SLOW = 2;
export const ERROR = 3;
/** `find` of a trace that is not in the table. */
export const ABSENT = -1;

const STEP = 4;
const PROBES = 16;
/** Times are kept in these: 32 bits of milliseconds would wrap after seven weeks, this does after two years. */
const TICK_MS = 16;

/** `traces` is how many can be remembered at half load; 32 bytes each. */
export function createTraceTable(traces: number, waitMs: number, startMs: number): TraceTableHandle {
  const slots = 2 ** Math.ceil(Math.log2(Math.max(1024, traces * 2)));
  return { memory: new SharedArrayBuffer(slots * STEP * 4), startMs, waitMs };
}

function slotOf(low: number, high: number, mask: number): number {
  // MurmurHash3's finaliser: ids that differ in their high bits alone must not meet.
  let hash = low ^ Math.imul(high, 0x9e37_79b1);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) & mask;
}

/** Main's side. */
export class TraceTable {
  /** Traces that had to go before they were decided. */
  evicted = 0;
  readonly #words: Uint32Array;
  readonly #mask: number;
  readonly #handle: TraceTableHandle;

  constructor(handle: TraceTableHandle) {
    this.#handle = handle;
    this.#words = new Uint32Array(handle.memory);
    this.#mask = this.#words.length / STEP - 1;
  }

  /** Notes that an item of the trace came at `receivedMs` and is of this class. Marks count until `wait` after the first item. */
  mark(low: number, high: number, receivedMs: number, traceClass: number): void {
    const words = this.#words;
    const now = Math.max(0, Math.floor((receivedMs - this.#handle.startMs) / TICK_MS));
    const wait = Math.floor(this.#handle.waitMs / TICK_MS);
    let place = -1;
    let oldest = Infinity;
    const home = slotOf(low, high, this.#mask);
    for (let i = 0; i < PROBES; i++) {
      const at = ((home + i) & this.#mask) * STEP;
      const first = words[at + 2]!;
      if (words[at] === low && words[at + 1] === high) {
        const known = words[at + 3]!;
        if (now <= first + wait) words[at + 3] = Math.max(known & 0xff, traceClass);
        else words[at + 3] = known | (traceClass === BASE ? 0 : 0x100 << traceClass);
        return;
      }
      if (words[at] === 0 && words[at + 1] === 0) {
        oldest = -Infinity;
        place = at;
        break;
      }
      if (first < oldest) {
        oldest = first;
        place = at;
      }
    }
    if (now <= oldest + wait) this.evicted++;
    words[place] = low;
    words[place + 1] = high;
    words[place + 2] = now;
    words[place + 3] = traceClass;
  }
}

/** A worker's side: `late << 8 | class` of the trace, or ABSENT. */
export function findTrace(words: Uint32Array, low: number, high: number): number {
  const mask = words.length / STEP - 1;
  const home = slotOf(low, high, mask);
  for (let i = 0; i < PROBES; i++) {
    const at = ((home + i) & mask) * STEP;
    if (words[at] === low && words[at + 1] === high) return words[at + 3]!;
    if (words[at] === 0 && words[at + 1] === 0) return ABSENT;
  }
  return ABSENT;
}

/** Whether the trace had items of this class after it was decided. */
export function isLate(entry: number, traceClass: number): boolean {
  return (entry & (0x100 << traceClass)) !== 0;
}
