/** What an agent before this one has written to an item that it kept: `plumbline.kept` and what stands beside it. Keys must not stand twice. */
import type { AttributeTable } from '../otlp/attributes.ts';
import { isLookBack, isMarked, KEPT } from '../otlp/kept.ts';
import { copyRange, type Reader, readTag, sameBytes, skipField } from '../otlp/protobuf.ts';

const KEYS = [KEPT, Buffer.from('plumbline.rule'), Buffer.from('plumbline.partial')];

/** Of one item at a time. */
export class Marks {
  /** Start and end of each field, ascending; none where they stay. A count of its own: setting the length would drop the array's memory. */
  readonly #ranges: number[] = [];
  #count = 0;
  /** Of the fields that give way to this agent's. */
  bytes = 0;
  /** It counts nothing, whoever keeps it: it stays as it is, and gets no other reason. */
  isLookBack = false;

  /** Notes those of the item between `at` and `end`, whose attributes are fields `tag`. */
  read(reader: Reader, at: number, end: number, tag: number, attributes: AttributeTable): void {
    this.#count = 0;
    this.bytes = 0;
    this.isLookBack = false;
    if (!isMarked(reader, attributes)) return;
    const { pos } = reader;
    this.isLookBack = isLookBack(reader.bytes, attributes);
    if (!this.isLookBack) this.#note(reader, at, end, tag, attributes);
    reader.pos = pos;
  }

  #note(reader: Reader, at: number, end: number, wanted: number, attributes: AttributeTable): void {
    reader.pos = at;
    while (reader.pos < end) {
      const from = reader.pos;
      const tag = readTag(reader, end);
      const start = reader.pos;
      skipField(reader, tag, end);
      const stop = reader.pos;
      if (tag !== wanted || !KEYS.some((key) => holdsKey(attributes, reader.bytes, start, stop, key))) continue;
      this.#ranges[this.#count++] = from;
      this.#ranges[this.#count++] = reader.pos;
      this.bytes += reader.pos - from;
    }
  }

  /** Copies the item without them, and without what lies between `from` and `stop`, which is none of them (both -1: nothing else). */
  copy(bytes: Buffer, at: number, end: number, from: number, stop: number, to: number): number {
    const ranges = this.#ranges;
    let out = to;
    let done = at;
    let isCut = from < 0;
    for (let i = 0; i < this.#count; i += 2) {
      if (!isCut && from < ranges[i]!) {
        out = copyRange(bytes, done, from, out);
        done = stop;
        isCut = true;
      }
      out = copyRange(bytes, done, ranges[i]!, out);
      done = ranges[i + 1]!;
    }
    if (!isCut) {
      out = copyRange(bytes, done, from, out);
      done = stop;
    }
    return copyRange(bytes, done, end, out);
  }

  /** Whether the field that begins at `from` is one of them. */
  has(from: number): boolean {
    for (let i = 0; i < this.#count; i += 2) if (this.#ranges[i] === from) return true;
    return false;
  }
}

/** Whether the KeyValue between the two addresses has the key. */
export function holdsKey(
  attributes: AttributeTable,
  bytes: Uint8Array,
  from: number,
  to: number,
  key: Uint8Array,
): boolean {
  for (let i = 0; i < attributes.count; i++) {
    const at = attributes.keyAt(i);
    if (at < from || at >= to || attributes.keyLength(i) !== key.length) continue;
    return sameBytes(bytes, at, key, 0, key.length);
  }
  return false;
}
