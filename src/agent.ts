/** The composition root: builds every part from the configuration, starts them in order, stops them in reverse. The only place that wires. */
import type { Logger } from 'pino';
import type { AgentConfig } from './config.ts';
import { readContracts } from './contracts/read.ts';
import { BlockPool, SIGNALS } from './core/block.ts';
import type { CursorRow, Row } from './core/component.ts';
import { AgentError, messageOf } from './core/errors.ts';
import { memoryLimitBytes, workerCount } from './core/resources.ts';
import { createTelemetry, type Telemetry } from './core/telemetry.ts';
import { parseBytes, parseDurationMs } from './core/units.ts';
import { agentVersion } from './core/version.ts';
import { type IngestServer, startIngest } from './ingest/server.ts';
import { CursorTable } from './journal/cursors.ts';
import { type JournalDirectory, openDirectory } from './journal/directory.ts';
import { Journal } from './journal/journal.ts';
import { Memory, readCheckpoint } from './memory.ts';
import type { DetectObserver } from './processors/detect/index.ts';
import type { TraceTableHandle } from './processors/processor.ts';
import { processors } from './processors/registry.ts';
import { type SampleConfig, traceTableFor, waitMsOf } from './processors/sample/index.ts';
import { createDelivery, type Delivery, SIGNALS_OF } from './sinks/deliver.ts';
import { sinks } from './sinks/registry.ts';
import { deliveryOf } from './sinks/sink.ts';
import type { StatusServer } from './status/server.ts';
import { serveStatus } from './status/wire.ts';
import { Intake } from './worker/intake.ts';
import { Observers } from './worker/observers.ts';
import { createPolicy } from './worker/policy.ts';
import { WorkerPool } from './worker/pool.ts';
import { findTold, measureAgain, restoreProgress } from './worker/restore.ts';
import { Selection, type SelectionProgress } from './worker/selection.ts';

export interface Agent {
  ingestUrl: string;
  adminUrl: string;
  /** Drains and stops; resolves when everything is closed. */
  stop(): Promise<void>;
  /** Resolves when the agent cannot go on. */
  failed: Promise<Error>;
}

/** Blocks may take this share of memory_limit; admission's share lies within. */
const BLOCK_SHARE = 0.5;
const IN_FLIGHT_SHARE = 0.25;

/** What the parts below are built from, as far as it exists. */
interface Ground {
  config: AgentConfig;
  log: Logger;
  telemetry: Telemetry;
  pool: BlockPool;
  now(): number;
  /** Why no data can be taken, by cause; empty when it can. */
  trouble: Map<string, string>;
  fail(error: Error): void;
  /** Undoes what was started, newest last. */
  undo: (() => Promise<void> | void)[];
}

interface Store {
  root: JournalDirectory;
  table: CursorTable;
  intake: Journal;
  derived: Journal;
  /** `{agent.id}-{journal id}` */
  agent: string;
  memory: Memory;
}

export async function startAgent(config: AgentConfig, { log }: { log: Logger }): Promise<Agent> {
  const failed = Promise.withResolvers<Error>();
  const pool = BlockPool.create(memoryLimitBytes(config.agent.memory_limit) * BLOCK_SHARE);
  const ground: Ground = {
    config,
    log,
    telemetry: createTelemetry(),
    pool,
    now: Date.now,
    trouble: new Map(),
    fail: failed.resolve,
    undo: [],
  };
  try {
    return { ...(await build(ground)), failed: failed.promise };
  } catch (error) {
    for (const undo of ground.undo.reverse()) await undo();
    throw error;
  }
}

