// HOT: once per span. Bench: bench/micro/worker/shortlist.bench.ts
/**
 * The shortlist of a frame of spans: a frame of those that may be kept by what is known as they come in, cut out while they lie in the
 * cache, and the traces of the others. Where none of those has come to be kept, the selection needs no more than this, and the frame is not
 * read from the journal.
 *
 *   | header, with the items of the whole frame | request with the spans that may be kept | epoch | kept | filtered | ids | id | id | ...
 *   id: the second half of a trace's id, 8 bytes
 */
import {
  type BlockPool,
  Field,
  Flag,
  FRAME_HEADER_BYTES,
  frameSpan,
  payloadLength,
  SIGNALS,
  setPayloadLength,
} from '../core/block.ts';
import { copyRange, type Reader } from '../otlp/protobuf.ts';
import { type Chooser, DROP, ITEM_TAG, type Reslicer } from '../otlp/reslice.ts';
import { findTraceId } from '../otlp/traces.ts';
import { FILTERED, NO_OPINION, type Outlook, SAMPLED_OUT, type Selector, type Views } from '../processors/processor.ts';
import type { Room } from './tasks.ts';

/** The address of one that there is not. */
export const NO_SHORTLIST = -1;

const TRACES = SIGNALS.indexOf('traces');
const TABLE_BYTES = 16;
const ID_BYTES = 8;
/** Tag and length of a trace id, big-endian. */
const ID_FIELD = 0x0a10;
/** Tag and length of a span, and a trace id. */
const LEAST_SPAN_BYTES = 20;

/** What stands behind the request. */
interface ShortlistTable {
  epoch: number;
  kept: number;
  filtered: number;
  ids: number;
  /** Address of the first id. */
  idsAt: number;
}

export class Shortlister implements Chooser {
  readonly #views: Views;
  readonly #reslicer: Reslicer;
  /** Those that are asked before it. */
  readonly #before: readonly Selector[];
  readonly #outlook: Outlook | null;
  readonly #view: DataView;
  readonly #epoch: number;
  #room: Room | null = null;
  #next = 0;
  #found: number[] = [];
  #filtered = 0;
  /** Of the run of spans that was seen last: its trace, and whether that is sampled out. */
  #low = 0;
  #high = 0;
  #isOut = false;
  /** Of the traces that were sampled out, in the order of their runs. */
  #ids = new Int32Array(2 * 512);
  #words = 0;

