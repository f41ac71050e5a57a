/** Holds the budget of processors/sample: every slot within it, the slot of a tenfold step too, errors first, thresholds true. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectedBytes, fillBudget, type SlotTotals } from '../../src/processors/sample/budget.ts';
import { BASE, CLASS_COUNT, ERROR, SLOW } from '../../src/processors/sample/classes.ts';
import { SLOT_MS } from '../../src/processors/sample/slots.ts';
import { type Plain, seeded } from '../otlp/generate.ts';
import { logs, NOW_MS, plainly, span, traces } from '../worker/world.ts';
import { createSampling } from './sampling.ts';

const SLOT_BYTES = 256 * 1024;
const BUDGET = `${(SLOT_BYTES * 6) / 1024}KiB/min`;
const MOST_OVER = 1.15;
/** On the border of a slot. */
const START_MS = Math.ceil(NOW_MS / SLOT_MS) * SLOT_MS;

function totalsOf(bytes: Record<number, number>, more: Partial<SlotTotals> = {}): SlotTotals {
  const all = new Float64Array(CLASS_COUNT);
  for (const [c, of] of Object.entries(bytes)) all[Number(c)] = of;
  return { bytes: all, runs: 0, envelopes: 0, envelopeBytes: 0, ...more };
}

test('the budget goes to the highest class first, and the one where it ends is thinned', () => {
  const shares = new Array<number>(CLASS_COUNT).fill(1);
  shares[BASE] = 0.1;
  const fill = (bytes: Record<number, number>) => {
    const totals = totalsOf(bytes);
    const chances = fillBudget(totals, shares, 1000);
    assert.ok(expectedBytes(totals, chances) <= 1000.001);
    return [ERROR, SLOW, BASE].map((c) => chances[c] ?? 0);
  };
  const near = (found: number[], wanted: number[]) =>
    found.forEach((chance, i) => {
      assert.ok(Math.abs(chance - (wanted[i] ?? 0)) < 1e-6, `${found} for ${wanted}`);
    });
  near(fill({ [ERROR]: 100, [SLOW]: 100, [BASE]: 1000 }), [1, 1, 0.1]);
  near(fill({ [ERROR]: 100, [SLOW]: 100, [BASE]: 16_000 }), [1, 1, 0.05]);
  near(fill({ [ERROR]: 500, [SLOW]: 1000, [BASE]: 16_000 }), [1, 0.5, 0]);
  near(fill({ [ERROR]: 4000, [SLOW]: 1000, [BASE]: 16_000 }), [0.25, 0, 0]);
});

test('envelopes are paid once for all that is kept in them', () => {
  const shares = new Array<number>(CLASS_COUNT).fill(1);
  const totals = totalsOf({ [BASE]: 10_000 }, { runs: 100, envelopes: 10, envelopeBytes: 10_000 });
  const chances = fillBudget(totals, shares, 8000);
  const chance = chances[BASE] ?? 0;
  assert.ok(Math.abs(10_000 * chance + 10_000 * (1 - (1 - chance) ** 10) - 8000) < 1);
});

interface Load {
  /** Traces a second in each slot. */
  rates: number[];
  errorShare: number;
  /** Spans a request. */
  batch: number;
}

