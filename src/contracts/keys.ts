// HOT: once per attribute of a judged item. Bench: bench/micro/contracts/measure.bench.ts
/**
 * The keys that a worker's conditions ask for, each with a number: one pass over an item's attributes finds all of them. Asking for each by
 * itself walks the attributes every time, which is most of what judging costs (12 attributes, four keys: 470 ns against 110).
 */
import type { AttributeTable } from '../otlp/attributes.ts';
import { viewOf } from '../otlp/protobuf.ts';

const SLOTS = 1024;
/** Leaves as many bits as number the slots. */
const SHIFT = 22;
/** Numbers in a row of AttributeTable. */
const STEP = 4;

export class Keys {
  readonly #keys: Buffer[] = [];
  /** Of each key: its length, and where its words begin in `#words`. */
  #lengths = new Int32Array(16);
  #from = new Int32Array(16);
  /** The keys, four bytes a word; the last word of each is its last four bytes, some of which may be in the word before. */
  #words = new Int32Array(64);
  #wordCount = 0;
  /** By a hash of length and last bytes: number of the first key + 1; the others follow in `#next`. */
  readonly #first = new Int32Array(SLOTS);
  #next = new Int32Array(16);
  /** Bit n: some key's length is n modulo 32. Most attributes are told apart by that, without a look at their bytes. */
  #lengthBits = 0;
  /** What was looked at last, as words. */
  #bytes: Uint8Array = new Uint8Array(0);
  #view = viewOf(this.#bytes);

  /** The number of a key. */
  add(key: Buffer): number {
    const known = this.#keys.findIndex((one) => one.equals(key));
    if (known >= 0) return known;
    const number = this.#keys.push(key) - 1;
    if (number >= this.#next.length) {
      this.#next = doubled(this.#next);
      this.#lengths = doubled(this.#lengths);
      this.#from = doubled(this.#from);
    }
    const { length } = key;
    const view = viewOf(key);
    this.#lengths[number] = length;
    this.#lengthBits |= 1 << length;
    this.#from[number] = this.#wordCount;
    for (let i = 0; i < length - 4; i += 4) this.#push(view.getInt32(i, true));
    this.#push(tailOf(view, 0, length));
    const slot = slotOf(tailOf(view, 0, length), length);
    this.#next[number] = this.#first[slot]!;
    this.#first[slot] = number + 1;
    return number;
  }

  #push(word: number): void {
    if (this.#wordCount === this.#words.length) this.#words = doubled(this.#words);
    this.#words[this.#wordCount++] = word;
  }

  get count(): number {
    return this.#keys.length;
  }

  /** Notes in `found`, for each key that the attributes have, its row (the last one's, if a key stands twice) in this `round`. */
  find(table: AttributeTable, bytes: Uint8Array, found: Found): void {
    if (this.#bytes !== bytes) {
      this.#bytes = bytes;
      this.#view = viewOf(bytes);
    }
    const view = this.#view;
    const { count, rows } = table;
    const lengthBits = this.#lengthBits;
    const first = this.#first;
    for (let row = 0; row < count; row++) {
      const length = rows[row * STEP + 1]!;
      if (((lengthBits >>> length) & 1) === 0 || length === 0) continue;
      const at = rows[row * STEP]!;
      const tail = tailOf(view, at, length);
      let number = first[slotOf(tail, length)]! - 1;
      while (number >= 0 && !this.#is(number, view, at, length, tail)) number = this.#next[number]! - 1;
      if (number < 0) continue;
      found.rows[number] = row;
      found.rounds[number] = found.round;
    }
  }

  #is(number: number, view: DataView, at: number, length: number, tail: number): boolean {
    if (this.#lengths[number] !== length) return false;
    const words = this.#words;
    let word = this.#from[number]!;
    const last = at + length - 4;
    for (let i = at; i < last; i += 4) if (view.getInt32(i, true) !== words[word++]) return false;
    return words[word] === tail;
  }
}

/** Where the keys were found. `begin` forgets all at once, and what nobody asks about is never looked for. */
export class Found {
  rows: Int32Array;
  rounds: Int32Array;
  round = 0;
  #isRead = false;

  constructor() {
    this.rows = new Int32Array(16);
    this.rounds = new Int32Array(16);
  }

  begin(): void {
    this.#isRead = false;
    this.round = (this.round + 1) | 0;
  }

  /** The row of a key; -1 when it is not there. */
  rowOf(number: number, keys: Keys, table: AttributeTable, bytes: Uint8Array): number {
    if (!this.#isRead) {
      if (this.rows.length < keys.count) {
        this.rows = new Int32Array(keys.count * 2);
        this.rounds = new Int32Array(keys.count * 2);
      }
      keys.find(table, bytes, this);
      this.#isRead = true;
    }
    return this.rounds[number] === this.round ? this.rows[number]! : -1;
  }
}

/** The last four bytes; all of them when they are fewer. */
function tailOf(view: DataView, at: number, length: number): number {
  if (length >= 4) return view.getInt32(at + length - 4, true);
  let tail = 0;
  for (let i = at; i < at + length; i++) tail = (tail << 8) | view.getUint8(i);
  return tail;
}

function slotOf(tail: number, length: number): number {
  return Math.imul(tail ^ length, 0x9e37_79b1) >>> SHIFT;
}

function doubled(numbers: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(numbers.length * 2);
  grown.set(numbers);
  return grown;
}
