// HOT: once per frame. Bench: bench/micro/sinks/storage/encode.bench.ts
/** Frames to pieces of a file: as they lie, or as lines of JSON. Compression is the file's (compressed.ts), so that a file is one stream. */
import { type BlockPool, copyInto, Field, FRAME_HEADER_BYTES, payloadLength, readU64 } from '../../core/block.ts';
import type { Encoder, Part } from '../../core/component.ts';
import { AgentError, messageOf } from '../../core/errors.ts';
import { toOtlpJson } from '../../otlp/json.ts';
import type { StorageConfig } from './config.ts';

/** What one piece may take. */
const SHARE_OF_POOL = 0.75;
const LENGTH_BYTES = FRAME_HEADER_BYTES - Field.length;

export function createEncoder({ format }: Pick<StorageConfig, 'format'>): Encoder {
  return {
    // The header ends in the payload's big-endian length: an otlp_proto record lies there already.
    direct: (pool, frame) =>
      format === 'otlp_proto'
        ? partOf(pool, [frame], frame + Field.length, LENGTH_BYTES + payloadLength(pool, frame))
        : null,
    encode(pool, frames, _stream, signal, out) {
      const lines = frames.map((frame) => {
        const at = frame + FRAME_HEADER_BYTES;
        return jsonLine(() => toOtlpJson(signal, pool.bytes.subarray(at, at + payloadLength(pool, frame))));
      });
      const piece = Buffer.concat(lines);
      // Memory that is hardly ever there would be waited for without end.
      const most = out.pool.bytes.length * SHARE_OF_POOL;
      if (piece.length > most) {
        const message = `as JSON it takes ${piece.length} bytes, of at most ${most}: raise agent.memory_limit, or set format: otlp_proto`;
        throw new AgentError('SINK_REFUSED', message);
      }
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
