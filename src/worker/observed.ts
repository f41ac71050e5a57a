/** Frames after observe: where each request's has gone, what it is answered, and headers free of what only main and the worker told each other. */
import {
  type BlockPool,
  Field,
  FRAME_HEADER_BYTES,
  isVoid,
  nextFrame,
  payloadLength,
  readU64,
  Uncommitted,
  writeU64,
} from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import type { Outcome } from './openBlock.ts';
import type { ObserveResult, Refusal, Region } from './tasks.ts';

/** In a list of frames by request: this one has none in the journal. */
export const NOT_WRITTEN = -1;

/** Where each request's frame is after observe: in the input, or the next one of the moved. */
export function framesOf(blocks: BlockPool, frames: readonly number[], result: ObserveResult): number[] {
  const elsewhere: number[] = [];
  for (const { first, end } of result.moved) {
    for (let at = first; at < end; at = nextFrame(blocks, at)) if (!isVoid(blocks, at)) elsewhere.push(at);
  }
  return frames.map((at, index) => {
    const isMoved = isVoid(blocks, at) && !result.refused.some((one) => one.index === index);
    return isMoved ? (elsewhere.shift() ?? at) : at;
  });
}

/**
 * The words main and the worker used between them are part of the record once it is written, and so is what a void frame holds: a body as it
 * was before it was redacted. Not before the task has ended, since the frames of one that died run again.
 */
export function clearUncommitted(blocks: BlockPool, regions: readonly Region[]): void {
  for (const { first, end } of regions) {
    for (let at = first; at < end; at = nextFrame(blocks, at)) {
      writeU64(blocks, at + Field.covers, 0);
      writeU64(blocks, at + Field.filtered, 0);
      const from = at + FRAME_HEADER_BYTES;
      if (isVoid(blocks, at)) blocks.bytes.fill(0, from, from + payloadLength(blocks, at));
    }
  }
}

export function refusalOf(refused: readonly Refusal[], index: number): Outcome | null {
  const found = refused.find((one) => one.index === index);
  return found === undefined ? null : { kind: 'refused', code: found.code, message: found.message };
}

/** What observe has noted in the frame's header, before it is cleared. */
export function acceptedOf({ words }: BlockPool, at: number): Outcome {
  const word = (offset: number) => words[(at + offset) >>> 2] as number;
  return {
    kind: 'accepted',
    items: word(Field.items),
    rejected: word(Field.rejected),
    warned: word(Uncommitted.warned),
  };
}

/** The refusal of a frame whose region could not be written; null for one whose was. */
export function lossOf(
  at: number,
  regions: readonly Region[],
  appends: readonly PromiseSettledResult<void>[],
): Outcome | null {
  const append = appends[regions.findIndex(({ first, end }) => at >= first && at < end)];
  if (append?.status !== 'rejected') return null;
  const { reason } = append;
  const code = reason instanceof AgentError ? reason.code : 'JOURNAL_SYNC_FAILED';
  return { kind: 'refused', code, message: messageOf(reason) };
}

/** The first sequence of what was written, and the one behind the last. */
export function spanOf(blocks: BlockPool, written: readonly number[]): { first: number; next: number } {
  let first = Infinity;
  let next = 0;
  for (const at of written) {
    if (at === NOT_WRITTEN) continue;
    const sequence = readU64(blocks, at + Field.sequence);
    first = Math.min(first, sequence);
    next = Math.max(next, sequence + 1);
  }
  return { first, next };
}
