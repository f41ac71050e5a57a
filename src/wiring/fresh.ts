/** Where a new row and a new selection begin: at the head; after the table of cursors was lost, at the oldest frame that is kept. */
import { SIGNALS } from '../core/block.ts';
import type { CursorRow, Row } from '../core/component.ts';
import type { CursorTable } from '../journal/cursors.ts';
import type { Journal } from '../journal/journal.ts';
import type { SelectionProgress } from '../worker/progress.ts';

/** A table of cursors was there, and is damaged or gone: a journal that holds something was never without one. */
export function areCursorsLost({ found }: CursorTable, journals: readonly Journal[]): boolean {
  return found === 'damaged' || (found === 'none' && journals.some(({ first, head }) => first < head));
}

/** `sampled`: the selection's progress when the row is of that stream. `lost`: by areCursorsLost. */
export function freshCursor(
  journal: Journal,
  { stream, signal }: Row,
  sampled: SelectionProgress | null,
  lost: boolean,
): CursorRow {
  const i = SIGNALS.indexOf(signal);
  const oldest = lost ? journal.spans()[0] : undefined;
  return {
    next: oldest?.first ?? journal.head,
    offeredFrom: oldest?.total(stream, signal) ?? journal.total(stream, signal),
    filteredFrom: sampled?.filtered[i] ?? 0,
    sampledOutFrom: sampled?.sampledOut[i] ?? 0,
    damagedFrom: sampled?.damaged[i] ?? 0,
    expiredFrom: sampled?.expired[i] ?? 0,
    delivered: 0,
    filtered: 0,
    deadLettered: 0,
    expired: 0,
    damaged: 0,
  };
}

/** What lies before the beginning counts as sampled out. */
export function freshProgress(intake: Journal, derived: Journal, lost: boolean): SelectionProgress {
  const zeros = () => SIGNALS.map(() => 0);
  const none = { filtered: zeros(), damaged: zeros(), expired: zeros() };
  const oldest = lost ? intake.spans()[0] : undefined;
  if (oldest !== undefined) {
    // The derived journal knows how far it was decided after that: restoreProgress() reads it.
    const sampledOut = SIGNALS.map((signal) => oldest.total('raw', signal));
    return { ...none, next: SIGNALS.map(() => oldest.first), sampledOut, kept: zeros() };
  }
  const kept = SIGNALS.map((signal) => derived.total('sampled', signal));
  const sampledOut = SIGNALS.map((signal, i) => intake.total('raw', signal) - (kept[i] as number));
  return { ...none, next: SIGNALS.map(() => intake.head), sampledOut, kept };
}
