/** The intake journal as sinks of `raw` read it: without what a `filter` with `streams: [raw]` drops. */
import type { BlockPool, Signal, Stream } from '../core/block.ts';
import type { FrameBatch, FrameSource, Row } from '../core/component.ts';
import { messageOf } from '../core/errors.ts';
import { isDeadly, type WorkerPool } from './pool.ts';
import type { FilterResult } from './tasks.ts';

interface FilteredSourceOptions {
  source: FrameSource;
  blocks: BlockPool;
  workers: WorkerPool;
  /** Whether any processor drops from `raw` now. */
  isFiltering(): boolean;
  /** A frame that no worker survives leaves as it is. */
  onPoison(message: string): void;
}

export class FilteredSource implements FrameSource {
  readonly #options: FilteredSourceOptions;

  constructor(options: FilteredSourceOptions) {
    this.#options = options;
  }

  get head(): number {
    return this.#options.source.head;
  }

  total(stream: Stream, signal: Signal): number {
    return this.#options.source.total(stream, signal);
  }

  async read(from: number, row: Row, maxBytes: number, total: number): Promise<FrameBatch | null> {
    const { source, isFiltering } = this.#options;
    const batch = await source.read(from, row, maxBytes, total);
    // Nobody drops data points.
    if (batch === null || batch.frames.length === 0 || row.signal === 'metrics' || !isFiltering()) return batch;
    return this.#filter(batch);
  }

  arrival(row: Row, from: number, pass: (next: number) => boolean): Promise<void> {
    return this.#options.source.arrival(row, from, pass);
  }

  follow(reader: object, next: number): void {
    this.#options.source.follow(reader, next);
  }

  leave(reader: object): void {
    this.#options.source.leave(reader);
  }

  async #filter(batch: FrameBatch): Promise<FrameBatch> {
    const pool = this.#options.blocks;
    const results: FilterResult[] = [];
    const made = () => results.flatMap(({ blocks }) => blocks);
    const release = () => {
      for (const block of made()) pool.release(block);
      batch.release();
    };
    try {
      await this.#run(batch.frames, results);
    } catch (error) {
      release();
      throw error;
    }
    const frames = results.flatMap((result) => result.frames);
    const filtered = results.reduce((items, result) => items + result.filtered, 0);
    const blockBytes = made().reduce((sum, block) => sum + pool.capacity(block), batch.blockBytes);
    return { ...batch, frames, filtered, blockBytes, release };
  }

  /** A thread that died may have died of something else: its frames run one by one, and one that kills again stays whole. */
  async #run(frames: readonly number[], results: FilterResult[]): Promise<void> {
    try {
      results.push(await this.#options.workers.run({ kind: 'filter', frames }));
    } catch (error) {
      if (!isDeadly(error)) throw error;
      if (frames.length === 1) {
        this.#options.onPoison(messageOf(error));
        results.push({ frames: [...frames], filtered: 0, blocks: [] });
      } else for (const frame of frames) await this.#run([frame], results);
    }
  }
}
