/**
 * Consistent probability sampling through the whole selection, against a reading of the specification with strings and BigInt; and what counting by `th`
 * gives over stages. PLUMBLINE_SPANS sets how many spans the statistics are made of (10,000,000 takes some minutes).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERROR, ruleClass } from '../../src/processors/sample/classes.ts';
import { traceTableFor } from '../../src/processors/sample/index.ts';
import { TraceTable } from '../../src/processors/sample/traceTable.ts';
import { decoded, itemsOf, type Plain, seeded } from '../otlp/generate.ts';
import { createWorld, NOW_MS, plainly, sampleConfig, span, traces } from '../worker/world.ts';

const PAIRS = Number(process.env.PLUMBLINE_PAIRS ?? 100_000);
const SPANS = Number(process.env.PLUMBLINE_SPANS ?? 400_000);
const SEEDS = 200;
const WHOLE = 1n << 56n;
type Random = ReturnType<typeof seeded>;

const digits = (random: Random, count: number) =>
  Array.from({ length: count }, () => random.below(16).toString(16)).join('');
const thresholdValue = (th: string) => BigInt(`0x${th.padEnd(14, '0')}`);

/** The threshold of a share, as the specification's pseudo code has it: 4 digits and one for each leading f. */
function thresholdText(share: number): string {
  if (share >= 1) return '0';
  const exact = (1 - share) * 2 ** 56;
  let text = BigInt(Math.round(exact)).toString(16).padStart(14, '0');
  const leading = /^f*/.exec(text)?.[0].length ?? 0;
  const unit = 16n ** BigInt(14 - Math.min(14, 4 + leading));
  text = (((BigInt(Math.round(exact)) + unit / 2n) / unit) * unit).toString(16).padStart(14, '0');
  return text.replace(/0+$/, '');
}

interface Wanted {
  kept: boolean;
  traceState: string | undefined;
}

/** What a stage of this share does to a span, in the words of the specification. */
function oracle(traceId: string, traceState: string | undefined, share: number): Wanted {
  const members = (traceState ?? '').split(',').filter((one) => one !== '');
  const index = members.findIndex((one) => one.startsWith('ot='));
  const subKeys = index < 0 ? [] : (members[index] as string).slice(3).split(';');
  const of = (key: string) => subKeys.find((one) => one.startsWith(`${key}:`))?.slice(3);
  const rv = of('rv');
  const before = of('th');
  const random = BigInt(`0x${rv ?? traceId.slice(18)}`);
  const text = thresholdText(share);
  if (random < thresholdValue(text)) return { kept: false, traceState: undefined };
  const isFalse = before !== undefined && random < thresholdValue(before);
  let changed = subKeys;
  if (isFalse) changed = subKeys.filter((one) => !one.startsWith('th:'));
  if (text !== '0' && (isFalse || before === undefined || thresholdValue(before) < thresholdValue(text))) {
    const own = `th:${text}`;
    const at = subKeys.findIndex((one) => one.startsWith('th:'));
    changed = at < 0 ? [own, ...subKeys] : subKeys.map((one, i) => (i === at ? own : one));
  }
  const value = changed.join(';');
  if (value.length > 256) return { kept: true, traceState };
  const others = members.filter((_, i) => i !== index);
  const member = value === '' ? [] : [`ot=${value}`];
  if (changed === subKeys) return { kept: true, traceState };
  const list =
    index < 0 ? [...member, ...members] : [...members.slice(0, index), ...member, ...members.slice(index + 1)];
  const state = (index < 0 ? list : list.length === 0 ? others : list).join(',');
  return { kept: true, traceState: state === '' ? undefined : state };
}

function traceStateOf(random: Random): string | undefined {
  const subKeys: string[] = [];
  if (random.below(2) === 0) subKeys.push(`th:${digits(random, 1 + random.below(14))}`);
  if (random.below(3) === 0) subKeys.push(`rv:${digits(random, 14)}`);
  if (random.below(3) === 0) subKeys.push('xy:A.b-c_1');
  if (random.below(20) === 0) subKeys.push(`long:${'x'.repeat(200 + random.below(60))}`);
  subKeys.sort(() => random.below(3) - 1);
  const value = subKeys.join(';');
  const ot = subKeys.length === 0 || value.length > 256 ? [] : [`ot=${value}`];
  const before = random.below(2) === 0 ? ['a=b'] : [];
  const after = random.below(2) === 0 ? ['vendor@x=1:2'] : [];
  const state = [...before, ...ot, ...after].join(',');
  return state === '' ? undefined : state;
}

