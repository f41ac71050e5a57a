/** A block that is lent to the receiver for a large body: what the socket writes there is a frame's payload without being copied. */
import { type BlockPool, FRAME_HEADER_BYTES, frameSpan } from './block.ts';

export class LentBlock {
  readonly block: number;
  /** Where the body goes: behind the frame's header. */
  readonly payload: Buffer;
  readonly #pool: BlockPool;
  #state: 'lent' | 'taken' | 'returned' = 'lent';

  private constructor(pool: BlockPool, block: number, bytes: number) {
    this.#pool = pool;
    this.block = block;
    const from = block + FRAME_HEADER_BYTES;
    this.payload = pool.bytes.subarray(from, from + bytes);
  }

  /** Null when the pool has no room. */
  static of(pool: BlockPool, bytes: number): LentBlock | null {
    const block = pool.allocate(frameSpan(bytes));
    return block < 0 ? null : new LentBlock(pool, block, bytes);
  }

  /** The block is the caller's from now on, and the caller's to release. */
  take(): number {
    if (this.#state !== 'lent') throw new Error(`a block that was ${this.#state} cannot be taken`);
    this.#state = 'taken';
    return this.block;
  }

  /** Nobody writes into it any more; does nothing to a block that was taken. */
  giveBack(): void {
    if (this.#state !== 'lent') return;
    this.#state = 'returned';
    this.#pool.release(this.block);
  }
}

export type Lend = (bytes: number) => LentBlock | null;
