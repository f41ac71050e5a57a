// HOT: once per frame. Bench: bench/micro/sinks/storage/encode.bench.ts
/** Frames to pieces of a file: as they lie, or a batch as one self-contained gzip member or zstd frame, so that pieces laid end to end are a file. */
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { type BlockPool, copyInto, Field, FRAME_HEADER_BYTES, payloadLength, readU64 } from '../../core/block.ts';
import type { Encoder, Part } from '../../core/component.ts';
import { AgentError, messageOf } from '../../core/errors.ts';
import { toOtlpJson } from '../../otlp/json.ts';
import type { StorageConfig } from './index.ts';

const LENGTH_BYTES = FRAME_HEADER_BYTES - Field.length;
/** An agent pays for ratio with its neighbours' CPU: the fastest levels. */
const ZSTD = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
const GZIP = { level: 1 };

export function createEncoder({ format, compression }: Pick<StorageConfig, 'format' | 'compression'>): Encoder {
  const isDirect = format === 'otlp_proto' && compression === 'none';
  const squeeze = (bytes: Buffer) =>
    compression === 'zstd' ? zstdCompressSync(bytes, ZSTD) : compression === 'gzip' ? gzipSync(bytes, GZIP) : bytes;
  return {
    direct: (pool, frame) =>
      isDirect ? partOf(pool, [frame], frame + Field.length, LENGTH_BYTES + payloadLength(pool, frame)) : null,
    encode(pool, frames, _stream, signal, out) {
      const plain = Buffer.concat(
        frames.flatMap((frame) => {
          // The header ends in the payload's big-endian length: an otlp_proto record lies there already.
          const record = pool.bytes.subarray(
            frame + Field.length,
            frame + FRAME_HEADER_BYTES + payloadLength(pool, frame),
          );
          return format === 'otlp_proto'
            ? [record]
            : [jsonLine(() => toOtlpJson(signal, record.subarray(LENGTH_BYTES)))];
        }),
      );
      const piece = squeeze(plain);
      const at = out.allocate(piece.length);
      copyInto(out.pool.bytes, at, piece);
      return [partOf(pool, frames, at, piece.length)];
    },
  };
}

function jsonLine(make: () => string): Buffer {
  try {
    return Buffer.from(`${make()}\n`);
  } catch (cause) {
    throw new AgentError('SINK_REFUSED', `cannot be written as JSON: ${messageOf(cause)}`, { cause });
  }
}

function partOf(pool: BlockPool, frames: readonly number[], at: number, length: number): Part {
  let items = 0;
  for (const frame of frames) items += pool.words[(frame + Field.items) >>> 2] as number;
  const sequence = readU64(pool, (frames[0] as number) + Field.sequence);
  const lastSequence = readU64(pool, (frames[frames.length - 1] as number) + Field.sequence);
  return { at, length, sequence, lastSequence, part: 0, items, key: null };
}
