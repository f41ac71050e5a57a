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
  /** Two words of each. */
  readonly #hashes: number[] = [];
  #slots = new Uint32Array(LEAST_SLOTS * STEP);
  /** Slots less one: there are a power of two of them. */
  #mask = LEAST_SLOTS - 1;

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
    this.#hashes.push(hash, rest);
    if (this.identities.length * 2 > this.#mask) this.#grow();
    this.#place(hash, rest, this.identities.length);
  }

  /** For the checkpoint, in base64. Of each: hash u32, rest u32, length u32, and as many bytes of its identity. */
  save(): string {
    const { identities } = this;
    let room = 0;
    for (const { saved } of identities) room += SAVED_HEAD_BYTES + saved.length;
    const bytes = Buffer.allocUnsafe(room);
    let to = 0;
    for (let i = 0; i < identities.length; i++) {
      const { saved } = identities[i]!;
      bytes.writeUInt32LE(this.#hashes[2 * i]!, to);
      bytes.writeUInt32LE(this.#hashes[2 * i + 1]!, to + 4);
      bytes.writeUInt32LE(saved.length, to + 8);
      bytes.set(saved, to + SAVED_HEAD_BYTES);
      to += SAVED_HEAD_BYTES + saved.length;
    }
    return bytes.toString('base64');
  }

  static restore(saved: string): GroupTable {
    const table = new GroupTable();
    const bytes = Buffer.from(saved, 'base64');
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
