/** Holds bench/detection/nab.ts against cases computed by hand, and against the traps of scoring detection. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  normalise,
  PROFILES,
  type Profile,
  probationOf,
  sweepFile,
  type Window,
  worthOf,
} from '../../../bench/detection/nab.ts';

const ROWS = 1000;
const WINDOWS: Window[] = [
  { first: 300, last: 399 },
  { first: 700, last: 799 },
];
const [STANDARD, LOW_FP, LOW_FN] = PROFILES as [Profile, Profile, Profile];

/** The figure of detections at these rows and no other. */
function figure(detections: number[], profile = STANDARD, windows = WINDOWS): number {
  const scores = new Float64Array(ROWS);
  for (const row of detections) scores[row] = 1;
  const [sum = Number.NaN] = sweepFile(scores, windows, profile, Float64Array.of(1));
  return normalise(sum, windows.length, profile);
}
const near = (actual: number, expected: number, within = 0.005) =>
  assert.ok(Math.abs(actual - expected) <= within, `${actual}, expected ${expected}`);

test('no detection is 0 and a detection at the left edge of every window is 100, under every profile', () => {
  for (const profile of PROFILES) {
    assert.equal(figure([], profile), 0);
    near(figure([300, 700], profile), 100);
  }
});

test('a detection is worth less the later it comes: 1 at the left edge, 0.86 in the middle, nearly 0 at the right', () => {
  assert.equal(worthOf(300, WINDOWS).worth, 1);
  // (2 / (1 + e^-2.5) - 1) / (2 / (1 + e^-5) - 1)
  near(worthOf(350, WINDOWS).worth, 0.84828 / 0.98661, 0.0001);
  near(worthOf(399, WINDOWS).worth, 0.02499 / 0.98661, 0.0001);
  near(figure([350, 750]), (100 * (2 * 0.8598 + 2)) / 4);
});

test('a window counts once, by its earliest detection; later ones in it cost nothing', () => {
  assert.equal(figure([310, 311, 350, 399]), figure([310]));
});

test('a false positive costs 0.11 before any window, and more the farther it is past one; 0.22 under low FP', () => {
  near(figure([200]), (-100 * 0.11) / 4);
  near(figure([200], LOW_FP), (-100 * 0.22) / 4);
  // Half a window past: 2 / (1 + e^(5 * 50 / 99)) - 1
  near(figure([449]), (100 * 0.11 * -0.8518) / 4, 0.01);
  assert.ok(figure([400]) > figure([450]) && figure([450]) > figure([690]));
  near(figure([699]), (-100 * 0.11) / 4, 0.001);
});

test('a missed window costs 1, and 2 under low FN', () => {
  near(figure([300]), 50);
  near(figure([300], LOW_FN), 50);
  near(figure([200], LOW_FN), (-100 * 0.11) / 6);
});

test('detections in probation, 15 % of the file but never more than 750 rows, count for nothing', () => {
  assert.deepEqual([probationOf(1000), probationOf(5000), probationOf(100_000), probationOf(7)], [150, 750, 750, 1]);
  assert.equal(figure([0, 10, 149]), 0);
  assert.ok(figure([150]) < 0);
});

test('every false point costs: an alarm that never ends is far below none, a blind one every 5 % gets what chance gives', () => {
  assert.ok(figure(Array.from({ length: ROWS }, (_, i) => i)) < -900);
  const blind = figure(Array.from({ length: 20 }, (_, i) => i * 50));
  assert.ok(blind > 0 && blind < 80, `${blind}`);
});

test('a sweep over thresholds gives what each threshold gives alone', () => {
  const scores = Float64Array.from({ length: ROWS }, (_, i) => ((i * 7919) % 997) / 997);
  const thresholds = Float64Array.of(Infinity, 0.99, 0.9, 0.5);
  const swept = sweepFile(scores, WINDOWS, STANDARD, thresholds);
  for (const [i, threshold] of thresholds.entries()) {
    assert.equal(swept[i], sweepFile(scores, WINDOWS, STANDARD, Float64Array.of(threshold))[0]);
  }
});
