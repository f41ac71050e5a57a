/** A run of frames that was read once and is handed out piece by piece, as its frames come due. */
import { type BlockPool, Field, readU64 } from '../core/block.ts';
import type { FrameRun } from '../core/component.ts';

export class HeldRun {
  readonly #blocks: BlockPool;
  readonly #run: FrameRun;
  /** Index of the first frame that is not handed out. */
  #from = 0;
  /** Pieces that are not released, and this run itself while it holds more. */
  #uses = 1;

  /** Its frames are shortlists. */
  readonly isShort: boolean;

  constructor(blocks: BlockPool, run: FrameRun, isShort: boolean) {
    this.isShort = isShort;
    this.#blocks = blocks;
    this.#run = run;
  }

  /** Those that are not handed out yet. */
  get frames(): number[] {
    return this.#from === 0 ? this.#run.frames : this.#run.frames.slice(this.#from);
  }

  /** The next `count` frames; damage that was passed goes with the first. Each piece is released for itself. */
  take(count: number): FrameRun {
    const { frames, next, damaged } = this.#run;
    const end = this.#from + count;
    const piece = {
      frames: frames.slice(this.#from, end),
      next: end === frames.length ? next : readU64(this.#blocks, (frames[end] as number) + Field.sequence),
      damaged: this.#from === 0 ? damaged : damaged.map(() => 0),
      release: () => this.#release(),
    };
    this.#from = end;
    this.#uses++;
    return piece;
  }

  get isTaken(): boolean {
    return this.#from === this.#run.frames.length;
  }

  /** No more is taken; the memory goes back when the pieces under way are released. */
  drop(): void {
    this.#release();
  }

  #release(): void {
    if (--this.#uses === 0) this.#run.release();
  }
}
