/** How much memory a compressed body will take when it is inflated, from what it says of itself: for admission, before a worker inflates it. */
import { Encoding } from '../core/block.ts';

/** What bodies that do not say it are taken for; telemetry rarely compresses better. */
const USUAL_RATIO = 10;
const ZSTD_MAGIC = 0xfd2f_b528;

/** Bytes after inflation, at most `maxBytes`; 0 for bodies that are not compressed. A lie is found while it is inflated. */
export function inflatedBytes(
  encoding: number,
  chunks: readonly Uint8Array[],
  bytes: number,
  maxBytes: number,
): number {
  if ((encoding & (Encoding.gzip | Encoding.zstd | Encoding.deflate)) === 0) return 0;
  const said = (encoding & Encoding.gzip) !== 0 ? gzipSize(chunks, bytes) : zstdSize(encoding, chunks);
  return Math.min(maxBytes, said ?? bytes * USUAL_RATIO);
}

/** The last four bytes of a member are its size modulo 2^32 (RFC 1952, ISIZE). */
function gzipSize(chunks: readonly Uint8Array[], bytes: number): number | null {
  const last = chunks.at(-1);
  if (bytes < 18 || last === undefined || last.length < 4) return null;
  return new DataView(last.buffer, last.byteOffset).getUint32(last.length - 4, true);
}

/** The frame header's content size, where there is one (RFC 8878, 3.1.1.1). */
function zstdSize(encoding: number, chunks: readonly Uint8Array[]): number | null {
  const first = chunks[0];
  if ((encoding & Encoding.zstd) === 0 || first === undefined || first.length < 18) return null;
  const view = new DataView(first.buffer, first.byteOffset, first.length);
  if (view.getUint32(0, true) !== ZSTD_MAGIC) return null;
  const descriptor = view.getUint8(4);
  const single = (descriptor & 0x20) !== 0;
  const at = 5 + (single ? 0 : 1) + ([0, 1, 2, 4][descriptor & 3] ?? 0);
  switch (descriptor >>> 6) {
    case 0:
      return single ? view.getUint8(at) : null;
    case 1:
      return view.getUint16(at, true) + 256;
    case 2:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}
