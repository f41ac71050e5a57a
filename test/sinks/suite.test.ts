/** What every sink promises to whoever delivers, held against its destination: whatever that does, nothing counts early and nothing is lost. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { sinks } from '../../src/sinks/registry.ts';
import { buriedBodies, type Destination, destinations, type Fault } from './destinations.ts';
import { eventBytes } from './events.ts';
import { createHarness, temporaryFolder, within } from './harness.ts';

const EVENTS = { stream: 'events', signal: 'logs' } as const;
const SETTLE_MS = 30_000;

function bench(t: TestContext, destination: Destination) {
  const folder = temporaryFolder(t);
  const deadLetter = join(folder, 'dead');
  const harness = createHarness(destination.definition, destination.section, {
    directory: join(folder, 'own'),
    deadLetter,
  });
  let count = 0;
  t.after(() => harness.delivery.close(Date.now() + 100));
  return {
    ...harness,
    deadLetter,
    at: () => harness.cursor(EVENTS),
    feed(events: number, padding = 0) {
      for (let i = 0; i < events; i++) harness.source.append('events', 'logs', eventBytes(count++, padding), 1);
    },
    taken: () => within(SETTLE_MS, () => harness.cursor(EVENTS).next === harness.source.head),
    /** Closes, and holds what arrived against what was fed, but for `missing`. */
    async finish(missing: readonly string[] = []) {
      await harness.delivery.close(Date.now() + 10_000);
      assert.deepEqual([harness.source.lent, harness.pool.unitsInUse], [0, 0]);
      const owed = Array.from({ length: count }, (_, i) => `${i}`).filter((body) => !missing.includes(body));
      let arrived: string[] = [];
      await within(SETTLE_MS, async () => {
        arrived = await destination.arrived();
        return owed.every((body) => arrived.includes(body));
      });
      assert.deepEqual([...new Set(arrived)].sort(), owed.sort());
      assert.equal(harness.cursor(EVENTS).delivered, owed.length);
    },
  };
}

/** Fails, is said to, and is well again. */
async function survives(t: TestContext, destination: Destination, fault: Exclude<Fault, string>) {
  const sink = bench(t, destination);
  sink.delivery.start();
  sink.feed(10);
  await sink.taken();
  const { delivered } = sink.at();
  await fault.begin();
  sink.feed(10);
  await within(SETTLE_MS, () => sink.delivery.state().state === 'retrying');
  assert.notEqual(sink.delivery.state().error, null);
  assert.equal(sink.at().delivered, delivered, 'what nobody took was counted');
  await fault.end();
  await sink.taken();
  await within(SETTLE_MS, () => sink.delivery.state().state === 'ok');
  assert.equal(sink.delivery.state().error, null);
  await sink.finish();
}

for (const { name, unavailable, start, stop } of destinations) {
  describe(name, { skip: unavailable ?? false }, () => {
    after(() => stop?.());
    const held = (
      what: string,
      of: (it: Destination) => Fault,
      run: (t: TestContext, it: Destination, fault: Exclude<Fault, string>) => Promise<void>,
    ) =>
      test(what, async (t) => {
        const destination = await start(t);
        const fault = of(destination);
        if (typeof fault === 'string') t.skip(fault);
        else await run(t, destination, fault);
      });

    test('accepts: everything arrives, and counts', async (t) => {
      const destination = await start(t);
      const sink = bench(t, destination);
      sink.delivery.start();
      sink.feed(50);
      await sink.taken();
      assert.deepEqual([sink.delivery.state().state, sink.delivery.state().lagItems], ['ok', 0]);
      await sink.finish();
    });

    held('refuses for now: comes again until it is taken', (it) => it.refusesForNow, survives);
    held('hangs: is given up, said, and asked again', (it) => it.hangs, survives);
    held('goes away: is said, and all arrives when it is back', (it) => it.goesAway, survives);

    held(
      'refuses for good: the dead letters have it, the rest arrives',
      (it) => it.refusesForGood,
      async (t, it, fault) => {
        const sink = bench(t, it);
        sink.delivery.start();
        sink.feed(5);
        await sink.taken();
        await fault.begin();
        sink.feed(3, it.padding);
        await sink.taken();
        await fault.end();
        sink.feed(5);
        await sink.taken();
        assert.equal(sink.at().deadLettered, 3);
        assert.deepEqual(buriedBodies(sink.deadLetter).sort(), ['5', '6', '7']);
        assert.equal(readdirSync(sink.deadLetter).length, 6);
        await sink.finish(['5', '6', '7']);
      },
    );

    held(
      'is slow: is waited for',
      (it) => it.isSlow,
      async (t, it, fault) => {
        const sink = bench(t, it);
        await fault.begin();
        sink.delivery.start();
        sink.feed(30);
        await sink.taken();
        await fault.end();
        await sink.finish();
      },
    );

    test('closes while it writes: the next start goes on, and nothing is missing', async (t) => {
      const destination = await start(t);
      const sink = bench(t, destination);
      sink.delivery.start();
      sink.feed(400, 2000);
      await within(SETTLE_MS, () => sink.source.reads > 1);
      await sink.delivery.close(Date.now() + 10_000);
      const { next, delivered } = sink.at();
      assert.equal(delivered, next);
      const second = sink.make();
      second.start();
      await sink.taken();
      await second.close(Date.now() + 10_000);
      await sink.finish();
    });
  });
}

test('every sink of the registry is here', () => {
  const types = new Set(destinations.map(({ name }) => name.split(',')[0]));
  assert.deepEqual([...types].sort(), sinks.map(({ type }) => type).sort());
});
