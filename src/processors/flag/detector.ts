// HOT: once per point of a series. Bench: bench/micro/processors/flag/detector.bench.ts
/**
 * How unlike its own past a series is at each point, in constant time and 2 KB a series: features of the point, each held against its own
 * tail (tail.ts) on both sides, the surprises added, the largest in full and every further one at a falling weight, since one cause shows in many.
 *
 * Pure: no clock, no I/O; the same points give the same scores. Scale and offset of the values change nothing.
 */
import { surprise, TAIL_LENGTH } from './tail.ts';

/** What a point is compared by. */
const FEATURES = ['jump', 'season', 'drift', 'level', 'range', 'spread', 'noise'] as const;
const SPREAD = 4;
const NOISE = 6;
/** Day profile: a quarter of an hour each. */
const BUCKETS = 96;
const DAY_S = 86_400;

// State: doubles, then the day profile, then the kept values of FEATURES x {up, down} as floats.
const N = 0; // points seen
const TIME = 1; // of the last point, Unix seconds
const INTERVAL = 2; // between points, seconds
const FAST = 3; // moving means, from fast to slow
const SLOW = 4;
const CENTRE = 5;
const LEVEL = 6; // of the seasonal model
const SEASON_FAST = 7; // smoothed seasonal residuals
const SEASON_MIDDLE = 8;
const SEASON_SLOW = 9;
const SCALE = 10; // mean distance from SLOW
const SPREAD_FAST = 11; // mean jumps
const SPREAD_SLOW = 12;
const LOCAL = 13; // mean and mean deviation nearby
const LOCAL_SPREAD = 14;
const PEAK = 15; // largest score lately, and points since
const SINCE = 16;
const RAW = 17; // score before repeats were left out
const FADE = 18; // by how much (ln) a value of now outweighs one of the first point
const SURPRISES = 19; // of the last point, largest first
const FLOORED = SURPRISES + FEATURES.length; // FADE when the floors were last computed
const FLOORS = FLOORED + 1; // by tail: what is no larger is ordinary, told without a logarithm; NaN where the tail is not full
const VALUES = FLOORS + FEATURES.length * 2; // of the features at the last point
const PROFILE = VALUES + FEATURES.length;
const NUMBERS = PROFILE + BUCKETS;
const KEYS = FEATURES.length * 2 * TAIL_LENGTH;
export const STATE_BYTES = NUMBERS * 8 + KEYS * 4;

/** No score before this many points. */
export const WARM_UP_POINTS = 100;
/** Chances below this are not believed: 10^-CAP. */
const CAP = 6;
/** A score is not repeated within so many points unless it is larger. */
const REPEAT_POINTS = 60;
/** After a score this large the models learn more slowly for a while, so that a fault does not become the rule. */
const ALARMED = 8;
const ALARMED_POINTS = 30;
const ALARMED_RATE = 0.3;
/** Weight of every further feature relative to the one before. */
const FALLING = 0.55;
/** Distances below this part of the usual spread are no surprise, however rare. */
const MARGIN = 0.3;
/** Ratios of spreads below e^this are none either. */
const SPREAD_MARGIN = 0.2;
const LOUDER = Math.exp(SPREAD_MARGIN);
const QUIETER = Math.exp(-SPREAD_MARGIN);
/** Nor are distances within the usual deviation nearby. */
const NOISE_MARGIN = 1;
/** Kept values up to this much larger (ln) are as large. */
const NEAR = 0.05;
/** Values fade by e in so many points, or in a week where points are closer. */
const HORIZON_POINTS = 20_000;
const HORIZON_S = 7 * DAY_S;
/** Chances are per point, or per five minutes where points are closer. */
const SHORTEST_S = 300;
/** Floors hold until values have faded by this much more (ln). */
const FLOOR_FADE = 0.05;
/** Larger values are taken as this large: differences stay finite. */
const LARGEST = 1e300;

export class Detector {
  /** All there is to remember: restoring these bytes restores the detector. */
  readonly state: ArrayBuffer;
  readonly #numbers: Float64Array;
  readonly #keys: Float32Array;
  readonly #warmUpPoints: number;

