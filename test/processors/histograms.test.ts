/** `summarize`'s histograms, held against maps of buckets: however many there are, and however they spread, go and come back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { HistogramValue } from '../../src/core/otel.ts';
import { Histograms, MAX_BUCKETS } from '../../src/processors/summarize/histograms.ts';
import { BUCKET_BIAS, bucketOf, SCALE, ZERO_BUCKET } from '../../src/processors/summarize/measure.ts';
import { SEED, seeded } from '../otlp/generate.ts';

/** What was added to one histogram: how often each bucket of a measurement, and the totals. */
interface Wanted {
  buckets: Map<number, number>;
  totals: [count: number, sum: number, min: number, max: number];
}

const empty = (): Wanted => ({ buckets: new Map(), totals: [0, 0, Infinity, 0] });

function add(histograms: Histograms, index: number, wanted: Wanted, bucket: number, weight: number): void {
  const ms = bucket === ZERO_BUCKET ? 0 : 2 ** ((bucket - BUCKET_BIAS + 1) / 2 ** SCALE);
  // Not at the beginning, as in a task's rows.
  histograms.addTotals(index, Float64Array.of(-1, weight, ms * weight, ms, ms), 1);
  histograms.addBucket(index, bucket, weight);
  const { buckets, totals } = wanted;
  buckets.set(bucket, (buckets.get(bucket) ?? 0) + weight);
  wanted.totals = [totals[0] + weight, totals[1] + ms * weight, Math.min(totals[2], ms), Math.max(totals[3], ms)];
}

/** By the definition: index i of scale s holds those of i << 1 and (i << 1) + 1 of scale s + 1. */
function at(scale: number, { buckets }: Wanted): Map<number, number> {
  const counts = new Map<number, number>();
  for (const [bucket, count] of buckets) {
    const index = Math.floor((bucket - BUCKET_BIAS) / 2 ** (SCALE - scale));
    if (bucket !== ZERO_BUCKET) counts.set(index, (counts.get(index) ?? 0) + count);
  }
  return counts;
}

const sorted = (counts: Iterable<[number, number]>) => [...counts].sort(([a], [b]) => a - b);

function assertSame(found: HistogramValue, wanted: Wanted, what: string): void {
  const { count, sum, min, max, scale, zeroCount, offset, counts } = found;
  assert.deepEqual([count, sum, min, max], wanted.totals, what);
  assert.equal(zeroCount, wanted.buckets.get(ZERO_BUCKET) ?? 0, what);
  assert.ok(counts.length <= MAX_BUCKETS, what);
  const inUse = counts.flatMap((n, i): [number, number][] => (n > 0 ? [[offset + i, n]] : []));
  assert.deepEqual(inUse, sorted(at(scale, wanted)), what);
  assert.ok(counts.length === 0 || (counts[0] !== 0 && counts.at(-1) !== 0), `${what}: no more than what is in use`);
  // One scale finer would not have fitted, or it is the first.
  const fine = [...at(scale + 1, wanted).keys()];
  if (scale < SCALE)
    assert.ok(Math.max(...fine) - Math.min(...fine) >= MAX_BUCKETS, `${what}: coarser than it must be`);
}

/** Buckets of one operation: about one place, more or less spread, in both directions; the first and the last there are among them. */
function someBucket(random: ReturnType<typeof seeded>, spread: number): number {
  const dice = random.below(50);
  if (dice === 0) return ZERO_BUCKET;
  if (dice === 1 && spread > 500) return random.pick([0, ZERO_BUCKET - 1]);
  const steps = Array.from({ length: 4 }, () => random.below(spread)).reduce((sum, one) => sum + one, 0);
  return Math.max(0, Math.min(ZERO_BUCKET - 1, BUCKET_BIAS + steps - 2 * spread + 130));
}

test('a duration falls into the bucket that the logarithm gives, and a power of two is the last of its own', (t) => {
  const random = seeded(t, 3);
  const byDefinition = (ms: number) => {
    const index = Math.ceil(Math.log2(ms) * 2 ** SCALE) - 1 + BUCKET_BIAS;
    return Math.min(ZERO_BUCKET - 1, Math.max(0, index));
  };
  const seen = new Set<number>();
  for (let i = 0; i < 50_000; i++) {
    // Beyond both ends, too; one that lies so near a bound that its logarithm is rounded onto it is as good as on the other side.
    const doublings = (random.below(2 ** 30) / 2 ** 30) * 70 - 36;
    if (Math.abs(doublings * 2 ** SCALE - Math.round(doublings * 2 ** SCALE)) < 1e-6) continue;
    const ms = 2 ** doublings;
    assert.equal(bucketOf(ms), byDefinition(ms), String(ms));
    seen.add(bucketOf(ms));
  }
  assert.ok(seen.size > 1500, `${seen.size}`);
  for (let e = -31; e < 31; e++) assert.equal(bucketOf(2 ** e), byDefinition(2 ** e), `2 to the power of ${e}`);
  assert.deepEqual([0, -1, Number.MIN_VALUE, Infinity].map(bucketOf), [ZERO_BUCKET, ZERO_BUCKET, 0, ZERO_BUCKET - 1]);
});

