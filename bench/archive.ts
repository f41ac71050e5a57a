/** Counts what the storage sink wrote, file by file: 4-byte big-endian length, then one export request, repeated. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { SIGNALS, type Signal } from '../src/core/block.ts';
import { countItems } from './items.ts';

export interface Archive {
  files: number;
  bytes: number;
  requests: number;
  items: Record<Signal, number>;
  /** Files that were not finished. */
  unfinished: number;
}

export function newArchive(): Archive {
  return { files: 0, bytes: 0, requests: 0, items: { traces: 0, metrics: 0, logs: 0 }, unfinished: 0 };
}

export function countArchive(directory: string): Archive {
  const archive = newArchive();
  for (const signal of SIGNALS) {
    for (const name of globSync(`raw/${signal}/**/*.binpb*`, { cwd: directory })) {
      if (name.includes('.tmp')) archive.unfinished++;
      else countFile(join(directory, name), signal, archive);
    }
  }
  return archive;
}

/** Adds one file, of at most 2 GiB. */
export function countFile(path: string, signal: Signal, archive: Archive): void {
  const raw = readFileSync(path);
  const bytes = path.endsWith('.zst') ? zstdDecompressSync(raw) : path.endsWith('.gz') ? gunzipSync(raw) : raw;
  archive.files++;
  archive.bytes += raw.length;
  for (let at = 0; at < bytes.length; ) {
    const from = at + 4;
    at = from + bytes.readUInt32BE(at);
    archive.requests++;
    archive.items[signal] += countItems(bytes, from, at, signal);
  }
}
