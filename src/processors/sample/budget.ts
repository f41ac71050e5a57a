/**
 * Which share of each class a slot's budget allows, from what came in that slot: totals alone, never the randomness of what was in it, so
 * that thresholds stay true. Highest class first; the class at which the budget ends is thinned, those below it get next to nothing.
 */

/** What came in one slot, by class where it is an array. */
export interface SlotTotals {
  /** Items with what is added to them when they are kept. */
  bytes: Float64Array;
  /** Runs of items of one trace in one envelope; the envelopes (resource and scope) around them. */
  runs: number;
  envelopes: number;
  envelopeBytes: number;
}

/** 2^-56, the least probability there is. */
const LEAST = 2 ** -56;
const STEPS = 50;

/** Probabilities by class. `shares`: what is configured, the most a class can get. */
export function fillBudget(totals: SlotTotals, shares: readonly number[], budgetBytes: number): number[] {
  const chances = shares.map(() => 0);
  for (let c = shares.length - 1; c >= 0; c--) {
    const share = shares[c] as number;
    chances[c] = share;
    if (expectedBytes(totals, chances) <= budgetBytes) continue;
    let low = 0;
    let high = share;
    for (let i = 0; i < STEPS; i++) {
      chances[c] = (low + high) / 2;
      if (expectedBytes(totals, chances) <= budgetBytes) low = (low + high) / 2;
      else high = (low + high) / 2;
    }
    chances[c] = low;
  }
  return chances.map((chance, c) => Math.min(shares[c] as number, Math.max(chance, LEAST)));
}

/** What is forwarded of the slot, on average. An envelope goes along when one of its runs does. */
export function expectedBytes(
  { bytes, runs, envelopes, envelopeBytes }: SlotTotals,
  chances: readonly number[],
): number {
  let all = 0;
  let kept = 0;
  for (let c = 0; c < chances.length; c++) {
    all += bytes[c] as number;
    kept += (bytes[c] as number) * (chances[c] as number);
  }
  if (all === 0 || envelopes === 0) return kept;
  // As if all envelopes had equally many runs: others cost less on average, since the function is concave.
  return kept + envelopeBytes * (1 - (1 - kept / all) ** (runs / envelopes));
}
