/**
 * Event F1 over labelled points: a labelled run is found when some point inside it is flagged; nothing is adjusted. A run of false flags
 * costs one for every 60 points or part of them, else an alarm that never ends would cost as little as a short one.
 */
import { rankRows } from './nab.ts';

/** Points that one false alarm may last at most. */
const POINTS_PER_FALSE_ALARM = 60;

export interface EventCounts {
  found: number;
  missed: number;
  falseAlarms: number;
}

/** For each of `thresholds` (descending) what `score >= threshold` finds in one series; rows before `from` count for nothing. */
export function sweepEvents(
  scores: Float64Array,
  labels: Uint8Array,
  from: number,
  thresholds: Float64Array,
): EventCounts[] {
  const events = numberEvents(labels, from);
  const found = new Uint8Array(events.count);
  const runs = new Runs(scores.length);
  const rows = rankRows(scores, from, thresholds.at(-1) ?? Infinity);
  const counts: EventCounts[] = [];
  let hits = 0;
  let next = 0;
  for (const threshold of thresholds) {
    for (; next < rows.length && scores[rows[next]!]! >= threshold; next++) {
      const row = rows[next]!;
      const event = events.of[row]! - 1;
      if (event < 0) runs.add(row);
      else if (found[event] === 0) {
        found[event] = 1;
        hits++;
      }
    }
    counts.push({ found: hits, missed: events.count - hits, falseAlarms: runs.charged });
  }
  return counts;
}

export function f1({ found, missed, falseAlarms }: EventCounts): number {
  return found === 0 ? 0 : (2 * found) / (2 * found + missed + falseAlarms);
}

export function addCounts(a: EventCounts, b: EventCounts): EventCounts {
  return { found: a.found + b.found, missed: a.missed + b.missed, falseAlarms: a.falseAlarms + b.falseAlarms };
}

/** For each row the number of its labelled run, from 1 on, or 0. */
function numberEvents(labels: Uint8Array, from: number): { of: Uint32Array; count: number } {
  const of = new Uint32Array(labels.length);
  let count = 0;
  for (let row = from; row < labels.length; row++) {
    if (labels[row] === 0) continue;
    if (row === from || labels[row - 1] === 0) count++;
    of[row] = count;
  }
  return { of, count };
}

/** Runs of neighbouring rows that grow one row at a time, in any order, and what they are charged together. */
class Runs {
  charged = 0;
  /** Length of the run, kept at both of its ends; 0 outside. */
  readonly #length: Uint32Array;

  constructor(rows: number) {
    this.#length = new Uint32Array(rows + 2);
  }

  add(row: number): void {
    const at = row + 1;
    const left = this.#length[at - 1]!;
    const right = this.#length[at + 1]!;
    const whole = left + right + 1;
    this.charged += charge(whole) - charge(left) - charge(right);
    this.#length[at] = whole;
    this.#length[at - left] = whole;
    this.#length[at + right] = whole;
  }
}

function charge(points: number): number {
  return Math.ceil(points / POINTS_PER_FALSE_ALARM);
}
