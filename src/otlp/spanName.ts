// HOT: once per span. Bench: bench/micro/otlp/spanName.bench.ts
/** The name of a span as it tells operations apart: hashed once, since summaries, limits and contracts all ask for it. */
import { cutLength } from '../core/boundedText.ts';
import { SECOND_SEED, viewOf } from './protobuf.ts';

/** Signed here, not once a name: an import that has to be made so costs a short one a sixth. */
const SIGNED_SEED = SECOND_SEED | 0;

/** Of as much of a name as the agent tells. Signed: crossing a call, half of the unsigned ones would be boxed. */
export class NameHash {
  /** Bytes of the name that were hashed. */
  length = 0;
  /** Two of different making: together they tell names apart, each says where to look. For what never leaves the process. */
  first = 0;
  second = 0;

  static of(name: string): NameHash {
    const bytes = Buffer.from(name);
    const hash = new NameHash();
    hash.read(viewOf(bytes), bytes, 0, bytes.length);
    return hash;
  }

  /** A name of `length` bytes at `at`, four bytes a step; the last step goes back over what is left of them. */
  read(view: DataView, bytes: Uint8Array, at: number, length: number): void {
    const told = cutLength(bytes, at, length);
    const last = (at + told - 4) | 0;
    let first = told;
    let second = SIGNED_SEED ^ told;
    let i = at | 0;
    for (; i < last; i = (i + 4) | 0) {
      const word = view.getInt32(i, true);
      first = Math.imul(first ^ word, 0x85eb_ca6b);
      first ^= first >>> 15;
      second = Math.imul(((second << 5) | (second >>> 27)) ^ word, 0x9e37_79b1);
    }
    const word = told < 4 ? shortWord(bytes, at, told) : view.getInt32(last, true);
    first = Math.imul(first ^ word, 0x85eb_ca6b);
    first ^= first >>> 15;
    second = Math.imul(((second << 5) | (second >>> 27)) ^ word, 0x9e37_79b1);
    this.length = told;
    this.first = first;
    this.second = second;
  }
}

/** A name of fewer than four bytes. */
function shortWord(bytes: Uint8Array, at: number, length: number): number {
  let word = 0;
  for (let i = 0; i < length; i++) word = (word << 8) | bytes[at + i]!;
  return word;
}
