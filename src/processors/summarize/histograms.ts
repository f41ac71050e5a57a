// HOT: once per span, on main. Bench: bench/micro/processors/summarize/merge.bench.ts
/**
 * Exponential histograms of durations side by side, of at most MAX_BUCKETS buckets each, that lower their scale when their values spread:
 * OpenTelemetry's base-2 exponential bucket aggregation. https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
 */
import type { HistogramValue } from '../../core/otel.ts';
import { BUCKET_BIAS, SCALE, ZERO_BUCKET } from './measure.ts';

/** The SDK's default: a relative error of 2.2 % over three decades, 4.3 % over five. */
export const MAX_BUCKETS = 160;
/** Memory comes and goes by pages of so many histograms (176 KiB), and none is moved. */
const PAGE_BITS = 8;
const PAGE = 1 << PAGE_BITS;
/**
 * A histogram's head is a cache line: four doubles and 16 halves of a word. Heads lie side by side, apart from the buckets, so that those of
 * thousands of histograms stay near the processor.
 */
const HEAD_DOUBLES = 8;
const HEAD_HALVES = 32;
/** In doubles from the head's beginning. */
const Total = { count: 0, sum: 1, min: 2, max: 3 } as const;
/**
 * In halves of a word. A bucket of a measurement is `bucket >>> shift` here and lies at that modulo MAX_BUCKETS, so that none moves when
 * others come; those from `low` to before `end` are in use, `end` 0 is none. MOST_WAITING buckets wait in the head and are counted together:
 * their counts are far from the processor.
 */
const Half = { shift: 16, low: 17, end: 18, waitingCount: 19, waiting: 20 } as const;
const MOST_WAITING = 12;
const MOST_U32 = 0xffff_ffff;

interface Page {
  /** The heads, as doubles and as halves of words. */
  totals: Float64Array;
  halves: Uint16Array;
  words: Uint32Array;
  /** `words`, or a copy of them as doubles once a histogram of the page may have more in a bucket than a word holds. */
  counts: Uint32Array | Float64Array;
}

/** Scale, offset, counts, count of zeros, count, sum, smallest (null: none), largest. */
export type SavedHistogram = [number, number, number[], number, number, number, number | null, number];

export class Histograms {
  #pages: Page[] = [];
  #size = 0;
  readonly #coarse = new Float64Array(MAX_BUCKETS);

  /** A new one, empty; they are numbered from 0. */
  add(): number {
    const index = this.#size++;
    if (index >>> PAGE_BITS === this.#pages.length) this.#pages.push(newPage());
    const { totals } = this.#pages[index >>> PAGE_BITS]!;
    totals[(index & (PAGE - 1)) * HEAD_DOUBLES + Total.min] = Infinity;
    return index;
  }

  /** Fetches the histogram's head into the near caches: what is computed is of no interest. */
  touch(index: number): number {
    const { halves } = this.#pages[index >>> PAGE_BITS]!;
    const head = (index & (PAGE - 1)) * HEAD_HALVES;
    return halves[head]! + halves[head + HEAD_HALVES - 1]!;
  }

  /** Adds the count, sum, smallest and largest that lie at `from` in `values`; the buckets of what they count follow. */
  addTotals(index: number, values: Float64Array, from: number): void {
    const page = this.#pages[index >>> PAGE_BITS]!;
    const { totals } = page;
    const at = (index & (PAGE - 1)) * HEAD_DOUBLES;
    const count = totals[at]! + values[from]!;
    totals[at] = count;
    totals[at + Total.sum] = totals[at + Total.sum]! + values[from + Total.sum]!;
    if (values[from + Total.min]! < totals[at + Total.min]!) totals[at + Total.min] = values[from + Total.min]!;
    if (values[from + Total.max]! > totals[at + Total.max]!) totals[at + Total.max] = values[from + Total.max]!;
    if (count > MOST_U32 && page.counts === page.words) page.counts = Float64Array.from(page.words);
  }

  /** Adds `weight` values that fall into `bucket` as measure.ts has them. What is in no bucket is zero. */
  addBucket(index: number, bucket: number, weight: number): void {
    if (bucket === ZERO_BUCKET) return;
    const page = this.#pages[index >>> PAGE_BITS]!;
    const { halves } = page;
    const place = index & (PAGE - 1);
    if (weight !== 1) {
      this.#count(page, place, bucket, weight);
      return;
    }
    const head = place * HEAD_HALVES;
    const waiting = halves[head + Half.waitingCount]!;
    halves[head + Half.waiting + waiting] = bucket;
    halves[head + Half.waitingCount] = waiting + 1;
    if (waiting + 1 === MOST_WAITING) this.#countWaiting(page, place);
  }

  #countWaiting(page: Page, place: number): void {
    const { halves } = page;
    const head = place * HEAD_HALVES;
    const end = head + Half.waiting + halves[head + Half.waitingCount]!;
    for (let i = head + Half.waiting; i < end; i++) this.#count(page, place, halves[i]!, 1);
    halves[head + Half.waitingCount] = 0;
  }

