/** Places between the groups of a segment, about one a MiB, so that a read anywhere in it need not begin at its start. */
import { ROWS } from './format.ts';
import type { Tally } from './header.ts';
import type { JournalState } from './region.ts';

export interface Waypoint {
  /** In the file. */
  offset: number;
  /** Of the last record before it; what follows is above, and not below the epoch. */
  sequence: number;
  epoch: number;
  /** Items by row before it. */
  totals: Tally;
}

/** What of a segment they are about. */
interface Marked {
  /** Bytes that are durable. */
  used: number;
  /** Ascending. */
  waypoints: Waypoint[];
}

const APART_BYTES = 1 << 20;

/** Where the next group will begin, unless a place is near. */
export function addWaypoint({ used, waypoints }: Marked, { head, epoch, tally }: JournalState): void {
  if (used - (waypoints.at(-1)?.offset ?? 0) < APART_BYTES) return;
  waypoints.push({ offset: used, sequence: head - 1, epoch, totals: tally.slice(0, ROWS) });
}

/** The last place before the record with this sequence. */
export function lastWaypoint({ waypoints }: Marked, sequence: number): Waypoint | undefined {
  return waypoints.findLast((one) => one.sequence < sequence);
}
