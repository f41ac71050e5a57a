/** A worker's parts in this thread, and bodies as frames of a block, as intake lays them out. */
import assert from 'node:assert/strict';
import { crc32, gzipSync } from 'node:zlib';
import { pino } from 'pino';
import { inspectConfig } from '../../src/config.ts';
import type { ContractPlan } from '../../src/contracts/plan.ts';
import {
  BlockPool,
  copyInto,
  Encoding,
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  isVoid,
  nextFrame,
  payloadLength,
  type Signal,
  startFrame,
  UNIT_BYTES,
  Uncommitted,
  writeU64,
} from '../../src/core/block.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import { requestType } from '../../src/otlp/schema.ts';
import type { ObserverContext, TraceTableHandle } from '../../src/processors/processor.ts';
import { processors } from '../../src/processors/registry.ts';
import type { SampleConfig } from '../../src/processors/sample/config.ts';
import { ItemChooser } from '../../src/worker/choose.ts';
import { observe } from '../../src/worker/observe.ts';
import { createParts } from '../../src/worker/parts.ts';
import { createPolicy } from '../../src/worker/policy.ts';
import { select } from '../../src/worker/select.ts';
import { selectShort } from '../../src/worker/selectShort.ts';
import type {
  DecidedBefore,
  ObserveResult,
  ObserveTask,
  Room,
  SelectTask,
  WorkerSetup,
} from '../../src/worker/tasks.ts';
import { ItemWalk, UNLIMITED_BYTES } from '../../src/worker/walk.ts';
import { decoded, type Plain } from '../otlp/generate.ts';

export const NOW_MS = 1_750_000_000_000;
export const WORKER = 2;

/** The `processors` of a file, checked and with their defaults. JSON is YAML. */
export function configured(list: object[]): { type: string; config: unknown }[] {
  const { config, faults } = inspectConfig({
    text: JSON.stringify({ processors: list }),
    file: 'agent.yaml',
    env: {},
    processors,
    sinks: [],
  });
  if (config === null) throw new Error(faults.join('\n'));
  return config.processors.map((one) => ({ type: one.type, config: one }));
}

/** `sample` as it is configured, with its defaults. */
export function sampleConfig(changes: object = {}): SampleConfig {
  // Checked by its own schema.
  return configured([{ type: 'sample', ...changes }])[0]?.config as SampleConfig;
}

export interface Sent {
  signal: Signal;
  bytes: Uint8Array;
  encoding?: number;
}

export function traces(...spans: Plain[]): Uint8Array {
  return service('shop', ...spans);
}

export function service(name: string, ...spans: Plain[]): Uint8Array {
  const type = requestType('traces');
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: name } }] };
  return type.encode(type.fromObject({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] })).finish();
}

export function logs(...logRecords: Plain[]): Uint8Array {
  const type = requestType('logs');
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] };
  return type.encode(type.fromObject({ resourceLogs: [{ resource, scopeLogs: [{ logRecords }] }] })).finish();
}

/** A valid span of trace `n`, lasting `ms`, that just ended. */
export function span(n: number, more: Plain = {}, ms = 10): Plain {
  const end = BigInt(NOW_MS) * 1_000_000n;
  return {
    traceId: idOf(n, 16),
    spanId: idOf(n + 1, 8),
    name: `span ${n}`,
    startTimeUnixNano: String(end - BigInt(Math.round(ms * 1e6))),
    endTimeUnixNano: String(end),
    ...more,
  };
}

export function idOf(n: number, bytes: number): Buffer {
  const id = Buffer.alloc(bytes, 1);
  id.writeUInt32BE(n + 1, bytes - 4);
  return id;
}

export const gzipped = (bytes: Uint8Array): Sent => ({
  signal: 'traces',
  bytes: gzipSync(bytes),
  encoding: Encoding.gzip,
});
export const plainly = (bytes: Uint8Array): Sent => ({ signal: 'traces', bytes });

export interface WorldOptions {
  processors?: object[];
  contracts?: ContractPlan[];
  table?: TraceTableHandle;
  maxBodyBytes?: number;
  maxItemBytes?: number;
  units?: number;
}