/** Sends the load second by second, decides what falls due on the way; bytes by slot of receipt. */
function run(t: { diagnostic(message: string): void }, { rates, errorShare, batch }: Load, changes: object = {}) {
  const random = seeded(t, 140);
  const sampling = createSampling({ wait: '4s', base: '100%', keep: { rare: '0%' }, budget: BUDGET, ...changes }, 256);
  const bySlot = rates.map(() => 0);
  const errors = { sent: 0, kept: 0 };
  const estimates = rates.map(() => 0);
  const sent = rates.map(() => 0);
  const later: { second: number; spans: Plain[] }[] = [];
  const take = (untilMs: number) => {
    for (const { receivedMs, bytes, kept } of sampling.decide(untilMs)) {
      const slot = Math.floor((receivedMs - START_MS) / SLOT_MS);
      bySlot[slot] = (bySlot[slot] ?? 0) + bytes;
      for (const item of kept.traces) {
        if ((item.status as Plain | undefined)?.code === 2) errors.kept++;
        estimates[slot] = (estimates[slot] ?? 0) + weightOf(item);
      }
    }
  };
  for (let second = 0; second < rates.length * 10; second++) {
    const slot = Math.floor(second / 10);
    const spans: Plain[] = later.filter((one) => one.second === second).flatMap((one) => one.spans);
    for (let i = 0; i < (rates[slot] ?? 0); i++) {
      const traceId = Buffer.from(Array.from({ length: 16 }, () => random.below(256)));
      const make = (more: Plain) =>
        span(random.below(1e9), {
          traceId,
          attributes: [{ key: 'k', value: { stringValue: 'v'.repeat(200 + random.below(200)) } }],
          ...more,
        });
      spans.push(make({}), make({}));
      if (random.below(1000) >= errorShare * 1000) continue;
      // The error comes up to three seconds after the rest, in the next slot too.
      later.push({
        second: Math.min(rates.length * 10 - 1, second + 1 + random.below(3)),
        spans: [make({ status: { code: 2 } })],
      });
    }
    const nowMs = START_MS + second * 1000 + 500;
    for (let from = 0; from < spans.length; from += batch)
      sampling.send(nowMs, plainly(traces(...spans.slice(from, from + batch))));
    errors.sent += spans.filter(({ status }) => status !== undefined).length;
    sent[slot] = (sent[slot] ?? 0) + spans.length;
    take(nowMs);
  }
  take(START_MS + rates.length * SLOT_MS + 60_000);
  return { bySlot, errors, estimates, sent, sampling };
}

function weightOf({ traceState }: Plain): number {
  const digits = /th:([0-9a-f]+)/.exec(String(traceState ?? ''))?.[1];
  return digits === undefined ? 1 : 1 / (1 - Number.parseInt(digits.padEnd(14, '0'), 16) / 2 ** 56);
}

for (const [name, load] of Object.entries({
  'a tenfold step in base traffic': { rates: [40, 40, 400, 400, 40], errorShare: 0.02, batch: 100 },
  'a tenfold step of small requests': { rates: [40, 400, 40], errorShare: 0.02, batch: 2 },
  'an incident in which most traces fail late': { rates: [100, 400, 100], errorShare: 0.6, batch: 50 },
})) {
  test(`no slot is over the budget by more than 15 %: ${name}`, (t) => {
    const { bySlot, errors, estimates, sent, sampling } = run(t, load);
    const shares = bySlot.map((bytes) => bytes / SLOT_BYTES);
    t.diagnostic(`of the budget: ${shares.map((share) => share.toFixed(2)).join(' ')}`);
    assert.ok(Math.max(...shares) <= MOST_OVER, 'a slot is over');
    // What is over the budget is used to the brim.
    assert.ok(Math.max(...shares) >= 0.85, 'the budget is not used');
    const all = estimates.reduce((sum, one) => sum + one, 0);
    const wanted = sent.reduce((sum, one) => sum + one, 0);
    if (load.errorShare < 0.1) {
      assert.equal(errors.kept, errors.sent, 'errors first: they fit, so all are kept');
      assert.ok(Math.abs(all / wanted - 1) < 0.15, `${all} by the counting rule, ${wanted} sent`);
    }
    assert.ok(
      Number(
        (sampling.telemetry.slotsOverBudget as unknown as { hashMap: Record<string, { value: number }> }).hashMap['']
          ?.value,
      ) > 0,
    );
  });
}

