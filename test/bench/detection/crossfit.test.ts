/** Holds bench/detection/crossfit.ts: what is reported was not fitted, and reading series. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { alternate, crossFit, fit, type Rule, thresholdsOf } from '../../../bench/detection/crossfit.ts';
import { readSeries, secondsOf } from '../../../bench/detection/series.ts';

const RULE: Rule<number> = { zero: 0, add: (sum, part) => sum + part, figure: (sum) => sum };

test('each half is scored under the threshold that the other half likes best', () => {
  const files = [
    { name: 'a', parts: [1, 5, 0] },
    { name: 'b', parts: [2, 1, 9] },
  ];
  assert.deepEqual(fit(files, RULE), { threshold: 2, figure: 9 });
  assert.deepEqual(crossFit(files, alternate(2), RULE), [0, 1]);
});

test('the highest of equal thresholds is taken', () => {
  assert.equal(fit([{ name: 'a', parts: [0, 3, 3] }], RULE).threshold, 1);
});

test('thresholds descend from no detection at all, and hold the highest scores one by one', () => {
  const thresholds = thresholdsOf([Float64Array.of(3, 1, 2), Float64Array.of(2, 5)], 3, 2);
  assert.deepEqual([...thresholds], [Infinity, 5, 3, 2]);
});

test('series are read with text or epoch times, plain or gzip; a fault names file and line', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'plumbline-series-'));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'a.csv'), 'timestamp,value\n2014-02-14 14:30:00,0.5\n2014-02-14 14:35:00.000000,\n');
  writeFileSync(join(directory, 'b.csv.gz'), gzipSync('timestamp,value,label\n1491041280,1e3,1\n'));
  writeFileSync(join(directory, 'c.csv'), 'time,value\n');
  const a = readSeries(directory, 'a.csv');
  assert.deepEqual([a.times[1]! - a.times[0]!, a.values[0], Number.isNaN(a.values[1])], [300, 0.5, true]);
  const b = readSeries(directory, 'b.csv.gz');
  assert.deepEqual([b.times[0], b.values[0], b.labels[0]], [1_491_041_280, 1000, 1]);
  assert.throws(() => readSeries(directory, 'c.csv'), /c\.csv:1: the header is "time,value"/);
  assert.equal(secondsOf('1970-01-02T00:00:00Z'), 86_400);
});
