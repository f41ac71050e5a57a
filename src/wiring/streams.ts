/** Builds what makes the derived streams, each where it stood before the restart: the selection and the observers. */
import type { AgentConfig } from '../config.ts';
import type { ContractPlan } from '../contracts/plan.ts';
import { Field, frameRecord, readU64, SIGNALS, UNIT_BYTES } from '../core/block.ts';
import { AgentError } from '../core/errors.ts';
import { bytesOf, millisecondsOf } from '../core/units.ts';
import { diskFiles } from '../journal/files.ts';
import { Spill } from '../journal/spill.ts';
import type { TraceTableHandle } from '../processors/processor.ts';
import { processors } from '../processors/registry.ts';
import { slotBytes } from '../processors/sample/classes.ts';
import type { SampleConfig } from '../processors/sample/config.ts';
import { settledMs } from '../processors/sample/index.ts';
import { SLOT_MS } from '../processors/sample/slots.ts';
import { deliveryOf } from '../sinks/sink.ts';
import { Guard } from '../worker/guard.ts';
import { type ConfiguredProcessor, Observers } from '../worker/observers.ts';
import { type Policy, type PolicyHandle, publishPolicy } from '../worker/policy.ts';
import type { WorkerPool } from '../worker/pool.ts';
import type { SelectionProgress } from '../worker/progress.ts';
import { findTold, measureAgain, restoreProgress } from '../worker/restore.ts';
import { Selection } from '../worker/selection.ts';
import { SHELF_BYTES, Shortlists } from '../worker/shortlists.ts';
import { readCheckpoint } from './checkpoint.ts';
import type { Ground } from './ground.ts';
import type { LookBacks } from './lookBacks.ts';
import type { Store } from './store.ts';
import { newerFlushes } from './unsaid.ts';

const GUARD_SHARE = 1.5;
/** Of the blocks: what of the last seconds may be kept, so that it need not be read again. */
const SHORTLIST_SHARE = 1 / 8;
/** Of `journal.max_size`, beside it: the same on the disk, when that memory is full. */
const SPILL_SHARE = 1 / 16;

/** Null when no sink takes the sampled stream, and where it stood is forgotten. Its progress is brought up to what the derived journal says. */
export async function prepareSelection(
  ground: Ground,
  store: Store,
  workers: WorkerPool,
  sample: SampleConfig | undefined,
  traces: TraceTableHandle | null,
  lookBacks: LookBacks,
) {
  const { config, pool, log, now, telemetry } = ground;
  const { intake, derived, memory } = store;
  if (!config.sinks.some((sink) => deliveryOf(sink, null).streams.includes('sampled'))) {
    memory.forgetSelection();
    return null;
  }
  const read = (from: number, maxBytes: number, totals?: readonly number[]) => intake.readAll(from, maxBytes, totals);
  const row = <Of>(of: (signal: (typeof SIGNALS)[number]) => Of) => SIGNALS.map(of);
  const progress: SelectionProgress = await restoreProgress(pool, read, memory.savedProgress(), {
    covers: row((signal) => derived.covers('sampled', signal)),
    filtered: row((signal) => derived.filtered('sampled', signal)),
    total: row((signal) => derived.total('sampled', signal)),
  });
  for (const [i, signal] of SIGNALS.entries()) {
    const items = (progress.damaged[i] as number) - (memory.savedProgress().damaged[i] as number);
    memory.lose({ cause: 'damaged', sink: null, stream: 'sampled', signal, items });
  }
  memory.followSelection(progress);
  const spill = new Spill({
    files: diskFiles,
    directory: store.root.path,
    direct: intake.mode === 'direct',
    mostBytes: bytesOf(config.journal.max_size) * SPILL_SHARE,
    slotBytes: SHELF_BYTES,
    onWritten: (bytes) => telemetry.sampleSpilled.inc(bytes),
    onFault: (message) =>
      log.warn(`what sample may keep stays in memory, and more is read from the journal: ${message}`),
  });
  const shortlists = new Shortlists(pool, pool.units * UNIT_BYTES * SHORTLIST_SHARE, spill);
  const selection = new Selection({
    blocks: pool,
    workers,
    shortlists,
    waitMs: sample === undefined ? 0 : millisecondsOf(sample.wait) + (traces?.lagMs ?? 0),
    settledMs: () => (traces === null ? Infinity : settledMs(traces)),
    progress,
    read,
    moved: (from) => intake.moved(from),
    append: (region) => derived.append(region),
    now,
    lookBacks: lookBacks.options,
    guard: guardOf(sample, (items) => telemetry.sampleGuarded.inc(items)),
    onDecided: (frames, by) => telemetry.sampleRequests.inc({ by }, frames),
    onError: (message) => log.warn(`selection waits: ${message}`),
    onLoss(signal, items, poison) {
      memory.lose({ cause: poison === null ? 'damaged' : 'poison', sink: null, stream: 'sampled', signal, items });
      if (poison === null) return;
      log.error({ signal, items }, `no worker survives a frame of the journal, it is passed: ${poison.message}`);
      const sequence = readU64(pool, poison.frame + Field.sequence);
      intake.quarantine(`frame-${sequence}`, frameRecord(pool, poison.frame));
    },
  });
  return { selection, progress, shortlists };
}

