/** Measures requests for contracts in this thread, by the same code as a worker's, and merges them as main does. */
import { Evidence } from '../../contracts/evidence.ts';
import { newMemory, type Target } from '../../contracts/memory.ts';
import { mergeMeasurements } from '../../contracts/merge.ts';
import type { ContractPlan, SignalPlan } from '../../contracts/plan.ts';
import { PointText } from '../../contracts/pointText.ts';
import { readMeasurements } from '../../contracts/rows.ts';
import {
  BlockPool,
  copyInto,
  FRAME_HEADER_BYTES,
  frameSpan,
  type Signal,
  startFrame,
  UNIT_BYTES,
} from '../../core/block.ts';
import { AgentError } from '../../core/errors.ts';
import type { Measurer } from '../../processors/processor.ts';
import { observe } from '../../worker/observe.ts';
import { createParts } from '../../worker/parts.ts';
import { createPolicy } from '../../worker/policy.ts';
import { ItemWalk } from '../../worker/walk.ts';

const POOL_UNITS = 128;
const MAIN = 1;
/** That are told apart, to say who sent instead of the one that was asked for. */
const MOST_SERVICES = 1000;

/** What was measured of a signal, or of one value of `per`. */
export interface Instance extends Target {
  /** Of `per`; empty when all are judged as one. */
  name: string;
}

interface Measuring {
  /** Those that something came of; without `per` the one there is. */
  instancesOf(signal: SignalPlan): Instance[];
  /** Measures one export request in protobuf. Throws BODY_UNDECODABLE. */
  add(signal: Signal, request: Uint8Array, receivedMs: number): void;
  /** Items that the agent would reject, and that are measured nowhere. */
  rejected(): number;
  /** Names of the services that sent anything, as they came. */
  services(): string[];
  /** First and last own time of all items, Unix milliseconds; null while there are none. */
  times(): { firstMs: number; lastMs: number } | null;
}

/** `fromStart`: of a run that is judged as a whole. */
export function createMeasuring(plans: readonly ContractPlan[], fromStart: boolean): Measuring {
  const pool = BlockPool.create(POOL_UNITS * UNIT_BYTES);
  const processors = [{ type: 'detect', config: { every: '10s' }, slot: 0 }];
  const policy = createPolicy({ contracts: [...plans], processors });
  const limits = { maxBodyBytes: 0, maxItemBytes: 0 };
  const parts = createParts({ pool: pool.handle, policy, traces: null, sinks: [], ...limits }, MAIN);
  const clock = createClock();
  const services = createServices();
  parts.measurers.push({ processor: -1, measurer: clock.measurer }, { processor: -1, measurer: services.measurer });
  const walk = new ItemWalk();
  let rejected = 0;
  const view = new DataView(pool.handle.memory);
  const texts = new PointText(pool.bytes);
  const signals = new Map<number, { plan: SignalPlan; instances: Map<number, Instance> }>();
  const find = (key: number, group: number, name: () => string): Instance | null => {
    const signal = signals.get(key);
    if (signal === undefined) return null;
    const { plan, instances } = signal;
    const evidence = new Evidence(Number.MAX_SAFE_INTEGER);
    const found = instances.get(group) ?? { plan, name: name(), memory: newMemory(plan, fromStart), evidence };
    instances.set(group, found);
    return found;
  };
  for (const { per, signals: ofContract } of plans) {
    for (const plan of ofContract) {
      signals.set(plan.key, { plan, instances: new Map() });
      if (per === null) find(plan.key, 0, () => '');
    }
  }
  return {
    instancesOf: ({ key }) => [...(signals.get(key)?.instances.values() ?? [])],
    rejected: () => rejected,
    services: services.names,
    times: clock.times,
    add(signal, request, receivedMs) {
      const block = pool.allocate(frameSpan(request.length));
      if (block < 0)
        throw new AgentError('BODY_TOO_LARGE', `a request of ${request.length} bytes is too large to judge`);
      startFrame(pool, block, 'raw', signal, receivedMs, request.length);
      copyInto(pool.bytes, block + FRAME_HEADER_BYTES, request);
      const { refused, measured } = observe(parts, walk, {
        kind: 'observe',
        frames: [block],
        receivedMs,
        measureOnly: true,
      });
      rejected += walk.invalid;
      const [section] = measured?.sections ?? [];
      const tables = section === undefined ? null : readMeasurements(view, section.at, section.end);
      if (tables !== null && refused.length === 0)
        mergeMeasurements(tables, receivedMs, {
          bytes: pool.bytes,
          texts,
          find,
          unjudged() {},
        });
      if (measured !== null) pool.discard(measured.block);
      pool.discard(block);
      const [refusal] = refused;
      if (refusal !== undefined) throw new AgentError(refusal.code, refusal.message);
    },
  };
}

/** Notes who sent something. */
function createServices() {
  const names = new Map<number, string>();
  const measurer: Measurer = {
    reset() {},
    enterResource({ bytes, serviceHash, serviceAt, serviceLength }) {
      if (names.has(serviceHash) || names.size === MOST_SERVICES) return;
      names.set(serviceHash, Buffer.from(bytes.subarray(serviceAt, serviceAt + serviceLength)).toString());
    },
    size: () => 0,
    write: (_, at) => at,
  };
  return { measurer, names: () => [...names.values()] };
}

/** Notes when items were, by their own times. */
function createClock() {
  let firstMs = Infinity;
  let lastMs = -Infinity;
  const note = (ms: number) => {
    if (ms <= 0) return;
    firstMs = Math.min(firstMs, ms);
    lastMs = Math.max(lastMs, ms);
  };
  const measurer: Measurer = {
    reset() {},
    span(span) {
      note(span.endMs() - span.durationNs() / 1e6);
      note(span.endMs());
    },
    log: (log) => note(log.timeMs()),
    point: (point) => note(point.timeMs()),
    size: () => 0,
    write: (_, at) => at,
  };
  return { measurer, times: () => (firstMs > lastMs ? null : { firstMs, lastMs }) };
}
