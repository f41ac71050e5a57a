/** Keeps what a destination refuses for good: an otlp_proto file with the bytes and a .json beside it with the reason. */
import { mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type BlockPool, Field, frameRecord, readU64 } from '../core/block.ts';
import type { Part, Row } from '../core/component.ts';

export interface Grave {
  directory: string;
  agent: string;
  sink: string;
  pool: BlockPool;
  row: Row;
}

interface Words {
  sequence: string;
  items: number;
  reason: string;
}

/** Writes a refused part; of a part that is not the piece of a split frame, the frames it was made of. */
export async function buryPart(grave: Grave, part: Part, frames: readonly number[], reason: string): Promise<void> {
  const { pool } = grave;
  if (part.part === 0) {
    const inside = frames.filter((frame) => {
      const sequence = readU64(pool, frame + Field.sequence);
      return sequence >= part.sequence && sequence <= part.lastSequence;
    });
    const sequence = part.sequence === part.lastSequence ? `${part.sequence}` : `${part.sequence}-${part.lastSequence}`;
    const records = inside.map((frame) => frameRecord(pool, frame));
    return bury(grave, records, { sequence, items: part.items, reason });
  }
  const length = Buffer.alloc(4);
  length.writeUInt32BE(part.length);
  const records = [length, pool.bytes.subarray(part.at, part.at + part.length)];
  return bury(grave, records, { sequence: `${part.sequence}/${part.part}`, items: part.items, reason });
}

/** Writes a frame that cannot be encoded. */
export async function buryFrame(grave: Grave, frame: number, reason: string): Promise<void> {
  const sequence = `${readU64(grave.pool, frame + Field.sequence)}`;
  const items = grave.pool.words[(frame + Field.items) >>> 2] as number;
  return bury(grave, [frameRecord(grave.pool, frame)], { sequence, items, reason });
}

async function bury(grave: Grave, records: Buffer[], words: Words): Promise<void> {
  const { agent, sink, row } = grave;
  await mkdir(grave.directory, { recursive: true, mode: 0o750 });
  // A refusal that comes again after a crash overwrites itself.
  const name = `${agent}_${row.stream}_${row.signal}_${words.sequence}`.replace(/[^A-Za-z0-9._-]/g, '.');
  const said = { agent, sink, stream: row.stream, signal: row.signal, ...words };
  await writeSafely(grave.directory, `${name}.json`, [Buffer.from(`${JSON.stringify(said)}\n`)]);
  await writeSafely(grave.directory, `${name}.binpb`, records);
  await syncDirectory(grave.directory);
}

async function writeSafely(directory: string, name: string, content: Buffer[]): Promise<void> {
  const file = await open(join(directory, `${name}.tmp`), 'w', 0o640);
  try {
    for (const bytes of content) await file.appendFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(join(directory, `${name}.tmp`), join(directory, name));
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
