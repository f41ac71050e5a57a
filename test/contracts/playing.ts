/** Metrics for tests: requests of points, and what a signal comes to when they arrive at their times, through a worker's code and main's. */
import assert from 'node:assert/strict';
import { Evidence } from '../../src/contracts/evidence.ts';
import { type Change, judgeSignal } from '../../src/contracts/judge.ts';
import { newMemory, restoreMemory, saveMemory, type Target } from '../../src/contracts/memory.ts';
import { mergeMeasurements } from '../../src/contracts/merge.ts';
import { PointText } from '../../src/contracts/pointText.ts';
import { type Reading, readSignal } from '../../src/contracts/reading.ts';
import { readMeasurements } from '../../src/contracts/rows.ts';
import { BlockPool, copyInto, FRAME_HEADER_BYTES, frameSpan, startFrame, UNIT_BYTES } from '../../src/core/block.ts';
import { requestType } from '../../src/otlp/schema.ts';
import { observe } from '../../src/worker/observe.ts';
import { createParts } from '../../src/worker/parts.ts';
import { createPolicy } from '../../src/worker/policy.ts';
import { ItemWalk } from '../../src/worker/walk.ts';
import type { Plain } from '../otlp/generate.ts';
import { afterRestart } from '../support/saved.ts';
import { NOW_MS } from '../worker/world.ts';
import { contractOf } from './plans.ts';

export const START_MS = Math.floor(NOW_MS / 60_000) * 60_000;
export const ns = (ms: number) => String(BigInt(Math.round(ms * 1000)) * 1000n);
export const attribute = (key: string, stringValue: string) => ({ key, value: { stringValue } });

/** A request with one metric. */
export function metric(name: string, data: Plain, unit = '', scope: Plain | null = null): Uint8Array {
  const type = requestType('metrics');
  const resource = { attributes: [attribute('service.name', 'shop')] };
  const scopeMetrics = [{ ...(scope === null ? {} : { scope }), metrics: [{ name, unit, ...data }] }];
  return type.encode(type.fromObject({ resourceMetrics: [{ resource, scopeMetrics }] })).finish();
}

export const CUMULATIVE = { aggregationTemporality: 2, isMonotonic: true };
export const DELTA = { aggregationTemporality: 1, isMonotonic: true };

export interface Given {
  value?: number;
  startMs?: number;
  series?: string;
  flags?: number;
  more?: Plain;
}

/** Made at `atMs` after the start; it began at `startMs`, Unix. */
export function point(atMs: number, { value = 0, startMs = 0, series = 'a', flags = 0, more = {} }: Given): Plain {
  return {
    timeUnixNano: ns(START_MS + atMs),
    ...(startMs === 0 ? {} : { startTimeUnixNano: ns(startMs) }),
    asDouble: value,
    flags,
    attributes: [attribute('series', series)],
    ...more,
  };
}

export const sum = (atMs: number, given: Given, kind: Plain = CUMULATIVE) =>
  metric('m', { sum: { dataPoints: [point(atMs, given)], ...kind } });
export const gauge = (atMs: number, given: Given) => metric('m', { gauge: { dataPoints: [point(atMs, given)] } });

export function histogram(
  atMs: number,
  counts: number[],
  bounds: number[],
  kind: Plain = CUMULATIVE,
  more: Plain = {},
) {
  const count = counts.reduce((total, one) => total + one, 0);
  const { asDouble: _, ...rest } = point(atMs, {});
  const dataPoints = [{ ...rest, count, sum: count, bucketCounts: counts, explicitBounds: bounds, ...more }];
  return metric('m', { histogram: { dataPoints, ...kind } }, 's');
}

