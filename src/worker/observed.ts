/** Frames after observe: where each request's has gone, and headers free of what only main and the worker told each other. */
import { type BlockPool, Field, isVoid, nextFrame, writeU64 } from '../core/block.ts';
import type { ObserveResult, Region } from './tasks.ts';

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

/** The words main and the worker used between them are part of the record once it is written. */
export function clearUncommitted(blocks: BlockPool, regions: readonly Region[]): void {
  for (const { first, end } of regions) {
    for (let at = first; at < end; at = nextFrame(blocks, at)) {
      writeU64(blocks, at + Field.covers, 0);
      writeU64(blocks, at + Field.filtered, 0);
    }
  }
}
