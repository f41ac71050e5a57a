/** Makes what a journal stands on: its folder, and new segment files filled with zeros; decides nothing. */
import path from 'node:path';
import { alignedMemory } from '../core/aligned.ts';
import { PAGE_BYTES } from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import {
  errnoOf,
  type Files,
  isFull,
  O_CREAT,
  O_DIRECT,
  O_DSYNC,
  O_TRUNC,
  O_WRONLY,
  readWhole,
  syncDirectory,
  withFile,
  writeAtomically,
  writeFully,
} from './files.ts';

export const FILL_BYTES = 1 << 20;
/** Room that a new segment leaves on the disk, so that cursors and checkpoints can still be written. */
const RESERVE_BYTES = 16 << 20;

interface SegmentPlan {
  files: Files;
  directory: string;
  segmentBytes: number;
  direct: boolean;
}

/**
 * A file of zeros under its final name, durable: later direct writes then change no metadata. `zeros` are FILL_BYTES, page-aligned.
 * Throws JOURNAL_FULL or JOURNAL_SYNC_FAILED, both retryable.
 */
export async function makeSegment(plan: SegmentPlan, file: string, zeros: Buffer): Promise<void> {
  const temporary = `${file}.tmp`;
  try {
    await checkRoom(plan);
    await fill(plan, temporary, zeros);
    await plan.files.rename(temporary, file);
    await syncDirectory(plan.files, plan.directory);
  } catch (error) {
    await plan.files.unlink(temporary).catch(() => undefined);
    throw failure(plan.directory, error);
  }
}

/** Makes the journal's folder and finds out, by doing it, whether O_DIRECT works there, when `wanted`. */
export async function prepareDirectory(files: Files, directory: string, wanted: boolean): Promise<boolean> {
  const probe = path.join(directory, 'probe.tmp');
  try {
    await files.makeDirectory(directory);
    const direct = wanted && (await tryWrite(files, probe, O_DIRECT | O_DSYNC));
    if (!direct) await tryWrite(files, probe, 0);
    await files.unlink(probe);
    return direct;
  } catch (error) {
    throw unwritable(directory, error);
  }
}

/** JOURNAL_UNWRITABLE with the way out, of a directory or a file in it. */
export function unwritable(place: string, cause: unknown): AgentError {
  const wayOut = isFull(cause) ? 'free room on that disk' : 'make it writable for this user';
  return new AgentError('JOURNAL_UNWRITABLE', `${place}: ${messageOf(cause)}: ${wayOut} or set journal.directory`, {
    cause,
  });
}

/** Counts this opening durably: the epoch to use, at least `least` and above every one before, even one that left no record. */
export async function countOpening(files: Files, directory: string, least: number): Promise<number> {
  const saved = Number((await readWhole(files, path.join(directory, 'epoch')))?.toString('latin1'));
  const epoch = Math.max(least, Number.isSafeInteger(saved) ? saved + 1 : 1);
  await writeAtomically(files, directory, 'epoch', [Buffer.from(`${epoch}\n`)]).catch((error: unknown) => {
    throw unwritable(directory, error);
  });
  return epoch;
}

/** Asked before filling, so that a full disk costs one system call, not a segment's worth of writing, per attempt. */
async function checkRoom({ files, directory, segmentBytes }: SegmentPlan): Promise<void> {
  const free = await files.free(directory);
  if (free >= segmentBytes + Math.min(segmentBytes, RESERVE_BYTES)) return;
  const error: NodeJS.ErrnoException = new Error(`${mebibytes(free)} free`);
  error.code = 'ENOSPC';
  throw error;
}

async function fill({ files, segmentBytes, direct }: SegmentPlan, file: string, zeros: Buffer): Promise<void> {
  await withFile(files, file, O_WRONLY | O_CREAT | O_TRUNC | (direct ? O_DIRECT : 0), async (fd) => {
    for (let at = 0; at < segmentBytes; at += FILL_BYTES) {
      await writeFully(files, fd, [zeros.subarray(0, Math.min(FILL_BYTES, segmentBytes - at))], at);
    }
    await files.fsync(fd);
  });
}

/** False when the file system refuses these flags; throws for every other reason. */
async function tryWrite(files: Files, file: string, flags: number): Promise<boolean> {
  try {
    await withFile(files, file, O_WRONLY | O_CREAT | O_TRUNC | flags, (fd) =>
      writeFully(files, fd, [alignedMemory(PAGE_BYTES)], 0),
    );
    return true;
  } catch (error) {
    if (flags !== 0 && ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'].includes(errnoOf(error))) return false;
    throw error;
  }
}

function failure(directory: string, error: unknown): AgentError {
  const options = { retryable: true, cause: error };
  if (isFull(error)) {
    const message = `${directory}: the disk is full (${messageOf(error)}): free room or lower journal.max_size`;
    return new AgentError('JOURNAL_FULL', message, options);
  }
  const message = `${directory}: no segment can be made: ${messageOf(error)}: look at the disk and its permissions`;
  return new AgentError('JOURNAL_SYNC_FAILED', message, options);
}

export function mebibytes(bytes: number): string {
  return `${Math.round((bytes / 2 ** 20) * 10) / 10} MiB`;
}
