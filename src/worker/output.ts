/** Memory a task writes its result to: whole blocks from the pool, all given back when the task fails. */
import { type BlockPool, PAGE_BYTES, UNIT_BYTES } from '../core/block.ts';
import type { Output } from '../core/component.ts';
import { AgentError } from '../core/errors.ts';
import type { Region } from './tasks.ts';

export class TaskOutput implements Output {
  readonly pool: BlockPool;
  #blocks: number[] = [];
  #next = 0;
  #end = 0;
  #regions: Region[] = [];

  constructor(pool: BlockPool) {
    this.pool = pool;
  }

  /** 8-aligned; in the current block when it fits, else in a new one. */
  allocate(bytes: number): number {
    if (this.#next + bytes > this.#end) this.#open(bytes);
    const at = this.#next;
    this.#next = Math.ceil((at + bytes) / 8) * 8;
    return at;
  }

  /** As `allocate`, for a frame: frames of one block lie end to end and become a region. */
  allocateFrame(bytes: number): number {
    const at = this.allocate(bytes);
    const region = this.#regions.at(-1);
    if (region !== undefined && region.end === at) region.end = this.#next;
    else this.#regions.push({ block: this.#blocks.at(-1) as number, first: at, end: this.#next });
    return at;
  }

  /** The frame at `at`, the last one allocated, turned out to need only `bytes`. */
  shrinkFrame(at: number, bytes: number): void {
    this.#next = Math.ceil((at + bytes) / 8) * 8;
    const region = this.#regions.at(-1) as Region;
    region.end = this.#next;
    if (region.end === region.first) this.#regions.pop();
  }

  #open(bytes: number): void {
    // A journal write is padded to a page; the block has to have room for it.
    const block = this.pool.allocate(Math.max(UNIT_BYTES, bytes + PAGE_BYTES));
    if (block < 0) {
      throw new AgentError('OVERLOADED', 'no memory for the result of a task: raise agent.memory_limit', {
        retryable: true,
      });
    }
    this.#blocks.push(block);
    this.#next = block;
    this.#end = block + this.pool.capacity(block) - PAGE_BYTES;
  }

  /** Hands everything over; the caller's result names it. */
  take(): { blocks: number[]; regions: Region[] } {
    const taken = { blocks: this.#blocks, regions: this.#regions };
    this.#forget();
    return taken;
  }

  /** The task failed: nobody else has seen these blocks. */
  discard(): void {
    for (const block of this.#blocks) this.pool.discard(block);
    this.#forget();
  }

  #forget(): void {
    this.#blocks = [];
    this.#regions = [];
    this.#next = 0;
    this.#end = 0;
  }
}
