/** Measures one function: CPU nanoseconds and heap bytes an item, medians of rounds. Run with --expose-gc. */

export interface Bench {
  name: string;
  /** What an item is: span, frame, request ... */
  unit: string;
  /** Items that one call of `run` handles. */
  items: number;
  run(): void;
  /** Most heap bytes an item may allocate; the test of allocation holds those that have it. */
  mostHeapBytes?: number;
}

export interface Measurement {
  name: string;
  unit: string;
  nsPerItem: number;
  /** Fastest and slowest round. */
  spread: [number, number];
  heapBytesPerItem: number;
}

export interface Effort {
  rounds: number;
  roundMs: number;
  /** Items over which allocation is measured, at least. */
  heapItems: number;
}

export const USUAL: Effort = { rounds: 9, roundMs: 150, heapItems: 200_000 };
/** What may be allocated between two collections, so that none falls in between and hides it: less than a semi-space. */
const MOST_BETWEEN_BYTES = 4 << 20;

export function measure(bench: Bench, effort: Effort = USUAL): Measurement {
  const warm = runFor(bench, effort.roundMs * 3);
  const rounds = Array.from({ length: effort.rounds }, () => runFor(bench, effort.roundMs)).sort((a, b) => a - b);
  return {
    name: bench.name,
    unit: bench.unit,
    nsPerItem: rounds[rounds.length >> 1] ?? warm,
    spread: [rounds[0] ?? warm, rounds.at(-1) ?? warm],
    heapBytesPerItem: measureHeap(bench, effort.heapItems),
  };
}

/** CPU nanoseconds an item over about `ms`: of this thread, so that neighbours on the machine do not count. */
function runFor(bench: Bench, ms: number): number {
  const cpu = process.threadCpuUsage();
  const from = performance.now();
  let runs = 0;
  let elapsed = 0;
  do {
    bench.run();
    runs++;
    elapsed = performance.now() - from;
  } while (elapsed < ms);
  const { user, system } = process.threadCpuUsage(cpu);
  return ((user + system) * 1000) / (runs * bench.items);
}

/** The guard's own test makes every bench this much slower. */
const SLOWER = Number(process.env.PLUMBLINE_BENCH_SLOWER ?? 1);

export function slowedRun(bench: Bench): void {
  const begun = performance.now();
  bench.run();
  if (SLOWER > 1) spinFor((performance.now() - begun) * (SLOWER - 1));
}

function spinFor(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}

/**
 * Heap bytes an item: what `heapUsed` grew by over stretches that no collection interrupts. A stretch is repeated with fewer runs when it
 * grew by more than a collection would have waited for.
 */
function measureHeap(bench: Bench, wanted: number): number {
  if (globalThis.gc === undefined) return Number.NaN;
  globalThis.gc();
  let runs = Math.max(1, Math.ceil(20_000 / bench.items));
  const own = stretch(() => undefined, 1);
  let items = 0;
  let bytes = 0;
  while (items < wanted) {
    const grown = stretch(bench.run, runs) - own;
    if ((grown > MOST_BETWEEN_BYTES || grown < 0) && runs > 1) {
      runs = runs >> 1;
      continue;
    }
    items += runs * bench.items;
    bytes += Math.max(0, grown);
  }
  return bytes / items;
}

function stretch(run: () => void, runs: number): number {
  // A minor one: a full one would throw away optimised code and have it compiled within the stretch.
  globalThis.gc?.({ type: 'minor' });
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < runs; i++) run();
  return process.memoryUsage().heapUsed - before;
}

export function formatMeasurement({ name, unit, nsPerItem, spread, heapBytesPerItem }: Measurement): string {
  const [least, most] = spread.map((ns) => ns.toFixed(1));
  const heap = Number.isNaN(heapBytesPerItem) ? '-' : heapBytesPerItem.toFixed(2);
  return `${name.padEnd(58)} ${nsPerItem.toFixed(1).padStart(10)} ns/${unit.padEnd(10)} (${least} - ${most})   ${heap.padStart(10)} B/${unit}`;
}
