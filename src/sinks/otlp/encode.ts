// HOT: once per frame. Bench: bench/micro/sinks/otlp/encode.bench.ts
/** Frames to requests: as they lie, since requests laid end to end are one request; those that are too large are split. */
import { type BlockPool, Field, FRAME_HEADER_BYTES, payloadLength, readU64 } from '../../core/block.ts';
import type { Encoder, Part } from '../../core/component.ts';
import { parseBytes } from '../../core/units.ts';
import { splitRequest, writeRope } from '../../otlp/split.ts';
import type { OtlpConfig } from './config.ts';

export function createEncoder(config: Pick<OtlpConfig, 'max_request_body_size'>): Encoder {
  const most = parseBytes(config.max_request_body_size) ?? 0;
  return {
    mostBytes: most,
    direct(pool, frame) {
      const length = payloadLength(pool, frame);
      return length > most ? null : partOf(pool, frame, frame + FRAME_HEADER_BYTES, length, 0, itemsOf(pool, frame));
    },
    encode(pool, frames, _stream, signal, out) {
      return frames.flatMap((frame) => {
        const from = frame + FRAME_HEADER_BYTES;
        const pieces = splitRequest(pool.bytes, signal, from, from + payloadLength(pool, frame), most, () => '');
        return pieces.map((piece, i) => {
          if (piece.isWhole) return partOf(pool, frame, from, piece.bytes, 0, itemsOf(pool, frame));
          const at = out.allocate(piece.bytes);
          writeRope(out.pool.bytes, at, piece.content);
          return partOf(pool, frame, at, piece.bytes, i + 1, piece.items);
        });
      });
    },
  };
}

function itemsOf(pool: BlockPool, frame: number): number {
  return pool.words[(frame + Field.items) >>> 2] as number;
}

function partOf(pool: BlockPool, frame: number, at: number, length: number, part: number, items: number): Part {
  const sequence = readU64(pool, frame + Field.sequence);
  return { at, length, sequence, lastSequence: sequence, part, items, key: null };
}
