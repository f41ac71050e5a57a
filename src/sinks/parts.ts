/** Makes the parts of a batch: on main where frames leave as they lie, else by a task; sets a frame aside that cannot be encoded. */
import type { BlockPool, Signal, Stream } from '../core/block.ts';
import type { Encoder, Part, Row } from '../core/component.ts';
import { AgentError } from '../core/errors.ts';

/** What a worker made of frames; `release` gives its memory back. */
export interface Encoded {
  parts: Part[];
  release(): void;
}

/** Runs the sink's `encode` in a worker. Rejects with an AgentError; a retryable one means later, any other that these bytes never will. */
export type EncodeTask = (frames: readonly number[], stream: Stream, signal: Signal) => Promise<Encoded>;

/** What `plumbline.sequence` says of a part: `n`, `n/part`, or `n/part.division` where a refused one was cut further. */
export function sequenceText({ sequence, part, division = '' }: Part): string {
  return part === 0 ? `${sequence}` : `${sequence}/${part}${division}`;
}

export interface Parts extends Encoded {
  /** Frames that no attempt will encode. */
  refused: { frame: number; reason: string }[];
}

export async function makeParts(
  pool: BlockPool,
  encoder: Encoder,
  encode: EncodeTask,
  frames: readonly number[],
  row: Row,
): Promise<Parts> {
  const parts: Part[] = [];
  for (const frame of frames) {
    const part = encoder.direct(pool, frame);
    if (part === null) return encodeFrames(encode, frames, row);
    parts.push(part);
  }
  return { parts, refused: [], release: () => {} };
}

async function encodeFrames(encode: EncodeTask, frames: readonly number[], row: Row, alone = false): Promise<Parts> {
  try {
    return { ...(await encode(frames, row.stream, row.signal)), refused: [] };
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    // A thread that died may have died of something else: its frames run alone, once.
    if (error.code === 'WORKER_DIED' && !alone) return encodeOneByOne(encode, frames, row);
    if (error.retryable && error.code !== 'WORKER_DIED') throw error;
    const [frame] = frames;
    if (frame !== undefined && frames.length === 1) {
      return { parts: [], refused: [{ frame, reason: error.message }], release: () => {} };
    }
  }
  return encodeOneByOne(encode, frames, row);
}

/** Finds the frame that spoils the batch. */
async function encodeOneByOne(encode: EncodeTask, frames: readonly number[], row: Row): Promise<Parts> {
  const made: Parts[] = [];
  const release = () => {
    for (const one of made) one.release();
  };
  try {
    for (const frame of frames) made.push(await encodeFrames(encode, [frame], row, true));
  } catch (error) {
    release();
    throw error;
  }
  return { parts: made.flatMap((one) => one.parts), refused: made.flatMap((one) => one.refused), release };
}
