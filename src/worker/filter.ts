// HOT: once per item of `raw`, where a processor drops from it. Bench: bench/micro/worker/filter.bench.ts
/** Filter: cuts committed frames down to the items that sinks of `raw` get. */
import { Field, Flag, FRAME_HEADER_BYTES, frameSpan, payloadLength, SIGNALS, setPayloadLength } from '../core/block.ts';
import type { ItemChooser } from './choose.ts';
import type { Parts } from './parts.ts';
import type { FilterResult, FilterTask } from './tasks.ts';

const LOGS = SIGNALS.indexOf('logs');

/** `chooser` asks selectors that drop and do nothing else. */
export function filter(parts: Parts, chooser: ItemChooser, task: FilterTask): FilterResult {
  const frames: number[] = [];
  chooser.filtered = 0;
  for (let i = 0; i < task.frames.length; i++) {
    const left = filterFrame(parts, chooser, task.frames[i]!);
    if (left >= 0) frames.push(left);
  }
  return { frames, filtered: chooser.filtered, blocks: parts.output.take().blocks };
}

/** The frame, or where what is left of it stands, or -1 when that is nothing. */
function filterFrame(parts: Parts, chooser: ItemChooser, at: number): number {
  const { pool, reader, envelope } = parts.views;
  const from = at + FRAME_HEADER_BYTES;
  const before = chooser.filtered;
  const hasTraceState = (pool.bytes[at + Field.flags]! & Flag.traceState) !== 0;
  chooser.begin(pool.bytes[at + Field.signal] === LOGS, hasTraceState, 0);
  const bytes = parts.reslicer.plan(reader, from, from + payloadLength(pool, at), envelope, chooser);
  const dropped = chooser.filtered - before;
  if (dropped === 0) return at;
  if (bytes === 0) return -1;
  const to = parts.output.allocate(frameSpan(bytes));
  pool.bytes.copyWithin(to, at, from);
  setPayloadLength(pool, to, bytes);
  pool.words[(to + Field.items) >>> 2] = pool.words[(at + Field.items) >>> 2]! - dropped;
  parts.reslicer.write(pool.bytes, to + FRAME_HEADER_BYTES, chooser);
  return to;
}
