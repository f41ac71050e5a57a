// HOT: once per group of a task, on main. Bench: bench/micro/processors/summarize/merge.bench.ts
/** The numbers of groups by the hash that the workers made, with open addressing: a Map would make an object of each key it is asked for. */
import type { Identity } from './group.ts';

/** hash u32 | the rest of the hash u32 | number of the group + 1, 0 is empty. */
const STEP = 3;
const LEAST_SLOTS = 512;
const WORD = 0x1_0000_0000;
/** `rest` of what is beyond the bound on groups; its `hash` is the status of its rows: that of spans, or LOG_ROW. */
export const OVERFLOW = 0xffff_ffff;

/** Both halves of a hash as one number: 53 bits, when `rest` has 21. Below zero: OVERFLOW. */
export function keyOf(hash: number, rest: number): number {
  return rest === OVERFLOW ? -1 - hash : hash + rest * WORD;
}

export function halvesOf(key: number): [hash: number, rest: number] {
  return key < 0 ? [-1 - key, OVERFLOW] : [key % WORD, Math.floor(key / WORD)];
}

export class GroupTable {
  readonly #groups: Identity[] = [];
  readonly #keys: number[] = [];
  #slots = new Uint32Array(LEAST_SLOTS * STEP);
  /** Slots less one: there are a power of two of them. */
  #mask = LEAST_SLOTS - 1;

  get size(): number {
    return this.#groups.length;
  }

  /** Fetches the place where it is looked for first into the near caches: what is answered is of no interest. */
  touch(hash: number): number {
    return this.#slots[(hash & this.#mask) * STEP + 2]!;
  }

  /** The group's number, or -1. */
  find(hash: number, rest: number): number {
    const slots = this.#slots;
    for (let slot = hash & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const at = slot * STEP;
      const index = slots[at + 2]!;
      if (index === 0 || (slots[at] === hash && slots[at + 1] === rest)) return index - 1;
    }
  }

  /** One that is not there yet; they are numbered from 0. */
  add(hash: number, rest: number, group: Identity): void {
    this.#groups.push(group);
    this.#keys.push(keyOf(hash, rest));
    if (this.#groups.length * 2 > this.#mask) this.#grow();
    this.#place(hash, rest, this.#groups.length);
  }

  /** In the order in which they came, with both halves of their hash as one number. */
  entries(): [key: number, group: Identity][] {
    return this.#groups.map((group, i) => [this.#keys[i]!, group]);
  }

  #grow(): void {
    const old = this.#slots;
    this.#mask = this.#mask * 2 + 1;
    this.#slots = new Uint32Array((this.#mask + 1) * STEP);
    for (let at = 0; at < old.length; at += STEP) {
      if (old[at + 2]! > 0) this.#place(old[at]!, old[at + 1]!, old[at + 2]!);
    }
  }

  #place(hash: number, rest: number, index: number): void {
    let slot = hash & this.#mask;
    while (this.#slots[slot * STEP + 2] !== 0) slot = (slot + 1) & this.#mask;
    this.#slots[slot * STEP] = hash;
    this.#slots[slot * STEP + 1] = rest;
    this.#slots[slot * STEP + 2] = index;
  }
}
