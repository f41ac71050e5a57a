/** Reads back what the storage sink wrote. */
import { readFileSync } from 'node:fs';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { namesIn } from '../harness.ts';

/** Names of the spans in a file, in order. Throws when it is torn. */
export function namesInFile(path: string): string[] {
  const raw = readFileSync(path);
  const bytes = path.endsWith('.zst') ? zstdDecompressSync(raw) : path.endsWith('.gz') ? gunzipSync(raw) : raw;
  if (path.includes('.jsonl')) {
    const lines = bytes.toString().trimEnd().split('\n');
    return lines.map((line) => JSON.parse(line).resourceSpans[0].scopeSpans[0].spans[0].name);
  }
  const names: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32BE(at);
    names.push(...namesIn(bytes.subarray(at + 4, end)));
    at = end;
  }
  return names;
}