  #count(page: Page, place: number, bucket: number, weight: number): void {
    const { halves, counts } = page;
    const head = place * HEAD_HALVES;
    let known = bucket >>> halves[head + Half.shift]!;
    if (known < halves[head + Half.low]! || known >= halves[head + Half.end]!)
      known = this.#include(page, place, bucket);
    const to = place * MAX_BUCKETS + (known % MAX_BUCKETS);
    counts[to] = counts[to]! + weight;
  }

  /** Makes room for `bucket`, halving the resolution until it fits, and says which one it is then. */
  #include({ halves, counts }: Page, place: number, bucket: number): number {
    const head = place * HEAD_HALVES;
    const at = place * MAX_BUCKETS;
    const shift = halves[head + Half.shift]!;
    const before = halves[head + Half.low]!;
    const end = halves[head + Half.end]!;
    const known = bucket >>> shift;
    const low = end === 0 || known < before ? known : before;
    const last = known >= end ? known : end - 1;
    let more = 0;
    while ((last >>> more) - (low >>> more) >= MAX_BUCKETS) more++;
    if (more > 0) {
      const coarse = this.#coarse.fill(0);
      for (let b = before; b < end; b++) {
        const to = (b >>> more) % MAX_BUCKETS;
        coarse[to] = coarse[to]! + counts[at + (b % MAX_BUCKETS)]!;
      }
      counts.set(coarse, at);
    }
    halves[head + Half.shift] = shift + more;
    halves[head + Half.low] = low >>> more;
    halves[head + Half.end] = (last >>> more) + 1;
    return known >>> more;
  }

  read(index: number): HistogramValue {
    const page = this.#pages[index >>> PAGE_BITS]!;
    const place = index & (PAGE - 1);
    this.#countWaiting(page, place);
    const { totals, halves, counts } = page;
    const head = place * HEAD_HALVES;
    const low = halves[head + Half.low]!;
    const shift = halves[head + Half.shift]!;
    const buckets = new Array<number>(halves[head + Half.end]! - low);
    const [count = 0, sum = 0, min = 0, max = 0] = totals.subarray(place * HEAD_DOUBLES);
    let zeroCount = count;
    for (let i = 0; i < buckets.length; i++) {
      buckets[i] = counts[place * MAX_BUCKETS + ((low + i) % MAX_BUCKETS)]!;
      zeroCount -= buckets[i]!;
    }
    const offset = buckets.length === 0 ? 0 : low - (BUCKET_BIAS >>> shift);
    return { count, sum, min, max, scale: SCALE - shift, zeroCount, offset, counts: buckets };
  }

  /** Plain data for the checkpoint. */
  save(index: number): SavedHistogram {
    const { count, sum, min, max, scale, zeroCount, offset, counts } = this.read(index);
    return [scale, offset, counts, zeroCount, count, sum, min === Infinity ? null : min, max];
  }

  restore([scale, offset, buckets, , count, sum, min, max]: SavedHistogram): number {
    const index = this.add();
    this.addTotals(index, Float64Array.of(count, sum, min ?? Infinity, max), 0);
    const shift = SCALE - scale;
    this.#pages[index >>> PAGE_BITS]!.halves[(index & (PAGE - 1)) * HEAD_HALVES + Half.shift] = shift;
    for (const [i, weight] of buckets.entries())
      this.addBucket(index, (offset + i + (BUCKET_BIAS >>> shift)) << shift, weight);
    return index;
  }

  /** Forgets all, and keeps as much memory as they had. */
  clear(): void {
    this.#pages.length = (this.#size + PAGE - 1) >>> PAGE_BITS;
    for (const page of this.#pages) {
      page.totals.fill(0);
      page.words.fill(0);
      page.counts = page.words;
    }
    this.#size = 0;
  }
}

function newPage(): Page {
  const totals = new Float64Array(PAGE * HEAD_DOUBLES);
  const words = new Uint32Array(PAGE * MAX_BUCKETS);
  return { totals, halves: new Uint16Array(totals.buffer), words, counts: words };
}
