// HOT: once per span and log record. Bench: bench/micro/otlp/reslice.bench.ts
/**
 * Cuts an export request down to some of its items: kept bytes are copied, enclosing lengths recomputed, empty envelopes dropped,
 * and nothing is decoded. Works on traces and logs alike, whose envelopes have the same field numbers:
 *
 *   Request { Resource... = 1 { Resource = 1; Scope... = 2 { Scope = 1; ITEM = 2 } } }
 *
 * Two passes: `plan` asks about each item and adds up the lengths, `write` copies. What stands beside the items (resource, scope,
 * schema urls, unknown fields) is copied as it is, in its order.
 */
import { copyRange, type Reader, readEnd, readTag, skipField, varintBytes, writeVarint } from './protobuf.ts';
import type { Envelope } from './resource.ts';

/** What `Chooser.choose` answers for an item that goes. */
export const DROP = -0x4000_0000;

export interface Chooser {
  /** DROP, or how many bytes the kept item's content grows by. The envelope is noted, not loaded: whoever needs it loads it. */
  choose(reader: Reader, at: number, end: number, envelope: Envelope): number;
  /** Writes the content of the item that was kept with `growth`, and returns the position after exactly end - at + growth bytes. */
  copy(bytes: Buffer, at: number, end: number, index: number, to: number): number;
}

const ITEM_TAG = 18;
const RESOURCE_TAG = 10;

/** Plans for one request after the other; arrays grow and are used again. */
export class Reslicer {
  /** Of each kept item: start, end, growth. */
  #items = new Int32Array(3 * 1024);
  #itemCount = 0;
  /** Of each scope and of each resource, in the order they begin: content length after, 0 when it goes. */
  #lengths = new Int32Array(256);
  #lengthCount = 0;
  /** Items seen and kept by the last plan. */
  seen = 0;
  get kept(): number {
    return this.#itemCount;
  }

  /** Returns the bytes that `write` will write; 0 when nothing is kept. Throws BODY_UNDECODABLE. */
  plan(reader: Reader, at: number, end: number, envelope: Envelope, chooser: Chooser): number {
    this.#itemCount = 0;
    this.#lengthCount = 0;
    this.seen = 0;
    let total = 0;
    reader.pos = at;
    while (reader.pos < end) {
      const fieldAt = reader.pos;
      const tag = readTag(reader, end);
      if (tag === RESOURCE_TAG) total += this.#planResource(reader, readEnd(reader, end), envelope, chooser);
      else {
        skipField(reader, tag, end);
        total += reader.pos - fieldAt;
      }
    }
    return this.#itemCount === 0 ? 0 : total;
  }

  #planResource(reader: Reader, end: number, envelope: Envelope, chooser: Chooser): number {
    const slot = this.#newLength();
    const before = this.#itemCount;
    envelope.noteResource(reader.pos, end);
    let length = 0;
    while (reader.pos < end) {
      const fieldAt = reader.pos;
      const tag = readTag(reader, end);
      if (tag === ITEM_TAG) length += this.#planScope(reader, readEnd(reader, end), envelope, chooser);
      else {
        skipField(reader, tag, end);
        length += reader.pos - fieldAt;
      }
    }
    return this.#close(slot, before, length);
  }

  #planScope(reader: Reader, end: number, envelope: Envelope, chooser: Chooser): number {
    const slot = this.#newLength();
    const before = this.#itemCount;
    envelope.noteScope(reader.pos, end);
    let length = 0;
    while (reader.pos < end) {
      const fieldAt = reader.pos;
      const tag = readTag(reader, end);
      if (tag !== ITEM_TAG) {
        skipField(reader, tag, end);
        length += reader.pos - fieldAt;
        continue;
      }
      const stop = readEnd(reader, end);
      const start = reader.pos;
      this.seen++;
      const growth = chooser.choose(reader, start, stop, envelope);
      reader.pos = stop;
      if (growth === DROP) continue;
      this.#note(start, stop, growth);
      const size = stop - start + growth;
      length += 1 + varintBytes(size) + size;
    }
    return this.#close(slot, before, length);
  }

  /** Notes the length of an envelope; the bytes its whole field will take. */
  #close(slot: number, itemsBefore: number, length: number): number {
    if (this.#itemCount === itemsBefore) {
      this.#lengths[slot] = 0;
      return 0;
    }
    this.#lengths[slot] = length;
    return 1 + varintBytes(length) + length;
  }

  #newLength(): number {
    if (this.#lengthCount === this.#lengths.length) {
      const grown = new Int32Array(this.#lengths.length * 2);
      grown.set(this.#lengths);
      this.#lengths = grown;
    }
    return this.#lengthCount++;
  }

  #note(start: number, end: number, growth: number): void {
    if (this.#itemCount * 3 === this.#items.length) {
      const grown = new Int32Array(this.#items.length * 2);
      grown.set(this.#items);
      this.#items = grown;
    }
    const row = this.#itemCount++ * 3;
    this.#items[row] = start;
    this.#items[row + 1] = end;
    this.#items[row + 2] = growth;
  }

  /** Writes the request planned last, from the same bytes, at `to`; returns the position after it. */
  write(reader: Reader, at: number, end: number, bytes: Buffer, to: number, chooser: Chooser): number {
    this.#nextItem = 0;
    this.#nextLength = 0;
    reader.pos = at;
    let out = to;
    while (reader.pos < end) {
      const fieldAt = reader.pos;
      const tag = readTag(reader, end);
      if (tag === RESOURCE_TAG) out = this.#writeEnvelope(reader, readEnd(reader, end), bytes, out, chooser, true);
      else {
        skipField(reader, tag, end);
        out = copyRange(bytes, fieldAt, reader.pos, out);
      }
    }
    return out;
  }

  #nextItem = 0;
  #nextLength = 0;

  #writeEnvelope(
    reader: Reader,
    end: number,
    bytes: Buffer,
    to: number,
    chooser: Chooser,
    isResource: boolean,
  ): number {
    const length = this.#lengths[this.#nextLength++]!;
    if (length === 0) {
      // A dropped resource's scopes have lengths of their own, which have to be passed too.
      if (isResource) this.#passScopes(reader, end);
      reader.pos = end;
      return to;
    }
    bytes[to] = isResource ? RESOURCE_TAG : ITEM_TAG;
    let out = writeVarint(bytes, to + 1, length);
    while (reader.pos < end) {
      const fieldAt = reader.pos;
      const tag = readTag(reader, end);
      if (tag === ITEM_TAG && isResource)
        out = this.#writeEnvelope(reader, readEnd(reader, end), bytes, out, chooser, false);
      else if (tag === ITEM_TAG) out = this.#writeItem(reader, readEnd(reader, end), bytes, out, chooser);
      else {
        skipField(reader, tag, end);
        out = copyRange(bytes, fieldAt, reader.pos, out);
      }
    }
    return out;
  }

  #passScopes(reader: Reader, end: number): void {
    while (reader.pos < end) {
      const tag = readTag(reader, end);
      if (tag === ITEM_TAG) this.#nextLength++;
      skipField(reader, tag, end);
    }
  }

  #writeItem(reader: Reader, end: number, bytes: Buffer, to: number, chooser: Chooser): number {
    const row = this.#nextItem * 3;
    const start = reader.pos;
    reader.pos = end;
    if (this.#nextItem === this.#itemCount || this.#items[row] !== start) return to;
    bytes[to] = ITEM_TAG;
    const out = writeVarint(bytes, to + 1, end - start + this.#items[row + 2]!);
    return chooser.copy(bytes, start, end, this.#nextItem++, out);
  }
}
