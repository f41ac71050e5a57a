// HOT: once per frame. Bench: bench/micro/sinks/kafka/encode.bench.ts
/** Frames to records: whole where they fit and need no key, else cut by key and size; keys.ts reads keys, slice.ts and split.ts cut. */
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
import { splitRequest, writeRope } from '../../otlp/split.ts';
import type { KafkaConfig } from './index.ts';
import { createKeyReader, keyRule } from './keys.ts';
import { MOST_KEY_BYTES, RECORD_BYTES } from './size.ts';
import { sliceRequest } from './slice.ts';

export function createEncoder(config: Pick<KafkaConfig, 'key' | 'max_message_bytes'>): Encoder {
  const most = config.max_message_bytes - RECORD_BYTES;
  let keys: ReturnType<typeof createKeyReader> | null = null;
  return {
    direct(pool, frame) {
      const length = payloadLength(pool, frame);
      const stream = STREAMS[pool.bytes[frame + Field.stream] as number];
      const signal = SIGNALS[pool.bytes[frame + Field.signal] as number] as (typeof SIGNALS)[number];
      if (length > most || keyRule(config.key, stream, signal).kind !== 'none') return null;
      const items = pool.words[(frame + Field.items) >>> 2] as number;
      return partOf(pool, frame, frame + FRAME_HEADER_BYTES, length, 0, items, null);
    },
    encode(pool, frames, stream, signal, out) {
      keys ??= createKeyReader(pool);
      const { ofItem, ofResource } = keys;
      const rule = keyRule(config.key, stream, signal);
      const room = rule.kind === 'none' ? most : most - MOST_KEY_BYTES;
      const piecesOf = (from: number, to: number) => {
        if (rule.kind === 'item')
          return sliceRequest(pool.bytes, signal, from, to, room, (at, end) => ofItem(rule.tag, at, end));
        const keyOf = (at: number, end: number) => (rule.kind === 'none' ? '' : ofResource(rule.attribute, at, end));
        return splitRequest(pool.bytes, signal, from, to, room, keyOf);
      };
      return frames.flatMap((frame) => {
        const from = frame + FRAME_HEADER_BYTES;
        const items = pool.words[(frame + Field.items) >>> 2] as number;
        return piecesOf(from, from + payloadLength(pool, frame)).map((piece, i) => {
          const key = piece.key || null;
          if (piece.isWhole) return partOf(pool, frame, from, piece.bytes, 0, items, key);
          const at = out.allocate(piece.bytes);
          writeRope(out.pool.bytes, at, piece.content);
          return partOf(pool, frame, at, piece.bytes, i + 1, piece.items, key);
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