async function build(ground: Ground): Promise<Omit<Agent, 'failed'>> {
  const { config, log, telemetry } = ground;
  const contracts = readContracts(config.contracts);
  if (contracts.faults.length > 0) throw new AgentError('CONTRACT_INVALID', contracts.faults.join('\n'));
  const store = await openStore(ground);
  const sample = config.processors.find(({ type }) => type === 'sample') as unknown as SampleConfig | undefined;
  const traces = sample === undefined ? null : traceTableFor(sample, ground.now());
  const workers = await startWorkers(ground, traces, createPolicy({ contracts: contracts.plans }));
  const context = { pool: ground.pool, agent: store.agent, contracts: contracts.plans, traces, telemetry, log };
  const selection = await prepareSelection(ground, store, workers, sample);
  const observers = await restoreObservers(ground, store, workers, context);
  // The registry's type says nothing of what one observer can tell beyond the others.
  const detect = observers.byType('detect') as DetectObserver | null;
  const intake = createIntake(ground, store, workers, observers);
  const deliveries = createDeliveries(ground, store, workers);
  await store.memory.saveCursors();
  store.memory.start(observers, () => intake.oldestInFlightMs);
  selection?.selection.start(() => intake.oldestInFlightMs);
  for (const { delivery } of deliveries) delivery.start();
  const status = await serveStatus({
    ...ground,
    ...store,
    endpoint: config.admin.endpoint,
    startedAt: new Date(ground.now()),
    rejected: store.memory.rejected,
    selection: selection?.progress ?? null,
    sinks: deliveries.map(({ name, delivery, rows }) => ({ name, rows: () => rows, state: () => delivery.state() })),
    workers,
    contracts: () => detect?.report() ?? [],
  });
  ground.undo.push(() => status.stop());
  const ingest = await serveIngest(ground, store, intake);
  telemetry.info.set({ version: agentVersion(), durability: store.intake.durability }, 1);
  log.info(
    {
      durability: store.intake.durability,
      mode: store.intake.mode,
      workers: workers.size,
      contracts: contracts.plans.length,
    },
    `journal in ${store.root.path}`,
  );
  const parts = { store, workers, intake, selection: selection?.selection ?? null, deliveries, status, ingest };
  return { ingestUrl: ingest.url, adminUrl: status.url, stop: () => stop(ground, parts) };
}

async function openStore(ground: Ground): Promise<Store> {
  const { config, log, telemetry, pool, now } = ground;
  const path = config.journal.directory;
  const root = await openDirectory({ path, agent: config.agent.id });
  ground.undo.push(() => root.close());
  const table = await CursorTable.open(path);
  if (table.found === 'damaged')
    log.error(`the cursors in ${path} are damaged: sinks begin at the head of what is kept`);
  const maxBytes = bytesOf(config.journal.max_size);
  const open = async (name: 'intake' | 'derived') => {
    const journal = await Journal.open({
      directory: path,
      name,
      pool,
      segmentBytes: bytesOf(config.journal.segment_size),
      maxBytes: name === 'intake' ? maxBytes : maxBytes / 4,
      durability: config.journal.durability,
      log,
      onSync: (seconds) => telemetry.journalSyncSeconds.observe({ journal: name }, seconds),
    });
    ground.undo.push(() => journal.close());
    return journal;
  };
  const intake = await open('intake');
  const derived = await open('derived');
  const sample = config.processors.find(({ type }) => type === 'sample');
  const waitMs = sample === undefined ? 0 : waitMsOf(sample as unknown as SampleConfig);
  const memory = new Memory({
    directory: path,
    pool,
    table,
    intake,
    derived,
    log,
    lookBackMs: millisecondsOf(config.journal.look_back),
    waitMs,
    now,
  });
  return { root, table, intake, derived, agent: `${root.identity.agent}-${root.identity.journal}`, memory };
}

async function startWorkers(
  ground: Ground,
  traces: TraceTableHandle | null,
  policy: SharedArrayBuffer,
): Promise<WorkerPool> {
  const { config, pool, telemetry, log } = ground;
  const setup = {
    pool: pool.handle,
    policy,
    traces,
    processors: config.processors.map((one) => ({ type: one.type, config: one })),
    sinks: config.sinks.map((one) => ({ type: one.type, config: one })),
    maxBodyBytes: bytesOf(config.ingest.http.max_request_body_size),
  };
  const workers = new WorkerPool(workerCount(config.agent.workers), pool, setup, () => {
    telemetry.workerRestarts.inc();
    log.error('a worker thread died and was replaced; its requests run again one by one');
  });
  ground.undo.push(() => workers.close());
  await workers.ready();
  return workers;
}

