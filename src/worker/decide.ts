/** Has runs of frames decided by workers: by their shortlists, and by whole frames where those do not say enough. */
import { type BlockPool, Field, readU64, SIGNALS, type Signal } from '../core/block.ts';
import type { FrameRun } from '../core/component.ts';
import { messageOf } from '../core/errors.ts';
import { type Decided, dropResults, type OnLoss } from './pending.ts';
import { isDeadly, type WorkerPool } from './pool.ts';
import type { SelectionProgress } from './progress.ts';
import type { Recalls } from './recalls.ts';
import type { SelectResult } from './tasks.ts';

const NOTHING: SelectResult = { block: -1, selected: [], filtered: [0, 0, 0], sampledOut: [0, 0, 0] };

export interface DeciderOptions {
  blocks: BlockPool;
  workers: WorkerPool;
  progress: SelectionProgress;
  /** `totals`: raw items by signal index that are known to lie before `from`. */
  read(from: number, maxBytes: number, totals: readonly number[]): Promise<FrameRun | null>;
  onLoss: OnLoss;
  /** So many frames were decided, by their shortlists or as a whole. */
  onDecided(frames: number, by: 'shortlist' | 'journal'): void;
}

export class Decider {
  readonly #options: DeciderOptions;
  readonly #recalls: Recalls;

  constructor(options: DeciderOptions, recalls: Recalls) {
    this.#options = options;
    this.#recalls = recalls;
  }

  /** What a worker says of the frames. A gap in the sequence (a restart leaves one) or damage is decided by passing it. */
  async decide(run: FrameRun, careful: boolean, isShort: boolean): Promise<Decided[]> {
    const { blocks } = this.#options;
    const { frames } = run;
    const damaged = [...run.damaged];
    const receivedMs = frames.length === 0 ? 0 : readU64(blocks, (frames[0] as number) + Field.receivedMs);
    try {
      if (frames.length === 0) return [{ result: NOTHING, damaged, receivedMs }];
      const result = await this.#select(frames, isShort);
      const decided = [{ result, damaged, receivedMs }];
      return (result.unsure ?? []).length === 0 ? decided : await this.#decideWhole(run, decided);
    } catch (error) {
      if (!careful || !isDeadly(error)) throw error;
      const frame = frames[0] as number;
      const { onLoss } = this.#options;
      const signal = blocks.bytes[frame + Field.signal] as number;
      const items = blocks.words[(frame + Field.items) >>> 2] as number;
      onLoss(SIGNALS[signal] as Signal, items, { frame, message: messageOf(error) });
      damaged[signal] = (damaged[signal] as number) + items;
      return [{ result: NOTHING, damaged, told: itemsOf(blocks, frame), receivedMs }];
    } finally {
      run.release();
    }
  }

  async #select(frames: readonly number[], isShort: boolean): Promise<SelectResult> {
    const { workers, progress, onDecided } = this.#options;
    const task = { kind: 'select' as const, frames, from: progress.next, decided: this.#recalls.decided };
    const result = await workers.run(isShort ? { ...task, isShort } : task);
    onDecided(frames.length - (result.unsure?.length ?? 0), isShort ? 'shortlist' : 'journal');
    return result;
  }

  /** Adds what is said of whole frames where shortlists do not say enough. */
  async #decideWhole({ frames }: FrameRun, decided: Decided[]): Promise<Decided[]> {
    const { blocks, read } = this.#options;
    const [{ result, receivedMs }] = decided as [Decided];
    try {
      for (const index of result.unsure ?? []) {
        const short = frames[index] as number;
        const sequence = readU64(blocks, short + Field.sequence);
        const run = await read(sequence, 1, []);
        const whole = run?.frames[0];
        if (whole === undefined || readU64(blocks, whole + Field.sequence) !== sequence) {
          decided.push({ result: NOTHING, damaged: itemsOf(blocks, short), receivedMs });
          run?.release();
          continue;
        }
        try {
          decided.push({ result: await this.#select([whole], false), damaged: [0, 0, 0], receivedMs });
        } finally {
          run?.release();
        }
      }
      return decided;
    } catch (error) {
      dropResults(blocks, decided);
      throw error;
    }
  }
}

/** The items of a frame, by signal index. */
function itemsOf(blocks: BlockPool, at: number): number[] {
  const items = blocks.words[(at + Field.items) >>> 2] as number;
  return SIGNALS.map((_, signal) => (signal === blocks.bytes[at + Field.signal] ? items : 0));
}
