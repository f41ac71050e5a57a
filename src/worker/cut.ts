/** Rewrites a frame without its invalid items and exemplars: bad ids, buckets that do not fit, over the limit. The rest is kept as it is. */
import { FRAME_HEADER_BYTES, payloadLength, type Signal, setPayloadLength } from '../core/block.ts';
import { copyRange } from '../otlp/protobuf.ts';
import { type Chooser, DROP } from '../otlp/reslice.ts';
import { createMetricCutter } from '../otlp/soundPoints.ts';
import { readSpan } from '../otlp/traces.ts';
import { moveFrame, signalOf } from './body.ts';
import type { Parts } from './parts.ts';

const CHOOSERS: Record<Signal, (parts: Parts) => Chooser> = {
  traces: soundSpans,
  metrics: soundPoints,
  logs: soundRecords,
};

/** Returns the new frame's address. */
export function cutInvalid(parts: Parts, at: number): number {
  const { pool, reader, envelope } = parts.views;
  const sound = CHOOSERS[signalOf(parts, at)](parts);
  const from = at + FRAME_HEADER_BYTES;
  const end = from + payloadLength(pool, at);
  const length = parts.reslicer.plan(reader, from, end, envelope, sound);
  const to = moveFrame(parts, at, length);
  if (length > 0) parts.reslicer.write(pool.bytes, to + FRAME_HEADER_BYTES, sound);
  setPayloadLength(pool, to, length);
  return to;
}

function soundSpans({ views: { span }, setup: { maxItemBytes } }: Parts): Chooser {
  return {
    choose(reader, start, end) {
      readSpan(reader, start, end, span);
      return span.isSound(maxItemBytes) ? 0 : DROP;
    },
    copy: copyWhole,
  };
}

function soundRecords({ setup: { maxItemBytes } }: Parts): Chooser {
  return {
    choose: (_reader, start, end) => (end - start <= maxItemBytes ? 0 : DROP),
    copy: copyWhole,
  };
}

function soundPoints({ views: { pool, reader, metric, point }, setup: { maxItemBytes } }: Parts): Chooser {
  const cutter = createMetricCutter(reader, pool.bytes, metric, point, maxItemBytes);
  return {
    choose(_reader, start, end) {
      const length = cutter.length(start, end);
      return length === 0 ? DROP : length - (end - start);
    },
    copy(_bytes, start, end, _index, to) {
      const stop = reader.pos;
      const out = cutter.copy(start, end, to);
      reader.pos = stop;
      return out;
    },
  };
}

function copyWhole(bytes: Buffer, start: number, end: number, _index: number, to: number): number {
  return copyRange(bytes, start, end, to);
}
