/** The agent's own counters: one registry, every metric declared here, every drop with a reason. Label values are bounded by config. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { SIGNALS } from './block.ts';
import { createProcessMetrics } from './processMetrics.ts';

/** Contracts of one service may differ in what else they say of it; a label stands only where its contract says something. */
const CONTRACT_LABELS = ['service', 'service_namespace', 'environment', 'service_version'] as const;

export type Telemetry = ReturnType<typeof createTelemetry>;

export function createTelemetry() {
  const telemetry = declareTelemetry();
  const { ingestItems, ingestWarnings, ingestRequests, toldGivenUp } = telemetry;
  // Counted from 0 on: what first appears at 7 is no increase for whoever asks Prometheus for one.
  for (const signal of SIGNALS) {
    for (const outcome of ['accepted', 'rejected']) ingestItems.inc({ signal, outcome }, 0);
    for (const code of [200, 503]) ingestRequests.inc({ signal, code }, 0);
    ingestWarnings.inc({ signal }, 0);
  }
  for (const stream of ['summaries', 'events']) toldGivenUp.inc({ stream }, 0);
  return telemetry;
}

function declareTelemetry() {
  const registry = new Registry();
  const registers = [registry];
  return {
    registry,
    ingestItems: new Counter({
      name: 'plumbline_ingest_items_total',
      help: 'Items decoded, by what became of them: accepted or rejected',
      labelNames: ['signal', 'outcome'] as const,
      registers,
    }),
    ingestWarnings: new Counter({
      name: 'plumbline_ingest_warnings_total',
      help: 'Exemplars cut out of their points, and log records kept as without a trace, for a bad id',
      labelNames: ['signal'] as const,
      registers,
    }),
    ingestRequests: new Counter({
      name: 'plumbline_ingest_requests_total',
      help: 'Export requests by status code',
      labelNames: ['signal', 'code'] as const,
      registers,
    }),
    ingestSeconds: new Histogram({
      name: 'plumbline_ingest_seconds',
      help: 'From the request line to the reply',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
      registers,
    }),
    ingestBytesInFlight: new Gauge({
      name: 'plumbline_ingest_bytes_in_flight',
      help: 'Bytes admitted and not yet answered',
      registers,
    }),
    memoryBytes: new Gauge({
      name: 'plumbline_memory_bytes',
      help: 'Memory by part: resident (the whole process), blocks (in use, of memory_limit), heap and external (of the main thread)',
      labelNames: ['part'] as const,
      registers,
    }),
    journalBytes: new Gauge({
      name: 'plumbline_journal_bytes',
      help: 'Bytes of segments on disk',
      labelNames: ['journal'] as const,
      registers,
    }),
    journalSyncSeconds: new Histogram({
      name: 'plumbline_journal_sync_seconds',
      help: 'One group commit: write and sync',
      labelNames: ['journal'] as const,
      buckets: [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
      registers,
    }),
    sinkItems: new Counter({
      name: 'plumbline_sink_items_total',
      help: 'Items by sink and outcome: delivered, filtered (of raw), dead_lettered, damaged, expired',
      labelNames: ['sink', 'stream', 'signal', 'outcome'] as const,
      registers,
    }),
    sinkRetries: new Counter({
      name: 'plumbline_sink_retries_total',
      help: 'Batches that were sent again',
      labelNames: ['sink'] as const,
      registers,
    }),
    sinkLagItems: new Gauge({
      name: 'plumbline_sink_lag_items',
      help: 'Items journalled and not yet safe at the sink',
      labelNames: ['sink'] as const,
      registers,
    }),
    sinkLagSeconds: new Gauge({
      name: 'plumbline_sink_lag_seconds',
      help: 'Age of the oldest such item',
      labelNames: ['sink'] as const,
      registers,
    }),
    contractState: new Gauge({
      name: 'plumbline_contract_state',
      help: '0 unknown, 1 healthy, 2 degraded, 3 breached',
      labelNames: [...CONTRACT_LABELS, 'signal'] as const,
      registers,
    }),
    contractUnjudged: new Counter({
      name: 'plumbline_contract_unjudged_items_total',
      help: 'Items of a signal that were not judged: late, unmeasured (no number, or a unit that is none of time), or of instances beyond the bound',
      labelNames: [...CONTRACT_LABELS, 'signal', 'reason'] as const,
      registers,
    }),
    workerRestarts: new Counter({
      name: 'plumbline_worker_restarts_total',
      help: 'Worker threads that died and were replaced',
      registers,
    }),
    measureFaults: new Counter({
      name: 'plumbline_measure_faults_total',
      help: 'Committed tasks whose measurements could not be merged: a fault of the agent, no item is lost',
      registers,
    }),
    configErrors: new Counter({
      name: 'plumbline_config_errors_total',
      help: 'Changes of configuration or contracts that were refused',
      registers,
    }),
    tracesEvicted: new Counter({
      name: 'plumbline_traces_evicted_total',
      help: 'Traces that left the trace table before they were decided',
      registers,
    }),
    sampleGuarded: new Counter({
      name: 'plumbline_sample_guarded_items_total',
      help: 'Items that the last guard of the budget dropped, because a slot came to half as much again in spite of its thresholds',
      registers,
    }),
    slotsOverBudget: new Counter({
      name: 'plumbline_sample_slots_thinned_total',
      help: 'Slots of 10 s in which the budget of sample kept less than the shares asked for',
      registers,
    }),
    sampleRequests: new Counter({
      name: 'plumbline_sample_requests_total',
      help: 'Requests that were decided: by their shortlist, or read from the journal again',
      labelNames: ['by'] as const,
      registers,
    }),
    sampleSpilled: new Counter({
      name: 'plumbline_sample_spilled_bytes_total',
      help: 'What sample may keep and memory had no room for: written to the disk until it is decided about',
      registers,
    }),
    summaryOverflow: new Counter({
      name: 'plumbline_summary_overflow_total',
      help: 'Items summarised under the overflow group, because the bound on groups was reached',
      registers,
    }),
    toldGivenUp: new Counter({
      name: 'plumbline_told_given_up_items_total',
      help: 'Points and events that were given up, because the summary or the events they were in fit no segment',
      labelNames: ['stream'] as const,
      registers,
    }),
    anomalies: new Counter({
      name: 'plumbline_anomalies_total',
      help: 'Anomalies that were flagged',
      labelNames: ['service', 'signal'] as const,
      registers,
    }),
    anomalySeriesOverflow: new Counter({
      name: 'plumbline_anomaly_series_overflow_total',
      help: 'Values that were not watched for anomalies, because the bound on series was reached',
      registers,
    }),
    info: new Gauge({
      name: 'plumbline_info',
      help: 'Always 1',
      labelNames: ['version', 'durability'] as const,
      registers,
    }),
    ...createProcessMetrics(registers),
  };
}
