/** Memory that several writes may be reading: given back when the last of them has come to an end, and how much of it a sink may have. */
import type { FrameBatch } from '../core/component.ts';

/** What a sink's batches keep of the blocks: a destination that does not answer must leave requests theirs. */
export class Room {
  readonly #mostBytes: number;
  #bytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  get isLeft(): boolean {
    return this.#bytes < this.#mostBytes;
  }

  lease({ blockBytes, release }: FrameBatch): Lease {
    this.#bytes += blockBytes;
    return new Lease(() => {
      this.#bytes -= blockBytes;
      release();
    });
  }
}

export class Lease {
  #users = 1;
  readonly #releases: (() => void)[];

  constructor(release: () => void) {
    this.#releases = [release];
  }

  /** More memory that goes the same way. */
  add(release: () => void): void {
    this.#releases.push(release);
  }

  hold(): void {
    this.#users++;
  }

  /** The owner, or one `hold`, is done with it. */
  done(): void {
    if (--this.#users > 0) return;
    for (const release of this.#releases) release();
  }
}
