/**
 * One watched series: its detector, and when a score becomes a flag.
 *
 *   quiet --(score >= threshold, far enough from what was expected, on a side that matters)--> flagged
 *   flagged --(HOLD_MS without a score of half the threshold)--> quiet
 *
 * A flag is told when it is raised, and no sooner than `repeatMs` after the one told before.
 */
import { Detector } from './detector.ts';

/** Which departures matter: more latency is a fault, less is none. */
export type Side = 'both' | 'above';

export interface Rules {
  threshold: number;
  /** A value within this share of what was expected is never flagged. */
  margin: number;
  /** Points before the first flag. */
  warmUpPoints: number;
  repeatMs: number;
}

export interface Finding {
  value: number;
  expected: number;
  score: number;
}

export interface SavedWatch {
  state: Uint8Array;
  /** Missing of former versions: since ever. */
  flaggedSinceMs?: number;
  flaggedUntilMs: number;
  toldMs: number;
}

/** A flag stays up so long after the last point that was unusual. */
const HOLD_MS = 60_000;

export class Watch {
  /** Of the last flag, which is up or over. */
  flaggedSinceMs = 0;
  flaggedUntilMs = 0;
  readonly #rules: Rules;
  readonly #side: Side;
  /** Departures smaller than this are too small, whatever was expected: one per cent of errors is not ten times none. */
  readonly #least: number;
  readonly #detector: Detector;
  #toldMs = 0;

  constructor(rules: Rules, side: Side, least: number, saved: SavedWatch | null) {
    this.#rules = rules;
    this.#side = side;
    this.#least = least;
    this.#detector = new Detector(saved?.state ?? null, rules.warmUpPoints);
    this.flaggedSinceMs = saved?.flaggedSinceMs ?? 0;
    this.flaggedUntilMs = saved?.flaggedUntilMs ?? 0;
    this.#toldMs = saved?.toldMs ?? 0;
  }

  /** What to tell of a point, or null. NaN is no point. */
  see(timeMs: number, value: number): Finding | null {
    const { threshold, repeatMs } = this.#rules;
    const expected = this.#detector.expected(timeMs / 1000);
    this.#detector.step(timeMs / 1000, value);
    // Repeats are left out here, after it is known which points matter.
    const score = this.#detector.raw;
    if (!Number.isFinite(value) || !this.#matters(value - expected, expected)) return null;
    // One that lies in times to come is from before the clock was set back.
    const flagged = timeMs < this.flaggedUntilMs && this.flaggedUntilMs <= timeMs + HOLD_MS;
    if (score < (flagged ? threshold / 2 : threshold)) return null;
    if (!flagged) this.flaggedSinceMs = timeMs;
    this.flaggedUntilMs = timeMs + HOLD_MS;
    const sinceToldMs = timeMs - this.#toldMs;
    if (flagged || (this.#toldMs > 0 && sinceToldMs >= 0 && sinceToldMs < repeatMs)) return null;
    this.#toldMs = timeMs;
    return { value, expected, score };
  }

  #matters(departure: number, expected: number): boolean {
    if (this.#side === 'above' && departure <= 0) return false;
    const size = Math.abs(departure);
    return size >= this.#least && size >= this.#rules.margin * Math.abs(expected);
  }

  save(): SavedWatch {
    return {
      state: new Uint8Array(this.#detector.state),
      flaggedSinceMs: this.flaggedSinceMs,
      flaggedUntilMs: this.flaggedUntilMs,
      toldMs: this.#toldMs,
    };
  }
}
