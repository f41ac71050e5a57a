/** The journal's root directory: who it belongs to, for ever (identity) and now (lock); the journals in it are not its business. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { AgentError } from '../core/errors.ts';
import { diskFiles, type Files, readTwice, writeTwice } from './files.ts';
import { type Lock, takeLock } from './lock.ts';
import { unwritable } from './making.ts';

export interface Identity {
  /** 8 random hex digits, the same as long as the directory lives. */
  journal: string;
  /** The agent's id when the directory was made; later changes of the configuration do not change it. */
  agent: string;
}

export interface JournalDirectory {
  readonly path: string;
  readonly identity: Identity;
  /** Gives up the lock. */
  close(): Promise<void>;
}

export interface DirectoryOptions {
  path: string;
  /** The agent's id now; kept in the identity file when there is none yet. */
  agent: string;
  /** How long to wait for another agent to leave; default 30 s. */
  lockWaitMs?: number;
  /** Told once, when there is another agent to wait for, how long that may take. */
  onWait?: (ms: number) => void;
  files?: Files;
}

const LOCK_WAIT_MS = 30_000;

/** Makes, locks and identifies the directory. Throws JOURNAL_UNWRITABLE or JOURNAL_LOCKED, both with the way out. */
export async function openDirectory(options: DirectoryOptions): Promise<JournalDirectory> {
  const files = options.files ?? diskFiles;
  let lock: Lock | undefined;
  try {
    await files.makeDirectory(options.path);
    const waitMs = options.lockWaitMs ?? LOCK_WAIT_MS;
    lock = await takeLock(options.path, waitMs, () => options.onWait?.(waitMs));
    const identity = await identify(files, options.path, options.agent);
    const held = lock;
    return { path: options.path, identity, close: () => held.release() };
  } catch (error) {
    await lock?.release();
    if (error instanceof AgentError) throw error;
    throw unwritable(options.path, error);
  }
}

/** The identity of a directory, also of one that another agent uses; null when there is none. Throws JOURNAL_UNWRITABLE when unreadable. */
export async function readIdentity(files: Files, directory: string): Promise<Identity | null> {
  const file = path.join(directory, 'identity');
  const copies = await readTwice(files, directory, 'identity');
  if (copies.length === 0) return null;
  for (const copy of copies) {
    const identity = parseIdentity(copy.toString('utf8'));
    if (identity !== null) return identity;
  }
  // A new one would make every delivered sequence look like another agent's.
  const message = `${file} is damaged: restore it, or remove it to let this journal begin a new identity`;
  throw new AgentError('JOURNAL_UNWRITABLE', message);
}

async function identify(files: Files, directory: string, agent: string): Promise<Identity> {
  const known = await readIdentity(files, directory);
  if (known !== null) return known;
  const identity = { journal: randomBytes(4).toString('hex'), agent };
  const line = { ...identity, crc: crcOf(identity) };
  await writeTwice(files, directory, 'identity', [Buffer.from(`${JSON.stringify(line)}\n`)]);
  return identity;
}

/** CRC-32 of both, so that a changed letter is not taken for another agent. */
function crcOf({ journal, agent }: Identity): number {
  return crc32(`${journal} ${agent}`);
}

function parseIdentity(text: string): Identity | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('journal' in value) || !('agent' in value)) return null;
    const { journal, agent } = value;
    if (typeof journal !== 'string' || !/^[0-9a-f]{8}$/.test(journal) || typeof agent !== 'string') return null;
    const identity = { journal, agent };
    return !('crc' in value) || value.crc === crcOf(identity) ? identity : null;
  } catch {
    // Not JSON: the caller answers for it.
    return null;
  }
}
