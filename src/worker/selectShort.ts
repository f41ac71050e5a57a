// HOT: once per frame. Bench: bench/micro/worker/selectShort.bench.ts
/** Select by shortlists: decides about the items of a run of committed frames without the frames, and says of which that cannot be done. */
import { type BlockPool, Field, nextFrame, payloadLength, readU64, SIGNALS } from '../core/block.ts';
import type { ItemChooser } from './choose.ts';
import type { Parts } from './parts.ts';
import { cutFrame } from './select.ts';
import { isSettled, readTable } from './shortlist.ts';
import type { Selected, SelectResult, SelectTask } from './tasks.ts';

/** Words of a cache line. */
const LINE_WORDS = 16;
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
    // Never so; a sum that nobody asks for would not be computed, and nothing fetched.
    if (touchFrame(pool, at) < 0) continue;
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

/**
 * Fetches a shortlist, which has lain in memory for as long as traces are waited for, line by line, many at once: where an item begins is known by
 * the length of the one before, so that the walk would wait for each in turn.
 */
function touchFrame(pool: BlockPool, at: number): number {
  const { words } = pool;
  const end = nextFrame(pool, at) >>> 2;
  let touched = 0;
  for (let word = at >>> 2; word < end; word += LINE_WORDS) touched += words[word]! & 1;
  return touched;
}

/** As that of select, but no item that was left out can be kept. */
function outputBound({ views: { pool } }: Parts, { frames }: SelectTask, mostGain: number): number {
  let bytes = 0;
  for (const at of frames) bytes += payloadLength(pool, at) + readTable(pool, at).kept * mostGain;
  return bytes;
}
