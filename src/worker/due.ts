/** How many frames of a run may be decided now: everything that could mark their traces in time has been merged, and their slots are settled. */
import { type BlockPool, Field, readU64 } from '../core/block.ts';

interface Due {
  nowMs: number;
  /** After a frame was received; negative when nothing is waited for any more. */
  waitMs: number;
  /** How long what lies in the future has been there: ahead.ms. */
  aheadMs: number;
  /** Receive time of the oldest frame whose marks are not merged yet. */
  oldestInFlightMs: number;
  /** What was received before this may be decided, as far as budgets are concerned. */
  settledMs: number;
  /** Frames of one slot alone are handed out together; Infinity without a budget. */
  slotMs: number;
}

/** How often it is looked whether a slot is settled. */
const UNSETTLED_MS = 50;

/** What has come due waits so long for what comes due next: a task for each request alone costs more than it decides. */
const GATHER_MS = 25;

/** From the front; when it is none, how long that stays so. */
export function dueFrames(blocks: BlockPool, frames: readonly number[], due: Due): { count: number; inMs: number } {
  const { nowMs, waitMs, aheadMs, settledMs, slotMs } = due;
  const until = Math.min(nowMs, due.oldestInFlightMs);
  let count = 0;
  let slot = -1;
  const cameMs = (receivedMs: number) => (receivedMs > nowMs ? nowMs - aheadMs : receivedMs);
  const firstMs = frames.length === 0 ? 0 : cameMs(readU64(blocks, (frames[0] as number) + Field.receivedMs));
  for (const at of frames) {
    const receivedMs = readU64(blocks, at + Field.receivedMs);
    const own = slotMs === Infinity ? 0 : Math.floor(receivedMs / slotMs);
    if (slot >= 0 && own !== slot) break;
    slot = own;
    if (waitMs >= 0) {
      const dueMs = cameMs(receivedMs) + waitMs;
      if (cameMs(receivedMs) >= settledMs) return { count, inMs: Math.max(UNSETTLED_MS, dueMs - nowMs) };
      if (dueMs >= until) return gathered(count, firstMs + waitMs, dueMs, nowMs);
    }
    count++;
  }
  return { count, inMs: 0 };
}

/** When the clock is set back, what was received before lies in the future: since when that is so of what is next, by a clock that is not set. */
export class Ahead {
  #sinceMs: number | null = null;

  ms(blocks: BlockPool, [next]: readonly number[], nowMs: number, steadyMs: number): number {
    const isAhead = next !== undefined && readU64(blocks, next + Field.receivedMs) > nowMs;
    this.#sinceMs = isAhead ? (this.#sinceMs ?? steadyMs) : null;
    return steadyMs - (this.#sinceMs ?? steadyMs);
  }
}

/** The frame behind `count` ones is due at `dueMs`, the first at `firstMs`. */
function gathered(count: number, firstMs: number, dueMs: number, nowMs: number): { count: number; inMs: number } {
  if (count === 0) return { count, inMs: Math.max(1, dueMs - nowMs + 1) };
  const inMs = firstMs + GATHER_MS - nowMs;
  return inMs > 0 ? { count: 0, inMs } : { count, inMs: 0 };
}
