/** The sampler as an agent runs it, without threads and files: measured and merged in order, decided when it is due. */
import type { ContractPlan } from '../../src/contracts/plan.ts';
import { Field, type Signal } from '../../src/core/block.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import type { Breach, Observer, ObserverContext } from '../../src/processors/processor.ts';
import { sample, settledMs, traceTableFor } from '../../src/processors/sample/index.ts';
import { decoded, itemsOf, type Plain } from '../otlp/generate.ts';
import { contextOf, createWorld, NOW_MS, type Sent, sampleConfig } from '../worker/world.ts';

export interface Outcome {
  receivedMs: number;
  /** What was kept of one task's frames, as bytes and as items by signal. */
  bytes: number;
  kept: Record<Signal, Plain[]>;
  sampledOut: number[];
}

/** `startMs`: when its process started. `before`: processors that stand before it. `saved`: what it saved before a restart. */
export function createSampling(
  changes: object = {},
  units = 64,
  startMs = NOW_MS,
  contracts: ContractPlan[] = [],
  before: object[] = [],
  saved: unknown = null,
) {
  const given = sampleConfig(changes);
  const handle = traceTableFor(given, startMs);
  const world = createWorld({
    processors: [...before, { type: 'sample', ...changes }],
    table: handle,
    units,
    contracts,
  });
  const breaches = new Map<number, Breach[]>();
  const flagged = new Map<number, number>();
  const operations: ObserverContext['operations'] = { flushed: [] };
  const telemetry = createTelemetry();
  const observer = sample.observer?.(
    given,
    contextOf(world.pool, { contracts, traces: handle, flagged, operations, breaches, telemetry }),
    saved,
  ) as Observer;
  const view = new DataView(world.pool.handle.memory);
  const waiting: { sent: readonly Sent[]; flags: number[]; receivedMs: number }[] = [];

  function decide(untilMs: number): Outcome[] {
    observer.tick(untilMs, untilMs === Infinity);
    const outcomes: Outcome[] = [];
    for (;;) {
      const [first] = waiting;
      if (first === undefined || first.receivedMs + handle.waitMs + handle.lagMs >= untilMs) return outcomes;
      if (first.receivedMs >= settledMs(handle)) return outcomes;
      waiting.shift();
      const { frames, block: source } = world.layOut(first.sent, first.receivedMs);
      frames.forEach((at, i) => {
        world.pool.bytes[at + Field.flags] = first.flags[i] ?? 0;
      });
      const { selected, sampledOut, block } = world.select(frames);
      const kept: Outcome['kept'] = { traces: [], metrics: [], logs: [] };
      let bytes = 0;
      for (const { signal, at, length } of selected) {
        bytes += length;
        kept[signal] = itemsOf(signal, decoded(signal, world.pool.bytes.subarray(at, at + length))).map(
          ({ item }) => item,
        );
      }
      world.pool.discard(block);
      world.pool.discard(source);
      outcomes.push({ receivedMs: first.receivedMs, bytes, kept, sampledOut });
    }
  }

  return {
    world,
    given,
    handle,
    breaches,
    flagged,
    operations,
    telemetry,
    observer,
    /** Received, measured, merged. */
    send(receivedMs: number, ...sent: Sent[]) {
      const { result, frames, block } = world.observe(sent, false, receivedMs);
      for (const { processor, at, end } of result.measured?.sections ?? [])
        if (processor === before.length) observer.merge(view, at, end, receivedMs);
      if (result.measured !== null) world.pool.discard(result.measured.block);
      waiting.push({ sent, flags: frames.map((at) => world.pool.bytes[at + Field.flags] ?? 0), receivedMs });
      world.pool.discard(block);
    },
    /** The first tasks were decided before a restart. */
    skip(tasks: number) {
      waiting.splice(0, tasks);
    },
    /** What is due before that moment. */
    decide,
  };
}
