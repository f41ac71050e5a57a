/** Prints NAB's figures and event F1 of the detector on the development series, every one beside those of detectors that know nothing. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createRandom } from '../random.ts';
import { BASELINES, type Detect } from './baselines.ts';
import { evaluateKpi, evaluateNab, type Figures, type Labelled, readKpi, readNab } from './evaluate.ts';
import { PROFILES } from './nab.ts';
import { DEFAULT_THRESHOLD, detect } from './stream.ts';

/** The same series in other units: figures must not move. */
const DISGUISES: [name: string, scale: number, shift: number][] = [
  ['x 1000 + 5', 1000, 5],
  ['x 0.001 - 7000', 0.001, -7000],
  ['x 3.7 + 1e6', 3.7, 1e6],
];

export function scoreDevelopment(data: string): void {
  for (const folder of ['nab', 'aiops']) {
    if (!existsSync(join(data, folder))) throw new Error(`no ${folder} below ${data}: say where with --data DIR`);
  }
  const nab = readNab(join(data, 'nab'));
  const kpi = readKpi(join(data, 'aiops'));
  const points = (series: Labelled[]) => series.reduce((sum, { values }) => sum + values.length, 0);
  console.log(`NAB: ${nab.length} files, ${points(nab)} points. KPI: ${kpi.length} files, ${points(kpi)} points.`);
  console.log(
    'cross-fit: the threshold is fitted on every other file and held against the rest, both ways; the worse.',
  );
  console.log('halves: the same for 40 random halves, median (least .. most). best: fitted on what it is scored on.');
  console.log(
    `at ${DEFAULT_THRESHOLD}: under the production threshold, which was chosen for silence in noise (docs/anomalies.md), not on these files.\n`,
  );
  const detectors: [string, Detect][] = [['plumbline', detect], ...Object.entries(BASELINES)];
  for (const [name, run] of detectors)
    print(name, nab, kpi, run, name === 'plumbline' ? DEFAULT_THRESHOLD : Number.NaN);
  console.log('\nScaled and shifted:');
  const random = createRandom(4);
  for (const [name, scale, shift] of DISGUISES) print(name, nab, kpi, disguised(scale, shift), DEFAULT_THRESHOLD);
  print(
    'each file otherwise',
    nab,
    kpi,
    (times, values) => {
      const scale = random.logNormal(1, 4);
      return disguised(scale, scale * 1000 * (random.next() - 0.5))(times, values);
    },
    DEFAULT_THRESHOLD,
  );
}

function disguised(scale: number, shift: number): Detect {
  return (times, values) =>
    detect(
      times,
      values.map((value) => value * scale + shift),
    );
}

function print(name: string, nab: Labelled[], kpi: Labelled[], run: Detect, at: number): void {
  const scores = (series: Labelled[]) => series.map(({ times, values }) => run(times, values));
  const byProfile = evaluateNab(nab, scores(nab), at);
  console.log(name);
  for (const profile of PROFILES) {
    const figures = byProfile.get(profile.name);
    if (figures !== undefined) console.log(`  NAB ${profile.name.padEnd(9)} ${format(figures, 1)}`);
  }
  console.log(`  KPI event F1  ${format(evaluateKpi(kpi, scores(kpi), at), 3)}`);
}

function format({ crossFit, halves, best, bestThreshold, at }: Figures, digits: number): string {
  const text = (figure: number) => figure.toFixed(digits).padStart(6);
  const atThreshold = Number.isNaN(at) ? '' : `   at ${DEFAULT_THRESHOLD} ${text(at)}`;
  return `cross-fit ${text(crossFit)}   halves ${text(halves.median)} (${text(halves.least)} .. ${text(halves.most)})   best ${text(best)} (threshold ${bestThreshold.toPrecision(4)})${atThreshold}`;
}
