/** What the checkpoint holds, how it is written, and how it is read at a start. */
import { deserialize, serialize } from 'node:v8';
import type { Logger } from 'pino';
import { messageOf } from '../core/errors.ts';
import { loadCheckpoint } from '../journal/checkpoint.ts';
import type { SavedObservers } from '../worker/observers.ts';
import type { Words } from './unsaid.ts';

export const CHECKPOINT = 'checkpoint';
/** Raised with every change of what is saved, also by a processor. */
const FORM = 2;

export interface SavedCheckpoint {
  observers: SavedObservers;
  /** Said by then, and not yet in the derived journal. */
  unsaid: readonly Words[];
  /** Head of the derived journal at that moment: what was told later is found behind it. */
  derivedHead: number;
}

/** In the form in which V8 clones objects: numbers by the thousand stay bytes, and as text they would hold requests up. */
export function encodeCheckpoint(saved: SavedCheckpoint): Buffer {
  return serialize({ form: FORM, saved });
}

/** Throws for what another version has written. */
export function decodeCheckpoint(bytes: Buffer): SavedCheckpoint {
  const { form, saved } = deserialize(bytes) as { form: number; saved: SavedCheckpoint };
  if (form !== FORM) throw new Error(`form ${form}, not ${FORM}`);
  return saved;
}

export async function readCheckpoint(directory: string, log: Logger): Promise<SavedCheckpoint | null> {
  const begins = 'summaries, contract windows and what was learned begin anew, no item is lost';
  const found = await loadCheckpoint(directory, CHECKPOINT);
  if (found.kind === 'damaged') log.error(`${found.reason}, and so has its copy: ${begins}`);
  if (found.kind !== 'found') return null;
  try {
    return decodeCheckpoint(found.bytes);
  } catch (error) {
    log.error(`the checkpoint was written by another version (${messageOf(error)}): ${begins}`);
    return null;
  }
}