/** Null when no sink takes the sampled stream. Its progress is brought up to what the derived journal says. */
async function prepareSelection(ground: Ground, store: Store, workers: WorkerPool, sample: SampleConfig | undefined) {
  const { config, pool, log, now } = ground;
  const { intake, derived, memory } = store;
  if (!config.sinks.some((sink) => deliveryOf(sink, null).streams.includes('sampled'))) return null;
  const read = (from: number, maxBytes: number) => intake.readAll(from, maxBytes);
  const row = <Of>(of: (signal: (typeof SIGNALS)[number]) => Of) => SIGNALS.map(of);
  const progress: SelectionProgress = await restoreProgress(pool, read, memory.savedProgress(), {
    covers: row((signal) => derived.covers('sampled', signal)),
    filtered: row((signal) => derived.filtered('sampled', signal)),
    total: row((signal) => derived.total('sampled', signal)),
  });
  memory.followSelection(progress);
  const selection = new Selection({
    blocks: pool,
    workers,
    waitMs: sample === undefined ? 0 : waitMsOf(sample),
    progress,
    read,
    moved: (from) => intake.moved(from),
    append: (region) => derived.append(region),
    now,
    onError: (message) => log.warn(`selection waits: ${message}`),
  });
  return { selection, progress };
}

async function restoreObservers(
  ground: Ground,
  store: Store,
  workers: WorkerPool,
  context: ConstructorParameters<typeof Observers>[1],
): Promise<Observers> {
  const { config, pool, log } = ground;
  const { intake, derived, memory } = store;
  const checkpoint = await readCheckpoint(store.root.path, log);
  const told = await findTold(
    pool,
    (from, maxBytes) => derived.readAll(from, maxBytes),
    checkpoint?.derivedHead ?? derived.first,
  );
  const placed = config.processors.map((one) => {
    const definition = processors.find(({ type }) => type === one.type);
    if (definition === undefined) throw new AgentError('CONFIG_INVALID', `no processor of type ${one.type}`);
    return { definition, config: one };
  });
  const observers = new Observers(placed, context, checkpoint?.observers ?? null, told.flushed);
  const from = Math.max(intake.first, Math.min(observers.position, memory.savedRebuildFrom));
  const before = (receivedMs: number) => memory.speak(observers, receivedMs, false, told.lastEventMs);
  await measureAgain(pool, workers, (next, maxBytes) => intake.readAll(next, maxBytes), from, observers, before);
  return observers;
}

function createIntake(ground: Ground, store: Store, workers: WorkerPool, observers: Observers): Intake {
  const { pool, log, trouble, now } = ground;
  return new Intake({
    blocks: pool,
    workers,
    editing: ground.config.processors.some(
      ({ type }) => processors.find((one) => one.type === type)?.kind === 'editor',
    ),
    async append(region) {
      try {
        await store.intake.append(region);
        trouble.delete('journal');
      } catch (error) {
        trouble.set('journal', messageOf(error));
        throw error;
      }
    },
    merge: (measured, receivedMs, first, next) => observers.merge(measured, receivedMs, first, next),
    onPoison: (message) => log.error(`a request that no worker survives was refused: ${message}`),
    now,
  });
}

