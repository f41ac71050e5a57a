// HOT: once per frame. Bench: bench/micro/sinks/console/encode.bench.ts
/** Event frames to lines of text; line.ts knows how a line reads. */
import { copyInto, Field, FRAME_HEADER_BYTES, payloadLength, readU64 } from '../../core/block.ts';
import type { Encoder } from '../../core/component.ts';
import { AgentError, messageOf } from '../../core/errors.ts';
import { requestType } from '../../otlp/schema.ts';
import { linesOf } from './line.ts';

export function createEncoder(): Encoder {
  return {
    direct: () => null,
    encode: (pool, frames, _stream, signal, out) =>
      frames.map((frame) => {
        const from = frame + FRAME_HEADER_BYTES;
        const text = readLines(signal, pool.bytes.subarray(from, from + payloadLength(pool, frame)));
        const at = out.allocate(Math.max(1, text.length));
        copyInto(out.pool.bytes, at, text);
        const sequence = readU64(pool, frame + Field.sequence);
        const items = pool.words[(frame + Field.items) >>> 2] as number;
        return { at, length: text.length, sequence, lastSequence: sequence, part: 0, items, key: null };
      }),
  };
}

function readLines(signal: 'traces' | 'metrics' | 'logs', payload: Uint8Array): Buffer {
  try {
    return Buffer.from(linesOf(requestType(signal).decode(payload)));
  } catch (cause) {
    throw new AgentError('SINK_REFUSED', `no events: ${messageOf(cause)}`, { cause });
  }
}