test('histograms are what maps are, over growth, spreading, forgetting and restarts', (t) => {
  const random = seeded(t, 71);
  let histograms = new Histograms();
  let most = 0;
  for (let flush = 0; flush < 8; flush++) {
    const wanted: Wanted[] = [];
    const spreads: number[] = [];
    // Up to several pages, and fewer again: memory that was used before must come back empty.
    const groups = random.pick([3, 250, 257, 900]);
    most = Math.max(most, groups);
    for (let i = 0; i < groups * 40; i++) {
      let index = random.below(groups);
      if (index >= wanted.length) {
        index = wanted.push(empty()) - 1;
        spreads.push(random.pick([1, 20, 60, 150, 600]));
        assert.equal(histograms.add(), index);
      }
      const weight = random.below(20) === 0 ? random.pick([2, 4096, 2 ** 31]) : 1;
      add(histograms, index, wanted[index] as Wanted, someBucket(random, spreads[index] as number), weight);
      if (i !== groups * 20) continue;
      const saved = histograms.save();
      histograms = new Histograms();
      histograms.restore(saved);
      assert.deepEqual(histograms.save(), saved);
    }
    for (const [index, one] of wanted.entries())
      assertSame(histograms.read(index), one, `histogram ${index} of flush ${flush}, seed ${SEED}`);
    histograms.clear();
  }
  assert.ok(most > 256, 'more than a page');
});

test('a bucket counts beyond 32 bits, beside others and when two become one', () => {
  const histograms = new Histograms();
  const wanted = [empty(), empty()];
  for (const index of [0, 1]) assert.equal(histograms.add(), index);
  const [first, other] = wanted as [Wanted, Wanted];
  add(histograms, 1, other, BUCKET_BIAS, 7);
  for (let i = 0; i < 5; i++) {
    add(histograms, 0, first, BUCKET_BIAS, 0xffff_ffff);
    add(histograms, 0, first, BUCKET_BIAS + 1, 0xffff_ffff);
  }
  add(histograms, 0, first, BUCKET_BIAS + 200, 1);
  add(histograms, 1, other, BUCKET_BIAS, 1);
  const values = wanted.map((_, index) => histograms.read(index));
  for (const [index, one] of wanted.entries()) assertSame(values[index] as HistogramValue, one, `histogram ${index}`);
  assert.equal(values[0]?.counts[0], 10 * 0xffff_ffff);
  const restored = new Histograms();
  restored.restore(histograms.save());
  for (const [index, one] of wanted.entries()) assertSame(restored.read(index), one, `restored histogram ${index}`);
  add(restored, 0, first, BUCKET_BIAS + 200, 0xffff_ffff);
  assertSame(restored.read(0), first, 'counted on');
  histograms.clear();
  const again = empty();
  add(histograms, histograms.add(), again, BUCKET_BIAS, 1);
  assertSame(histograms.read(0), again, 'after it was forgotten');
});

test('memory of many histograms is given back when there are few', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // Array buffers are freed by a thread of V8's own, some time after they were collected.
  const used = async () => {
    let found = Number.NaN;
    for (let alike = 0, last = Number.NaN; alike < 5; alike = found === last ? alike + 1 : 0) {
      last = found;
      collect();
      await setTimeout(20);
      found = process.memoryUsage().arrayBuffers;
    }
    return found;
  };
  const histograms = new Histograms();
  const before = await used();
  const many = 20_000;
  for (let i = 0; i < many; i++) histograms.add();
  const most = (await used()) - before;
  assert.ok(most > many * MAX_BUCKETS * 4 && most < many * MAX_BUCKETS * 4 * 1.2, `${most} bytes`);
  histograms.clear();
  for (let i = 0; i < 10; i++) histograms.add();
  assert.ok((await used()) - before > most / 2, 'it is used again');
  histograms.clear();
  const left = (await used()) - before;
  assert.ok(left < most / 20, `${left} bytes are left`);
  assert.equal(histograms.add(), 0);
});
