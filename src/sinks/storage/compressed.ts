/**
 * A file that is compressed as it grows: one zstd frame or one gzip member from its first byte to its last, because many readers
 * (Node's zlib among them) stop behind the first frame of several.
 *
 * The compressor works in libuv's pool, one chunk at a time, and only while its file has something to write.
 */
import { once } from 'node:events';
import { createGzip, createZstdCompress, type Gzip, type ZstdCompress } from 'node:zlib';
import { GZIP_OPTIONS, ZSTD_OPTIONS } from '../compression.ts';
import type { OutputFile, Range } from './plain.ts';

/** What is handed to the compressor at once; small frames are collected up to it. */
const CHUNK_BYTES = 256 << 10;
/** From here on a call of the compressor's own costs less than a copy. */
const LARGE_BYTES = 64 << 10;

export class CompressedOutput implements OutputFile {
  readonly #file: OutputFile;
  readonly #compressor: Gzip | ZstdCompress;
  /** Compressed bytes on their way to the file, in order. */
  #writing: Promise<void> = Promise.resolve();
  #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  #filled = 0;

  /** `file` takes what comes out of the compressor. */
  constructor(file: OutputFile, compression: 'gzip' | 'zstd') {
    this.#file = file;
    const chunkSize = CHUNK_BYTES;
    this.#compressor =
      compression === 'zstd'
        ? createZstdCompress({ ...ZSTD_OPTIONS, chunkSize })
        : createGzip({ ...GZIP_OPTIONS, chunkSize });
    this.#compressor.on('data', (piece: Buffer) => {
      this.#writing = this.#writing.then(() => this.#file.write(piece, [{ at: 0, length: piece.length }]));
      // Told to whoever waits for it next; until then it is nobody's unhandled rejection.
      this.#writing.catch(() => undefined);
    });
  }

  /** Of what the compressor has given away so far. */
  get bytes(): number {
    return this.#file.bytes;
  }

  async write(bytes: Buffer, parts: readonly Range[]): Promise<void> {
    for (const { at, length } of parts) {
      const isLarge = length >= LARGE_BYTES;
      if (this.#filled > 0 && (isLarge || this.#filled + length > CHUNK_BYTES)) await this.#flush();
      if (isLarge) await this.#compressLarge(bytes, at, at + length);
      else {
        bytes.copy(this.#chunk, this.#filled, at, at + length);
        this.#filled += length;
      }
    }
    await this.#writing;
  }

  async complete(): Promise<void> {
    if (this.#filled > 0) await this.#flush();
    const ended = once(this.#compressor, 'end');
    this.#compressor.end();
    await ended;
    await this.#writing;
    await this.#file.complete();
  }

  async close(): Promise<void> {
    this.#compressor.destroy();
    await this.#file.close();
  }

  /** What is large goes without a copy. */
  async #compressLarge(bytes: Buffer, from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += CHUNK_BYTES)
      await this.#compress(bytes.subarray(at, Math.min(at + CHUNK_BYTES, to)));
  }

  #flush(): Promise<void> {
    const chunk = this.#chunk.subarray(0, this.#filled);
    this.#filled = 0;
    return this.#compress(chunk);
  }

  /** Resolves when the compressor has taken the chunk in, so that its memory can be used again. */
  #compress(chunk: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#compressor.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
  }
}
