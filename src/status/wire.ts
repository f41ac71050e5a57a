/** Builds what the status port shows, from the parts it is handed: nothing here is counted, all of it is added up on request. */
import { type BlockPool, UNIT_BYTES } from '../core/block.ts';
import type { CursorRow, Row } from '../core/component.ts';
import type { Telemetry } from '../core/telemetry.ts';
import { agentVersion } from '../core/version.ts';
import type { AccessOptions } from './access.ts';
import { intakeLedger, type LedgerSources, sinkLedger } from './ledger.ts';
import { type ContractView, type StatusServer, startStatus } from './server.ts';

/** A journal as the status sees it. */
interface JournalView {
  readonly first: number;
  readonly head: number;
  readonly bytes: number;
  readonly segments: number;
  readonly oldestMs: number;
  readonly syncMsP99: number;
  readonly durability: string;
  readonly mode: string;
  total: LedgerSources['total'];
}

interface SinkView {
  name: string;
  rows: readonly { row: Row; cursor: CursorRow }[];
  state(): { state: string; error: string | null; lagItems: number; lagMs: number };
  /** Journal bytes from its oldest cursor on. */
  lagBytes(): number;
}

interface StatusParts extends AccessOptions {
  endpoint: string;
  telemetry: Telemetry;
  pool: BlockPool;
  agent: string;
  startedAt: Date;
  intake: JournalView;
  derived: JournalView;
  rejected: LedgerSources['rejected'];
  selection: LedgerSources['selection'];
  sinks: SinkView[];
  workers: { size: number; busy: number; restarts: number };
  configuration: { loadedAt: Date; error: string | null; restartNeeded: readonly string[] };
  contracts(): ContractView[];
  trace(id: string): Promise<object>;
  /** Bytes of requests admitted and not yet answered. */
  bytesInFlight(): number;
  /** Why no data can be taken; empty when it can. */
  trouble: ReadonlyMap<string, string>;
  /** Why changed files of the two ports are not in force; empty when all are. */
  refused: ReadonlyMap<string, string>;
  now(): number;
}

export function serveStatus(parts: StatusParts): Promise<StatusServer> {
  const { telemetry, trouble } = parts;
  return startStatus({
    ...parts,
    refresh() {
      telemetry.ingestBytesInFlight.set(parts.bytesInFlight());
      telemetry.journalBytes.set({ journal: 'intake' }, parts.intake.bytes);
      telemetry.journalBytes.set({ journal: 'derived' }, parts.derived.bytes);
      for (const sink of parts.sinks) sink.state();
      measureMemory(parts);
    },
    status: () => statusOf(parts),
    reasons: () => [...new Set(trouble.values())],
  });
}

function measureMemory({ telemetry, pool }: StatusParts): void {
  const { rss, heapTotal, external } = process.memoryUsage();
  telemetry.memoryBytes.set({ part: 'resident' }, rss);
  telemetry.memoryBytes.set({ part: 'blocks' }, pool.unitsInUse * UNIT_BYTES);
  telemetry.memoryBytes.set({ part: 'heap' }, heapTotal);
  telemetry.memoryBytes.set({ part: 'external' }, external);
}

function statusOf(parts: StatusParts): object {
  const { intake, derived, rejected, selection, workers } = parts;
  const ledger: LedgerSources = {
    total: (stream, signal) => (stream === 'raw' ? intake : derived).total(stream, signal),
    rejected,
    selection,
  };
  return {
    agent: {
      id: parts.agent,
      version: agentVersion(),
      started_at: parts.startedAt.toISOString(),
      durability: intake.durability,
      journal_mode: intake.mode,
      config: {
        loaded_at: parts.configuration.loadedAt.toISOString(),
        error: errorOf(parts),
        restart_needed: parts.configuration.restartNeeded,
      },
    },
    ledger: intakeLedger(ledger),
    journal: journalOf(intake, parts.now()),
    derived: journalOf(derived, parts.now()),
    sinks: Object.fromEntries(parts.sinks.map((sink) => [sink.name, sinkOf(sink, ledger)])),
    workers: { size: workers.size, busy: workers.busy, restarts: workers.restarts },
  };
}

/** Why what lies in the files is not what is in force; null when it is. */
function errorOf({ configuration, refused }: StatusParts): string | null {
  const errors = [...(configuration.error === null ? [] : [configuration.error]), ...refused.values()];
  return errors.length === 0 ? null : errors.join('\n');
}

function journalOf({ first, head, bytes, segments, oldestMs, syncMsP99 }: JournalView, nowMs: number): object {
  const age = oldestMs === 0 || head === first ? 0 : Math.max(0, (nowMs - oldestMs) / 1000);
  return { first, head, bytes, segments, oldest_age_s: age, sync_ms_p99: syncMsP99 };
}

function sinkOf(sink: SinkView, ledger: LedgerSources): object {
  const { state, error, lagItems, lagMs } = sink.state();
  const streams: Record<string, Record<string, object>> = {};
  for (const { row, cursor } of sink.rows)
    streams[row.stream] = { ...streams[row.stream], [row.signal]: sinkLedger(ledger, row, cursor) };
  return { state, error, streams, lag_items: lagItems, lag_bytes: sink.lagBytes(), lag_s: lagMs / 1000 };
}
