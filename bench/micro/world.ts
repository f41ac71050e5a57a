/** What the micro benches run on: the workload's requests as frames in blocks of a pool, and a worker's parts around them. */
import type { ContractPlan } from '../../src/contracts/plan.ts';
import { readContracts } from '../../src/contracts/read.ts';
import {
  type BlockPool,
  copyInto,
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  BlockPool as Pool,
  type Signal,
  startFrame,
  UNIT_BYTES,
  writeU64,
} from '../../src/core/block.ts';
import type { SampleConfig } from '../../src/processors/sample/config.ts';
import { traceTableFor } from '../../src/processors/sample/index.ts';
import { MARK_HEADER_BYTES, MARK_ROW_BYTES } from '../../src/processors/sample/mark.ts';
import { TraceTable } from '../../src/processors/sample/traceTable.ts';
import { ItemChooser } from '../../src/worker/choose.ts';
import { observe } from '../../src/worker/observe.ts';
import { createParts, type Parts } from '../../src/worker/parts.ts';
import { createPolicy } from '../../src/worker/policy.ts';
import { select } from '../../src/worker/select.ts';
import type { ObserveTask, SelectTask, WorkerSetup } from '../../src/worker/tasks.ts';
import { ItemWalk, UNLIMITED_BYTES } from '../../src/worker/walk.ts';
import { CONTRACT_FILES } from '../agentConfig.ts';
import { createPayloads, type Payload, type Workload } from '../payloads.ts';

export const NOW_MS = 1_750_000_000_000;
const OWNER = 2;
const SAMPLE: SampleConfig = {
  wait: '1s',
  base: '10%',
  keep: { error: '100%', slow: '100%', anomalous: '100%', rare: '100%' },
  slower_than: 'p99',
  rules: [],
  budget: 'none',
  on_breach_max: { keep: '100%', budget: '20MiB/min' },
  traces: 262_144,
};
const SINK = {
  retry: { initial: '1s', max: '30s', give_up_after: 'never' },
  timeout: '30s',
  dead_letter: '',
  concurrency: 1,
};
export const KAFKA_CONFIG = {
  ...SINK,
  subscribe: { sampled: 'otlp_{signal}' },
  key: 'none',
  max_message_bytes: 1_000_000,
};

export const PROCESSORS = {
  summarize: { type: 'summarize', config: { every: '10s', max_groups: 2000 } },
  detect: { type: 'detect', config: { every: '10s' } },
  sample: { type: 'sample', config: SAMPLE },
  redact: { type: 'redact', config: { attributes: [{ match: 'enduser.id', action: 'mask' }] } },
  enrich: { type: 'enrich', config: { resource: { 'k8s.node.name': 'node-1' } } },
} as const;

export interface WorldOptions {
  workload?: Workload;
  batch?: number;
  /** Requests of this signal alone. */
  only?: Signal;
  /** In place of those of bench/contracts. */
  contracts?: readonly ContractPlan[];
  processors?: readonly { type: string; config: unknown }[];
  /** Changes to `sample`. */
  sample?: Partial<SampleConfig>;
  sinks?: readonly { type: string; config: unknown }[];
}

export interface World {
  pool: BlockPool;
  parts: Parts;
  walk: ItemWalk;
  /** Index of `sample` among the processors; -1 without it. */
  sample: number;
  chooser: ItemChooser;
  payloads: Payload[];
  /** Addresses of the frames of one block: what a task gets. */
  frames: number[];
  items: number;
  observeTask: ObserveTask;
  selectTask: SelectTask;
  /** Runs observe and gives its memory back. */
  observe(): void;
  select(): void;
  /** An address of `bytes` of scratch memory. */
  scratch(bytes: number): number;
}

