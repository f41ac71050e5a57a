/** Keeps what a destination refuses for good: an otlp_proto file with the bytes and a .json beside it with the reason. */
import { open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type BlockPool, Field, frameRecord, readU64 } from '../core/block.ts';
import type { Part, Row } from '../core/component.ts';
import { makeDirectory, syncUp } from '../core/makeDirectory.ts';
import { sequenceText } from './parts.ts';

/** File systems take 255 bytes, and `.binpb.tmp` has to fit, too. */
const MOST_NAME_BYTES = 245;
/** `-` and the journal's id. */
const ID_BYTES = 9;

export interface Grave {
  directory: string;
  agent: string;
  sink: string;
  pool: BlockPool;
  row: Row;
}

/** What the .json beside the bytes says. */
export interface Letter extends Row {
  agent: string;
  sink: string;
  /** As `plumbline.sequence`; FIRST-LAST where several frames are inside. */
  sequence: string;
  items: number;
  /** Of them, how many were refused, where the destination took the rest and did not say which. */
  rejected?: number;
  key: string | null;
  received_ms: number;
  reason: string;
}

type Words = Pick<Letter, 'sequence' | 'items' | 'reason' | 'rejected'> & { key?: string | null };

/** Writes a refused part and returns its bytes, as the other two do; of a part that is not the piece of a split frame, the frames it was made of. */
export async function buryPart(grave: Grave, part: Part, frames: readonly number[], reason: string): Promise<number> {
  const words = { sequence: rangeOf([part]), items: part.items, key: part.key, reason };
  return bury(grave, frames, recordsOf(grave, part, frames), words);
}

/** Writes parts of which the destination took all but `rejected` items, and did not say which. */
export async function buryPartial(
  grave: Grave,
  parts: readonly Part[],
  frames: readonly number[],
  rejected: number,
  reason: string,
): Promise<number> {
  const records = parts.flatMap((part) => recordsOf(grave, part, frames));
  const items = parts.reduce((sum, part) => sum + part.items, 0);
  return bury(grave, frames, records, { sequence: rangeOf(parts), items, rejected, reason });
}

/** Writes a frame that cannot be encoded. */
export async function buryFrame(grave: Grave, frame: number, reason: string): Promise<number> {
  const sequence = `${readU64(grave.pool, frame + Field.sequence)}`;
  const items = grave.pool.words[(frame + Field.items) >>> 2] as number;
  return bury(grave, [frame], [frameRecord(grave.pool, frame)], { sequence, items, reason });
}

function rangeOf(parts: readonly Part[]): string {
  const [first, last] = [parts[0] as Part, parts.at(-1) as Part];
  if (parts.length === 1 && first.sequence === first.lastSequence) return sequenceText(first);
  return `${sequenceText(first)}-${sequenceText({ ...last, sequence: last.lastSequence })}`;
}

function recordsOf({ pool }: Grave, part: Part, frames: readonly number[]): Buffer[] {
  if (part.part === 0) {
    const inside = frames.filter((frame) => {
      const sequence = readU64(pool, frame + Field.sequence);
      return sequence >= part.sequence && sequence <= part.lastSequence;
    });
    return inside.map((frame) => frameRecord(pool, frame));
  }
  const length = Buffer.alloc(4);
  length.writeUInt32BE(part.length);
  return [length, pool.bytes.subarray(part.at, part.at + part.length)];
}

async function bury(grave: Grave, frames: readonly number[], records: Buffer[], words: Words): Promise<number> {
  const { agent, sink, row, pool } = grave;
  const made = await makeDirectory(grave.directory, 0o750);
  if (made !== null) await syncUp(dirname(grave.directory), dirname(made));
  // A refusal that comes again after a crash overwrites itself.
  const name = nameOf(agent, `_${row.stream}_${row.signal}_${words.sequence}`);
  const received_ms = readU64(pool, (frames[0] as number) + Field.receivedMs);
  const letter: Letter = { agent, sink, stream: row.stream, signal: row.signal, key: null, received_ms, ...words };
  await writeSafely(grave.directory, `${name}.json`, [Buffer.from(`${JSON.stringify(letter)}\n`)]);
  await writeSafely(grave.directory, `${name}.binpb`, records);
  return records.reduce((sum, { length }) => sum + length, 0);
}

/** A long agent gives way to what follows it, but for its journal's id: a name that is too long would be refused for ever. */
function nameOf(agent: string, rest: string): string {
  const most = Math.max(ID_BYTES, MOST_NAME_BYTES - rest.length);
  const whose = agent.length <= most ? agent : agent.slice(0, most - ID_BYTES) + agent.slice(-ID_BYTES);
  return `${whose}${rest}`.replace(/[^A-Za-z0-9._-]/g, '_');
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
