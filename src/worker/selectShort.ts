// HOT: once per frame. Bench: bench/micro/worker/selectShort.bench.ts
/** Select by shortlists: decides about the items of a run of committed frames without the frames, and says of which that cannot be done. */
import { Field, payloadLength, readU64, SIGNALS } from '../core/block.ts';
import type { ItemChooser } from './choose.ts';
import type { Parts } from './parts.ts';
import { cutFrame } from './select.ts';
import { isSettled, readTable } from './shortlist.ts';
import type { Selected, SelectResult, SelectTask } from './tasks.ts';

const SIGNAL = 'traces';
const TRACES = SIGNALS.indexOf(SIGNAL);

export function selectShort(parts: Parts, chooser: ItemChooser, task: SelectTask): SelectResult {
  const { pool } = parts.views;
  let to = parts.output.allocate(Math.max(8, outputBound(parts, task, chooser.mostGain)));
  const result: Selected = { signal: SIGNAL, at: to, length: 0, items: 0 };
  const unsure: number[] = [];
  chooser.filtered = 0;
  chooser.sampledOut = 0;
  for (let i = 0; i < task.frames.length; i++) {
    const at = task.frames[i]!;
    if (readU64(pool, at + Field.sequence) < task.from[TRACES]!) continue;
    const table = readTable(pool, at);
    for (const selector of parts.selectors) selector.begin(false, readU64(pool, at + Field.receivedMs));
    if (!isSettled(table, parts.epoch, parts.selectors)) {
      unsure.push(i);
      continue;
    }
    to = cutFrame(parts, chooser, at, to, result, task);
    chooser.filtered += table.filtered;
    chooser.sampledOut += pool.words[(at + Field.items) >>> 2]! - table.kept - table.filtered;
  }
  result.length = to - result.at;
  return {
    block: parts.output.take().blocks[0]!,
    selected: result.length > 0 ? [result] : [],
    filtered: SIGNALS.map((_, signal) => (signal === TRACES ? chooser.filtered : 0)),
    sampledOut: SIGNALS.map((_, signal) => (signal === TRACES ? chooser.sampledOut : 0)),
    unsure,
  };
}

/** As that of select, but no item that was left out can be kept. */
function outputBound({ views: { pool } }: Parts, { frames }: SelectTask, mostGain: number): number {
  let bytes = 0;
  for (const at of frames) bytes += payloadLength(pool, at) + readTable(pool, at).kept * mostGain;
  return bytes;
}
