/** Exact one-sided bounds of a share of which `bad` of `items` were seen (Clopper and Pearson, Biometrika 26, 1934). */

const CONFIDENCE = 0.95;
const HALVINGS = 60;

/** The share is at least this, with 95 % confidence. */
export function lowerBound(bad: number, items: number): number {
  return bad <= 0 ? 0 : betaQuantile(1 - CONFIDENCE, bad, items - bad + 1);
}

/** The share is at most this, with 95 % confidence. */
export function upperBound(bad: number, items: number): number {
  return bad >= items ? 1 : betaQuantile(CONFIDENCE, bad + 1, items - bad);
}

/** Least items of which, at the same share, a bound would lie on the same side of the limit as the share; null when none is enough. */
export function itemsNeeded(share: number, limit: number): number | null {
  const decides = (items: number) =>
    share < limit ? upperBound(share * items, items) < limit : lowerBound(share * items, items) > limit;
  let enough = 1;
  while (!decides(enough)) {
    enough *= 2;
    if (enough > 1e9) return null;
  }
  let least = enough / 2;
  while (enough - least > 1) {
    const middle = Math.floor((enough + least) / 2);
    if (decides(middle)) enough = middle;
    else least = middle;
  }
  return enough;
}

function betaQuantile(probability: number, a: number, b: number): number {
  let low = 0;
  let high = 1;
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (low + high) / 2;
    if (incompleteBeta(middle, a, b) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** The regularised incomplete beta function, by its continued fraction: https://dlmf.nist.gov/8.17#v */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast on this side of the mean; the other follows by symmetry.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
  return front * betaFraction(x, a, b);
}

/** Evaluated by Lentz's method. */
function betaFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  const away = (value: number) => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m < 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-14) return fraction;
  }
  return fraction;
}

/** Lanczos' approximation with g = 7 and nine terms; relative error below 1e-14. */
const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

function logGamma(value: number): number {
  const x = value - 1;
  let sum = LANCZOS[0] as number;
  for (let i = 1; i < LANCZOS.length; i++) sum += (LANCZOS[i] as number) / (x + i);
  const t = x + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (x + 0.5) * Math.log(t) - t + Math.log(sum);
}
