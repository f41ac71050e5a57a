/** Holds what `sample` learns of operations: when it says something, for whom, how much it remembers, and that a restart changes nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planContract } from '../../src/contracts/planner.ts';
import type { OperationDurations } from '../../src/processors/processor.ts';
import { createLimits, Limits, MOST_LIMITS, operationOf, publishLimits } from '../../src/processors/sample/limits.ts';
import { Operations, type SavedOperations } from '../../src/processors/sample/operations.ts';
import { Histograms } from '../../src/processors/summarize/histograms.ts';
import { BUCKET_BIAS, SCALE, ZERO_BUCKET } from '../../src/processors/summarize/measure.ts';
import { type Plain, seeded } from '../otlp/generate.ts';
import { afterRestart } from '../support/saved.ts';
import { logs, NOW_MS, plainly, service, span } from '../worker/world.ts';
import { createSampling } from './sampling.ts';

const SERVER = 2;
const CLIENT = 3;
const HOUR_MS = 3600_000;

/** Spans of an operation, as a flush has them. */
function lasted(ms: readonly number[], name = 'GET /', kind = SERVER, from = 'shop'): OperationDurations {
  const histograms = new Histograms();
  const index = histograms.add();
  histograms.addTotals(index, Float64Array.of(ms.length, 0, 0, 0), 0);
  for (const one of ms)
    histograms.addBucket(index, one === 0 ? ZERO_BUCKET : Math.ceil(Math.log2(one) * 2 ** SCALE) - 1 + BUCKET_BIAS, 1);
  return { service: from, name, kind, durations: histograms.read(index) };
}
const times = (count: number, ms: number) => new Array<number>(count).fill(ms);
const limitOf = (operations: Operations, name = 'GET /', quantile = 0.99) =>
  operations.limits(quantile).get(operationOf('shop', name, SERVER));

const CONFIG = { slower_than: 'p99', wait: '1s', base: '0%', keep: { rare: '0%' } };
const reasonsOf = (items: readonly Plain[]) =>
  items.map(({ name, attributes }) => [
    name,
    (attributes as { key: string; value: Plain }[]).find(({ key }) => key === 'plumbline.kept')?.value.stringValue,
  ]);

test('operations of services and names that end alike are told apart', () => {
  const texts = Array.from({ length: 40 }, (_, i) => String(i));
  const operations = texts.flatMap((service) =>
    texts.flatMap((name) => [SERVER, CLIENT].map((kind) => operationOf(`shop-${service}`, `work ${name}`, kind))),
  );
  assert.equal(new Set(operations).size, operations.length);
});

test('a limit is given from 1,000 spans on for p99, not before, and spans of other operations have none', () => {
  const sampling = createSampling(CONFIG);
  const sent = (n: number) =>
    plainly(
      service(
        'shop',
        span(n, { name: 'GET /', kind: SERVER }, 500),
        span(n + 1, { name: 'GET /', kind: CLIENT }, 500),
        span(n + 2, { name: 'GET /other', kind: SERVER }, 500),
        span(n + 3, { name: 'GET /', kind: SERVER }, 10),
      ),
    );
  const flush = (count: number, ms: number) => {
    sampling.operations.flushed = [lasted(times(count, 10))];
    sampling.decide(ms);
  };
  flush(999, NOW_MS);
  sampling.send(NOW_MS, sent(0), plainly(service('other', span(50, { name: 'GET /', kind: SERVER }, 500))));
  assert.deepEqual(
    sampling.decide(NOW_MS + 5000).flatMap(({ kept }) => kept.traces),
    [],
    'too few are known',
  );
  flush(1, NOW_MS + 5000);
  sampling.send(NOW_MS + 6000, sent(100), plainly(service('other', span(150, { name: 'GET /', kind: SERVER }, 500))));
  const kept = sampling.decide(NOW_MS + 10_000).flatMap((one) => one.kept.traces);
  assert.deepEqual(reasonsOf(kept), [['GET /', 'slow']]);
  assert.equal(kept[0]?.kind, SERVER);
});

