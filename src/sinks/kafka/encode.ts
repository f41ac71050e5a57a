// HOT: once per frame. Bench: bench/micro/sinks/kafka/encode.bench.ts
/** Frames to records: whole where they fit and need no key, else cut by service and size; split.ts cuts. */
import { type BlockPool, Field, FRAME_HEADER_BYTES, payloadLength, readU64, STREAMS } from '../../core/block.ts';
import type { Encoder, Part } from '../../core/component.ts';
import { Envelope } from '../../otlp/resource.ts';
import { splitRequest, writeRope } from '../../otlp/split.ts';
import type { KafkaConfig } from './index.ts';
import { RECORD_BYTES } from './size.ts';

export function createEncoder(config: Pick<KafkaConfig, 'key' | 'max_message_bytes'>): Encoder {
  const most = config.max_message_bytes - RECORD_BYTES;
  let envelope: Envelope | null = null;
  const isKeyed = (stream: string | undefined) =>
    config.key === 'service' || stream === 'summaries' || stream === 'events';
  return {
    direct(pool, frame) {
      const length = payloadLength(pool, frame);
      if (length > most || isKeyed(STREAMS[pool.bytes[frame + Field.stream] as number])) return null;
      const items = pool.words[(frame + Field.items) >>> 2] as number;
      return partOf(pool, frame, frame + FRAME_HEADER_BYTES, length, 0, items, null);
    },
    encode(pool, frames, stream, signal, out) {
      envelope ??= new Envelope(pool.bytes);
      const look = envelope;
      const keyOf = (at: number, to: number) => {
        if (!isKeyed(stream)) return '';
        look.enterResource(at, to);
        return pool.bytes.toString('utf8', look.serviceAt, look.serviceAt + look.serviceLength);
      };
      return frames.flatMap((frame) => {
        const from = frame + FRAME_HEADER_BYTES;
        const items = pool.words[(frame + Field.items) >>> 2] as number;
        const pieces = splitRequest(pool.bytes, signal, from, from + payloadLength(pool, frame), most, keyOf);
        return pieces.map((piece, i) => {
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
