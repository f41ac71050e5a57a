/** How far the selection has come, and what became of everything before. */
import { SIGNALS } from '../core/block.ts';

/** By signal index; all of them move together but for the moment of a crash. */
export interface SelectionProgress {
  /** First intake sequence that is not decided. */
  next: number[];
  /** Items since the journal's creation: together with `kept` and what follows, everything below `next`. */
  filtered: number[];
  sampledOut: number[];
  /** In records that could not be read or decided, and in those that were given up before they were decided. */
  damaged: number[];
  expired: number[];
  /** What the derived journal holds of it. */
  kept: number[];
}

/** Raw items below `next`, by signal index. */
export function passedOf({ filtered, sampledOut, damaged, expired, kept }: SelectionProgress): number[] {
  return SIGNALS.map((_, i) =>
    [filtered, sampledOut, damaged, expired, kept].reduce((sum, of) => sum + (of[i] as number), 0),
  );
}
