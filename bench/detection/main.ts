/**
 * Anomaly detection, measured.
 *
 *   npm run bench:detection -- --score [--data DIR]        figures on labelled development series, beside baselines
 *   npm run bench:detection -- --series DIR --out DIR      scores and flags for every CSV below DIR, no label needed
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { createRandom } from '../random.ts';
import { calibrate } from './calibrate.ts';
import { scoreDevelopment } from './score.ts';
import { findSeries, readSeries } from './series.ts';
import { DEFAULT_THRESHOLD, detect, STATE_BYTES } from './stream.ts';

const DATA = fileURLToPath(new URL('../../../shared/data', import.meta.url));

const WARM_UP_POINTS = 200_000;

const { values } = parseArgs({
  options: {
    score: { type: 'boolean', default: false },
    data: { type: 'string', default: DATA },
    series: { type: 'string' },
    out: { type: 'string' },
  },
});

if (values.score) scoreDevelopment(values.data);
else if (values.series !== undefined && values.out !== undefined) streamAll(values.series, values.out);
else {
  console.error('usage: npm run bench:detection -- --score [--data DIR] | --series DIR --out DIR');
  process.exitCode = 2;
}

function streamAll(from: string, to: string): void {
  const names = findSeries(from);
  if (names.length === 0) throw new Error(`no .csv or .csv.gz below ${from}`);
  let points = 0;
  let elapsedMs = 0;
  warmUp();
  for (const name of names) {
    const { stamps, times, values: numbers } = readSeries(from, name);
    const began = performance.now();
    const scores = detect(times, numbers);
    elapsedMs += performance.now() - began;
    points += scores.length;
    const rows = stamps.map((stamp, i) => {
      const score = scores[i]!;
      return `${stamp},${numbers[i]},${score === 0 ? '0' : score.toPrecision(12)},${score >= DEFAULT_THRESHOLD ? 1 : 0}\n`;
    });
    const text = `timestamp,value,score,flag\n${rows.join('')}`;
    mkdirSync(dirname(join(to, name)), { recursive: true });
    writeFileSync(join(to, name), name.endsWith('.gz') ? gzipSync(text) : text);
  }
  console.log(`calibration ${calibrate().toFixed(2)} ns per step of a fixed loop`);
  console.log(
    `${points} points, ${((elapsedMs * 1e6) / Math.max(1, points)).toFixed(1)} ns per point, ${STATE_BYTES} bytes of state per series`,
  );
}

/** Has the detector compiled before the clock starts: an agent runs for days. */
function warmUp(): void {
  const random = createRandom(1);
  const series = Float64Array.from({ length: WARM_UP_POINTS }, () => random.logNormal(10, 0.5));
  detect(
    series.map((_, i) => i * 60),
    series,
  );
}
