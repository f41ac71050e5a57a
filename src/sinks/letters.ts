/** Reads dead letters back: what each says of itself, and its requests as frames. dead_letter.ts writes them, redeliver.ts sends them. */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Static } from 'typebox';
import {
  type BlockPool,
  copyInto,
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  SIGNALS,
  STREAMS,
  startFrame,
  writeU64,
} from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { compileSchema } from '../core/schema.ts';
import { Type } from '../core/type.ts';
import { splitRequest } from '../otlp/split.ts';

const Said = Type.Object(
  {
    agent: Type.String({ minLength: 1 }),
    sink: Type.String({ default: '' }),
    stream: Type.Union(STREAMS.map((stream) => Type.Literal(stream))),
    signal: Type.Union(SIGNALS.map((signal) => Type.Literal(signal))),
    sequence: Type.String({ pattern: '^\\d+(/\\d+(\\.\\d+)*)?(-.*)?$' }),
    items: Type.Integer({ minimum: 0 }),
    rejected: Type.Optional(Type.Integer()),
    key: Type.Union([Type.String(), Type.Null()], { default: null }),
    received_ms: Type.Integer({ default: 0 }),
    reason: Type.String(),
  },
  { additionalProperties: true },
);
const check = compileSchema(Said);

export interface BuriedLetter {
  /** The path of its two files without `.json` and `.binpb`. */
  path: string;
  said: Static<typeof Said>;
  sequence: number;
  /** 0 when it holds whole frames. */
  part: number;
  division: string;
}

/** All letters of a directory, those of a row in the order of their sequences; `faults` names files that are none. */
export async function readLetters(directory: string): Promise<{ letters: BuriedLetter[]; faults: string[] }> {
  const letters: BuriedLetter[] = [];
  const faults: string[] = [];
  for (const path of await lettersIn(directory)) {
    try {
      letters.push(await readLetter(`${path}.json`));
    } catch (error) {
      // Given up by its bound since it was listed.
      if (!isMissing(error)) faults.push(`${path}.json: ${messageOf(error)}`);
    }
  }
  return { letters: letters.sort((a, b) => a.sequence - b.sequence || a.part - b.part), faults };
}

/** Its requests as frames in one block, whose address is given. */
export async function loadFrames(pool: BlockPool, letter: BuriedLetter): Promise<{ block: number; frames: number[] }> {
  const bytes = await readFile(`${letter.path}.binpb`);
  const requests: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + (bytes.length - at < 4 ? Number.POSITIVE_INFINITY : bytes.readUInt32BE(at));
    if (end > bytes.length)
      throw new AgentError('SINK_REFUSED', `${letter.path}.binpb ends in the middle of a request`);
    requests.push(bytes.subarray(at + 4, end));
    at = end;
  }
  if (requests.length === 0) throw new AgentError('SINK_REFUSED', `${letter.path}.binpb is empty`);
  const block = pool.allocate(requests.reduce((sum, { length }) => sum + frameSpan(length), 0));
  if (block < 0)
    throw new AgentError('OVERLOADED', `${letter.path}.binpb is larger than agent.memory_limit lets it be`);
  let at = block;
  const frames = requests.map((request, i) => {
    const frame = at;
    at += frameSpan(request.length);
    writeFrame(pool, frame, letter, request, i);
    if (requests.length === 1) pool.words[(frame + Field.items) >>> 2] = letter.said.items;
    return frame;
  });
  return { block, frames };
}

function writeFrame(pool: BlockPool, frame: number, { said, sequence }: BuriedLetter, request: Buffer, index: number) {
  startFrame(pool, frame, said.stream, said.signal, said.received_ms, request.length);
  writeU64(pool, frame + Field.sequence, sequence + index);
  const from = frame + FRAME_HEADER_BYTES;
  copyInto(pool.bytes, from, request);
  const [whole] = splitRequest(pool.bytes, said.signal, from, from + request.length, request.length, () => '');
  pool.words[(frame + Field.items) >>> 2] = whole?.items ?? 0;
}

/** Which file it is: another one after it was written again, null when it is gone. */
export async function versionOf({ path }: BuriedLetter): Promise<number | null> {
  return orNull(stat(`${path}.json`).then(({ ino }) => ino));
}

/** False when somebody else was first. The words last: without them the bytes would be nobody's. */
export async function removeLetter({ path }: BuriedLetter): Promise<boolean> {
  await rm(`${path}.binpb`, { force: true });
  return (await orNull(rm(`${path}.json`).then(() => true))) ?? false;
}

/** Paths of a directory's letters without `.json` and `.binpb`. */
export async function lettersIn(directory: string): Promise<string[]> {
  const names = (await orNull(readdir(directory))) ?? [];
  return names.flatMap((name) => (name.endsWith('.json') ? [join(directory, name.slice(0, -'.json'.length))] : []));
}

export async function readLetter(file: string): Promise<BuriedLetter> {
  const said: unknown = JSON.parse(await readFile(file, 'utf8'));
  const [fault] = check(said, (path) => path.join('.') || 'the letter');
  if (fault !== undefined) throw new AgentError('SINK_REFUSED', fault.message);
  // The check has just said that it is one.
  const letter = said as Static<typeof Said>;
  const [, sequence, part = '0', division = ''] = /^(\d+)(?:\/(\d+)((?:\.\d+)*))?/.exec(letter.sequence) ?? [];
  return {
    path: file.slice(0, -'.json'.length),
    said: letter,
    sequence: Number(sequence),
    part: Number(part),
    division,
  };
}

/** Null when the file is gone: the running agent bounds its letters, and redeliver sends them. */
export async function orNull<Result>(result: Promise<Result>): Promise<Result | null> {
  return result.catch((error: unknown) => {
    if (isMissing(error)) return null;
    throw error;
  });
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