test('none learns nothing, and an error outdoes slowness', () => {
  for (const [slower_than, wanted] of [
    ['none', [['b', 'error']]],
    [
      'p99',
      [
        ['a', 'slow'],
        ['b', 'error'],
      ],
    ],
  ] as const) {
    const sampling = createSampling({ ...CONFIG, slower_than });
    sampling.operations.flushed = ['a', 'b'].map((name) => lasted(times(2000, 10), name));
    sampling.decide(NOW_MS);
    sampling.send(
      NOW_MS,
      plainly(
        service(
          'shop',
          span(1, { name: 'a', kind: SERVER }, 500),
          span(2, { name: 'b', kind: SERVER, status: { code: 2 } }, 500),
        ),
      ),
    );
    assert.deepEqual(reasonsOf(sampling.decide(NOW_MS + 5000).flatMap(({ kept }) => kept.traces)), wanted);
  }
});

test('thousands of operations are learned in parts, all of them within some ticks, before the next flush, or with the last tick', () => {
  const few = Array.from({ length: 1200 }, (_, i) => lasted(times(1, 10), `few ${i}`));
  const flush = [...few, lasted(times(2000, 10))];
  const slow = (n: number) => plainly(service('shop', span(n, { name: 'GET /', kind: SERVER }, 500)));
  const keptAfter = (...ticks: (readonly OperationDurations[])[]) => {
    const sampling = createSampling(CONFIG);
    for (const flushed of ticks) {
      sampling.operations.flushed = flushed;
      sampling.decide(NOW_MS);
    }
    sampling.send(NOW_MS, slow(1));
    return sampling.decide(NOW_MS + 5000).flatMap(({ kept }) => kept.traces).length;
  };
  assert.deepEqual(
    [
      keptAfter(flush),
      keptAfter(flush, []),
      keptAfter(flush, [], []),
      keptAfter(flush, [lasted(times(1, 10), 'other')]),
    ],
    [0, 0, 1, 1],
  );
  const stopped = createSampling(CONFIG);
  stopped.operations.flushed = flush;
  stopped.decide(Infinity);
  stopped.send(NOW_MS, slow(1));
  assert.equal(stopped.decide(NOW_MS + 5000).flatMap(({ kept }) => kept.traces).length, 1);
});

test('where a contract says from when on a span is slow, nothing else does', () => {
  const { plan } = planContract({
    contract: 'v1',
    service: 'shop',
    signals: [
      { name: 'latency', of: 'spans', where: { 'http.route': '/judged' }, slower_than: '400ms', breached: 'above 5%' },
      { name: 'errors', of: 'spans', bad: { status: 'error' }, breached: 'above 5%' },
    ],
    window: '1m',
    for: '0s',
    recover_after: '0s',
    no_data: 'freeze',
    late_after: '2m',
    on_breach: { keep: '100%', look_back: '2m', budget: '20MiB/min' },
  });
  const sampling = createSampling(CONFIG, 64, NOW_MS, [plan], [{ type: 'detect' }]);
  sampling.operations.flushed = [lasted(times(2000, 10))];
  sampling.decide(NOW_MS);
  const at = (n: number, route: string, ms: number) =>
    span(n, { name: 'GET /', kind: SERVER, attributes: [{ key: 'http.route', value: { stringValue: route } }] }, ms);
  const kept = (receivedMs: number) => {
    sampling.send(
      receivedMs,
      plainly(service('shop', at(1, '/judged', 300), at(2, '/judged', 500), at(3, '/free', 300), at(4, '/free', 10))),
    );
    return sampling
      .decide(receivedMs + 5000)
      .flatMap((one) => one.kept.traces)
      .map(({ attributes, startTimeUnixNano, endTimeUnixNano }) => [
        (attributes as { value: Plain }[])[0]?.value.stringValue,
        Number(BigInt(String(endTimeUnixNano)) - BigInt(String(startTimeUnixNano))) / 1e6,
      ]);
  };
  assert.deepEqual(kept(NOW_MS), [
    ['/judged', 500],
    ['/free', 300],
  ]);
  // The same where a span comes late and others of its trace make it looked at.
  const send = (...spans: Plain[]) => sampling.send(NOW_MS + 20_000, plainly(service('shop', ...spans)));
  sampling.send(NOW_MS + 10_000, plainly(service('shop', at(11, '/judged', 10))));
  sampling.decide(NOW_MS + 15_000);
  send({ ...at(11, '/judged', 300), name: 'GET /' }, { ...at(11, '/judged', 10), name: 'failed', status: { code: 2 } });
  assert.deepEqual(reasonsOf(sampling.decide(NOW_MS + 30_000).flatMap((one) => one.kept.traces)), [
    ['failed', 'error'],
  ]);
});