  constructor(views: Views, reslicer: Reslicer, selectors: readonly Selector[], epoch: number) {
    this.#views = views;
    this.#reslicer = reslicer;
    this.#epoch = epoch;
    this.#view = views.reader.view;
    this.#outlook = outlookOf(selectors);
    this.#before = selectors.slice(
      0,
      selectors.findIndex(({ outlook }) => outlook !== undefined),
    );
  }

  /** A task of so many frames begins; its shortlists go to `room`, null when nobody asks for them. */
  begin(room: Room | null, frames: number): void {
    this.#room = this.#outlook === null ? null : room;
    this.#found = [];
    // By pushes: a message carries an array that had holes once as names and values.
    if (room !== null) for (let i = 0; i < frames; i++) this.#found.push(NO_SHORTLIST);
    this.#next = room?.at ?? 0;
  }

  /** Writes the shortlist of the frame at `at`, the task's frame number `index`, if it has one and there is room. */
  add(at: number, index: number): void {
    const { pool, reader, envelope } = this.#views;
    if (this.#room === null || pool.bytes[at + Field.signal] !== TRACES) return;
    if ((pool.bytes[at + Field.flags]! & Flag.traceState) !== 0) return;
    const from = at + FRAME_HEADER_BYTES;
    const end = from + payloadLength(pool, at);
    this.#filtered = 0;
    this.#words = 0;
    this.#low = 0;
    this.#high = 0;
    this.#isOut = false;
    const length = this.#reslicer.plan(reader, from, end, envelope, this);
    const to = this.#next;
    const table = to + frameSpan(length);
    const next = table + TABLE_BYTES + this.#words * 4;
    if (next > this.#room.end) return;
    pool.bytes.copyWithin(to, at, at + FRAME_HEADER_BYTES);
    setPayloadLength(pool, to, length);
    if (length > 0) this.#reslicer.write(pool.bytes, to + FRAME_HEADER_BYTES, this);
    const words = pool.words;
    const word = table >>> 2;
    words[word] = this.#epoch;
    words[word + 1] = this.#reslicer.kept;
    words[word + 2] = this.#filtered;
    words[word + 3] = this.#words >>> 1;
    for (let i = 0; i < this.#words; i++) words[word + 4 + i] = this.#ids[i]!;
    this.#next = next;
    this.#found[index] = to;
  }

  /** What was written for the task; null when nobody asked. */
  take(): { frames: number[]; end: number } | null {
    return this.#found.length === 0 ? null : { frames: this.#found, end: this.#next };
  }

  choose(reader: Reader, at: number, end: number, envelope: Views['envelope'], scopeEnd: number): number {
    for (let s = 0; s < this.#before.length; s++) {
      const verdict = this.#before[s]!.span(at, end, envelope);
      if (verdict === NO_OPINION) continue;
      if (verdict !== FILTERED) return 0;
      this.#filtered++;
      return DROP;
    }
    const idAt = findTraceId(reader, at, end);
    if (idAt < 0) return 0;
    const low = this.#view.getInt32(idAt + 8, true);
    const high = this.#view.getInt32(idAt + 12, true);
    // Runs of one trace are asked about once.
    if (low !== this.#low || high !== this.#high) {
      this.#low = low;
      this.#high = high;
      this.#isOut = this.#outlook!.trace(idAt) === SAMPLED_OUT;
      if (this.#isOut) this.#note(low, high);
    }
    if (this.#before.length === 0) this.#passRun(end, scopeEnd, low, high);
    return this.#isOut ? DROP : 0;
  }

  /**
   * Spans of one trace mostly follow one another: those that do behind `end` go or stay along, where they are as SDKs write them. The walk
   * has found all lengths sound.
   */
  #passRun(end: number, scopeEnd: number, low: number, high: number): void {
    const view = this.#view;
    let next = end;
    let items = 1;
    while (next + LEAST_SPAN_BYTES <= scopeEnd && view.getUint8(next) === ITEM_TAG) {
      const first = view.getUint8(next + 1);
      const second = view.getUint8(next + 2);
      if (first > 0x7f && second > 0x7f) break;
      const at = next + (first > 0x7f ? 3 : 2);
      const stop = at + (first > 0x7f ? (first & 0x7f) | (second << 7) : first);
      if (view.getUint16(at) !== ID_FIELD) break;
      if (view.getInt32(at + 10, true) !== low || view.getInt32(at + 14, true) !== high) break;
      next = stop;
      items++;
    }
    if (items > 1) this.#reslicer.alike(next, items);
  }

  #note(low: number, high: number): void {
    const words = this.#words;
    if (words === this.#ids.length) {
      const grown = new Int32Array(words * 2);
      grown.set(this.#ids);
      this.#ids = grown;
    }
    this.#ids[words] = low;
    this.#ids[words + 1] = high;
    this.#words = words + 2;
  }

  copy(bytes: Buffer, at: number, end: number, _index: number, to: number): number {
    return copyRange(bytes, at, end, to);
  }
}

export function readTable(pool: BlockPool, shortlist: number): ShortlistTable {
  const at = shortlist + frameSpan(payloadLength(pool, shortlist));
  const word = at >>> 2;
  const { words } = pool;
  return {
    epoch: words[word]!,
    kept: words[word + 1]!,
    filtered: words[word + 2]!,
    ids: words[word + 3]!,
    idsAt: at + TABLE_BYTES,
  };
}

/** Whether what was left out is still sampled out: by the same policy, and no trace of it has come to be kept. After `begin`. */
export function isSettled(table: ShortlistTable, epoch: number, selectors: readonly Selector[]): boolean {
  if (table.epoch !== epoch) return false;
  const outlook = outlookOf(selectors);
  if (outlook === null) return false;
  const end = table.idsAt + table.ids * ID_BYTES;
  // Traces lie far from the processor: touched in a loop that does nothing else, many fetches are under way at once.
  let touched = 0;
  for (let idAt = table.idsAt; idAt < end; idAt += ID_BYTES) touched += outlook.touch(idAt);
  // Never so; a sum that nobody asks for would not be computed, and nothing fetched.
  if (touched < 0) return false;
  for (let idAt = table.idsAt; idAt < end; idAt += ID_BYTES) if (!outlook.isOut(idAt)) return false;
  return true;
}

/** With two of them, what one has sampled out the other might have filtered: nobody looks ahead then. */
function outlookOf(selectors: readonly Selector[]): Outlook | null {
  const outlooks = selectors.flatMap(({ outlook }) => outlook ?? []);
  return outlooks.length === 1 ? (outlooks[0] ?? null) : null;
}
