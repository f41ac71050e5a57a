/** A block of intake's: it fills with requests, one frame each, until a worker is free. */
import { type BlockPool, frameSpan, type Signal, startFrame, Uncommitted } from '../core/block.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { LentBlock } from '../core/lentBlock.ts';
import type { Lent } from './shortlists.ts';

export interface Body {
  signal: Signal;
  /** Bits of Encoding. */
  encoding: number;
  chunks: readonly Uint8Array[];
  bytes: number;
  /** The block that all of it lies in, if it does. */
  lent?: LentBlock | null;
}

export type Outcome =
  | { kind: 'accepted'; items: number; rejected: number; warned: number }
  | { kind: 'refused'; code: ErrorCode; message: string };

export interface OpenBlock {
  block: number;
  end: number;
  limit: number;
  frames: number[];
  /** Of the same index. */
  replies: ((outcome: Outcome) => void)[];
  receivedMs: number;
  /** Its only frame has already failed together with others. */
  alone: boolean;
  /** Where its shortlists are written. */
  lent?: Lent | undefined;
}

export function openBlock(pool: BlockPool, block: number, alone: boolean): OpenBlock {
  const limit = block + pool.capacity(block);
  return { block, end: block, limit, frames: [], replies: [], receivedMs: 0, alone };
}

/** No frame follows: what it has not used is given back. */
export function closeBlock(pool: BlockPool, open: OpenBlock): void {
  pool.trim(open.block, open.end - open.block);
  open.limit = open.block + pool.capacity(open.block);
}

/** Writes the header in front of a payload that is there already. */
export function addFrame(pool: BlockPool, open: OpenBlock, body: Body, reply: (outcome: Outcome) => void): void {
  startFrame(pool, open.end, 'raw', body.signal, 0, body.bytes);
  pool.words[(open.end + Uncommitted.encoding) >>> 2] = body.encoding;
  open.frames.push(open.end);
  open.end += frameSpan(body.bytes);
  open.replies.push(reply);
}
