/** The ledger: what was received and what became of it, for each sink, stream and signal; docs/operations.md says which sums must agree. */
import { SIGNALS, type Signal, type Stream } from '../core/block.ts';
import type { CursorRow, Row } from '../core/component.ts';

/** What the ledger adds up; all counts are items since the journal was created. */
export interface LedgerSources {
  /** Items ever appended to the journal that holds the stream. */
  total(stream: Stream, signal: Signal): number;
  /** Items refused in partial success. */
  rejected: Record<Signal, number>;
  /** What the selection dropped; null when nothing is sampled. */
  selection: Record<'filtered' | 'sampledOut' | 'damaged' | 'expired', readonly number[]> | null;
}

export interface LedgerRow {
  offered: number;
  delivered: number;
  filtered: number;
  sampled_out: number;
  dead_lettered: number;
  expired: number;
  damaged: number;
  queued: number;
}

/** received = journalled + rejected, for each signal, and what the agent itself appended. */
export function intakeLedger(sources: LedgerSources) {
  const signals = SIGNALS.map((signal) => {
    const journalled = sources.total('raw', signal);
    const rejected = sources.rejected[signal];
    return [signal, { received: journalled + rejected, journalled, rejected }] as const;
  });
  const generated = { summaries: sources.total('summaries', 'metrics'), events: sources.total('events', 'logs') };
  return { ...Object.fromEntries(signals), generated };
}

/** offered = delivered + filtered + sampled_out + dead_lettered + expired + damaged + queued. */
export function sinkLedger(sources: LedgerSources, row: Row, cursor: CursorRow): LedgerRow {
  const i = SIGNALS.indexOf(row.signal);
  const sampled = row.stream === 'sampled' ? sources.selection : null;
  const of = (what: keyof NonNullable<LedgerSources['selection']>, before: number) =>
    sampled === null ? 0 : (sampled[what][i] as number) - before;
  const filtered = cursor.filtered + of('filtered', cursor.filteredFrom);
  const sampledOut = of('sampledOut', cursor.sampledOutFrom);
  const damaged = cursor.damaged + of('damaged', cursor.damagedFrom);
  const expired = cursor.expired + of('expired', cursor.expiredFrom);
  // What was decided before the subscription was never offered to it.
  const { filteredFrom, sampledOutFrom, damagedFrom, expiredFrom } = cursor;
  const elsewhere = sampled === null ? 0 : filteredFrom + sampledOutFrom + damagedFrom + expiredFrom;
  const offered = sources.total(sampled === null ? row.stream : 'raw', row.signal) - cursor.offeredFrom - elsewhere;
  const { delivered, deadLettered } = cursor;
  const gone = delivered + filtered + sampledOut + deadLettered + expired + damaged;
  return {
    offered,
    delivered,
    filtered,
    sampled_out: sampledOut,
    dead_lettered: deadLettered,
    expired,
    damaged,
    queued: offered - gone,
  };
}
