/** How long the last groups took to become safe. */
const RING = 256;

export class SyncTimes {
  readonly #seconds: number[] = [];
  #count = 0;

  add(seconds: number): void {
    this.#seconds[this.#count++ % RING] = seconds;
  }

  /** 99th percentile of the last 256 groups, seconds; 0 before the first. */
  p99(): number {
    const sorted = [...this.#seconds].sort((a, b) => a - b);
    return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0;
  }
}