test('log records that come before the spans of their traces are within the budget of the slot they come in', (t) => {
  const random = seeded(t, 142);
  const sampling = createSampling({ wait: '5s', base: '100%', keep: { rare: '0%' }, budget: BUDGET }, 64);
  const bySlot = new Map<number, number>();
  const body = { stringValue: 'v'.repeat(1000) };
  const open: { ms: number; ids: Buffer[] }[] = [];
  const note = (untilMs: number) => {
    for (const { receivedMs, bytes } of sampling.decide(untilMs)) {
      const slot = Math.floor((receivedMs - START_MS) / SLOT_MS);
      bySlot.set(slot, (bySlot.get(slot) ?? 0) + bytes);
    }
  };
  // Twelve times the budget.
  for (let ms = START_MS; ms < START_MS + 3 * SLOT_MS; ms += 100) {
    note(ms);
    const ids = Array.from({ length: 30 }, () => Buffer.from(Array.from({ length: 16 }, () => random.below(256))));
    const records = ids.map((traceId) => ({ traceId, spanId: Buffer.alloc(8, 1), body }));
    sampling.send(ms, { signal: 'logs', bytes: logs(...records) });
    open.push({ ms, ids });
    // Spans come when they have ended.
    const [ended] = open;
    if (ended === undefined || ended.ms > ms - 2000) continue;
    open.shift();
    sampling.send(ms, plainly(traces(...ended.ids.map((traceId, i) => span(i, { traceId })))));
  }
  note(START_MS + 10 * SLOT_MS);
  const shares = [0, 1, 2].map((slot) => (bySlot.get(slot) ?? 0) / SLOT_BYTES);
  const text = shares.map((share) => share.toFixed(2)).join(' ');
  t.diagnostic(`of the budget: ${text}`);
  assert.ok(Math.max(...shares) <= MOST_OVER && Math.min(...shares) > 0.7, text);
});

test('records without a trace that came before the first slot of a start are sampled as all others', () => {
  const sampling = createSampling({ wait: '2s', base: '10%', budget: '1GiB/min' });
  const records = Array.from({ length: 2000 }, (_, i) => ({ timeUnixNano: i + 1, body: { stringValue: `line ${i}` } }));
  sampling.send(sampling.handle.startMs - SLOT_MS / 2, { signal: 'logs', bytes: logs(...records) });
  const { length } = sampling.decide(Infinity).flatMap(({ kept }) => kept.logs);
  assert.ok(Math.abs(length - 200) < 4 * Math.sqrt(2000 * 0.1 * 0.9), `${length}`);
});

test('two agents that see the same slot set the same thresholds, and a second run decides alike', (t) => {
  const load = { rates: [100, 300], errorShare: 0.1, batch: 20 };
  assert.deepEqual(run(t, load).bySlot, run(t, load).bySlot);
});

test('errors that come after the decision count for the slot they come in', (t) => {
  const random = seeded(t, 141);
  const sampling = createSampling({ wait: '2s', base: '10%', keep: { rare: '0%' }, budget: BUDGET }, 64);
  const bySlot = new Map<number, number>();
  const ids = Array.from({ length: 3000 }, () => Buffer.from(Array.from({ length: 16 }, () => random.below(256))));
  const send = (fromMs: number, more: Plain) =>
    ids.forEach((_, i) => {
      const attributes = [{ key: 'k', value: { stringValue: 'v'.repeat(300) } }];
      const nowMs = fromMs + Math.floor(i / 30) * 100;
      for (const { receivedMs, bytes } of sampling.decide(nowMs)) {
        const slot = Math.floor((receivedMs - START_MS) / SLOT_MS);
        bySlot.set(slot, (bySlot.get(slot) ?? 0) + bytes);
      }
      if (i % 30 === 0)
        sampling.send(
          nowMs,
          plainly(traces(...ids.slice(i, i + 30).map((id) => span(i, { traceId: id, attributes, ...more })))),
        );
    });
  send(START_MS, {});
  // A minute's errors in ten seconds, all of them late: four times the budget.
  send(START_MS + 2 * SLOT_MS, { status: { code: 2 } });
  for (const { receivedMs, bytes } of sampling.decide(START_MS + 10 * SLOT_MS)) {
    const slot = Math.floor((receivedMs - START_MS) / SLOT_MS);
    bySlot.set(slot, (bySlot.get(slot) ?? 0) + bytes);
  }
  const shares = [...bySlot].map(([slot, bytes]) => `${slot}: ${(bytes / SLOT_BYTES).toFixed(2)}`);
  t.diagnostic(shares.join(', '));
  const most = Math.max(...bySlot.values()) / SLOT_BYTES;
  assert.ok(most <= MOST_OVER && most > 0.8, shares.join(', '));
});

