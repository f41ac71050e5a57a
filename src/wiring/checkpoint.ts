/** What the checkpoint holds, and how it is read at a start. */
import type { Logger } from 'pino';
import { loadCheckpoint } from '../journal/checkpoint.ts';
import type { SavedObservers } from '../worker/observers.ts';
import type { SavedWords } from './unsaid.ts';

export const CHECKPOINT = 'checkpoint';

export interface SavedCheckpoint {
  observers: SavedObservers;
  /** Said by then, and not yet in the derived journal. */
  unsaid: SavedWords[];
  /** Head of the derived journal at that moment: what was told later is found behind it. */
  derivedHead: number;
}

export async function readCheckpoint(directory: string, log: Logger): Promise<SavedCheckpoint | null> {
  const found = await loadCheckpoint(directory, CHECKPOINT);
  if (found.kind === 'damaged')
    log.error(`${found.reason}, and so has its copy: summaries and contract windows begin anew, no item is lost`);
  // Written by memory.ts, and its CRC is right.
  return found.kind === 'found' ? (JSON.parse(found.bytes.toString()) as SavedCheckpoint) : null;
}
