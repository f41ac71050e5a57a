/** Memory that several writes may be reading: given back when the last of them has come to an end. */

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
