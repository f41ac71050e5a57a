// HOT: once per trace of a request. Bench: bench/micro/processors/sample/traceTable.bench.ts
/**
 * The trace table: what is known of every trace that passed lately, in shared memory. Main is the only writer, workers read.
 *
 *   entry, 16 bytes:  | id low | id high | first seen, ticks since start | last word |
 *   last word:        | bytes / 64 << 12 | milliseconds of first seen within the tick << 8 | late slow 0x80 | late error 0x40 | decided 0x20 | class |
 *
 * Open addressing over PROBES neighbouring places, from the first of a cache line on; where all are taken the oldest trace goes, which is
 * counted when it was not decided yet. Nothing is ever deleted otherwise, so readers need no lock: they see an entry before or after, and a
 * half-written one matches an id by a chance of 2^-32 alone.
 */
import { sharedMemory } from '../../core/aligned.ts';
import type { TraceTableHandle } from '../processor.ts';
import type { SlotTotals } from './budget.ts';
import { BASE, ERROR, SLOW } from './classes.ts';
import { createLimits } from './limits.ts';
import { createSlots, SLOT_MS, type Slots } from './slots.ts';

/** `findTrace` of a trace that is not in the table. */
const ABSENT = -1;

const STEP = 4;
const PROBES = 16;
const PLACES_A_LINE = 4;
/** Times are kept in these: 32 bits of milliseconds would wrap after seven weeks, this does after two years. */
const TICK_MS = 16;
const TICKS_PER_SLOT = SLOT_MS / TICK_MS;
/** Workers hand over in another order than it came: what lies further ahead came before the clock was set back. */
const DISORDER_TICKS = 15_000 / TICK_MS;
const CLASS_BITS = 0x1f;
/** Before this start, so that all that comes now is late. */
const DECIDED = 0x20;
const LATE_ERROR = 0x40;
const LATE_SLOW = 0x80;
const WITHIN_SHIFT = 8;
const WITHIN_BITS = 0xf00;
const BYTES_SHIFT = 12;
const BYTES_UNIT = 64;
const MOST_UNITS = 0xf_ffff;
/** Times before the start, of frames that are measured again, are told apart as far back. */
const BEFORE_START_MS = 3600_000;

/** `traces` is how many can be remembered at half load; 32 bytes each. `lagMs`: what a decision waits beyond `waitMs`. */
export function createTraceTable(traces: number, waitMs: number, nowMs: number, lagMs = 0): TraceTableHandle {
  const places = 2 ** Math.ceil(Math.log2(Math.max(1024, traces * 2)));
  // On the border of a slot, so that after a restart every time falls into the tick and slot it fell into before.
  const startMs = Math.max(0, Math.floor((nowMs - BEFORE_START_MS) / SLOT_MS) * SLOT_MS);
  const memory = sharedMemory(places * STEP * 4);
  return { memory, slots: createSlots(), limits: createLimits(), startMs, waitMs, lagMs };
}

function homeOf(low: number, high: number, mask: number): number {
  // MurmurHash3's finaliser: ids that differ in their high bits alone must not meet.
  let hash = low ^ Math.imul(high, 0x9e37_79b1);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) & mask & -PLACES_A_LINE;
}

/** Main's side. */
export class TraceTable {
  /** Traces that had to go before they were decided. */
  evicted = 0;
  readonly #words: Uint32Array;
  /** The same with a sign, as ids are compared: a uint32 that crosses a call would be boxed for each run. */
  readonly #signed: Int32Array;
  readonly #mask: number;
  readonly #handle: TraceTableHandle;
  readonly #waitMs: number;
  /** Until then a trace is not decided. */
  readonly #undecidedTicks: number;
  /** Where bytes are added up; null without a budget. */
  readonly #slots: Slots | null;
  /** The time of the last mark, which is that of all in a task, and the same as ticks and milliseconds within one. */
  #receivedMs = -1;
  #ticks = 0;
  #within = 0;

  constructor(handle: TraceTableHandle, slots: Slots | null = null) {
    this.#handle = handle;
    this.#slots = slots;
    this.#words = new Uint32Array(handle.memory);
    this.#signed = new Int32Array(handle.memory);
    this.#mask = this.#words.length / STEP - 1;
    this.#waitMs = handle.waitMs;
    this.#undecidedTicks = Math.ceil((handle.waitMs + handle.lagMs) / TICK_MS);
  }

