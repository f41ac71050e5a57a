/** Spans that come late, and a restart in the middle: exact counts both ways, and the decisions of an agent that was never killed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Plain, seeded } from '../otlp/generate.ts';
import { NOW_MS, plainly, span, traces } from '../worker/world.ts';
import { createSampling, type Outcome } from './sampling.ts';

const WAIT_MS = 10_000;
const START_MS = NOW_MS + 500;

interface Request {
  ms: number;
  spans: Plain[];
}
interface Trace {
  id: string;
  isError: boolean;
  /** Names of its spans, and when they come. */
  spans: { name: string; ms: number; failed: boolean }[];
}

/** Traces of three spans over a minute; 5 % of the spans come after `wait`, errors among them. */
function load(t: Parameters<typeof seeded>[0], count: number): { requests: Request[]; all: Trace[] } {
  const random = seeded(t, 160);
  const all = Array.from({ length: count }, (_, i): Trace => {
    const id = Array.from({ length: 32 }, () => random.below(16).toString(16)).join('');
    const isError = random.below(10) === 0;
    const first = START_MS + random.below(60_000);
    const failing = random.below(3);
    const spans = [0, 1, 2].map((n) => {
      const isLate = n > 0 && random.below(1000) < 75;
      return {
        name: `${i}.${n}`,
        ms: n === 0 ? first : isLate ? first + WAIT_MS + 500 + random.below(5000) : first + random.below(WAIT_MS - 100),
        failed: isError && n === failing,
      };
    });
    return { id, isError, spans };
  });
  const requests = all
    .flatMap(({ id, spans }) =>
      spans.map(({ name, ms, failed }) => ({
        ms,
        spans: [
          span(Number(name.split('.')[0]), {
            traceId: Buffer.from(id, 'hex'),
            name,
            ...(failed ? { status: { code: 2 } } : {}),
          }),
        ],
      })),
    )
    .sort((a, b) => a.ms - b.ms);
  return { requests, all };
}

const CONFIG = { wait: '10s', base: '10%', keep: { rare: '0%' } };
const END_MS = START_MS + 200_000;

function namesOf(outcomes: readonly Outcome[]): Map<string, { kept: string; partial: boolean }> {
  const names = new Map<string, { kept: string; partial: boolean }>();
  for (const { kept } of outcomes)
    for (const { name, attributes } of kept.traces) {
      const of = (key: string) => (attributes as { key: string; value: Plain }[]).find((one) => one.key === key)?.value;
      assert.ok(!names.has(String(name)), `${name} stands twice`);
      names.set(String(name), {
        kept: String(of('plumbline.kept')?.stringValue),
        partial: of('plumbline.partial')?.boolValue === true,
      });
    }
  return names;
}

function run(requests: readonly Request[], changes: object = {}): Outcome[] {
  const sampling = createSampling({ ...CONFIG, ...changes });
  const outcomes: Outcome[] = [];
  for (const { ms, spans } of requests) {
    outcomes.push(...sampling.decide(ms));
    sampling.send(ms, plainly(traces(...spans)));
  }
  return [...outcomes, ...sampling.decide(END_MS)];
}

test('with 5 % of the spans late every error trace is whole up to its decision, late errors are kept by themselves: exact counts', (t) => {
  const { requests, all } = load(t, 3000);
  const kept = namesOf(run(requests));
  let late = 0;
  let wanted = 0;
  const counts = { whole: 0, partial: 0, late: 0, base: 0 };
  for (const { id, spans } of all) {
    const first = spans[0]?.ms ?? 0;
    const isLate = ({ ms }: { ms: number }) => ms - first > WAIT_MS;
    late += spans.filter(isLate).length;
    // What was known when it was decided.
    const isErrorThen = spans.some((one) => one.failed && !isLate(one));
    const isBase = BigInt(`0x${id.slice(18)}`) >= 0xe6660000000000n;
    for (const one of spans) {
      const found = kept.get(one.name);
      const what = `${one.name} of ${id}`;
      if (isErrorThen) {
        assert.deepEqual(found, { kept: 'error', partial: false }, what);
        counts.whole++;
      } else if (isBase && one.failed && isLate(one)) {
        assert.deepEqual(found, { kept: 'error', partial: false }, what);
        counts.late++;
      } else if (isBase) {
        assert.deepEqual(found, { kept: 'base', partial: false }, what);
        counts.base++;
      } else if (one.failed && isLate(one)) {
        assert.deepEqual(found, { kept: 'error', partial: true }, what);
        counts.partial++;
      } else {
        assert.equal(found, undefined, what);
        continue;
      }
      wanted++;
    }
  }
  assert.equal(kept.size, wanted, 'something was kept that should not have been');
  assert.ok(late > 0.035 * all.length * 3, `${late} late spans`);
  assert.ok(counts.partial > 5 && counts.late > 0 && counts.whole > 500 && counts.base > 500, JSON.stringify(counts));
  t.diagnostic(`${late} of ${all.length * 3} spans late: ${JSON.stringify(counts)}`);
});

