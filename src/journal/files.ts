/** The few file operations a journal needs, as an interface, so that tests can hand in a disk that fails; knows no formats. */
import fs from 'node:fs';
import path from 'node:path';
import { AgentError, messageOf } from '../core/errors.ts';
import { makeDirectory } from '../core/makeDirectory.ts';

/** Every method rejects with Node's own errors (`code` is the errno's name). */
export interface Files {
  open(file: string, flags: number): Promise<number>;
  close(fd: number): Promise<void>;
  /** Bytes read, which may be fewer than the view holds. */
  read(fd: number, view: Uint8Array, position: number): Promise<number>;
  /** Bytes written, which may be fewer than given. */
  writev(fd: number, views: Uint8Array[], position: number): Promise<number>;
  fdatasync(fd: number): Promise<void>;
  fsync(fd: number): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(file: string): Promise<void>;
  list(directory: string): Promise<string[]>;
  size(file: string): Promise<number>;
  makeDirectory(directory: string): Promise<void>;
  /** Bytes a file system has left for us. */
  free(directory: string): Promise<number>;
}

export const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_EXCL, O_DSYNC, O_DIRECT, O_DIRECTORY } = fs.constants;

type Done<T> = (error: NodeJS.ErrnoException | null, value: T) => void;

// Callbacks in promises of our own: a FileHandle costs several times as much per call.
function call<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => start((error, value) => (error === null ? resolve(value) : reject(error))));
}

function run(start: (done: (error: NodeJS.ErrnoException | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error ? reject(error) : resolve())));
}

export const diskFiles: Files = {
  open: (file, flags) => call((done) => fs.open(file, flags, 0o640, done)),
  close: (fd) => run((done) => fs.close(fd, done)),
  read: (fd, view, position) => call((done) => fs.read(fd, view, 0, view.length, position, done)),
  writev: (fd, views, position) => call((done) => fs.writev(fd, views, position, done)),
  fdatasync: (fd) => run((done) => fs.fdatasync(fd, done)),
  fsync: (fd) => run((done) => fs.fsync(fd, done)),
  rename: (from, to) => run((done) => fs.rename(from, to, done)),
  unlink: (file) => run((done) => fs.unlink(file, done)),
  list: (directory) => call((done) => fs.readdir(directory, done)),
  size: async (file) => (await fs.promises.stat(file)).size,
  makeDirectory: async (directory) => {
    await makeDirectory(directory, 0o750);
  },
  free: async (directory) => {
    const { bavail, bsize } = await fs.promises.statfs(directory);
    return bavail * bsize;
  },
};

/** Makes what was renamed, made or removed in a directory durable. */
export async function syncDirectory(files: Files, directory: string): Promise<void> {
  await withFile(files, directory, O_RDONLY | O_DIRECTORY, (fd) => files.fsync(fd));
}

/** Opens, uses and closes a file. */
export async function withFile<T>(
  files: Files,
  file: string,
  flags: number,
  use: (fd: number) => Promise<T>,
): Promise<T> {
  const fd = await files.open(file, flags);
  try {
    return await use(fd);
  } finally {
    await files.close(fd);
  }
}

/** Reads until the view is full or the file ends; returns the bytes read. */
export async function readFully(files: Files, fd: number, view: Uint8Array, position: number): Promise<number> {
  let got = 0;
  while (got < view.length) {
    const read = await files.read(fd, view.subarray(got), position + got);
    if (read === 0) break;
    got += read;
    // A direct read that stops inside a page has met the end; going on from there would be refused as unaligned.
    if (got % 4096 !== 0) break;
  }
  return got;
}

/** Writes every byte or rejects; a short write is an error, because what it means depends on the disk. */
export async function writeFully(files: Files, fd: number, views: Uint8Array[], position: number): Promise<void> {
  let wanted = 0;
  for (const view of views) wanted += view.length;
  const written = await files.writev(fd, views, position);
  if (written !== wanted) {
    const error: NodeJS.ErrnoException = new Error(`${written} of ${wanted} bytes written`);
    error.code = 'ENOSPC';
    throw error;
  }
}

/** Replaces a file so that a crash leaves the old content or the new: tmp, fsync, rename, fsync of the directory. */
export async function writeAtomically(
  files: Files,
  directory: string,
  name: string,
  bytes: Uint8Array[],
): Promise<void> {
  const temporary = path.join(directory, `${name}.tmp`);
  await withFile(files, temporary, O_WRONLY | O_CREAT | O_TRUNC, async (fd) => {
    await writeFully(files, fd, bytes, 0);
    await files.fsync(fd);
  });
  await files.rename(temporary, path.join(directory, name));
  await syncDirectory(files, directory);
}

/** As `writeAtomically`, and the same again under `NAME.copy`: one damaged file then costs nothing. */
export async function writeTwice(files: Files, directory: string, name: string, bytes: Uint8Array[]): Promise<void> {
  await writeAtomically(files, directory, name, bytes);
  await writeAtomically(files, directory, `${name}.copy`, bytes);
}

/** What `writeTwice` wrote: the file and its copy, those that are there. One on a bad sector is empty: the other may be whole. */
export async function readTwice(files: Files, directory: string, name: string): Promise<Buffer[]> {
  const both: Buffer[] = [];
  for (const one of [name, `${name}.copy`]) {
    const bytes = await readWhole(files, path.join(directory, one)).catch((error: unknown) => {
      if (!(error instanceof AgentError && errnoOf(error.cause) === 'EIO')) throw error;
      return Buffer.alloc(0);
    });
    if (bytes !== null) both.push(bytes);
  }
  return both;
}

/** The whole file, or null when there is none. Throws JOURNAL_UNWRITABLE: a start does not go on as if it were not there. */
export async function readWhole(files: Files, file: string): Promise<Buffer | null> {
  try {
    const bytes = Buffer.alloc(await files.size(file));
    const got = await withFile(files, file, O_RDONLY, (fd) => readFully(files, fd, bytes, 0));
    return bytes.subarray(0, got);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    const message = `${file} cannot be read: ${messageOf(error)}: mend the disk or its permissions, or move it away`;
    throw new AgentError('JOURNAL_UNWRITABLE', message, { cause: error });
  }
}

/** The errno's name of a file error, or ''. */
export function errnoOf(error: unknown): string {
  // Node's own errors carry `code`; anything else has none.
  return (error as NodeJS.ErrnoException | null)?.code ?? '';
}

export function isFull(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOSPC' || errno === 'EDQUOT';
}
