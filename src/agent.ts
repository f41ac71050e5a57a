/** The composition root: builds every part from the configuration, starts them in order, stops them in reverse. The only place that wires. */
import type { Logger } from 'pino';
import type { AgentConfig } from './config.ts';
import { besideName, type ContractPlan } from './contracts/plan.ts';
import { adviceOfContracts, type ContractCache, readContracts } from './contracts/read.ts';
import { adviceOf } from './core/advice.ts';
import { BlockPool } from './core/block.ts';
import { AgentError, messageOf } from './core/errors.ts';
import { memoryLimitBytes } from './core/resources.ts';
import { createTelemetry } from './core/telemetry.ts';
import { agentVersion } from './core/version.ts';
import type { IngestServer } from './ingest/server.ts';
import type { DetectObserver } from './processors/detect/observer.ts';
import type { Breach, ContractValue, Flagged } from './processors/processor.ts';
import { traceTableFor } from './processors/sample/index.ts';
import { explainTrace } from './wiring/explain.ts';
import { type Ground, sampleOf, tellReload } from './wiring/ground.ts';
import { serveIngest } from './wiring/ingest.ts';
import { LookBacks } from './wiring/lookBacks.ts';
import { type ConfigFile, Reload, signatureOf, stampOfSource } from './wiring/reload.ts';
import { Retention } from './wiring/retention.ts';
import { createDeliveries, type Running } from './wiring/sinks.ts';
import { stop } from './wiring/stop.ts';
import { openStore, type Store } from './wiring/store.ts';
import { configuredProcessors, policyOf, prepareSelection, restoreObservers } from './wiring/streams.ts';
import { watchTaking } from './wiring/taking.ts';
import { createIntake, createWorkers } from './wiring/workers.ts';
import { shrinkHeap } from './worker/garbage.ts';
import type { Observers } from './worker/observers.ts';
import { createPolicy, publishPolicy } from './worker/policy.ts';

export interface Agent {
  ingestUrl: string;
  adminUrl: string;
  /** Reads configuration, contracts, tokens and certificates again; resolves when they are in force or refused. */
  reload(): Promise<void>;
  /** Drains and stops; resolves when everything is closed. Throws JOURNAL_SYNC_FAILED when the disk hangs. */
  stop(): Promise<void>;
}

/** Blocks may take this share of memory_limit. */
const BLOCK_SHARE = 0.5;

export interface AgentOptions {
  log: Logger;
  /** Where the configuration came from; without it only contracts are read again. */
  source?: ConfigFile;
}

export async function startAgent(config: AgentConfig, { log, source }: AgentOptions): Promise<Agent> {
  const pool = BlockPool.create(memoryLimitBytes(config.agent.memory_limit) * BLOCK_SHARE);
  const ground: Ground = {
    config,
    log,
    telemetry: createTelemetry(),
    pool,
    now: Date.now,
    trouble: new Map(),
    refused: new Map(),
    undo: [],
  };
  try {
    return await build(ground, source ?? null);
  } catch (error) {
    for (const undo of ground.undo.reverse()) await undo();
    throw error;
  }
}

