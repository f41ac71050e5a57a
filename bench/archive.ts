/** Counts what the storage sink wrote, file by file: 4-byte big-endian length, then one export request, repeated. */
import { closeSync, globSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
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

/** Adds one file; one that is not compressed may be of any size. */
export function countFile(path: string, signal: Signal, archive: Archive): void {
  const { size } = statSync(path);
  archive.files++;
  archive.bytes += size;
  const inflate = path.endsWith('.zst') ? zstdDecompressSync : path.endsWith('.gz') ? gunzipSync : null;
  if (inflate !== null) {
    const bytes = inflate(readFileSync(path));
    count((from, length) => bytes.subarray(from, from + length), bytes.length, signal, archive);
    return;
  }
  const file = openSync(path, 'r');
  try {
    count((from, length) => readPiece(file, from, length), size, signal, archive);
  } finally {
    closeSync(file);
  }
}

function count(read: (from: number, length: number) => Buffer, size: number, signal: Signal, archive: Archive): void {
  for (let at = 0; at < size; ) {
    const length = read(at, 4).readUInt32BE();
    archive.items[signal] += countItems(read(at + 4, length), 0, length, signal);
    archive.requests++;
    at += 4 + length;
  }
}

function readPiece(file: number, from: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  if (readSync(file, bytes, 0, length, from) < length)
    throw new Error(`the file ends within ${length} bytes at ${from}`);
  return bytes;
}