test('a slow span of a trace that was dropped is kept alone', () => {
  const sampling = createSampling(CONFIG);
  sampling.operations.flushed = [lasted(times(2000, 10))];
  sampling.decide(NOW_MS);
  const one = { name: 'GET /', kind: SERVER };
  sampling.send(NOW_MS, plainly(service('shop', span(1, one, 10))));
  sampling.send(NOW_MS + 3000, plainly(service('shop', span(1, one, 10), span(1, one, 500))));
  const [first, late] = sampling.decide(NOW_MS + 10_000);
  assert.deepEqual(first?.kept.traces, []);
  assert.deepEqual(reasonsOf(late?.kept.traces ?? []), [['GET /', 'slow']]);
});

test('less than one per cent of what it learned from is over p99, and more than half of that', (t) => {
  const random = seeded(t, 250);
  const uniform = () => (random.below(1e9) + 1) / 1e9;
  for (const spread of [0.1, 0.5, 1, 2]) {
    const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    const ms = Array.from({ length: 50_000 }, () => 20 * Math.exp(spread * normal()));
    const operations = new Operations(null);
    for (let from = 0; from < ms.length; from += 5000)
      operations.learn([lasted(ms.slice(from, from + 5000))], NOW_MS + from);
    const limit = limitOf(operations) ?? 0;
    const over = ms.filter((one) => one > limit).length / ms.length;
    assert.ok(over <= 0.01 && over > (spread < 0.3 ? 0.001 : 0.005), `${over} at a spread of ${spread}`);
  }
});

test('one outlier in few spans is no limit, and durations of zero count', () => {
  const operations = new Operations(null);
  operations.learn([lasted([...times(900, 0), 1000])], NOW_MS);
  assert.equal(limitOf(operations), undefined);
  operations.learn([lasted(times(900, 0))], NOW_MS);
  assert.ok((limitOf(operations) ?? Infinity) < 0.01);
  assert.equal(limitOf(operations, 'GET /', 0.999), undefined, 'p99.9 asks for 10,000');
});

test('what is lastingly slower is usual within minutes, and what is gone is forgotten', () => {
  const operations = new Operations(null);
  let now = NOW_MS;
  const pass = (ms: number, minutes: number) => {
    for (let i = 0; i < minutes * 6; i++, now += 10_000)
      operations.learn(
        [lasted(times(100, ms)), ...(ms === 10 && i === 0 ? [lasted(times(5000, 7), 'gone')] : [])],
        now,
      );
  };
  pass(10, 12 * 60);
  assert.ok((limitOf(operations) ?? 0) < 11);
  pass(50, 2);
  assert.ok((limitOf(operations) ?? 0) < 11, 'not within two minutes');
  pass(50, 8);
  assert.ok((limitOf(operations) ?? 0) > 49, 'within ten');
  assert.equal(operations.size, 2);
  now += 100 * HOUR_MS;
  operations.learn([lasted(times(1, 1), 'new')], now);
  assert.equal(limitOf(operations, 'gone'), undefined);
  assert.equal(operations.size, 2, 'the one in use, and the new one');
});