export function createWorld({
  processors: list = [],
  contracts = [],
  table,
  maxBodyBytes = 1 << 20,
  maxItemBytes = UNLIMITED_BYTES,
  units = 32,
}: WorldOptions = {}) {
  const pool = BlockPool.create(units * UNIT_BYTES);
  const setup: WorkerSetup = {
    pool: pool.handle,
    policy: createPolicy({ contracts, processors: configured(list).map((one, slot) => ({ ...one, slot })) }),
    traces: table ?? null,
    sinks: [],
    maxBodyBytes,
    maxItemBytes,
  };
  const parts = createParts(setup, WORKER);
  const walk = new ItemWalk();
  const layOut = (sent: readonly Sent[], receivedMs = NOW_MS) => {
    const frames: number[] = [];
    const block = pool.allocate(sent.reduce((sum, { bytes }) => sum + frameSpan(bytes.length), 0));
    let at = block;
    for (const { signal, bytes, encoding } of sent) {
      startFrame(pool, at, 'raw', signal, receivedMs, bytes.length);
      pool.words[(at + Uncommitted.encoding) >>> 2] = encoding ?? Encoding.protobuf;
      copyInto(pool.bytes, at + FRAME_HEADER_BYTES, bytes);
      frames.push(at);
      at += frameSpan(bytes.length);
    }
    return { block, frames };
  };
  return {
    pool,
    parts,
    setup,
    walk,
    layOut,
    observe: (sent: readonly Sent[], measureOnly = false, receivedMs = NOW_MS, shortlists?: Room) => {
      const { frames, block } = layOut(sent, receivedMs);
      const task: ObserveTask = { kind: 'observe', frames, receivedMs, measureOnly };
      const result = observe(parts, walk, shortlists === undefined ? task : { ...task, shortlists });
      return { result, frames, block };
    },
    select: (frames: number[], from = [0, 0, 0], decided: DecidedBefore[] = [], isShort = false) => {
      frames.forEach((at, i) => {
        writeU64(pool, at + Field.sequence, i);
      });
      const task: SelectTask = { kind: 'select', frames, from, decided, isShort };
      const chooser = new ItemChooser(parts.views, parts.selectors);
      return isShort ? selectShort(parts, chooser, task) : select(parts, chooser, task);
    },
  };
}
export type World = ReturnType<typeof createWorld>;

/** Frames that are not void, of the input and then of what was moved; each has the CRC of the payload it holds. */
export function liveFrames(
  { pool }: { pool: BlockPool },
  frames: readonly number[],
  moved: ObserveResult['moved'],
): number[] {
  const live = frames.filter((at) => !isVoid(pool, at));
  for (const { first, end } of moved)
    for (let at = first; at < end; at = nextFrame(pool, at)) if (!isVoid(pool, at)) live.push(at);
  for (const at of live) assert.equal(pool.words[(at + Field.payloadCrc) >>> 2], crc32(payload({ pool }, at)));
  return live;
}

export function payload({ pool }: { pool: BlockPool }, at: number): Buffer {
  return Buffer.from(pool.bytes.subarray(at + FRAME_HEADER_BYTES, at + FRAME_HEADER_BYTES + payloadLength(pool, at)));
}

export function contentOf(world: { pool: BlockPool }, at: number, signal: Signal = 'traces'): Plain {
  return decoded(signal, payload(world, at));
}

/** What the measurers wrote, without addresses' meaning: bytes by processor. */
export function measuredBytes({ pool }: { pool: BlockPool }, measured: ObserveResult['measured']): Map<number, string> {
  return new Map(
    (measured?.sections ?? []).map(({ processor, at, end }) => [processor, pool.bytes.toString('hex', at, end)]),
  );
}

/** What an observer lives in, with nothing in it but what is given. */
export function contextOf(pool: BlockPool, changes: Partial<ObserverContext> = {}): ObserverContext {
  return {
    pool,
    agent: 'a',
    contracts: [],
    traces: null,
    flagged: new Map(),
    operations: { flushed: [] },
    breaches: new Map(),
    onBreach: () => undefined,
    contractValues: () => [],
    telemetry: createTelemetry(),
    log: pino({ level: 'silent' }),
    ...changes,
  };
}