  ticksOf(receivedMs: number): number {
    return ticksOf(this.#handle, receivedMs);
  }

  touch(idLow: number, idHigh: number): number {
    return touchTrace(this.#words, idLow, idHigh);
  }

  /** Notes that items of the trace came at `receivedMs` and are of this class. Marks count until `wait` after the first item. */
  mark(idLow: number, idHigh: number, receivedMs: number, traceClass: number, bytes = 0): void {
    const words = this.#words;
    const signed = this.#signed;
    const low = idLow | 0;
    const high = idHigh | 0;
    if (receivedMs !== this.#receivedMs) this.#turnTo(receivedMs);
    const now = this.#ticks;
    const latest = now + DISORDER_TICKS;
    let place = -1;
    let oldest = Infinity;
    const home = homeOf(low, high, this.#mask);
    for (let i = 0; i < PROBES; i++) {
      const at = ((home + i) & this.#mask) * STEP;
      const first = words[at + 2]!;
      if (signed[at] === low && signed[at + 1] === high) {
        this.#markAgain(at, traceClass, bytes);
        return;
      }
      if (signed[at] === 0 && signed[at + 1] === 0) {
        oldest = -Infinity;
        place = at;
        break;
      }
      // From before the clock was set back: older than all that came since.
      const since = first > latest ? first - 2 ** 32 : first;
      if (since < oldest) {
        oldest = since;
        place = at;
      }
    }
    if (now <= oldest + this.#undecidedTicks) this.evicted++;
    words[place] = low;
    words[place + 1] = high;
    words[place + 2] = now;
    words[place + 3] = traceClass | (this.#within << WITHIN_SHIFT) | (unitsOf(bytes) << BYTES_SHIFT);
    if (this.#slots !== null) addBytes(this.#slots.of(slotOfTicks(now)), traceClass, bytes);
  }

  /** What was first seen before `undecidedMs` has been decided, by an agent that stopped and waited for nothing any more: what comes now is late. */
  decide(undecidedMs: number): void {
    const words = this.#words;
    for (let at = 0; at < words.length; at += STEP) {
      if (words[at] === 0 && words[at + 1] === 0) continue;
      if (firstMs(this.#handle, words, at) < undecidedMs) words[at + 3] = words[at + 3]! | DECIDED;
    }
  }

  #turnTo(receivedMs: number): void {
    this.#receivedMs = receivedMs;
    this.#ticks = ticksOf(this.#handle, receivedMs);
    this.#within = beyondTick(this.#handle, receivedMs);
  }

  #markAgain(at: number, traceClass: number, bytes: number): void {
    const words = this.#words;
    const now = this.#ticks;
    const known = words[at + 3]!;
    const first = words[at + 2]!;
    // It must not look as if it had been known.
    if (isBehind(words, at, now, this.#within, this.#waitMs)) {
      if (traceClass === ERROR) words[at + 3] = known | LATE_ERROR;
      else if (traceClass === SLOW) words[at + 3] = known | LATE_SLOW;
      // What comes late leaves with the slot it came in, and follows the decision unless it is an error or slow.
      const late = traceClass >= SLOW ? Math.max(known & CLASS_BITS, traceClass) : known & CLASS_BITS;
      if (this.#slots !== null) addBytes(this.#slots.of(slotOfTicks(now)), late, bytes);
      return;
    }
    const before = known & CLASS_BITS;
    const after = before > traceClass ? before : traceClass;
    const units = Math.min(MOST_UNITS, (known >>> BYTES_SHIFT) + unitsOf(bytes));
    // Late marks stay: tasks are merged in another order than they came.
    words[at + 3] = after | (known & (WITHIN_BITS | LATE_ERROR | LATE_SLOW)) | (units << BYTES_SHIFT);
    if (this.#slots === null) return;
    const totals = this.#slots.of(slotOfTicks(first));
    if (after !== before) moveBytes(totals, before, after, (known >>> BYTES_SHIFT) * BYTES_UNIT);
    addBytes(totals, after, bytes);
  }

  /** Log records add to the bytes of their trace, and make none. `traceClass`: their own. */
  addLog(low: number, high: number, receivedMs: number, traceClass: number, bytes: number): void {
    if (this.#slots === null) return;
    const at = low === 0 && high === 0 ? ABSENT : placeOf(this.#words, low, high);
    if (receivedMs !== this.#receivedMs) this.#turnTo(receivedMs);
    const isLate = at >= 0 && isBehind(this.#words, at, this.#ticks, this.#within, this.#waitMs);
    const slot = slotOfTicks(at < 0 || isLate ? this.#ticks : this.#words[at + 2]!);
    const ofTrace = at < 0 ? BASE : this.#words[at + 3]! & CLASS_BITS;
    addBytes(this.#slots.of(slot), Math.max(ofTrace, traceClass), bytes);
    if (at < 0 || isLate || traceClass === ERROR) return;
    // So that they move along when the trace turns out to be of another class.
    const known = this.#words[at + 3]!;
    const units = Math.min(MOST_UNITS, (known >>> BYTES_SHIFT) + unitsOf(bytes));
    this.#words[at + 3] = (known & ((1 << BYTES_SHIFT) - 1)) | (units << BYTES_SHIFT);
  }
}

export function ticksOf({ startMs }: TraceTableHandle, receivedMs: number): number {
  return Math.max(0, Math.floor((receivedMs - startMs) / TICK_MS));
}

/** Milliseconds beyond the tick. */
export function beyondTick(handle: TraceTableHandle, receivedMs: number): number {
  return Math.max(0, receivedMs - handle.startMs - ticksOf(handle, receivedMs) * TICK_MS) | 0;
}

/** Whether what came `within` ms of tick `now` came behind the decision about the trace at `place`: to the millisecond, as decisions are. */
export function isBehind(words: Uint32Array, place: number, now: number, within: number, waitMs: number): boolean {
  const known = words[place + 3]!;
  return (known & DECIDED) !== 0 || (now - words[place + 2]!) * TICK_MS + within - withinTick(known) > waitMs;
}

/** Milliseconds of when it was first seen, beyond the tick. Of an entry's last word. */
function withinTick(known: number): number {
  return (known & WITHIN_BITS) >>> WITHIN_SHIFT;
}

function unitsOf(bytes: number): number {
  return Math.min(MOST_UNITS, Math.round(bytes / BYTES_UNIT));
}

function addBytes(totals: SlotTotals | null, traceClass: number, bytes: number): void {
  if (totals !== null) totals.bytes[traceClass] = totals.bytes[traceClass]! + bytes;
}

function moveBytes(totals: SlotTotals | null, from: number, to: number, bytes: number): void {
  if (totals === null) return;
  totals.bytes[from] = Math.max(0, totals.bytes[from]! - bytes);
  totals.bytes[to] = totals.bytes[to]! + bytes;
}

export function slotOfTicks(ticks: number): number {
  return Math.floor(ticks / TICKS_PER_SLOT);
}

/**
 * Fetches all places where the trace is, or will be, into the near caches: what is computed is of no interest. In a table that has been full
 * once, a new trace looks at each of them, and one that is known at half of them.
 */
export function touchTrace(words: Uint32Array, low: number, high: number): number {
  const mask = words.length / STEP - 1;
  const home = homeOf(low, high, mask);
  let sum = 0;
  for (let i = 0; i < PROBES; i += PLACES_A_LINE) sum += words[((home + i) & mask) * STEP]! & 1;
  return sum;
}

/** A worker's side: where the trace's entry lies, or ABSENT. */
export function placeOf(words: Uint32Array, low: number, high: number): number {
  const mask = words.length / STEP - 1;
  const home = homeOf(low, high, mask);
  for (let i = 0; i < PROBES; i++) {
    const at = ((home + i) & mask) * STEP;
    if (words[at] === low && words[at + 1] === high) return at;
    if (words[at] === 0 && words[at + 1] === 0) return ABSENT;
  }
  return ABSENT;
}

/** Class and late marks of the trace, or ABSENT. */
export function findTrace(words: Uint32Array, low: number, high: number): number {
  const at = placeOf(words, low, high);
  return at < 0 ? ABSENT : words[at + 3]! & 0xff;
}

/** Of what `findTrace` says. */
export function classOf(entry: number): number {
  return entry & CLASS_BITS;
}

export function firstTick(words: Uint32Array, place: number): number {
  return words[place + 2]!;
}

/** When the trace's first item came, Unix milliseconds. */
export function firstMs({ startMs }: TraceTableHandle, words: Uint32Array, place: number): number {
  return startMs + words[place + 2]! * TICK_MS + withinTick(words[place + 3]!);
}

/** Whether an agent before this one has decided the trace before its time, when it stopped. */
export function isDecidedEarly(entry: number): boolean {
  return (entry & DECIDED) !== 0;
}

/** Whether the trace had items of this class, ERROR or SLOW, after it was decided; of 0 whether it had any. */
export function isLate(entry: number, traceClass: number): boolean {
  return (entry & (traceClass === ERROR ? LATE_ERROR : traceClass === SLOW ? LATE_SLOW : LATE_ERROR | LATE_SLOW)) !== 0;
}
