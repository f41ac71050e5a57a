/** Holds src/ingest/admission.ts: the budget is never exceeded, nobody gets all of it, and who waits is admitted or told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Admission, type AdmissionOptions } from '../../src/ingest/admission.ts';

const never = new Promise(() => {});
const turn = () => new Promise((resolve) => setImmediate(resolve));
const make = (changes: Partial<AdmissionOptions> = {}) =>
  new Admission({ limitBytes: 1000, waitingBytes: 500, pressure: () => null, now: () => 0, ...changes });

test('a client alone gets four fifths, and the next one still finds room', () => {
  const admission = make();
  let taken = 0;
  while (admission.reserve('noisy', 10)) taken += 10;
  assert.equal(taken, 800);
  assert.equal(admission.reserve('other', 150), true);
  assert.equal(admission.reserve('noisy', 10), false);
  admission.release('noisy', 800);
  admission.release('other', 150);
  assert.equal(admission.used, 0);
});

test('greedy clients end up with equal parts', () => {
  const admission = make({ limitBytes: 100_000 });
  const taken = new Map(['a', 'b', 'c', 'd'].map((name) => [name, 0]));
  for (let round = 0; round < 5000; round++) {
    for (const name of taken.keys()) if (admission.reserve(name, 10)) taken.set(name, (taken.get(name) ?? 0) + 10);
  }
  const parts = [...taken.values()];
  assert.ok(Math.min(...parts) > 20_000 && Math.max(...parts) - Math.min(...parts) < 100, parts.join(', '));
});

test('one request is always let in, however large', () => {
  const admission = make();
  assert.equal(admission.reserve('a', 5000), true);
  assert.equal(admission.reserve('b', 1), false);
  admission.release('a', 5000);
  assert.equal(admission.reserve('b', 1), true);
});

test('a request that grows has to fit, unless it is alone', () => {
  const admission = make();
  admission.reserve('a', 100);
  assert.equal(admission.grow('a', 100, 5000), true);
  assert.equal(admission.grow('a', 5100, 100), true);
  admission.release('a', 5200);
  admission.reserve('a', 100);
  admission.reserve('b', 100);
  assert.equal(admission.grow('a', 100, 800), true);
  assert.equal(admission.grow('a', 900, 1), false);
  assert.equal(admission.used, 1000);
});

test('who waits is admitted when room comes: the client with the least in flight first', async () => {
  const admission = make();
  admission.reserve('noisy', 700);
  admission.reserve('quiet', 200);
  const order: string[] = [];
  const waits = [
    admission.wait('noisy', 200, never).then((admitted) => order.push(`noisy ${admitted}`)),
    admission.wait('quiet', 150, never).then((admitted) => order.push(`quiet ${admitted}`)),
  ];
  assert.equal(admission.waiting, 350);
  admission.release('noisy', 300);
  await turn();
  assert.deepEqual(order, ['quiet true']);
  admission.release('noisy', 400);
  await Promise.all(waits);
  assert.deepEqual(order, ['quiet true', 'noisy true']);
  assert.deepEqual([admission.used, admission.waiting], [550, 0]);
});

test('behind its own waiting requests nobody passes', async () => {
  const admission = make();
  admission.reserve('a', 700);
  const first = admission.wait('a', 300, never);
  assert.equal(admission.reserve('a', 1), false);
  admission.release('a', 700);
  assert.equal(await first, true);
  assert.equal(admission.reserve('a', 1), true);
});

test('when no more may wait, the newest of the client with the most waiting goes', async () => {
  const admission = make();
  admission.reserve('x', 1000);
  const older = admission.wait('noisy', 250, never);
  const newer = admission.wait('noisy', 250, never);
  const quiet = admission.wait('quiet', 100, never);
  assert.equal(await newer, false);
  assert.equal(admission.waiting, 350);
  assert.equal(await admission.wait('noisy', 400, never), false);
  admission.release('x', 1000);
  assert.deepEqual([await older, await quiet], [true, true]);
});

test('nothing may wait when nothing may', async () => {
  const admission = make({ waitingBytes: 0 });
  admission.reserve('x', 1000);
  assert.equal(await admission.wait('a', 1, never), false);
});

test('who goes away waits no more', async () => {
  const admission = make();
  admission.reserve('x', 1000);
  const gone = Promise.withResolvers<void>();
  const waiting = admission.wait('a', 100, gone.promise);
  gone.resolve();
  assert.equal(await waiting, false);
  assert.equal(admission.waiting, 0);
});

test('who waits is told within about a second', async () => {
  const admission = make();
  admission.reserve('x', 1000);
  const from = performance.now();
  assert.equal(await admission.wait('a', 100, never), false);
  assert.ok(performance.now() - from < 3000);
});

test('the time to come back follows the rate at which bytes are given back', () => {
  let now = 0;
  const admission = make({ limitBytes: 10_000, now: () => now });
  assert.equal(admission.retryAfterS(), 1);
  admission.reserve('a', 1000);
  now = 1000;
  admission.release('a', 1000);
  admission.reserve('a', 4000);
  // 1000 bytes in the last second, smoothed with the nothing before it: 500 a second.
  assert.equal(admission.retryAfterS(), 8);
  admission.reserve('b', 9999);
  assert.ok(admission.retryAfterS() <= 30);
});

test('the first hundred refusals of a second are said at once, those beyond later, and none later than three seconds', () => {
  let now = 10_000;
  const admission = make({ now: () => now });
  const pauses = Array.from({ length: 500 }, () => admission.pauseMs());
  assert.ok(pauses.slice(0, 100).every((ms) => ms === 0));
  assert.ok(pauses.slice(100).every((ms, i) => ms === Math.min(3000, (i + 1) * 10)));
  now += 3000;
  assert.equal(admission.pauseMs(), 10);
  now += 3000;
  assert.equal(admission.pauseMs(), 0);
});

test('a request of no announced size waits like any other, and is let in when there is room', async () => {
  const admission = new Admission({ limitBytes: 1000, waitingBytes: 1000, pressure: () => null, now: () => 0 });
  assert.ok(admission.reserve('a', 0) && admission.grow('a', 0, 1000));
  assert.equal(admission.reserve('a', 0), false);
  const waiting = admission.wait('a', 0, new Promise(() => {}));
  admission.release('a', 1000);
  assert.equal(await waiting, true);
  assert.ok(admission.reserve('a', 10), 'it still stands before the others');
});
