// HOT: once per group of a task, on main. Bench: bench/micro/processors/summarize/merge.bench.ts
/** The numbers of groups by the hash that the workers made, with open addressing: a Map would make an object of each key it is asked for. */
import { Identity } from './group.ts';

/** hash u32 | the rest of the hash u32 | number of the group + 1, 0 is empty. */
const STEP = 3;
const LEAST_SLOTS = 512;
const SAVED_HEAD_BYTES = 12;
const WORD = 0x1_0000_0000;
/** `rest` of what is beyond the bound on groups; its `hash` is the status of its rows: that of spans, or LOG_ROW. */
export const OVERFLOW = 0xffff_ffff;

/** Both halves of a hash as one number: 53 bits, when `rest` has 21. */
export function keyOf(hash: number, rest: number): number {
  return hash + rest * WORD;
}

export class GroupTable {
  /** By number. */
  readonly identities: Identity[] = [];
  /** Of all of them. */
  textLength = 0;
  /** Two words of each. */
  readonly #hashes: number[] = [];
  #slots = new Uint32Array(LEAST_SLOTS * STEP);
  /** Slots less one: there are a power of two of them. */
  #mask = LEAST_SLOTS - 1;
  /** What `save` has written of the first groups; it only grows. */
  #saved = Buffer.alloc(0);
  #savedGroups = 0;
  #savedBytes = 0;

  get size(): number {
    return this.identities.length;
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
    this.identities.push(group);
    this.textLength += group.textLength;
    this.#hashes.push(hash, rest);
    if (this.identities.length * 2 > this.#mask) this.#grow();
    this.#place(hash, rest, this.identities.length);
  }

  /** For the checkpoint. Of each: hash u32, rest u32, length u32, and as many bytes of its identity. */
  save(): Uint8Array {
    for (; this.#savedGroups < this.size; this.#savedGroups++) {
      const { saved } = this.identities[this.#savedGroups]!;
      const at = this.#savedBytes;
      this.#savedBytes += SAVED_HEAD_BYTES + saved.length;
      if (this.#savedBytes > this.#saved.length) this.#saved = Buffer.concat([this.#saved], this.#savedBytes * 2);
      this.#saved.writeUInt32LE(this.#hashes[2 * this.#savedGroups]!, at);
      this.#saved.writeUInt32LE(this.#hashes[2 * this.#savedGroups + 1]!, at + 4);
      this.#saved.writeUInt32LE(saved.length, at + 8);
      this.#saved.set(saved, at + SAVED_HEAD_BYTES);
    }
    return this.#saved.subarray(0, this.#savedBytes);
  }

  static restore(saved: Uint8Array): GroupTable {
    const table = new GroupTable();
    const bytes = Buffer.from(saved.buffer, saved.byteOffset, saved.length);
    for (let at = 0; at < bytes.length; ) {
      const from = at + SAVED_HEAD_BYTES;
      const end = from + bytes.readUInt32LE(at + 8);
      table.add(bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4), Identity.restore(bytes.subarray(from, end)));
      at = end;
    }
    return table;
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