for (const [base, error] of [
  ['10%', '100%'],
  ['10%', '4%'],
  ['0%', '20%'],
  ['100%', '50%'],
] as const) {
  test(`late errors are as many as came, by their thresholds: base ${base}, errors ${error}`, (t) => {
    const random = seeded(t, 161);
    const ids = Array.from({ length: 5000 }, () => Buffer.from(Array.from({ length: 16 }, () => random.below(256))));
    const sampling = createSampling({ base, keep: { error, rare: '0%' } });
    const send = (ms: number, more: Plain) => {
      for (let from = 0; from < ids.length; from += 500)
        sampling.send(
          ms,
          plainly(traces(...ids.slice(from, from + 500).map((traceId, i) => span(i, { traceId, ...more })))),
        );
    };
    send(START_MS, {});
    const outcomes = sampling.decide(START_MS + WAIT_MS + 500);
    send(START_MS + WAIT_MS + 1000, { name: 'late', status: { code: 2 } });
    outcomes.push(...sampling.decide(END_MS));
    const late = outcomes.flatMap(({ kept }) => kept.traces.filter(({ name }) => name === 'late'));
    const counted = late.reduce((sum, item) => sum + countOf(item), 0);
    // Of the larger share, by which all of them are kept; four standard deviations.
    const share = Math.max(...[base, error].map((one) => Number.parseFloat(one) / 100));
    const sigma = Math.sqrt(((1 - share) / share) * ids.length);
    assert.ok(Math.abs(counted - ids.length) <= 4 * sigma, `${counted} of ${ids.length}`);
  });
}

/** How many spans a kept one stands for. */
function countOf({ traceState }: Plain): number {
  const th = /^ot=th:([0-9a-f]+)$/.exec(String(traceState))?.[1];
  return th === undefined ? 1 : 1 / (1 - Number.parseInt(th.padEnd(14, '0'), 16) / 2 ** 56);
}

for (const [name, changes] of [
  ['', {}],
  [', with a budget', { budget: '600KiB/min', base: '100%', keep: { rare: '100%' } }],
] as const) {
  test(`after a restart between mark and decision the decisions are those of a run without it${name}`, (t) => {
    const { requests } = load(t, 1500);
    const straight = namesOf(run(requests, changes));
    const all = { ...CONFIG, ...changes };
    const before = createSampling(all);
    const kill = Math.floor(requests.length / 2);
    const outcomes: Outcome[] = [];
    for (const { ms, spans } of requests.slice(0, kill)) {
      outcomes.push(...before.decide(ms));
      before.send(ms, plainly(traces(...spans)));
    }
    const decidedFrames = outcomes.length;
    // The next process starts later, and measures what is in the journal again before it decides anything.
    const after = createSampling(all, 64, (requests[kill]?.ms ?? 0) + 1234);
    requests.slice(0, kill).forEach(({ ms, spans }) => {
      after.observer.tick(ms, false);
      after.send(ms, plainly(traces(...spans)));
    });
    after.skip(decidedFrames);
    for (const { ms, spans } of requests.slice(kill)) {
      outcomes.push(...after.decide(ms));
      after.send(ms, plainly(traces(...spans)));
    }
    outcomes.push(...after.decide(END_MS));
    const sorted = (names: ReturnType<typeof namesOf>) => [...names].sort(([a], [b]) => a.localeCompare(b));
    assert.deepEqual(sorted(namesOf(outcomes)), sorted(straight));
    assert.ok(straight.size > 300 && straight.size < 4500, `${straight.size} kept`);
  });
}
