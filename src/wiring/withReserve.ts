/** Saves something small on a disk that may be full: the reserve makes room for it, once. */
import { AgentError } from '../core/errors.ts';
import type { Reserve } from '../journal/reserve.ts';

export async function withReserve(reserve: Reserve, save: () => Promise<void>): Promise<void> {
  try {
    await save();
  } catch (error) {
    if (!isFull(error) || !(await reserve.giveUp())) throw error;
    await save();
  }
}

function isFull(error: unknown): boolean {
  if (error instanceof AgentError) return error.code === 'JOURNAL_FULL';
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}