/** Half as much again as the budget: what thresholds cannot have missed. */
function guardOf(sample: SampleConfig | undefined, onDropped: (items: number) => void): Guard | null {
  if (sample === undefined || sample.budget === 'none') return null;
  return new Guard(slotBytes(sample, SLOT_MS) * GUARD_SHARE, SLOT_MS, onDropped);
}

/** `undecidedFrom`: what lies before it in the intake journal has been decided. */
export async function restoreObservers(
  ground: Ground,
  store: Store,
  workers: WorkerPool,
  context: ConstructorParameters<typeof Observers>[1],
  policy: PolicyHandle,
  undecidedFrom: number,
): Promise<Observers> {
  const { config, pool, log, telemetry } = ground;
  const { intake, derived, memory } = store;
  const checkpoint = await readCheckpoint(store.root.path, log);
  const told = await findTold(
    pool,
    (from, maxBytes) => derived.readAll(from, maxBytes),
    checkpoint?.derivedHead ?? derived.first,
  );
  const placed = configuredProcessors(config);
  const unsaid = checkpoint?.unsaid ?? [];
  const saved = checkpoint?.observers ?? null;
  const observers = new Observers(placed, context, saved, newerFlushes(told, unsaid), memory.savedStops);
  memory.unsaid.restore(unsaid, told);
  // Workers name what they measure by the slots, which only the checkpoint knows.
  publishPolicy(policy, policyOf(config, context.contracts, observers.slots));
  const from = Math.max(intake.first, Math.min(observers.position, memory.savedRebuildFrom));
  const before = (receivedMs: number) => memory.speak(observers, receivedMs, false, told.lastEventMs);
  const onFault = (message: string) => {
    telemetry.measureFaults.inc();
    log.error(`committed frames could not be measured again: ${message}`);
  };
  let undecidedMs = Infinity;
  const read = async (next: number, maxBytes: number) => {
    const run = await intake.readAll(next, maxBytes);
    for (const at of run?.frames ?? [])
      if (readU64(pool, at + Field.sequence) >= undecidedFrom)
        undecidedMs = Math.min(undecidedMs, readU64(pool, at + Field.receivedMs));
    return run;
  };
  await measureAgain(pool, workers, read, from, observers, before, onFault);
  observers.resume(undecidedMs);
  return observers;
}

/** The processors of the configuration with their definitions. */
export function configuredProcessors(config: AgentConfig): ConfiguredProcessor[] {
  return config.processors.map((one) => {
    const definition = processors.find(({ type }) => type === one.type);
    if (definition === undefined) throw new AgentError('CONFIG_INVALID', `no processor of type ${one.type}`);
    return { definition, config: one };
  });
}

/** What workers follow. */
export function policyOf(config: AgentConfig, contracts: readonly ContractPlan[], slots: readonly number[]): Policy {
  const list = config.processors.map((one, i) => ({ type: one.type, config: one, slot: slots[i] ?? -1 }));
  return { contracts: [...contracts], processors: list };
}