function keptOf(spans: Plain[], base: number): Plain[] {
  const world = createWorld({
    processors: [{ type: 'sample', base: `${base * 100}%`, keep: { rare: '0%' } }],
    units: 16,
  });
  const { frames } = world.observe([plainly(traces(...spans))]);
  const [first] = world.select(frames).selected;
  if (first === undefined) return [];
  return itemsOf('traces', decoded('traces', world.pool.bytes.subarray(first.at, first.at + first.length))).map(
    ({ item }) => item,
  );
}

test(`${PAIRS} generated pairs: decision and tracestate are the specification's, and what p1 < p2 keeps p2 keeps`, (t) => {
  const random = seeded(t, 150);
  const shares = [0.001, 0.01, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.9, 0.96875, 1].map(
    (share) => Number((share * 100).toFixed(6)) / 100,
  );
  const batch = 2000;
  let both = 0;
  for (let done = 0; done < PAIRS; done += batch) {
    const low = random.below(shares.length - 1);
    const [p1, p2] = [shares[low] ?? 0, shares[low + 1 + random.below(shares.length - low - 1)] ?? 1];
    const given = Array.from({ length: batch }, (_, i) => ({
      traceId: `${digits(random, 31)}1`,
      traceState: traceStateOf(random),
      name: String(i),
    }));
    const spans = given.map(({ traceId, traceState, name }) =>
      span(Number(name), {
        traceId: Buffer.from(traceId, 'hex'),
        name,
        ...(traceState === undefined ? {} : { traceState }),
      }),
    );
    const [first, second] = [p1, p2].map(
      (share) => new Map(keptOf(spans, share).map((item) => [String(item.name), item])),
    );
    for (const { traceId, traceState, name } of given) {
      for (const [share, kept] of [
        [p1, first],
        [p2, second],
      ] as const) {
        const wanted = oracle(traceId, traceState, share);
        const found = kept?.get(name);
        const what = `${traceId} ${traceState} at ${share}`;
        assert.equal(found !== undefined, wanted.kept, what);
        if (wanted.kept) assert.equal(found?.traceState ?? undefined, wanted.traceState, what);
      }
      if (first?.has(name)) {
        assert.ok(second?.has(name), `${traceId} is kept at ${p1} and not at ${p2}`);
        both++;
      }
    }
  }
  assert.ok(both > PAIRS / 20);
});

const CLASSES = [
  { name: 'base', stages: [0.5, 0.1, 0.2] },
  { name: 'error', stages: [1, 0.8, 0.9] },
  { name: 'a', stages: [0.3, 0.25, 0.35] },
  { name: 'b', stages: [0.05, 1, 0.02] },
  { name: 'c', stages: [1, 0.01, 0.5] },
] as const;
const BATCH = 1000;

/** One stage: an agent with shares of its own, which knows the class of every trace. */
function createStage(stage: number) {
  const share = (name: string) => `${(CLASSES.find((one) => one.name === name)?.stages[stage] ?? 1) * 100}%`;
  const changes = {
    base: share('base'),
    keep: { error: share('error'), rare: '0%' },
    rules: ['a', 'b', 'c'].map((name) => ({ name, where: { c: name }, keep: share(name) })),
    traces: 16 * BATCH,
  };
  const handle = traceTableFor(sampleConfig(changes), NOW_MS);
  const table = new TraceTable(handle);
  const world = createWorld({ processors: [{ type: 'sample', ...changes }], table: handle, units: 16 });
  return {
    table,
    pass(bytes: Uint8Array): Buffer | null {
      const { frames, block, result } = world.observe([plainly(bytes)]);
      if (result.measured !== null) world.pool.discard(result.measured.block);
      const { selected, block: output } = world.select(frames);
      const [first] = selected;
      const kept =
        first === undefined ? null : Buffer.from(world.pool.bytes.subarray(first.at, first.at + first.length));
      world.pool.discard(output);
      world.pool.discard(block);
      return kept;
    },
  };
}
const stages = [0, 1, 2].map(createStage);
let batches = 0;

