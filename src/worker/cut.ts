/** Rewrites a frame without its invalid items: spans whose ids are bad, data points whose buckets do not fit. The rest is kept as it is. */
import { FRAME_HEADER_BYTES, payloadLength, setPayloadLength } from '../core/block.ts';
import { copyRange } from '../otlp/protobuf.ts';
import { type Chooser, DROP } from '../otlp/reslice.ts';
import { copySound, soundLength } from '../otlp/soundPoints.ts';
import { readSpan } from '../otlp/traces.ts';
import { moveFrame, signalOf } from './body.ts';
import type { Parts } from './parts.ts';

/** Returns the new frame's address. */
export function cutInvalid(parts: Parts, at: number): number {
  const { pool, reader, envelope } = parts.views;
  const valid = signalOf(parts, at) === 'metrics' ? soundPoints(parts) : validSpans(parts);
  const from = at + FRAME_HEADER_BYTES;
  const end = from + payloadLength(pool, at);
  const length = parts.reslicer.plan(reader, from, end, envelope, valid);
  const to = moveFrame(parts, at, length);
  if (length > 0) parts.reslicer.write(reader, from, end, pool.bytes, to + FRAME_HEADER_BYTES, valid);
  setPayloadLength(pool, to, length);
  return to;
}

function validSpans({ views: { span } }: Parts): Chooser {
  return {
    choose(reader, start, end) {
      readSpan(reader, start, end, span);
      return span.traceIdAt < 0 || span.spanIdAt < 0 ? DROP : 0;
    },
    copy: (bytes, start, end, _index, to) => copyRange(bytes, start, end, to),
  };
}

function soundPoints({ views: { reader, metric, point } }: Parts): Chooser {
  return {
    choose(inner, start, end) {
      const length = soundLength(inner, start, end, metric, point);
      return length === 0 ? DROP : length - (end - start);
    },
    copy(bytes, start, end, _index, to) {
      const stop = reader.pos;
      const out = copySound(reader, bytes, start, end, to, metric, point);
      reader.pos = stop;
      return out;
    },
  };
}
