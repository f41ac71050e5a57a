/** A fixed loop of floating-point work, so that a figure in nanoseconds can be read on another machine. */

const STEPS = 20_000_000;
const ROUNDS = 5;

/** Nanoseconds a step: one logarithm, one multiplication, one addition, each needing the one before. Fastest of five rounds. */
export function calibrate(): number {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    let x = 2;
    for (let i = 0; i < STEPS; i++) x = Math.log(x) * 0.5 + 2;
    const ns = ((performance.now() - began) * 1e6) / STEPS;
    // The result is used, or the loop could be left out.
    if (Number.isFinite(x) && ns < best) best = ns;
  }
  return best;
}
