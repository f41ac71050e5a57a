/** Holds the scores that a detector gave to the development series against their labels, by NAB's rules and by event F1. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRandom } from '../random.ts';
import { median } from '../statistics.ts';
import { alternate, crossFit, type FileSweep, figureAt, fit, type Rule, shuffled, thresholdsOf } from './crossfit.ts';
import { addCounts, type EventCounts, f1, sweepEvents } from './events.ts';
import { normalise, PROFILES, type Profile, probationOf, sweepFile, type Window } from './nab.ts';
import { findSeries, readSeries, type Series, secondsOf } from './series.ts';

export interface Labelled extends Series {
  windows: Window[];
}

export interface Figures {
  /** Under the threshold that is best on the very files that are scored: what no one can promise. */
  best: number;
  bestThreshold: number;
  /** Each half under the other half's threshold, files split in turn by name: the worse is what is reported. */
  crossFit: number;
  /** The same over random halves: median and extremes. */
  halves: { median: number; least: number; most: number };
  /** Under a given threshold; NaN without one. */
  at: number;
}

const RANDOM_SPLITS = 40;

export function readNab(directory: string): Labelled[] {
  // NAB's combined windows: by file, pairs of first and last timestamp.
  const labels = JSON.parse(readFileSync(join(directory, 'windows.json'), 'utf8')) as Record<string, string[][]>;
  return findSeries(directory).map((name) => {
    const series = readSeries(directory, name);
    const windows = (labels[name] ?? []).map(([first, last]) => ({
      first: series.times.indexOf(secondsOf(first ?? '')),
      last: series.times.lastIndexOf(secondsOf(last ?? '')),
    }));
    if (windows.some(({ first, last }) => first < 0 || last < first)) throw new Error(`${name}: a window is not in it`);
    return { ...series, windows };
  });
}

export function readKpi(directory: string): Labelled[] {
  return findSeries(directory).map((name) => ({ ...readSeries(directory, name), windows: [] }));
}

export function evaluateNab(
  series: readonly Labelled[],
  scores: readonly Float64Array[],
  at: number,
): Map<string, Figures> {
  const thresholds = withThreshold(thresholdsOf(scores, 1500, 1.02), at);
  const windowsOf = new Map(series.map(({ name, windows }) => [name, windows.length]));
  return new Map(
    PROFILES.map((profile: Profile) => {
      const rule: Rule<number> = {
        zero: 0,
        add: (sum, part) => sum + part,
        figure(sum, files) {
          const windows = files.reduce((count, { name }) => count + (windowsOf.get(name) ?? 0), 0);
          return normalise(sum, windows, profile);
        },
      };
      const sweeps = series.map(({ name, windows }, i) => ({
        name,
        parts: sweepFile(scores[i]!, windows, profile, thresholds),
      }));
      return [profile.name, figuresOf(sweeps, rule, thresholds, at)];
    }),
  );
}

export function evaluateKpi(series: readonly Labelled[], scores: readonly Float64Array[], at: number): Figures {
  const thresholds = withThreshold(thresholdsOf(scores, 10, 1.02), at);
  const none: EventCounts = { found: 0, missed: 0, falseAlarms: 0 };
  const rule: Rule<EventCounts> = { zero: none, add: addCounts, figure: f1 };
  const sweeps = series.map(({ name, labels }, i) => ({
    name,
    parts: sweepEvents(scores[i]!, labels, probationOf(labels.length), thresholds),
  }));
  return figuresOf(sweeps, rule, thresholds, at);
}

function figuresOf<Part>(sweeps: FileSweep<Part>[], rule: Rule<Part>, thresholds: Float64Array, at: number): Figures {
  const best = fit(sweeps, rule);
  const random = createRandom(28);
  const halves = Array.from({ length: RANDOM_SPLITS }, () =>
    Math.min(...crossFit(sweeps, shuffled(sweeps.length, random), rule)),
  );
  return {
    best: best.figure,
    bestThreshold: thresholds[best.threshold]!,
    crossFit: Math.min(...crossFit(sweeps, alternate(sweeps.length), rule)),
    halves: { median: median(halves), least: Math.min(...halves), most: Math.max(...halves) },
    at: Number.isNaN(at) ? at : figureAt(sweeps, rule, thresholds.lastIndexOf(at)),
  };
}

function withThreshold(thresholds: Float64Array, one: number): Float64Array {
  return Number.isNaN(one)
    ? thresholds
    : Float64Array.from(new Set([...thresholds, one]))
        .sort()
        .reverse();
}
