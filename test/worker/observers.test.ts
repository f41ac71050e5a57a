/** Holds src/worker/observers.ts: after a restart what was merged before is not merged again, but by those that are made again of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scopeOf } from '../../src/contracts/service.ts';
import { processors } from '../../src/processors/registry.ts';
import { traceTableFor } from '../../src/processors/sample/index.ts';
import { isDecidedEarly, placeOf } from '../../src/processors/sample/traceTable.ts';
import { type ConfiguredProcessor, Observers, type SavedObservers } from '../../src/worker/observers.ts';
import { contractOf } from '../contracts/plans.ts';
import { decoded, list, type Plain } from '../otlp/generate.ts';
import { afterRestart } from '../support/saved.ts';
import { configured, contextOf, createWorld, idOf, NOW_MS, plainly, sampleConfig, span, traces } from './world.ts';

/** Values of the points that count calls. */
function callsOf(request: Plain): unknown[] {
  const metrics = list(request.resourceMetrics).flatMap(({ scopeMetrics }) =>
    list(scopeMetrics).flatMap((one) => list(one.metrics)),
  );
  const calls = metrics.filter(({ name }) => name === 'traces.span.metrics.calls');
  return calls.flatMap(({ sum }) => list((sum as Plain).dataPoints).map(({ asInt }) => Number(asInt)));
}

function placeIn(table: { memory: SharedArrayBuffer }, n: number): number {
  const id = idOf(n, 16);
  return placeOf(new Uint32Array(table.memory), id.readUInt32LE(8), id.readUInt32LE(12));
}

/** Processes: each has a trace table of its own, what one before it had saved, and where agents had stopped. */
function processes() {
  const list = [{ type: 'summarize' }, { type: 'sample' }];
  const placed = configured(list).map(({ type, config }) => {
    const definition = processors.find((one) => one.type === type);
    assert.ok(definition !== undefined);
    return { definition, config };
  });
  return (saved: SavedObservers | null, stops: number[] = []) => {
    const table = traceTableFor(sampleConfig(), NOW_MS);
    const world = createWorld({ processors: list, table });
    const context = contextOf(world.pool, { traces: table });
    const observers = new Observers(placed, context, saved, [], stops);
    return {
      observers,
      send(n: number, sequence: number) {
        const { result } = world.observe([plainly(traces(span(n, { name: 'GET /' })))]);
        observers.merge(result.measured, NOW_MS, sequence, sequence + 1);
      },
      knows: (n: number) => placeIn(table, n) >= 0,
      hasDecided: (n: number) => isDecidedEarly(new Uint32Array(table.memory)[placeIn(table, n) + 3] ?? 0),
      calls() {
        const [summary] = observers.tick(NOW_MS + 10_000, false, new Set());
        assert.ok(summary !== undefined);
        return callsOf(decoded('metrics', summary.emission.bytes));
      },
    };
  };
}

test('the trace table is made again of frames from before the checkpoint, a summary is not, and both go on with what they saved', () => {
  const start = processes();
  const before = start(null);
  before.send(1, 0);
  before.send(2, 1);
  const saved = afterRestart(before.observers.save()) as SavedObservers;
  assert.notEqual(saved.states[1]?.state, null, 'what sampling has learned is saved');
  const after = start(saved);
  assert.equal(after.knows(1), false);
  assert.deepEqual(after.observers.cuts, [2, 0], 'runs that are read again are cut where the summary goes on');
  after.send(1, 0);
  after.send(2, 1);
  after.send(3, 2);
  assert.deepEqual([1, 2, 3, 4].map(after.knows), [true, true, true, false]);
  assert.deepEqual(after.calls(), [3]);
});

test('what came before an agent stopped is decided once frames behind that are merged; a task without frames is before and behind nothing', () => {
  const after = processes()(null, [2]);
  after.send(1, 0);
  after.send(2, 1);
  // All of its requests were refused.
  after.observers.merge(null, NOW_MS, Infinity, 0);
  assert.deepEqual([1, 2].map(after.hasDecided), [false, false]);
  after.send(3, 2);
  assert.deepEqual([1, 2, 3].map(after.hasDecided), [true, true, false]);
  after.observers.resume(Infinity);
  after.observers.merge(null, NOW_MS, Infinity, 0);
  assert.ok(after.hasDecided(3));
});

test('a `detect` that a reload takes out leaves no state in the metrics, and no breach for sampling', async () => {
  const plan = contractOf([{ name: 'errors', of: 'spans', bad: { status: 'error' }, breached: 'above 5%' }]);
  const [detect, sample] = [{ type: 'detect' }, { type: 'sample' }].map(({ type }) => {
    const definition = processors.find((one) => one.type === type);
    assert.ok(definition !== undefined);
    return { definition, config: configured([{ type }])[0]?.config };
  }) as [ConfiguredProcessor, ConfiguredProcessor];
  const context = contextOf(createWorld({ processors: [] }).pool, { contracts: [plan] });
  const observers = new Observers([detect, sample], context, null, []);
  const open = { plan, sinceMs: NOW_MS - 60_000, untilMs: Infinity };
  context.breaches.set(scopeOf(plan), [open]);
  const shown = async () => (await context.telemetry.contractState.get()).values.length;
  assert.equal(await shown(), 1);
  observers.follow([sample], [plan], NOW_MS);
  assert.deepEqual([await shown(), open.untilMs], [0, NOW_MS]);
  observers.follow([detect, sample], [plan], NOW_MS + 1000);
  assert.equal(await shown(), 1);
});
