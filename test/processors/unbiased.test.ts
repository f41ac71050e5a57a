/**
 * Counts by the counting rule are true on average, whatever comes together: classes, rules, late spans, records before and behind their traces,
 * thresholds from upstream, budgets.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SLOT_MS } from '../../src/processors/sample/slots.ts';
import { type Plain, seeded } from '../otlp/generate.ts';
import { logs, NOW_MS, plainly, span, traces } from '../worker/world.ts';
import { createSampling, type Outcome } from './sampling.ts';

const RUNS = 20;
const TRACES = 1200;
const WAIT_MS = 3000;
const START_MS = Math.ceil(NOW_MS / SLOT_MS) * SLOT_MS;
const STEP_MS = 100;
/** Standard deviations. */
const MOST_OFF = 4;

type Random = ReturnType<typeof seeded>;
interface Came {
  ms: number;
  signal: 'traces' | 'logs';
  item: Plain;
}
interface Load {
  came: Came[];
  /** Items there were before any sampler, by what they are called. */
  made: Map<string, number>;
}

const digits = (random: Random, count: number) =>
  Array.from({ length: count }, () => random.below(16).toString(16)).join('');
const text = (key: string, stringValue: string) => ({ key, value: { stringValue } });

/** Upstream nobody has sampled, or half by the trace id, or a quarter by a randomness that is told. */
function upstreamOf(random: Random, id: string): { name: string; traceState?: string; passes: boolean } {
  const rv = digits(random, 14);
  const kind = random.below(3);
  if (kind === 0) return { name: 'all', passes: true };
  if (kind === 1) return { name: 'half', traceState: 'ot=th:8', passes: id.slice(18) >= '8' };
  return { name: 'quarter', traceState: `ot=th:c;rv:${rv}`, passes: rv >= 'c' };
}

function load(random: Random): Load {
  const came: Came[] = [];
  const made = new Map<string, number>();
  const add = (passes: boolean, name: string, one: Came) => {
    made.set(name, (made.get(name) ?? 0) + 1);
    if (passes) came.push(one);
  };
  for (let i = 0; i < TRACES; i++) {
    const id = digits(random, 32);
    const traceId = Buffer.from(id, 'hex');
    const { name: upstream, traceState, passes } = upstreamOf(random, id);
    const firstMs = START_MS + random.below(2.5 * SLOT_MS);
    const rule = random.pick(['a', 'b', 'c']);
    const fails = random.below(3) === 0;
    const spans = 1 + random.below(4);
    for (let n = 0; n < spans; n++) {
      const isLate = n > 0 && random.below(5) === 0;
      const ms = n === 0 ? firstMs : firstMs + (isLate ? WAIT_MS + 500 : 0) + random.below(WAIT_MS - 500);
      const failed = fails && random.below(3) === 0;
      const name = `span ${isLate ? 'late' : 'in time'} ${failed ? 'failed' : 'ok'} ${upstream}`;
      const more = { ...(traceState && { traceState }), ...(failed && { status: { code: 2 } }) };
      const item = span(i * 8 + n, { traceId, name, attributes: [text('rule', rule)], ...more });
      add(passes, name, { ms, signal: 'traces', item });
    }
    // A record has no tracestate: its R is that of the trace id.
    if (upstream === 'quarter') continue;
    const severityNumber = random.pick([9, 9, 9, 17]);
    const isFree = random.below(2) === 0;
    const isHalf = upstream === 'half' && !isFree;
    const name = `record ${isFree ? 'alone' : 'of a trace'} ${severityNumber} ${isHalf ? 'half' : 'all'}`;
    const attributes = [text('rule', rule), ...(isHalf ? [text('sampling.threshold', '8')] : [])];
    const ids = isFree ? {} : { traceId, spanId: Buffer.alloc(8, 1) };
    const item = {
      timeUnixNano: `${random.below(2 ** 31)}`,
      severityNumber,
      body: { stringValue: name },
      attributes,
      ...ids,
    };
    add(isFree || passes, name, { ms: Math.max(START_MS, firstMs - 2000 + random.below(8000)), signal: 'logs', item });
  }
  return { came: came.sort((a, b) => a.ms - b.ms), made };
}

function countOf({ traceState, attributes }: Plain): number {
  const stated = (attributes as { key: string; value: Plain }[]).find(({ key }) => key === 'sampling.threshold');
  const th = /^ot=(?:[^,]*;)?th:([0-9a-f]+)/.exec(String(traceState))?.[1] ?? stated?.value.stringValue;
  return th === undefined ? 1 : 1 / (1 - Number.parseInt(String(th).padEnd(14, '0'), 16) / 2 ** 56);
}

/** What is counted after sampling, by name. */
function run(changes: object, came: readonly Came[]): Map<string, number> {
  const counted = new Map<string, number>();
  const count = (outcomes: readonly Outcome[]) => {
    for (const { kept } of outcomes)
      for (const item of [...kept.traces, ...kept.logs]) {
        const name = String(item.name ?? (item.body as Plain).stringValue);
        counted.set(name, (counted.get(name) ?? 0) + countOf(item));
      }
  };
  const sampling = createSampling({ wait: `${WAIT_MS}ms`, ...changes }, 128);
  let next = 0;
  for (let ms = START_MS; next < came.length; ms += STEP_MS) {
    count(sampling.decide(ms));
    const some: Came[] = [];
    while (next < came.length && (came[next] as Came).ms < ms + STEP_MS) some.push(came[next++] as Came);
    const of = (signal: Came['signal']) => some.filter((one) => one.signal === signal).map(({ item }) => item);
    const [records, spans] = [of('logs'), of('traces')];
    if (records.length > 0) sampling.send(ms, { signal: 'logs', bytes: logs(...records) });
    if (spans.length > 0) sampling.send(ms, plainly(traces(...spans)));
  }
  count(sampling.decide(START_MS + 20 * SLOT_MS));
  return counted;
}

for (const [name, changes] of Object.entries({
  'the defaults': {},
  'shares for everything': {
    base: '20%',
    keep: { error: '30%', slow: '5%', rare: '50%' },
    rules: [
      { where: { rule: 'a' }, keep: '40%' },
      { of: 'logs', where: { rule: 'b' }, keep: '60%' },
    ],
  },
  'a budget that thins the base': { base: '50%', budget: '2000KiB/min' },
  'a budget that thins errors': { base: '100%', keep: { error: '50%' }, budget: '500KiB/min' },
})) {
  test(`counts from the sample are true on average: ${name}`, (t) => {
    const sums = new Map<string, number[]>();
    for (let i = 0; i < RUNS; i++) {
      const { came, made } = load(seeded(t, 170 + i));
      const counted = run(changes, came);
      for (const [of, there] of made) sums.set(of, [...(sums.get(of) ?? []), (counted.get(of) ?? 0) - there]);
    }
    let most = 0;
    for (const [of, off] of sums) {
      const mean = off.reduce((sum, one) => sum + one, 0) / off.length;
      const variance = off.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (off.length - 1);
      const deviations = Math.abs(mean) / (Math.sqrt(variance / off.length) + 1e-6);
      most = Math.max(most, deviations);
      assert.ok(deviations < MOST_OFF, `${of}: off by ${mean.toFixed(2)} a run, ${deviations.toFixed(1)} deviations`);
    }
    t.diagnostic(`${sums.size} kinds of items, at most ${most.toFixed(1)} deviations`);
  });
}