  /**
   * `saved`: the bytes of another's `state`, which are copied; throws RangeError when they are not as many. Scores begin after
   * `warmUpPoints`.
   */
  constructor(saved: Uint8Array | null = null, warmUpPoints = WARM_UP_POINTS) {
    if (saved !== null && saved.length !== STATE_BYTES)
      throw new RangeError(`a saved state of ${saved.length} bytes, not ${STATE_BYTES}`);
    this.#warmUpPoints = warmUpPoints;
    this.state = new ArrayBuffer(STATE_BYTES);
    this.#numbers = new Float64Array(this.state, 0, NUMBERS);
    this.#keys = new Float32Array(this.state, NUMBERS * 8, KEYS);
    if (saved !== null) new Uint8Array(this.state).set(saved);
    else {
      this.#numbers.fill(Number.NaN, FLOORS, VALUES);
      this.#numbers.fill(Number.NaN, PROFILE);
      this.#keys.fill(Number.NaN);
    }
  }

  get points(): number {
    return this.#numbers[N]!;
  }

  /** The last point's score before repeats were left out. */
  get raw(): number {
    return this.#numbers[RAW]!;
  }

  /** What the seasonal model expects at a time; 0 before the first point. */
  expected(timeS: number): number {
    const numbers = this.#numbers;
    return numbers[LEVEL]! + profileOf(numbers[PROFILE + bucketOf(timeS)]!);
  }

  /** The score of a point, 0 when it is ordinary or says what was said: see FEATURES. What is no finite number scores 0 and changes nothing. */
  step(timeS: number, value: number): number {
    const numbers = this.#numbers;
    if (!Number.isFinite(value) || !Number.isFinite(timeS)) {
      numbers[RAW] = 0;
      return 0;
    }
    const x = value > LARGEST ? LARGEST : value < -LARGEST ? -LARGEST : value;
    if (numbers[N] === 0) {
      for (let i = FAST; i <= LEVEL; i++) numbers[i] = x;
      numbers[LOCAL] = x;
      numbers[SINCE] = REPEAT_POINTS;
    }
    this.#follow(timeS);
    const score = this.#weigh(timeS, x);
    numbers[RAW] = score;
    numbers[SINCE] = numbers[SINCE]! + 1;
    const fresh = numbers[SINCE]! > REPEAT_POINTS || score > numbers[PEAK]!;
    if (score === 0 || !fresh) return 0;
    numbers[PEAK] = score;
    numbers[SINCE] = 0;
    return score;
  }