function createDeliveries(ground: Ground, store: Store, workers: WorkerPool): Running[] {
  const { config, pool, log, telemetry, now } = ground;
  const { intake, derived, memory } = store;
  const deliveries = config.sinks.map((sink, index) => {
    const definition = sinks.find(({ type }) => type === sink.type);
    if (definition === undefined) throw new AgentError('CONFIG_INVALID', `no sink of type ${sink.type}`);
    const settings = deliveryOf(sink, `${config.agent.data_dir}/dead_letter/${sink.name}`);
    const rows = settings.streams.flatMap((stream) => SIGNALS_OF[stream].map((signal) => ({ stream, signal })));
    const cursors = new Map(rows.map((row) => [rowKey(sink.name, row), memory.cursor(rowKey(sink.name, row), row)]));
    const delivery = createDelivery({
      ...settings,
      definition,
      name: sink.name,
      agent: store.agent,
      config: sink,
      pool,
      source: (stream) => (stream === 'raw' ? intake : derived),
      cursor: (row) => cursors.get(rowKey(sink.name, row)) as CursorRow,
      encode: async (frames, stream, signal) => {
        const result = await workers.run({ kind: 'encode', sink: index, frames: [...frames], stream, signal });
        if (result.failed !== null)
          throw new AgentError(result.failed.code, result.failed.message, {
            retryable: result.failed.code === 'OVERLOADED',
          });
        return { parts: result.parts, release: () => result.blocks.forEach((block) => pool.release(block)) };
      },
      telemetry,
      log: log.child({ sink: sink.name }),
      now,
    });
    return {
      name: sink.name,
      delivery,
      rows: rows.map((row) => ({ row, cursor: cursors.get(rowKey(sink.name, row)) as CursorRow })),
    };
  });
  const keys = deliveries.flatMap(({ name, rows }) => rows.map(({ row }) => rowKey(name, row)));
  for (const key of memory.forgetOthers(new Set(keys))) log.warn(`${key} is configured no longer: its cursor is gone`);
  return deliveries;
}

interface Running {
  name: string;
  delivery: Delivery;
  rows: { row: Row; cursor: CursorRow }[];
}

function rowKey(sink: string, { stream, signal }: Row): string {
  return `${sink}/${stream}/${signal}`;
}

async function serveIngest(ground: Ground, store: Store, intake: Intake): Promise<IngestServer> {
  const { config, telemetry, now } = ground;
  const { http, admission } = config.ingest;
  const limit = memoryLimitBytes(config.agent.memory_limit);
  const ingest = await startIngest({
    endpoint: http.endpoint,
    paths: { traces: http.traces_url_path, metrics: http.metrics_url_path, logs: http.logs_url_path },
    maxBodyBytes: bytesOf(http.max_request_body_size),
    inFlightBytes: admission.in_flight === 'auto' ? limit * IN_FLIGHT_SHARE : bytesOf(admission.in_flight),
    async submit(body) {
      const outcome = await intake.submit(body);
      if (outcome.kind === 'accepted') {
        store.memory.rejected[body.signal] += outcome.rejected;
        telemetry.ingestItems.inc({ signal: body.signal, outcome: 'accepted' }, outcome.items);
        if (outcome.rejected > 0)
          telemetry.ingestItems.inc({ signal: body.signal, outcome: 'rejected' }, outcome.rejected);
      }
      return outcome;
    },
    refusing: () => null,
    telemetry,
    now,
  });
  ground.undo.push(() => ingest.close());
  return ingest;
}

interface Parts {
  store: Store;
  workers: WorkerPool;
  intake: Intake;
  selection: Selection | null;
  deliveries: { delivery: Delivery }[];
  status: StatusServer;
  ingest: IngestServer;
}

/** Not ready but serving; then nothing more comes in; then all that is here goes as far as it can before the grace ends. */
async function stop(ground: Ground, parts: Parts): Promise<void> {
  const { now, trouble, config } = ground;
  const { store, workers, intake, selection, deliveries, status, ingest } = parts;
  const { serve_on, grace } = config.agent.shutdown;
  const deadlineMs = now() + millisecondsOf(grace);
  trouble.set('stopping', 'the agent is shutting down');
  ingest.startDraining();
  await new Promise((resolve) => setTimeout(resolve, millisecondsOf(serve_on)));
  await ingest.close();
  await intake.drained();
  await store.memory.close();
  await selection?.drain(store.intake.head, deadlineMs);
  await Promise.all(deliveries.map(({ delivery }) => delivery.drain(deadlineMs)));
  await Promise.all(deliveries.map(({ delivery }) => delivery.close(deadlineMs)));
  await store.memory.checkpoint();
  await store.memory.saveCursors();
  await status.stop();
  await workers.close();
  await store.intake.close();
  await store.derived.close();
  await store.root.close();
}

/** The schema has let them pass. */
function bytesOf(text: string): number {
  return parseBytes(text) ?? 0;
}

function millisecondsOf(text: string): number {
  return parseDurationMs(text) ?? 0;
}
