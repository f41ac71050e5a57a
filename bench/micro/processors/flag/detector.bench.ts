/** The detector: one point of one series, over many series in turn as a judgement goes through them, and of one alone. */
import { Detector } from '../../../../src/processors/flag/detector.ts';
import { createRandom } from '../../../random.ts';
import type { Bench } from '../../harness.ts';

const POINTS = 10_000;
const EVERY_S = 5;

export function benches(): Bench[] {
  const random = createRandom(9);
  const values = Float64Array.from({ length: POINTS }, (_, i) => (2 + Math.sin(i / 500)) * random.logNormal(100, 0.3));
  return [1, 1000].map((series) => {
    const detectors = Array.from({ length: series }, () => new Detector());
    let n = 0;
    return {
      name: `flag/detector: ${series} series`,
      unit: 'point',
      items: POINTS,
      run() {
        for (let i = 0; i < POINTS; i++, n++) detectors[n % series]!.step(Math.floor(n / series) * EVERY_S, values[i]!);
      },
    };
  });
}