/** Sends spans of five classes through three agents; sent and counted by class. */
function threeStages(random: Random, count: number) {
  const sent = CLASSES.map(() => 0);
  const counted = CLASSES.map(() => 0);
  const keptItems = CLASSES.map(() => 0);
  const ids = Array.from({ length: BATCH }, () => Buffer.alloc(16));
  const classAt = Array.from({ length: BATCH }, (_, i) => i % CLASSES.length);
  for (let done = 0; done < count; done += BATCH) {
    for (const id of ids) for (let at = 0; at < 16; at += 4) id.writeUInt32LE(random.below(2 ** 32), at);
    batches++;
    ids.forEach((id, i) => {
      const name = CLASSES[classAt[i] ?? 0]?.name;
      const traceClass =
        name === 'base' ? 0 : name === 'error' ? ERROR : ruleClass(['a', 'b', 'c'].indexOf(name ?? ''));
      // Time goes on, so that the table gives up older batches for this one.
      for (const { table } of stages)
        table.mark(id.readUInt32LE(8), id.readUInt32LE(12), NOW_MS + batches * 100, traceClass);
    });
    // No larger than it must be: thousands of requests are made.
    let bytes: Uint8Array | null = traces(
      ...ids.map((traceId, i) => ({ traceId, spanId: Buffer.alloc(8, 1), name: String(classAt[i]) })),
    );
    for (let stage = 0; stage < 3 && bytes !== null; stage++) bytes = stages[stage]?.pass(bytes) ?? null;
    for (const index of classAt) sent[index] = (sent[index] ?? 0) + 1;
    if (bytes === null) continue;
    for (const { item } of itemsOf('traces', decoded('traces', bytes))) {
      const index = Number(item.name);
      const th = /th:([0-9a-f]+)/.exec(String(item.traceState ?? ''))?.[1];
      keptItems[index] = (keptItems[index] ?? 0) + 1;
      counted[index] =
        (counted[index] ?? 0) + (th === undefined ? 1 : Number(WHOLE) / Number(WHOLE - thresholdValue(th)));
    }
  }
  return { sent, counted, keptItems };
}

test(`${SPANS} spans of five classes through three stages are counted within 4 sigma`, (t) => {
  const { sent, counted, keptItems } = threeStages(seeded(t, 151), SPANS);
  CLASSES.forEach(({ name, stages }, i) => {
    const share = Math.min(...stages);
    const sigma = Math.sqrt((sent[i] ?? 0) * (1 / share - 1));
    const off = ((counted[i] ?? 0) - (sent[i] ?? 0)) / sigma;
    t.diagnostic(
      `${name}: sent ${sent[i]}, kept ${keptItems[i]}, counted ${counted[i]?.toFixed(0)}, ${off.toFixed(2)} sigma`,
    );
    assert.ok(Math.abs(off) < 4, name);
  });
});

test(`the mean over ${SEEDS} seeds is within 1 % of what was sent`, (t) => {
  const each = Math.max(BATCH, Math.floor(SPANS / SEEDS / BATCH) * BATCH);
  const sums = CLASSES.map(() => 0);
  let sent = 0;
  for (let seed = 0; seed < SEEDS; seed++) {
    const run = threeStages(seeded({ diagnostic() {} }, 1000 + seed), each);
    run.counted.forEach((count, i) => {
      sums[i] = (sums[i] ?? 0) + count;
    });
    sent += run.sent[0] ?? 0;
  }
  CLASSES.forEach(({ name, stages }, i) => {
    const off = (sums[i] ?? 0) / sent - 1;
    // With few spans a seed, the smallest shares alone vary by more.
    const sigma = Math.sqrt((1 / Math.min(...stages) - 1) / sent);
    t.diagnostic(`${name}: ${(off * 100).toFixed(2)} %, sigma ${(sigma * 100).toFixed(2)} %`);
    assert.ok(Math.abs(off) < Math.max(0.01, 4 * sigma), name);
  });
});
