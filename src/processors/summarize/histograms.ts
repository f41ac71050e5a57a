// HOT: once per span, on main. Bench: bench/micro/processors/summarize/merge.bench.ts
/**
 * Exponential histograms of durations side by side, of at most MAX_BUCKETS buckets each, that lower their scale when their values spread:
 * OpenTelemetry's base-2 exponential bucket aggregation. https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
 */
import type { HistogramValue } from '../../core/otel.ts';
import { writeCount } from '../../otlp/protobuf.ts';
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
const HEAD_BYTES = 64;
/** What of a head is saved: the doubles, and `shift` to `end`. */
const SAVED_HEAD_BYTES = 38;
/** A varint of 53 bits. */
const MOST_COUNT_BYTES = 8;
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
    if (count > MOST_U32) this.#mayNeedDoubles(page, index & (PAGE - 1));
  }

  #mayNeedDoubles(page: Page, place: number): void {
    if (page.totals[place * HEAD_DOUBLES]! > MOST_U32 && page.counts === page.words)
      page.counts = Float64Array.from(page.words);
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

  /** Answers how many buckets are in use then. */
  #countAllWaiting(): number {
    let buckets = 0;
    for (let i = 0; i < this.#size; i++) {
      const page = this.#pages[i >>> PAGE_BITS]!;
      const head = (i & (PAGE - 1)) * HEAD_HALVES;
      this.#countWaiting(page, i & (PAGE - 1));
      buckets += page.halves[head + Half.end]! - page.halves[head + Half.low]!;
    }
    return buckets;
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
    const to = place * MAX_BUCKETS + ((known % MAX_BUCKETS) | 0);
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

  /** For the checkpoint. Each histogram is its head and the counts of its buckets. */
  save(): Uint8Array {
    const bytes = Buffer.allocUnsafe(this.#size * SAVED_HEAD_BYTES + this.#countAllWaiting() * MOST_COUNT_BYTES);
    let to = 0;
    for (let i = 0; i < this.#size; i++) {
      const page = this.#pages[i >>> PAGE_BITS]!;
      const place = i & (PAGE - 1);
      const { halves, counts } = page;
      bytes.set(headOf(page, place), to);
      to += SAVED_HEAD_BYTES;
      const low = halves[place * HEAD_HALVES + Half.low]!;
      const end = halves[place * HEAD_HALVES + Half.end]!;
      for (let bucket = low; bucket < end; bucket++) {
        const count = counts[place * MAX_BUCKETS + (bucket % MAX_BUCKETS)]!;
        if (count < 0x80) bytes[to++] = count;
        else to = writeCount(bytes, to, count);
      }
    }
    return bytes.subarray(0, to);
  }

  /** Into an empty one. */
  restore(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const index = this.add();
      const page = this.#pages[index >>> PAGE_BITS]!;
      const place = index & (PAGE - 1);
      headOf(page, place).set(bytes.subarray(at, at + SAVED_HEAD_BYTES));
      at += SAVED_HEAD_BYTES;
      this.#mayNeedDoubles(page, place);
      const { halves, counts } = page;
      const low = halves[place * HEAD_HALVES + Half.low]!;
      const end = halves[place * HEAD_HALVES + Half.end]!;
      for (let bucket = low; bucket < end; bucket++) {
        let count = 0;
        let scale = 1;
        for (; bytes[at]! > 0x7f; scale *= 128) count += (bytes[at++]! & 0x7f) * scale;
        counts[place * MAX_BUCKETS + (bucket % MAX_BUCKETS)] = count + bytes[at++]! * scale;
      }
    }
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

/** What is saved of it. */
function headOf({ totals }: Page, place: number): Uint8Array {
  return new Uint8Array(totals.buffer, place * HEAD_BYTES, SAVED_HEAD_BYTES);
}

function newPage(): Page {
  const totals = new Float64Array(PAGE * HEAD_DOUBLES);
  const words = new Uint32Array(PAGE * MAX_BUCKETS);
  return { totals, halves: new Uint16Array(totals.buffer), words, counts: words };
}
