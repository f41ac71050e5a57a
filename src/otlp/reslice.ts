// HOT: once per span and log record. Bench: bench/micro/otlp/reslice.bench.ts
/**
 * Cuts an export request down to some of its items: kept bytes are copied, enclosing lengths recomputed, empty envelopes dropped,
 * and nothing is decoded. Works on traces and logs alike, whose envelopes have the same field numbers:
 *
 *   Request { Resource... = 1 { Resource = 1; Scope... = 2 { Scope = 1; ITEM = 2 } } }
 *
 * `plan` asks about each item, adds up the lengths and notes what is kept, `write` copies that. What stands beside the items (resource, scope,
 * schema urls, unknown fields) is copied as it is, in its order.
 */
import { copyRange, type Reader, readEnd, readTag, skipField, varintBytes, writeVarint } from './protobuf.ts';
import type { Envelope } from './resource.ts';

/** What `Chooser.choose` answers for an item that goes. */
export const DROP = -0x4000_0000;

export interface Chooser {
  /**
   * DROP, or how many bytes the kept item's content grows by. The envelope is noted, not loaded: whoever needs it loads it. `scopeEnd`:
   * nothing that belongs together with the item lies beyond it.
   */
  choose(reader: Reader, at: number, end: number, envelope: Envelope, scopeEnd: number): number;
  /** Writes the content of the item that was kept with `growth`, and returns the position after exactly end - at + growth bytes. */
  copy(bytes: Buffer, at: number, end: number, index: number, to: number): number;
}

/** A Scope... message's field of items. */
export const ITEM_TAG = 18;
const RESOURCE_TAG = 10;

/** What `write` does next; three numbers follow each. */
const ENVELOPE = 0; // tag, content length, -
const COPY = 1; // start, end, -
const ITEM = 2; // start, end, growth
const STEP = 4;

/** Plans for one request after the other; the array grows and is used again. */
export class Reslicer {
  /** What is kept, in its order. */
  #steps = new Int32Array(STEP * 1024);
  #end = 0;
  /** Up to where the last answer holds, and for how many items. */
  #alikeEnd = 0;
  #alike = 0;
  /** Items kept by the last plan. */
  kept = 0;

  /** Returns the bytes that `write` will write; 0 when nothing is kept. Throws BODY_UNDECODABLE. */
  plan(reader: Reader, at: number, end: number, envelope: Envelope, chooser: Chooser): number {
    this.#end = 0;
    this.kept = 0;
    let total = 0;
    reader.pos = at;
    while (reader.pos < end) {
      const fieldAt = reader.pos;
      const tag = readTag(reader, end);
      if (tag === RESOURCE_TAG) total += this.#planResource(reader, readEnd(reader, end), envelope, chooser);
      else total += this.#planField(reader, tag, fieldAt, end);
    }
    if (this.kept > 0) return total;
    this.#end = 0;
    return 0;
  }

  /**
   * Called by a chooser: its answer holds for so many items, up to `end`, between which there is nothing else. When they are kept they
   * stay as they are, and `copy` is not asked.
   */
  alike(end: number, items: number): void {
    this.#alikeEnd = end;
    this.#alike = items;
  }

  #planResource(reader: Reader, end: number, envelope: Envelope, chooser: Chooser): number {
    const { kept } = this;
    const step = this.#add(ENVELOPE, RESOURCE_TAG, 0, 0);
    envelope.noteResource(reader.pos, end);
    let length = 0;
    while (reader.pos < end) {
      const fieldAt = reader.pos;
      const tag = readTag(reader, end);
      if (tag === ITEM_TAG) length += this.#planScope(reader, readEnd(reader, end), envelope, chooser);
      else length += this.#planField(reader, tag, fieldAt, end);
    }
    return this.#close(step, kept, length);
  }

  #planScope(reader: Reader, end: number, envelope: Envelope, chooser: Chooser): number {
    const { kept } = this;
    const step = this.#add(ENVELOPE, ITEM_TAG, 0, 0);
    envelope.noteScope(reader.pos, end);
    let length = 0;
    while (reader.pos < end) {
      const fieldAt = reader.pos;
      const tag = readTag(reader, end);
      if (tag !== ITEM_TAG) {
        length += this.#planField(reader, tag, fieldAt, end);
        continue;
      }
      const stop = readEnd(reader, end);
      const start = reader.pos;
      this.#alikeEnd = stop;
      this.#alike = 1;
      const growth = chooser.choose(reader, start, stop, envelope, end);
      const alikeEnd = this.#alikeEnd;
      reader.pos = alikeEnd;
      if (growth === DROP) continue;
      this.kept += this.#alike;
      if (alikeEnd !== stop) {
        this.#add(COPY, fieldAt, alikeEnd, 0);
        length += alikeEnd - fieldAt;
        continue;
      }
      this.#add(ITEM, start, stop, growth);
      const size = stop - start + growth;
      length += 1 + varintBytes(size) + size;
    }
    return this.#close(step, kept, length);
  }

  /** A field that stays as it is; its bytes, with the tag. */
  #planField(reader: Reader, tag: number, fieldAt: number, end: number): number {
    skipField(reader, tag, end);
    this.#add(COPY, fieldAt, reader.pos, 0);
    return reader.pos - fieldAt;
  }

  /** An envelope ends: the bytes its whole field will take, none when nothing in it was kept. */
  #close(step: number, keptBefore: number, length: number): number {
    if (this.kept === keptBefore) {
      this.#end = step;
      return 0;
    }
    this.#steps[step + 2] = length;
    return 1 + varintBytes(length) + length;
  }

  /** Returns where the step is. */
  #add(kind: number, first: number, second: number, third: number): number {
    const step = this.#end;
    if (step === this.#steps.length) {
      const grown = new Int32Array(this.#steps.length * 2);
      grown.set(this.#steps);
      this.#steps = grown;
    }
    const steps = this.#steps;
    steps[step] = kind;
    steps[step + 1] = first;
    steps[step + 2] = second;
    steps[step + 3] = third;
    this.#end = step + STEP;
    return step;
  }

  /** Writes the request planned last, from the same bytes, at `to`; returns the position after it. */
  write(bytes: Buffer, to: number, chooser: Chooser): number {
    const steps = this.#steps;
    let out = to;
    for (let step = 0, item = 0; step < this.#end; step += STEP) {
      const first = steps[step + 1]!;
      const second = steps[step + 2]!;
      if (steps[step] === COPY) {
        out = copyRange(bytes, first, second, out);
      } else if (steps[step] === ENVELOPE) {
        bytes[out] = first;
        out = writeVarint(bytes, out + 1, second);
      } else {
        bytes[out] = ITEM_TAG;
        out = writeVarint(bytes, out + 1, second - first + steps[step + 3]!);
        out = chooser.copy(bytes, first, second, item++, out);
      }
    }
    return out;
  }
}