  /** Counts the point and learns how far apart points are. */
  #follow(timeS: number): void {
    const numbers = this.#numbers;
    const n = ++numbers[N]!;
    const gap = timeS - numbers[TIME]!;
    numbers[TIME] = timeS;
    // Time that stands still, runs backwards or jumps says nothing about the interval.
    if (n === 2 && gap > 0) numbers[INTERVAL] = gap;
    else if (n > 2 && gap > 0 && gap < 4 * numbers[INTERVAL]!) numbers[INTERVAL]! += 0.05 * (gap - numbers[INTERVAL]!);
    else if (n > 2 && gap > 0 && numbers[INTERVAL] === 0) numbers[INTERVAL] = gap;
  }

  #weigh(timeS: number, x: number): number {
    const s = this.#numbers;
    const bucket = PROFILE + bucketOf(timeS);
    this.#compare(bucket, x);
    this.#rank();
    this.#learn(bucket, x);
    if (s[N]! <= this.#warmUpPoints) return 0;
    let sum = 0;
    let weight = 1;
    for (let i = SURPRISES; i < FLOORED; i++) {
      sum += weight * s[i]!;
      weight *= FALLING;
    }
    return sum;
  }

  /** The features, in the order of FEATURES, before the models learn of the point. */
  #compare(bucket: number, x: number): void {
    const s = this.#numbers;
    const scale = s[SCALE]!;
    const fast = x - s[FAST]!;
    const season = x - s[LEVEL]! - profileOf(s[bucket]!);
    const local = x - s[LOCAL]!;
    s[SEASON_FAST]! += 0.2 * (season - s[SEASON_FAST]!);
    s[SEASON_MIDDLE]! += 0.025 * (season - s[SEASON_MIDDLE]!);
    s[SEASON_SLOW]! += 0.005 * (season - s[SEASON_SLOW]!);
    s[SPREAD_FAST]! += 0.1 * (Math.abs(fast) - s[SPREAD_FAST]!);
    // A part of the scale stands in for spreads that are next to nothing.
    const least = 0.02 * scale + Number.MIN_VALUE;
    const noise = s[LOCAL_SPREAD]! + 0.01 * scale;
    s[VALUES] = fast;
    s[VALUES + 1] = s[SEASON_FAST]!;
    s[VALUES + 2] = s[SEASON_MIDDLE]! - s[SEASON_SLOW]!;
    s[VALUES + 3] = x - s[CENTRE]!;
    const louder = s[N]! > 50 ? (s[SPREAD_FAST]! + least) / (s[SPREAD_SLOW]! + least) : 1;
    // Most points are within the margin: no logarithm for them.
    s[VALUES + SPREAD] = louder > LOUDER || louder < QUIETER ? Math.log(louder) : 0;
    s[VALUES + 5] = season;
    s[VALUES + NOISE] = noise > 0 ? local / noise : 0;
  }

  /** Surprise of each feature on the side that its sign says, the largest first. */
  #rank(): void {
    const s = this.#numbers;
    const horizon = horizonOf(s[INTERVAL]!);
    s[FADE]! += 1 / horizon;
    if (s[FADE]! > s[FLOORED]! + FLOOR_FADE) this.#refloor();
    for (let i = SURPRISES; i < FLOORED; i++) s[i] = 0;
    const distance = MARGIN * s[SCALE]!;
    for (let i = 0; i < FEATURES.length; i++) {
      const value = s[VALUES + i]!;
      const size = Math.abs(value);
      const tail = 2 * i + (value > 0 ? 0 : 1);
      const margin = i === SPREAD ? SPREAD_MARGIN : i === NOISE ? NOISE_MARGIN : distance;
      if (!(size > margin) || size <= s[FLOORS + tail]!) continue;
      const found = surprise(this.#keys, tail * TAIL_LENGTH, Math.log(size) + s[FADE]!, s[N]!, horizon, NEAR);
      if (found <= 0) continue;
      s[FLOORS + tail] = this.#floorOf(tail);
      this.#place(found - excessOf(s[INTERVAL]!));
    }
  }

  #place(decades: number): void {
    const s = this.#numbers;
    let place = FLOORED - 1;
    if (!(decades > s[place]!)) return;
    for (; place > SURPRISES && decades > s[place - 1]!; place--) s[place] = s[place - 1]!;
    s[place] = decades < CAP ? decades : CAP;
  }

  #learn(bucket: number, x: number): void {
    const s = this.#numbers;
    const n = s[N]!;
    const alarmed = s[SINCE]! < ALARMED_POINTS && s[PEAK]! > ALARMED;
    const learn = alarmed ? ALARMED_RATE : 1;
    const fast = s[VALUES]!;
    s[FAST]! += 0.2 * fast;
    const local = x - s[LOCAL]!;
    s[LOCAL]! += 0.04 * local;
    s[LOCAL_SPREAD]! += 0.04 * (Math.abs(local) - s[LOCAL_SPREAD]!);
    s[SCALE]! += learn * rateOf(0.002, n) * (Math.abs(x - s[SLOW]!) - s[SCALE]!);
    s[SLOW]! += learn * rateOf(0.005, n) * (x - s[SLOW]!);
    s[CENTRE]! += learn * rateOf(0.0003, n) * (x - s[CENTRE]!);
    s[SPREAD_SLOW]! += learn * rateOf(0.005, n) * (Math.abs(fast) - s[SPREAD_SLOW]!);
    const profile = s[bucket]!;
    s[LEVEL]! += learn * rateOf(0.02, n) * (x - s[LEVEL]! - profileOf(profile));
    const residual = x - s[LEVEL]! - profileOf(profile);
    s[bucket] = Number.isNaN(profile) ? residual : profile + learn * 0.3 * residual;
  }

  #refloor(): void {
    const s = this.#numbers;
    s[FLOORED] = s[FADE]!;
    for (let tail = 0; tail < FEATURES.length * 2; tail++) s[FLOORS + tail] = this.#floorOf(tail);
  }

  /** The tail's threshold as it will be when floors are computed again. */
  #floorOf(tail: number): number {
    const s = this.#numbers;
    return Math.exp(this.#keys[(tail + 1) * TAIL_LENGTH - 1]! - s[FLOORED]! - FLOOR_FADE);
  }
}

function bucketOf(timeS: number): number {
  const second = timeS - Math.floor(timeS / DAY_S) * DAY_S;
  const bucket = Math.floor((second * BUCKETS) / DAY_S);
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/** NaN: that time of day has not been seen. */
function profileOf(value: number): number {
  return Number.isNaN(value) ? 0 : value;
}

function horizonOf(intervalS: number): number {
  return intervalS > 0 && intervalS * HORIZON_POINTS < HORIZON_S ? HORIZON_S / intervalS : HORIZON_POINTS;
}

/** Decades by which points are more frequent than chances are counted. */
function excessOf(intervalS: number): number {
  return intervalS > 0 && intervalS < SHORTEST_S ? Math.log10(SHORTEST_S / intervalS) : 0;
}

/** A mean of all points at first, a moving one later. */
function rateOf(slowest: number, n: number): number {
  return n * slowest > 1 ? slowest : 1 / n;
}