for (const signal of ['traces', 'logs'] as const) {
  test(`what traces send for long after they were decided is within the budget of the slot it comes in, errors first, and counts stay true: ${signal}`, (t) => {
    const random = seeded(t, 143);
    const sampling = createSampling({ wait: '2s', base: '100%', keep: { rare: '0%' }, budget: BUDGET }, 64);
    const bySlot = new Map<number, number>();
    const estimates = new Map<number, number>();
    const kept = new Set<string>();
    const failed = { sent: 0, kept: 0, partial: 0 };
    const add = (to: Map<number, number>, key: number, more: number) => to.set(key, (to.get(key) ?? 0) + more);
    const take = (untilMs: number) => {
      for (const { receivedMs, bytes, kept: items } of sampling.decide(untilMs)) {
        const slot = Math.floor((receivedMs - START_MS) / SLOT_MS);
        add(bySlot, slot, bytes);
        for (const item of items[signal]) {
          const of = (key: string) =>
            (item.attributes as { key: string; value: Plain }[]).find((one) => one.key === key)?.value;
          add(
            estimates,
            slot,
            weightOf({ traceState: item.traceState ?? `th:${of('sampling.threshold')?.stringValue}` }),
          );
          if (slot === 0) kept.add(Buffer.from(item.traceId as Uint8Array).toString('hex'));
          if (item.severityNumber !== 17 && (item.status as Plain | undefined)?.code !== 2) continue;
          failed.kept++;
          if (of('plumbline.partial') !== undefined) failed.partial++;
        }
      }
    };
    const ids = Array.from({ length: 2000 }, () => Buffer.from(Array.from({ length: 16 }, () => random.below(256))));
    const attributes = [{ key: 'k', value: { stringValue: 'v'.repeat(300) } }];
    // A slot in which they begin, well within the budget, and three of four times the budget.
    for (let second = 0; second < 40; second++) {
      const nowMs = START_MS + second * 1000;
      take(nowMs);
      if (second === 0)
        for (let at = 0; at < ids.length; at += 500)
          sampling.send(nowMs, plainly(traces(...ids.slice(at, at + 500).map((traceId, i) => span(i, { traceId })))));
      if (second < 10) continue;
      for (let part = 0; part < 5; part++) {
        const from = ((second * 5 + part) * 80) % ids.length;
        const some = ids.slice(from, from + 80);
        const fails = (i: number) => i === 0;
        failed.sent++;
        if (signal === 'traces')
          sampling.send(
            nowMs,
            plainly(
              traces(
                ...some.map((traceId, i) =>
                  span(i, { traceId, attributes, ...(fails(i) ? { status: { code: 2 } } : {}) }),
                ),
              ),
            ),
          );
        else {
          const spanId = Buffer.alloc(8, 1);
          const records = some.map((traceId, i) => ({
            traceId,
            spanId,
            attributes,
            severityNumber: fails(i) ? 17 : 9,
          }));
          sampling.send(nowMs, { signal: 'logs', bytes: logs(...records) });
        }
      }
    }
    take(START_MS + 10 * SLOT_MS);
    const shares = [1, 2, 3].map((slot) => (bySlot.get(slot) ?? 0) / SLOT_BYTES);
    const counts = [1, 2, 3].map((slot) => (estimates.get(slot) ?? 0) / 4000);
    const text = `${shares.map((one) => one.toFixed(2)).join(' ')} of the budget, ${counts.map((one) => one.toFixed(2)).join(' ')} counted`;
    t.diagnostic(text);
    assert.ok(Math.max(...shares) <= MOST_OVER && Math.min(...shares) > 0.7, text);
    // 2000 traces, of which a sixth is kept: four standard deviations.
    assert.ok(Math.max(...counts) < 1.2 && Math.min(...counts) > 0.8, text);
    assert.deepEqual(failed, { sent: failed.sent, kept: failed.sent, partial: 0 });
    assert.equal(kept.size, signal === 'traces' ? 2000 : 0);
  });
}

