/** Reads series of `timestamp,value[,label]` from CSV files, plain or gzip; times as text or epoch seconds. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

export interface Series {
  /** Path below the folder it was found in. */
  name: string;
  /** As the file has them. */
  stamps: string[];
  /** Unix seconds; NaN where the stamp is no time. */
  times: Float64Array;
  values: Float64Array;
  /** 1 where an anomaly is labelled; all 0 without such a column. */
  labels: Uint8Array;
}

export function findSeries(directory: string): string[] {
  return globSync(['**/*.csv', '**/*.csv.gz'], { cwd: directory }).sort();
}

/** Throws with file and line when the header is another or a row lacks a field. */
export function readSeries(directory: string, name: string): Series {
  const bytes = readFileSync(join(directory, name));
  const text = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  const lines = text.split(/\r?\n/);
  while (lines.at(-1) === '') lines.pop();
  if (!/^timestamp,value(,label)?$/.test(lines[0] ?? '')) {
    throw new Error(`${name}:1: the header is "${lines[0] ?? ''}", not "timestamp,value" or "timestamp,value,label"`);
  }
  const rows = lines.length - 1;
  const series: Series = {
    name,
    stamps: new Array(rows),
    times: new Float64Array(rows),
    values: new Float64Array(rows),
    labels: new Uint8Array(rows),
  };
  for (let row = 0; row < rows; row++) {
    const [stamp, value, label] = lines[row + 1]!.split(',');
    if (stamp === undefined || value === undefined) throw new Error(`${name}:${row + 2}: no value after the timestamp`);
    series.stamps[row] = stamp;
    series.times[row] = secondsOf(stamp);
    series.values[row] = value.trim() === '' ? Number.NaN : Number(value);
    series.labels[row] = label === '1' ? 1 : 0;
  }
  return series;
}

/** Text without a zone is UTC: only differences and the time of day matter. */
export function secondsOf(stamp: string): number {
  if (/^-?\d+(\.\d+)?$/.test(stamp)) return Number(stamp);
  const iso = stamp.trim().replace(' ', 'T');
  return Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(iso) ? iso : `${iso}Z`) / 1000;
}
