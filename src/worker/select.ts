// HOT: once per frame. Bench: bench/micro/worker/select.bench.ts
/** Select: decides about every item of a run of committed frames and cuts out what is kept, one export request for each signal. */
import { Field, Flag, FRAME_HEADER_BYTES, payloadLength, readU64, SIGNALS } from '../core/block.ts';
import { copyRange } from '../otlp/protobuf.ts';
import type { ItemChooser } from './choose.ts';
import type { Parts } from './parts.ts';
import { decidedAt } from './serviceItems.ts';
import type { Selected, SelectResult, SelectTask } from './tasks.ts';

const METRICS = SIGNALS.indexOf('metrics');

export function select(parts: Parts, chooser: ItemChooser, task: SelectTask): SelectResult {
  const filtered = [0, 0, 0];
  const sampledOut = [0, 0, 0];
  const bound = outputBound(parts, task, chooser.mostGain);
  let to = parts.output.allocate(Math.max(8, bound));
  const selected: Selected[] = [];
  for (let signal = 0; signal < SIGNALS.length; signal++) {
    const result: Selected = { signal: SIGNALS[signal]!, at: to, length: 0, items: 0 };
    chooser.filtered = 0;
    chooser.sampledOut = 0;
    for (let i = 0; i < task.frames.length; i++) {
      const at = task.frames[i]!;
      if (!isWanted(parts, at, signal, task)) continue;
      to = signal === METRICS ? passFrame(parts, at, to, result) : cutFrame(parts, chooser, at, to, result, task);
    }
    filtered[signal] = chooser.filtered;
    sampledOut[signal] = chooser.sampledOut;
    result.length = to - result.at;
    if (result.length > 0) selected.push(result);
  }
  return { block: parts.output.take().blocks[0]!, selected, filtered, sampledOut };
}

function isWanted(parts: Parts, at: number, signal: number, task: SelectTask): boolean {
  const { pool } = parts.views;
  if (pool.bytes[at + Field.signal] !== signal) return false;
  return readU64(pool, at + Field.sequence) >= task.from[signal]!;
}

/** Nothing is kept that was not there, and what a kept item gains is bounded. */
function outputBound(parts: Parts, task: SelectTask, mostGain: number): number {
  const { pool } = parts.views;
  let bytes = 0;
  for (let i = 0; i < task.frames.length; i++) {
    const at = task.frames[i]!;
    bytes += payloadLength(pool, at) + pool.words[(at + Field.items) >>> 2]! * mostGain;
  }
  return bytes;
}

/** What is kept of the frame at `at`, written at `to`; returns the position after it. */
export function cutFrame(
  parts: Parts,
  chooser: ItemChooser,
  at: number,
  to: number,
  result: Selected,
  task: SelectTask,
): number {
  const { pool, reader, envelope } = parts.views;
  const from = at + FRAME_HEADER_BYTES;
  const end = from + payloadLength(pool, at);
  const hasTraceState = (pool.bytes[at + Field.flags]! & Flag.traceState) !== 0;
  const receivedMs = readU64(pool, at + Field.receivedMs);
  chooser.begin(result.signal === 'logs', hasTraceState, receivedMs, decidedAt(pool, task, at));
  if (parts.reslicer.plan(reader, from, end, envelope, chooser) === 0) return to;
  result.items += parts.reslicer.kept;
  return parts.reslicer.write(pool.bytes, to, chooser);
}

/** Metrics pass whole. */
function passFrame(parts: Parts, at: number, to: number, result: Selected): number {
  const { pool } = parts.views;
  const from = at + FRAME_HEADER_BYTES;
  result.items += pool.words[(at + Field.items) >>> 2]!;
  return copyRange(pool.bytes, from, from + payloadLength(pool, at), to);
}