test('after the clock was set back by an hour slots are within the budget, by what came in them', (t) => {
  const random = seeded(t, 144);
  const sampling = createSampling({ wait: '2s', base: '100%', keep: { rare: '0%' }, budget: BUDGET }, 64, START_MS);
  const bySlot = new Map<number, number>();
  const attributes = [{ key: 'k', value: { stringValue: 'v'.repeat(300) } }];
  const take = (untilMs: number) => {
    for (const { receivedMs, bytes } of sampling.decide(untilMs)) {
      const slot = Math.floor((receivedMs - START_MS) / SLOT_MS);
      bySlot.set(slot, (bySlot.get(slot) ?? 0) + bytes);
    }
  };
  const send = (ms: number) => {
    const ids = Array.from({ length: 400 }, () => Buffer.from(Array.from({ length: 16 }, () => random.below(256))));
    sampling.send(ms, plainly(traces(...ids.map((traceId, i) => span(i, { traceId, attributes })))));
  };
  // Four times the budget throughout; before, the clock was right for a while and little came.
  const backMs = START_MS - 3000_000;
  sampling.observer.resume?.();
  for (let second = 0; second < 20; second++) {
    take(START_MS + second * 1000);
    sampling.send(START_MS + second * 1000, plainly(traces(span(second))));
  }
  // All of that is decided, then the clock is set back.
  take(START_MS + 60_000);
  for (let second = 0; second < 30; second++) {
    take(backMs + second * 1000);
    send(backMs + second * 1000);
  }
  take(backMs + 10 * SLOT_MS);
  const shares = [-300, -299, -298].map((slot) => (bySlot.get(slot) ?? 0) / SLOT_BYTES);
  const text = shares.map((share) => share.toFixed(2)).join(' ');
  t.diagnostic(`of the budget: ${text}`);
  assert.ok(Math.max(...shares) <= MOST_OVER && Math.min(...shares) > 0.7, text);
});

for (const signal of ['traces', 'logs'] as const) {
  test(`what a filter drops takes nothing of the budget: ${signal}`, (t) => {
    const random = seeded(t, 145);
    const of = signal === 'traces' ? 'spans' : 'logs';
    const filter = { type: 'filter', drop: [{ of, where: { route: '/health' } }] };
    const given = { wait: '2s', base: '100%', keep: { rare: '0%' }, budget: BUDGET };
    const sampling = createSampling(given, 64, START_MS, [], [filter]);
    const attributes = (route: string) => [
      { key: 'route', value: { stringValue: route } },
      { key: 'k', value: { stringValue: 'v'.repeat(300) } },
    ];
    // Five times the budget, of which nine tenths are dropped.
    for (let second = 0; second < 10; second++) {
      const items = Array.from({ length: 400 }, (_, i) => ({
        traceId: Buffer.from(Array.from({ length: 16 }, () => random.below(256))),
        attributes: attributes(i % 10 === 0 ? '/cart' : '/health'),
      }));
      if (signal === 'traces')
        sampling.send(START_MS + second * 1000, plainly(traces(...items.map((more, i) => span(i, more)))));
      else sampling.send(START_MS + second * 1000, { signal: 'logs', bytes: logs(...items) });
    }
    const outcomes = sampling.decide(START_MS + 10 * SLOT_MS);
    assert.equal(outcomes.flatMap(({ kept }) => kept[signal]).length, 400, 'there is room for all of the rest');
  });
}
