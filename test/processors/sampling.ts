/**
 * The sampler as an agent runs it, without threads and files: measured and merged in order, decided when it is due. Whatever is decided by
 * whole frames is decided by their shortlists, too, and has to come out the same.
 */
import assert from 'node:assert/strict';
import type { ContractPlan } from '../../src/contracts/plan.ts';
import { Field, type Signal, UNIT_BYTES } from '../../src/core/block.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import type { Breach, Flagged, Observer, ObserverContext } from '../../src/processors/processor.ts';
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
  const flagged = new Map<number, Flagged[]>();
  const operations: ObserverContext['operations'] = { flushed: [] };
  const telemetry = createTelemetry();
  const observer = sample.observer?.(
    given,
    contextOf(world.pool, { contracts, traces: handle, flagged, operations, breaches, telemetry }),
    saved,
  ) as Observer;
  const view = new DataView(world.pool.handle.memory);
  const waiting: { sent: readonly Sent[]; flags: number[]; shortlists: Buffer[]; receivedMs: number }[] = [];
  /** Frames whose shortlists said all, and those of which they did not. */
  const short = { settled: 0, unsure: 0 };

  function holdAgainstShortlists(frames: number[], shortlists: Buffer[]): void {
    const { pool, select } = world;
    shortlists.forEach((bytes, i) => {
      if (bytes.length === 0) return;
      const block = pool.allocate(bytes.length);
      pool.bytes.set(bytes, block);
      const found = select([block], undefined, undefined, true);
      const whole = select([frames[i] as number]);
      if (found.unsure?.length === 0) {
        assert.deepEqual(plainOf(found), plainOf(whole));
        short.settled++;
      } else short.unsure++;
      for (const one of [block, found.block, whole.block]) pool.discard(one);
    });
  }

  /** A result without addresses. */
  function plainOf({ selected, filtered, sampledOut }: ReturnType<typeof world.select>) {
    const kept = selected.map(({ at, length, signal, items }) => ({
      signal,
      items,
      bytes: world.pool.bytes.toString('hex', at, at + length),
    }));
    return { kept, filtered, sampledOut };
  }

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
      holdAgainstShortlists(frames, first.shortlists);
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
    short,
    /** Received, measured, merged. */
    send(receivedMs: number, ...sent: Sent[]) {
      const { pool } = world;
      const at = pool.allocate(UNIT_BYTES);
      const { result, frames, block } = world.observe(sent, false, receivedMs, { at, end: at + UNIT_BYTES });
      for (const { processor, at, end } of result.measured?.sections ?? [])
        if (processor === before.length) observer.merge(view, at, end, receivedMs);
      if (result.measured !== null) world.pool.discard(result.measured.block);
      const written = result.shortlists?.frames ?? [];
      const shortlists = written.map((from, i) => {
        const next = written.slice(i + 1).find((one) => one >= 0) ?? result.shortlists?.end;
        return from >= 0 ? Buffer.from(pool.bytes.subarray(from, next)) : Buffer.alloc(0);
      });
      waiting.push({ sent, flags: frames.map((one) => pool.bytes[one + Field.flags] ?? 0), shortlists, receivedMs });
      pool.discard(at);
      pool.discard(block);
    },
    /** The first tasks were decided before a restart. */
    skip(tasks: number) {
      waiting.splice(0, tasks);
    },
    /** What is due before that moment. */
    decide,
  };
}