test('memory is bounded: operations with the most spans are known, and all that are known have their limit', () => {
  const operations = new Operations(null);
  const most = MOST_LIMITS + 1000;
  for (let from = 0; from < most; from += 500)
    operations.learn(
      Array.from({ length: 500 }, (_, i) => lasted(times(1000 + from + i, 10), `operation ${from + i}`)),
      NOW_MS,
    );
  operations.bound();
  assert.equal(operations.size, MOST_LIMITS);
  const limits = operations.limits(0.99);
  const known = Array.from({ length: most }, (_, i) => limits.has(operationOf('shop', `operation ${i}`, SERVER)));
  assert.ok(known.slice(0, 900).every((one) => !one) && known.slice(-1000).every((one) => one));
  const memory = createLimits();
  for (let i = 0; i < 3; i++) {
    publishLimits(memory, limits);
    const worker = new Limits(memory);
    for (const [operation, limit] of limits) assert.ok(Math.abs(worker.of(operation) - limit) < 1e-3);
    assert.equal(worker.of(operationOf('shop', 'operation 0', SERVER)), Infinity);
  }
  publishLimits(memory, new Map(Array.from({ length: MOST_LIMITS * 3 }, (_, i) => [i + 1, 5])));
  assert.equal(
    new Limits(memory).of(MOST_LIMITS * 3),
    Infinity,
    'beyond the table nothing is written, and a look ends',
  );
});

test('a restart goes on with what was learned, before anything is measured', () => {
  const before = createSampling(CONFIG);
  before.operations.flushed = [lasted([...times(1950, 10), ...times(50, 30)]), lasted(times(7, 5), 'few')];
  before.decide(NOW_MS);
  const saved = afterRestart(before.observer.save()) as SavedOperations;
  const after = createSampling(CONFIG, 64, NOW_MS, [], [], saved);
  after.send(
    NOW_MS,
    plainly(
      service('shop', span(1, { name: 'GET /', kind: SERVER }, 500), span(2, { name: 'GET /', kind: SERVER }, 20)),
    ),
  );
  const kept = after.decide(NOW_MS + 5000).flatMap((one) => one.kept.traces);
  assert.deepEqual(reasonsOf(kept), [['GET /', 'slow']]);
  assert.equal(new Limits(after.handle.limits).of(operationOf('shop', 'GET /', SERVER)) > 29, true);
  assert.deepEqual(after.observer.save(), saved);
});

test('what is saved is what is known: after more was learned, in earlier and later buckets, and after some was forgotten', () => {
  const operations = new Operations(null);
  const assertSaved = () => {
    const restored = new Operations(afterRestart(operations.save()));
    assert.equal(restored.size, operations.size);
    for (const quantile of [0.01, 0.3, 0.6, 0.9])
      assert.deepEqual(restored.limits(quantile), operations.limits(quantile));
  };
  for (const [i, ms] of [100, 1, 10_000, 3].entries()) {
    operations.learn([lasted(times(1000, ms)), lasted(times(50, ms), `operation ${i}`)], NOW_MS);
    assertSaved();
  }
  operations.learn([], NOW_MS + 2 * HOUR_MS);
  assertSaved();
  operations.learn(
    Array.from({ length: MOST_LIMITS }, (_, i) => lasted(times(20, 5), `many ${i}`)),
    NOW_MS + 2 * HOUR_MS,
  );
  assertSaved();
  operations.bound();
  assert.equal(operations.size, MOST_LIMITS);
  assertSaved();
});

test('a reload puts another quantile in force at once', () => {
  const sampling = createSampling(CONFIG);
  sampling.operations.flushed = [lasted([...times(1900, 10), ...times(100, 100)])];
  sampling.decide(NOW_MS);
  const limit = () => new Limits(sampling.handle.limits).of(operationOf('shop', 'GET /', SERVER));
  assert.ok(limit() > 99);
  sampling.observer.follow?.({ ...sampling.given, slower_than: 'p90' }, []);
  assert.ok(limit() < 11);
  sampling.observer.follow?.({ ...sampling.given, slower_than: 'none' }, []);
  assert.equal(limit(), Infinity);
});

test('log records and spans without a name are nothing special to it', () => {
  const sampling = createSampling({ ...CONFIG, base: '100%' });
  sampling.operations.flushed = [lasted(times(2000, 10), '', 0)];
  sampling.decide(NOW_MS);
  sampling.send(NOW_MS, plainly(service('shop', span(1, { name: '' }, 500))), { signal: 'logs', bytes: logs({}) });
  const [outcome] = sampling.decide(NOW_MS + 5000);
  assert.equal(outcome?.kept.logs.length, 1);
  assert.equal(reasonsOf(outcome?.kept.traces ?? [])[0]?.[1], 'slow');
});
