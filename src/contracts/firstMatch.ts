// HOT: once per span. Bench: bench/micro/processors/sample/mark.bench.ts
/**
 * Which of up to 31 lists of conditions is the first to match. Most ask for certain texts of some key: one look at the key's value says
 * which of them can match at all, however many they are (eight rules on one key: 290 ns a span one by one).
 */
import type { Envelope } from '../otlp/resource.ts';
import type { Item, Lookup } from './lookup.ts';
import { type Condition, matchesAll } from './match.ts';

const SLOTS = 64;

/** Lists that ask for texts of the same key; bit n stands for list n. */
interface Guard {
  lookup: Lookup;
  /** By a hash of the text: lists that ask for one of it. */
  byText: Int32Array;
  /** Of a value that is no text every list is tried. */
  all: number;
}

export class FirstMatch {
  readonly #lists: readonly (readonly Condition[])[];
  readonly #guards: Guard[] = [];
  /** Lists that no look at a text can rule out. */
  #unguarded = 0;

  constructor(lists: readonly (readonly Condition[])[]) {
    this.#lists = lists;
    for (const [n, conditions] of lists.entries()) {
      const guarding = conditions.find(
        ({ enumKey, tests }) => enumKey === null && tests.every(({ op }) => op === 'is'),
      );
      if (guarding === undefined) this.#unguarded |= 1 << n;
      else this.#guard(guarding, 1 << n);
    }
  }

  #guard({ lookup, tests }: Condition, bit: number): void {
    let guard = this.#guards.find((one) => one.lookup === lookup);
    if (guard === undefined) {
      guard = { lookup, byText: new Int32Array(SLOTS), all: 0 };
      this.#guards.push(guard);
    }
    guard.all |= bit;
    for (const test of tests) {
      if (test.op !== 'is') continue;
      const slot = slotOf(test.text, 0, test.text.length);
      guard.byText[slot] = guard.byText[slot]! | bit;
    }
  }

  get isEmpty(): boolean {
    return this.#lists.length === 0;
  }

  /** The number of the list; -1 when none matches. */
  find(item: Item, envelope: Envelope, reader: Parameters<Lookup['read']>[2]): number {
    let left = this.#unguarded;
    for (let g = 0; g < this.#guards.length; g++) {
      const { lookup, byText, all } = this.#guards[g]!;
      const { kind, at, end } = lookup.read(item, envelope, reader);
      if (kind === 'string') left |= byText[slotOf(reader.bytes, at, end - at)]!;
      else if (kind !== 'none') left |= all;
    }
    while (left !== 0) {
      const n = 31 - Math.clz32(left & -left);
      if (matchesAll(this.#lists[n]!, item, envelope, reader)) return n;
      left &= left - 1;
    }
    return -1;
  }
}

function slotOf(bytes: Uint8Array, at: number, length: number): number {
  if (length === 0) return 0;
  return (length * 37 + bytes[at]! * 11 + bytes[at + length - 1]! * 131) & (SLOTS - 1);
}
