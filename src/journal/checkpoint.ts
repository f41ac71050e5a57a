/** Some bytes under a name, kept twice, replaced as a whole and checked when loaded; what they mean is their owner's business. */
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { diskFiles, type Files, readTwice, writeTwice } from './files.ts';

export type Checkpoint =
  | { kind: 'none' }
  | { kind: 'found'; bytes: Buffer }
  /** Begin without it, and say so. */
  | { kind: 'damaged'; reason: string };

/** "PLMC" read as a little-endian word; then CRC-32 of the bytes, then their length. */
const MAGIC = 0x434d4c50;
const HEADER_BYTES = 16;

/** Resolves when the bytes have durably replaced the former ones; rejects with Node's file errors, the former ones intact. */
export async function saveCheckpoint(
  directory: string,
  name: string,
  bytes: Uint8Array,
  files: Files = diskFiles,
): Promise<void> {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt32LE(crc32(bytes), 4);
  header.writeUIntLE(bytes.length, 8, 6);
  await writeTwice(files, directory, name, bytes.length === 0 ? [header] : [header, bytes]);
}

/** Throws JOURNAL_UNWRITABLE when a file is there and may not be read. */
export async function loadCheckpoint(directory: string, name: string, files: Files = diskFiles): Promise<Checkpoint> {
  const copies = await readTwice(files, directory, name);
  const file = path.join(directory, name);
  // The second is older when a crash came between them, and then the first is whole.
  const read = copies.map((copy) => readCheckpoint(copy, file));
  return read.find(({ kind }) => kind === 'found') ?? read[0] ?? { kind: 'none' };
}

function readCheckpoint(whole: Buffer, file: string): Checkpoint {
  const bytes = whole.subarray(HEADER_BYTES);
  if (whole.length < HEADER_BYTES || whole.readUInt32LE(0) !== MAGIC) return damaged(file, 'is no checkpoint');
  if (whole.readUIntLE(8, 6) !== bytes.length) return damaged(file, 'has the wrong length');
  return crc32(bytes) === whole.readUInt32LE(4) ? { kind: 'found', bytes } : damaged(file, 'has the wrong CRC');
}

function damaged(file: string, what: string): Checkpoint {
  return { kind: 'damaged', reason: `${file} ${what}` };
}