/** Of how many there are of each value. */
export function exponential(
  atMs: number,
  scale: number,
  values: readonly [value: number, count: number][],
  kind: Plain = CUMULATIVE,
  more: Plain = {},
) {
  const side = (sign: number) => {
    const counts = new Map<number, number>();
    for (const [value, count] of values) {
      const index = Math.ceil(Math.log2(value * sign) * 2 ** scale) - 1;
      if (value * sign > 0) counts.set(index, (counts.get(index) ?? 0) + count);
    }
    const offset = counts.size === 0 ? 0 : Math.min(...counts.keys());
    const length = counts.size === 0 ? 0 : Math.max(...counts.keys()) - offset + 1;
    return { offset, bucketCounts: Array.from({ length }, (_, i) => counts.get(offset + i) ?? 0) };
  };
  const total = (of: (value: number, count: number) => number) =>
    values.reduce((all, [value, count]) => all + of(value, count), 0);
  const { asDouble: _, ...rest } = point(atMs, {});
  const counted = {
    count: total((_value, count) => count),
    sum: total((value, count) => value * count),
    zeroCount: total((value, count) => (value === 0 ? count : 0)),
  };
  const dataPoints = [{ ...rest, ...counted, scale, positive: side(1), negative: side(-1), ...more }];
  return metric('m', { exponentialHistogram: { dataPoints, ...kind } }, 's');
}

export type Arrival = [atMs: number, request: Uint8Array];

export interface Playing {
  target: Target;
  /** Data points that were not judged. */
  unmeasured: number;
  add(atMs: number, request: Uint8Array): void;
  read(atMs: number): Reading;
  judge(atMs: number): Change | null;
  /** What is remembered goes through a checkpoint. */
  restart(): void;
}

/** A signal over the metric `m`, which the agent has been watching for ten minutes. */
export function playing(signal: object): Playing {
  const contract = contractOf([{ name: 's', metric: 'm', ...signal }]);
  const [plan] = contract.signals;
  assert.ok(plan !== undefined);
  const pool = BlockPool.create(128 * UNIT_BYTES);
  const processors = [{ type: 'detect', config: { every: '10s' }, slot: 0 }];
  const policy = createPolicy({ contracts: [contract], processors });
  const parts = createParts(
    { pool: pool.handle, policy, traces: null, sinks: [], maxBodyBytes: 0, maxItemBytes: 0 },
    1,
  );
  const walk = new ItemWalk();
  const texts = new PointText(pool.bytes);
  const target = { plan, memory: newMemory(plan), evidence: new Evidence(plan.windowMs) };
  judgeSignal(plan, target.memory, START_MS / 1000 - 600);
  const secondOf = (atMs: number) => (START_MS + atMs) / 1000;
  const made: Playing = {
    target,
    unmeasured: 0,
    add(atMs, request) {
      const receivedMs = START_MS + atMs;
      const block = pool.allocate(frameSpan(request.length));
      startFrame(pool, block, 'raw', 'metrics', receivedMs, request.length);
      copyInto(pool.bytes, block + FRAME_HEADER_BYTES, request);
      const { measured } = observe(parts, walk, { kind: 'observe', frames: [block], receivedMs, measureOnly: true });
      const [section] = measured?.sections ?? [];
      const view = new DataView(pool.handle.memory);
      const tables = section === undefined ? null : readMeasurements(view, section.at, section.end);
      if (tables !== null)
        mergeMeasurements(tables, receivedMs, {
          bytes: pool.bytes,
          texts,
          find: (key) => (key === plan.key ? target : null),
          unjudged(_target, reason, items) {
            if (reason === 'unmeasured') made.unmeasured += items;
          },
        });
      if (measured !== null) pool.discard(measured.block);
      pool.discard(block);
    },
    read: (atMs) => readSignal(plan, target.memory, secondOf(atMs)),
    judge: (atMs) => judgeSignal(plan, target.memory, secondOf(atMs)),
    restart() {
      target.memory = restoreMemory(plan, afterRestart(saveMemory(target.memory)));
    },
  };
  return made;
}

/** The value and items at `atMs`, and whether that is enough. */
export function play(signal: object, arrivals: readonly Arrival[], atMs: number): Reading {
  const played = playing(signal);
  for (const [at, request] of arrivals) played.add(at, request);
  return played.read(atMs);
}

export const value = (result: { value: number }) => Number(result.value.toPrecision(12));