async function build(ground: Ground, source: ConfigFile | null): Promise<Agent> {
  const { config, log, telemetry } = ground;
  const cache: ContractCache = new Map();
  const seen = signatureOf(config.contracts, stampOfSource(source));
  const contracts = readContracts(config.contracts, cache);
  if (contracts.faults.length > 0) throw new AgentError('CONTRACT_INVALID', contracts.faults.join('\n'));
  const sample = sampleOf(config);
  const traces = sample === undefined ? null : traceTableFor(sample, ground.now());
  const policy = createPolicy(policyOf(config, contracts.plans, []));
  // Threads start while files are read and the admin port's modules loaded.
  const workers = createWorkers(ground, traces, policy);
  const [store, { serveStatus }] = await Promise.all([openStore(ground), import('./status/wire.ts')]);
  await workers.ready();
  // Known once they are restored: `flag` is one of them, and asks another.
  let restored: Observers | null = null;
  // The registry's type says nothing of what one observer can tell beyond the others.
  const detect = () => (restored?.byType('detect') ?? null) as DetectObserver | null;
  const lookBacks = new LookBacks(ground, store, traces);
  const context = {
    pool: ground.pool,
    agent: store.agent,
    contracts: contracts.plans,
    traces,
    flagged: new Map<number, Flagged[]>(),
    operations: { flushed: [] },
    breaches: new Map<number, Breach[]>(),
    onBreach: (plan: ContractPlan, breachMs: number) => {
      if (selection !== null) lookBacks.ask(plan, breachMs);
    },
    contractValues: () => valuesOf(detect()),
    telemetry,
    log,
  };
  const selection = await prepareSelection(ground, store, workers, sample, traces, lookBacks);
  const undecidedFrom = Math.min(...(selection?.progress.next ?? [0]));
  const observers = await restoreObservers(ground, store, workers, context, policy, undecidedFrom);
  restored = observers;
  const intake = createIntake(ground, store, workers, observers, selection?.shortlists);
  const deliveries = createDeliveries(ground, store, workers);
  await store.memory.saveCursors();
  const retention = new Retention(ground, store, deliveries, selection?.selection ?? null);
  store.room.make = (journal) => retention.makeRoom(journal);
  let plansInForce = contracts.plans;
  const apply = (next: AgentConfig, plans: ContractPlan[]) => {
    const placed = configuredProcessors(next);
    // The policy first: it is what may refuse. What workers measured by the one before still finds its slot.
    publishPolicy(policy, policyOf(next, plans, observers.slotsOf(placed)));
    store.memory.say(observers.follow(placed, plans, ground.now()), observers.position);
    plansInForce = plans;
  };
  const reload = new Reload(ground, source, cache, apply, seen);
  const contractPlans = () => plansInForce;
  ground.undo.push(() => reload.stop());
  let ingest: IngestServer | null = null;
  const status = await serveStatus({
    ...ground,
    ...store,
    endpoint: config.admin.endpoint,
    tokenFile: config.admin.auth.bearer_token_file,
    onReload: (error) => tellReload(ground, 'tokens of the admin port', error),
    startedAt: new Date(ground.now()),
    rejected: store.memory.rejected,
    selection: selection?.progress ?? null,
    sinks: deliveries.map((sink) => sinkView(sink, store)),
    workers,
    configuration: reload.state,
    contracts: () => detect()?.report() ?? [],
    trace: (id) =>
      explainTrace({ ground, store, traces, contractPlans, contracts: () => detect()?.report() ?? [] }, id),
    bytesInFlight: () => ingest?.admission.used ?? 0,
  });
  ground.undo.push(() => status.stop());
  const unwatch = watchTaking(ground, store.intake);
  ground.undo.push(unwatch);
  const receiver = await serveIngest(ground, store, intake);
  ingest = receiver;
  // Not before the ports are ours: a start that fails leaves everything as it was.
  store.memory.start(
    observers,
    () => intake.oldestInFlightMs,
    () => retention.enforce(),
  );
  selection?.selection.start(() => intake.oldestInFlightMs);
  if (selection !== null) lookBacks.start((wanted) => selection.selection.recall(wanted));
  for (const { delivery } of deliveries) delivery.start();
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
  for (const line of [...adviceOf(config, contracts.plans.length), ...adviceOfContracts(contracts.files)])
    log.warn(line);
  const parts = {
    store,
    workers,
    reload,
    unwatch,
    intake,
    selection: selection?.selection ?? null,
    progress: selection?.progress ?? null,
    deliveries,
    status,
    ingest: receiver,
  };
  // When it has been said that the agent is ready: the start has left more garbage than an idle agent holds.
  setImmediate(() => {
    workers.shrink().catch((error: unknown) => log.warn(`a worker's memory was not given back: ${messageOf(error)}`));
    shrinkHeap();
  });
  return {
    ingestUrl: receiver.url,
    adminUrl: status.url,
    reload: () => {
      receiver.reload();
      status.reload();
      return reload.now();
    },
    stop: () => stop(ground, parts),
  };
}

/** Of the signals that have been judged lately. */
function valuesOf(detect: DetectObserver | null): ContractValue[] {
  const seen = new Set<string>();
  // Of two contracts with signals of one name: a series is of one of them.
  const isFirst = (name: string) => seen.size < seen.add(name).size;
  return (detect?.report() ?? []).flatMap(({ service, namespace, environment, service_version, signals }) => {
    const resource = besideName({ namespace, environment, serviceVersion: service_version });
    return signals
      .filter(({ name }) => isFirst(JSON.stringify([service, resource, name])))
      .filter(({ state, frozen }) => state !== 'unknown' && !frozen)
      .flatMap(({ name, value }) => (value === null ? [] : [{ service, resource, signal: name, value }]));
  });
}

function sinkView({ name, delivery, rows }: Running, { intake, derived }: Store) {
  const oldest = (raw: boolean) =>
    Math.min(...rows.filter(({ row }) => (row.stream === 'raw') === raw).map(({ cursor }) => cursor.next));
  return {
    name,
    rows,
    state: () => delivery.state(),
    lagBytes: () => intake.bytesFrom(oldest(true)) + derived.bytesFrom(oldest(false)),
  };
}
