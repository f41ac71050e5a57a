// HOT: once per frame. Bench: bench/micro/sinks/kafka/encode.bench.ts
/** Frames to records: as they lie where they fit and need no key, else cut by topic, key and size; cut.ts cuts. */
import {
  type BlockPool,
  Field,
  FRAME_HEADER_BYTES,
  payloadLength,
  readU64,
  SIGNALS,
  STREAMS,
} from '../../core/block.ts';
import type { Encoder, Part } from '../../core/component.ts';
import { writeRope } from '../../otlp/split.ts';
import { type CutConfig, createCutter } from './cut.ts';
import { keyRule } from './keys.ts';
import { RECORD_BYTES } from './size.ts';
import { fixedTopic } from './topics.ts';

export function createEncoder(config: CutConfig): Encoder {
  const most = config.max_message_bytes - RECORD_BYTES;
  // For each stream and signal: whether a frame may leave as it lies.
  const isPlain = STREAMS.map((stream) =>
    SIGNALS.map(
      (signal) => keyRule(config.key, stream, signal).kind === 'none' && fixedTopic(config, stream, signal) !== null,
    ),
  );
  let cut: ReturnType<typeof createCutter> | null = null;
  return {
    direct(pool, frame) {
      const length = payloadLength(pool, frame);
      const { bytes } = pool;
      if (length > most || !isPlain[bytes[frame + Field.stream]!]![bytes[frame + Field.signal]!]!) return null;
      const items = pool.words[(frame + Field.items) >>> 2]!;
      return partOf(pool, frame, frame + FRAME_HEADER_BYTES, length, 0, items, null);
    },
    encode(pool, frames, stream, signal, out) {
      cut ??= createCutter(config, pool);
      const pieces = cut;
      return frames.flatMap((frame) => {
        const from = frame + FRAME_HEADER_BYTES;
        const items = pool.words[(frame + Field.items) >>> 2]!;
        return pieces(stream, signal, from, from + payloadLength(pool, frame)).map((piece, i) => {
          const to = piece.topic === null ? null : { destination: piece.topic };
          const key = piece.key || null;
          if (piece.isWhole) return { ...partOf(pool, frame, from, piece.bytes, 0, items, key), ...to };
          const at = out.allocate(piece.bytes);
          writeRope(out.pool.bytes, at, piece.content);
          return { ...partOf(pool, frame, at, piece.bytes, i + 1, piece.items, key), ...to };
        });
      });
    },
  };
}

function partOf(
  pool: BlockPool,
  frame: number,
  at: number,
  length: number,
  part: number,
  items: number,
  key: Part['key'],
) {
  const sequence = readU64(pool, frame + Field.sequence);
  return { at, length, sequence, lastSequence: sequence, part, items, key };
}