export function createWorld(options: WorldOptions = {}): World {
  const { workload = 'W-std' } = options;
  const given: SampleConfig = { ...SAMPLE, ...options.sample };
  const usual = [PROCESSORS.summarize, PROCESSORS.detect, { type: 'sample', config: given }];
  const processors = options.processors ?? usual;
  const pool = Pool.create(96 * UNIT_BYTES);
  const traces = traceTableFor(given, NOW_MS);
  const { plans, faults } = readContracts(CONTRACT_FILES);
  if (faults.length > 0) throw new Error(faults.join('\n'));
  const setup: WorkerSetup = {
    pool: pool.handle,
    policy: createPolicy({
      contracts: [...(options.contracts ?? plans)],
      processors: processors.map((one, slot) => ({ ...one, slot })),
    }),
    traces,
    sinks: [...(options.sinks ?? [])],
    maxBodyBytes: 20 * UNIT_BYTES,
    maxItemBytes: UNLIMITED_BYTES,
  };
  const parts = createParts(setup, OWNER);
  const made = createPayloads({ workload, seed: 7, ...(options.batch === undefined ? {} : { batch: options.batch }) });
  const payloads = made.filter(({ signal }) => options.only === undefined || signal === options.only);
  const { frames, items } = layOut(pool, payloads);
  const walk = new ItemWalk();
  const chooser = new ItemChooser(parts.views, parts.selectors);
  const observeTask: ObserveTask = { kind: 'observe', frames, receivedMs: NOW_MS, measureOnly: false };
  const selectTask: SelectTask = { kind: 'select', frames, from: [0, 0, 0], decided: [] };
  const world: World = {
    pool,
    parts,
    walk,
    sample: processors.findIndex(({ type }) => type === 'sample'),
    chooser,
    payloads,
    frames,
    items,
    observeTask,
    selectTask,
    observe() {
      const { measured, moved } = observe(parts, walk, observeTask);
      if (measured !== null) pool.discard(measured.block);
      for (const region of moved) pool.discard(region.block);
    },
    select() {
      pool.discard(select(parts, chooser, selectTask).block);
    },
    scratch: (bytes) => pool.allocate(bytes),
  };
  commit(world, new TraceTable(traces));
  return world;
}

/** The payloads as frames of one block, as many as fit 1 MiB, at least one. Times and ids are patched as in a send. */
export function layOut(pool: BlockPool, payloads: readonly Payload[]) {
  const frames: number[] = [];
  let items = 0;
  const bytes = Math.max(UNIT_BYTES, frameSpan(payloads[0]?.bytes.length ?? 0));
  const first = pool.allocate(bytes);
  let end = first;
  for (const [i, payload] of payloads.entries()) {
    if (end + frameSpan(payload.bytes.length) > first + bytes) break;
    const body = Buffer.from(payload.bytes);
    payload.patch(body, i + 1, BigInt(NOW_MS) * 1_000_000n);
    startFrame(pool, end, 'raw', payload.signal, NOW_MS, body.length);
    copyInto(pool.bytes, end + FRAME_HEADER_BYTES, body);
    frames.push(end);
    items += payload.items;
    end += frameSpan(body.length);
  }
  return { frames, items };
}

/** Does what main does between observe and select: sequences, and the marks in the trace table. */
function commit(world: World, table: TraceTable): void {
  const { pool, parts, walk } = world;
  const { measured, moved } = observe(parts, walk, world.observeTask);
  for (const region of moved) pool.discard(region.block);
  if (moved.length > 0) rebuild(world);
  world.frames.forEach((at, i) => {
    writeU64(pool, at + Field.sequence, i);
    writeU64(pool, at + Field.covers, 0);
  });
  const sample = world.sample;
  const section = measured?.sections.find(({ processor }) => processor === sample);
  const sourceWords = section === undefined ? 0 : (pool.words[(section.at + MARK_HEADER_BYTES - 4) >>> 2] as number);
  const end = (section?.end ?? 0) - sourceWords * 4;
  for (let row = (section?.at ?? 0) + MARK_HEADER_BYTES; row < end; row += MARK_ROW_BYTES) {
    const word = row >>> 2;
    table.mark(pool.words[word] as number, pool.words[word + 1] as number, NOW_MS, pool.words[word + 2] as number);
  }
  if (measured !== null) pool.discard(measured.block);
}

/** Editors have moved the frames and left voids: what was there is made valid again, so that observe edits it in each run. */
function rebuild({ pool, frames }: World): void {
  for (const at of frames) pool.bytes[at + Field.flags] = 0;
}
