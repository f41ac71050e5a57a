// HOT: once per attribute of a judged item. Bench: bench/micro/contracts/measure.bench.ts
/**
 * The keys that a worker's conditions ask for, each with a number: one pass over an item's attributes finds all of them. Asking for each by
 * itself walks the attributes every time, which is most of what judging costs (12 attributes, four keys: 470 ns against 110).
 */
import type { AttributeTable } from '../otlp/attributes.ts';
import { sameBytes } from '../otlp/protobuf.ts';

const SLOTS = 1024;
/** Numbers in a row of AttributeTable. */
const STEP = 4;

export class Keys {
  readonly #keys: Buffer[] = [];
  /** By a hash of length, first and last byte: number of the first key + 1; the others follow in `#next`. */
  readonly #first = new Int32Array(SLOTS);
  #next = new Int32Array(16);
  /** Bit n: some key's length is n modulo 32. Most attributes are told apart by that, without a look at their bytes. */
  #lengths = 0;

  /** The number of a key. */
  add(key: Buffer): number {
    const known = this.#keys.findIndex((one) => one.equals(key));
    if (known >= 0) return known;
    const number = this.#keys.push(key) - 1;
    if (number >= this.#next.length) {
      const grown = new Int32Array(this.#next.length * 2);
      grown.set(this.#next);
      this.#next = grown;
    }
    this.#lengths |= 1 << key.length;
    const slot = slotOf(key, 0, key.length);
    this.#next[number] = this.#first[slot]!;
    this.#first[slot] = number + 1;
    return number;
  }

  get count(): number {
    return this.#keys.length;
  }

  /** Notes in `found`, for each key that the attributes have, its row + 1 (the last one's, if a key stands twice) in this `round`. */
  find(table: AttributeTable, bytes: Uint8Array, found: Found): void {
    const { count, rows } = table;
    const lengths = this.#lengths;
    const first = this.#first;
    const next = this.#next;
    for (let row = 0; row < count; row++) {
      const length = rows[row * STEP + 1]!;
      if (((lengths >>> length) & 1) === 0 || length === 0) continue;
      const at = rows[row * STEP]!;
      let number = first[slotOf(bytes, at, length)]! - 1;
      while (number >= 0) {
        const key = this.#keys[number]!;
        if (key.length === length && sameBytes(bytes, at, key, 0, length)) {
          found.rows[number] = row;
          found.rounds[number] = found.round;
          break;
        }
        number = next[number]! - 1;
      }
    }
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

function slotOf(bytes: Uint8Array, at: number, length: number): number {
  return (length * 37 + bytes[at]! * 11 + bytes[at + length - 1]! * 131) & (SLOTS - 1);
}
