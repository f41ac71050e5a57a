/** Names and disk operations of the storage sink: where a file goes, how it gets its final name safely, what may be deleted. */
import { readdir, rename, rm, rmdir, stat, truncate } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Row } from '../../core/component.ts';
import { makeDirectory, syncDirectory, syncUp } from '../../core/makeDirectory.ts';

const DIRECTORY_MODE = 0o750;

/** File systems take 255 bytes, and two sequences and the extension have to fit, too. */
const MOST_NAME_BYTES = 180;
/** `-` and the journal's id, which tells agents apart whose names are cut or made safe. */
const ID_BYTES = 9;

/** The agent with nothing that a file system or an object store could take for a path. */
export function safeName(agent: string): string {
  const safe = agent.replace(/[^A-Za-z0-9._-]/g, '_').replace(/^\./, '_');
  return safe.length <= MOST_NAME_BYTES ? safe : safe.slice(0, MOST_NAME_BYTES - ID_BYTES) + safe.slice(-ID_BYTES);
}

export function rowDirectory(root: string, row: Row): string {
  return join(root, row.stream, row.signal);
}

const HOUR_MS = 3_600_000;
/** Every batch asks for one, and nearly always for the same. */
let known = { hours: Number.NaN, path: '' };

/** `year=YYYY/month=MM/day=DD/hour=HH`, UTC. */
export function hourPath(receivedMs: number): string {
  const hours = Math.floor(receivedMs / HOUR_MS);
  if (hours !== known.hours) {
    const [year, month, day, hour] = new Date(receivedMs).toISOString().split(/[-T:]/);
    known = { hours, path: join(`year=${year}`, `month=${month}`, `day=${day}`, `hour=${hour}`) };
  }
  return known.path;
}

/**
 * Gives a synced file its final name; returns when a power cut could not take back the name, nor the directories up to `top`. `isSynced`:
 * they were synced before, which says nothing when they had to be made again.
 */
export async function publish(from: string, to: string, top: string, isSynced: boolean): Promise<void> {
  const made = await makeDirectory(dirname(to), DIRECTORY_MODE);
  await rename(from, to);
  if (isSynced && made === null) await syncDirectory(dirname(to));
  else await syncUp(dirname(to), top);
}

/** Names in a directory; none when it does not exist. */
export async function list(directory: string, how: { recursive?: boolean } = {}): Promise<string[]> {
  try {
    return await readdir(directory, how);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Bytes of a file, or null when it is gone. */
export async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Leaves the name alone of it, unless that is gone, too. */
export async function empty(path: string): Promise<void> {
  await truncate(path).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });
}

export async function remove(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** Removes a directory that holds nothing any more; whether it is gone. */
export async function removeIfEmpty(directory: string): Promise<boolean> {
  try {
    await rmdir(directory);
    return true;
  } catch (error) {
    if (isMissing(error)) return true;
    if (!(error instanceof Error && 'code' in error && (error.code === 'ENOTEMPTY' || error.code === 'EEXIST')))
      throw error;
    return false;
  }
}

/** Removes what hourPath made above a file, as far as it holds nothing any more. */
export async function removeEmptyHour(path: string): Promise<void> {
  let directory = dirname(path);
  while (/^(hour|day|month|year)=/.test(basename(directory)) && (await removeIfEmpty(directory)))
    directory = dirname(directory);
}

export interface FinishedFile {
  path: string;
  bytes: number;
  finishedMs: number;
}

/** Every finished file of this agent below `root`, oldest first. */
export async function findFinished(root: string, isOurs: (name: string) => boolean): Promise<FinishedFile[]> {
  const found: FinishedFile[] = [];
  for (const name of await list(root, { recursive: true })) {
    if (!isOurs(name.slice(name.lastIndexOf('/') + 1))) continue;
    const path = join(root, name);
    const { size, mtimeMs } = await stat(path);
    found.push({ path, bytes: size, finishedMs: mtimeMs });
  }
  return found.sort((a, b) => a.finishedMs - b.finishedMs);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
