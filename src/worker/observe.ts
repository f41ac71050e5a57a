// HOT: once per frame. Bench: bench/micro/worker/observe.bench.ts
/** Observe: inflates, validates, edits, measures and marks a list of frames, before the journal. Synchronous, no I/O, no clock. */
import { Field, setVoid, Uncommitted } from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { sealPayload } from '../journal/format.ts';
import { prepareBody } from './body.ts';
import { cutInvalid } from './cut.ts';
import { followPolicy, type Parts } from './parts.ts';
import type { ObserveResult, ObserveTask, Refusal } from './tasks.ts';
import { type ItemWalk, UNLIMITED_BYTES, walkFrame } from './walk.ts';

export function observe(parts: Parts, walk: ItemWalk, task: ObserveTask): ObserveResult {
  followPolicy(parts);
  // What the journal has was taken, by whatever limit.
  walk.mostItemBytes = task.measureOnly ? UNLIMITED_BYTES : parts.setup.maxItemBytes;
  const { pool, envelope } = parts.views;
  envelope.hasLateScope = false;
  const frames: number[] = [];
  const refused: Refusal[] = [];
  parts.shortlister.begin(task.shortlists ?? null, task.frames.length);
  for (const { measurer } of parts.measurers) measurer.reset(task.receivedMs);
  for (let index = 0; index < task.frames.length; index++) {
    const at = task.frames[index]!;
    let frame = at;
    try {
      if (!task.measureOnly) {
        frame = prepareBody(parts, at);
        // Before the walk, which then finds in the cache what this has read in order.
        sealPayload(pool, frame);
      }
      frames.push(walkFrame(parts, walk, frame));
      if (!task.measureOnly) finishFrame(parts, walk, frames);
      parts.shortlister.add(frames[frames.length - 1]!, index);
    } catch (error) {
      if (!(error instanceof AgentError) || error.code === 'OVERLOADED') throw error;
      refused.push({ index, code: error.code, message: messageOf(error) });
      setVoid(pool, at);
      setVoid(pool, frame);
      walk.tainted = true;
    }
  }
  // A frame that was refused half-way has been measured in part: measure the others again, without it. So are all when a scope came late.
  if (walk.tainted || envelope.hasLateScope) measureAgain(parts, walk, task, frames);
  const moved = parts.output.take().regions;
  return { moved, refused, measured: writeMeasured(parts), shortlists: parts.shortlister.take() };
}

function finishFrame(parts: Parts, walk: ItemWalk, frames: number[]): void {
  const { pool } = parts.views;
  let at = frames[frames.length - 1]!;
  if (walk.invalid > 0 || walk.badExemplars > 0) {
    frames[frames.length - 1] = at = cutInvalid(parts, at);
    sealPayload(pool, at);
  }
  pool.words[(at + Field.items) >>> 2] = walk.items;
  pool.words[(at + Field.rejected) >>> 2] = walk.invalid;
  pool.words[(at + Uncommitted.warned) >>> 2] = walk.badExemplars + walk.untraced;
  pool.words[(at + Field.serviceKey) >>> 2] = walk.services === 1 ? parts.views.envelope.serviceHash : 0;
}

function measureAgain(parts: Parts, walk: ItemWalk, task: ObserveTask, frames: number[]): void {
  for (const { measurer } of parts.measurers) measurer.reset(task.receivedMs);
  for (const at of frames) walkFrame(parts, walk, at, true);
  walk.tainted = false;
}

function writeMeasured(parts: Parts): ObserveResult['measured'] {
  const total = parts.measurers.reduce((bytes, { measurer }) => bytes + ((measurer.size() + 7) & ~7), 0);
  if (total === 0) return null;
  let at = parts.measureOutput.allocate(total);
  const out = new DataView(parts.views.pool.handle.memory);
  const sections = parts.measurers.map(({ processor, measurer }) => {
    const section = { processor, at, end: measurer.write(out, at) };
    at = Math.ceil(section.end / 8) * 8;
    return section;
  });
  return { block: parts.measureOutput.take().blocks[0]!, sections };
}
