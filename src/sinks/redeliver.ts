/** Sends the dead letters of one sink again, each as what it was: same row, same sequence. What arrives is removed, what does not stays. */
import { pino } from 'pino';
import type { BlockPool } from '../core/block.ts';
import type { Encoder, Part, Row, SinkContext, SinkDefinition, WriteResult, Writer } from '../core/component.ts';
import { messageOf } from '../core/errors.ts';
import { createOutput } from './divide.ts';
import { Job, type JobSettings } from './job.ts';
import { Lease } from './lease.ts';
import { type BuriedLetter, loadFrames, readLetters, removeLetter, versionOf } from './letters.ts';
import { backoffMs, type Retry, sleep } from './retry.ts';

export interface RedeliverOptions {
  definition: SinkDefinition;
  name: string;
  /** The sink's validated section of agent.yaml. */
  config: unknown;
  pool: BlockPool;
  /** Of the dead letters, and the sink's own folder. */
  deadLetter: string;
  directory: string;
  retry: Retry;
  timeoutMs: number;
  /** Until when (Unix milliseconds) a destination that does not take them is asked again. */
  deadlineMs: number;
  /** Also requests of which the destination took a part: that part arrives twice. */
  partial: boolean;
  now(): number;
}

export interface Redelivered {
  letters: number;
  items: number;
  /** Letters that stay because most of them was taken the first time. */
  partial: number;
  /** `FILE: why`, one for each letter that stays. */
  left: string[];
}

/** A letter that the destination took, and how many of its items it refused again in pieces. */
interface Sent {
  letter: BuriedLetter;
  refused: number;
}

export async function redeliver(options: RedeliverOptions): Promise<Redelivered> {
  const { letters, faults } = await readLetters(options.deadLetter);
  const result: Redelivered = { letters: 0, items: 0, partial: 0, left: faults };
  for (const [agent, own] of Map.groupBy(letters, ({ said }) => said.agent)) {
    const wanted = own.filter(({ said }) => options.partial || said.rejected === undefined);
    result.partial += own.length - wanted.length;
    if (wanted.length > 0) await sendAll(options, agent, wanted, result);
  }
  return result;
}

async function sendAll(options: RedeliverOptions, agent: string, letters: BuriedLetter[], result: Redelivered) {
  const { definition, config, now } = options;
  const arrived = ({ letter, refused }: Sent) => {
    const { items } = letter.said;
    result.items += items - refused;
    if (refused === 0) result.letters++;
    // Those are letters of their own by now.
    else result.left.push(`${letter.path}: ${refused} of ${items} items refused again, kept as pieces of it`);
    return removeLetter(letter);
  };
  const rowOf = ({ stream, signal }: Row) => `${stream}/${signal}`;
  /** By row, up to which sequence what the sink held is safe. */
  const safe = new Map<string, number>();
  let error = 'not taken in time';
  let isLost = false;
  const context: SinkContext = {
    ...options,
    // A sink that holds files takes those of its name for its own, and a running agent has some of them open.
    agent: definition.namesFiles ? `${agent}.redelivered` : agent,
    log: pino({ level: 'silent' }),
    confirm: (row, lastSequence) => safe.set(rowOf(row), lastSequence),
    fail: (_row, why) => {
      error = why;
    },
    rewind: (_row, why) => {
      error = why;
      isLost = true;
    },
  };
  const writer = await definition.open(config, context);
  const held: Sent[] = [];
  for (const letter of letters) {
    const stays = (why: string) => result.left.push(`${letter.path}: ${why}`);
    try {
      const before = await versionOf(letter);
      // Given up by its bound: the running agent has told it.
      if (before === null) continue;
      const { answer, refused } = await send(options, agent, writer, letter);
      if (answer.kind === 'retry') stays(answer.error);
      else if (![before, null].includes(await versionOf(letter))) stays('refused again');
      else if (answer.kind === 'held') held.push({ letter, refused });
      else await arrived({ letter, refused });
    } catch (cause) {
      stays(messageOf(cause));
    }
  }
  await writer.close(Math.max(options.deadlineMs, now() + options.timeoutMs));
  for (const sent of held) {
    const { path, sequence, said } = sent.letter;
    // What was lost is not read again here, and what came behind it may be safe: then all of it comes twice.
    if (!isLost && sequence <= (safe.get(rowOf(said)) ?? -1)) await arrived(sent);
    else result.left.push(`${path}: ${error}`);
  }
}

async function send(
  options: RedeliverOptions,
  agent: string,
  writer: Writer,
  letter: BuriedLetter,
): Promise<{ answer: WriteResult; refused: number }> {
  const { pool, retry, now } = options;
  const { block, frames } = await loadFrames(pool, letter);
  const lease = new Lease(() => pool.release(block));
  const row: Row = { stream: letter.said.stream, signal: letter.said.signal };
  const job = new Job(jobSettings(options, agent, letter), writer, row, {
    ...{ frames, lease, isWanted: () => true, count: () => {} },
  });
  try {
    for (let attempt = 0; ; attempt++) {
      const answer = await job.attempt();
      const waitMs = answer.kind === 'retry' ? Math.max(answer.afterMs ?? 0, backoffMs(retry, attempt)) : 0;
      if (answer.kind !== 'retry' || now() + waitMs > options.deadlineMs) {
        return { answer, refused: job.deadLettered };
      }
      await sleep(waitMs, new AbortController().signal);
    }
  } finally {
    lease.done();
  }
}

function jobSettings(options: RedeliverOptions, agent: string, letter: BuriedLetter): JobSettings {
  const encoder = options.definition.encoder(options.config);
  const named: Encoder = {
    ...encoder,
    direct(pool, frame) {
      const part = encoder.direct(pool, frame);
      return part === null ? null : nameOf(letter, part, null);
    },
    encode: (...args) => {
      const parts = encoder.encode(...args);
      return parts.map((part, i) => nameOf(letter, part, parts.length > 1 ? i + 1 : null));
    },
  };
  return {
    ...options,
    agent,
    // What is sent again is old by nature: the running agent holds the bound.
    letters: null,
    encoder: named,
    encode: async (frames, stream, signal) => {
      const releases: (() => void)[] = [];
      const release = () => {
        for (const one of releases) one();
      };
      try {
        const out = createOutput(options.pool, (one) => releases.push(one));
        return { parts: named.encode(options.pool, frames, stream, signal, out), release };
      } catch (error) {
        release();
        throw error;
      }
    },
    log: pino({ level: 'silent' }),
  };
}

/** A piece keeps its number; cut again, it gets others below it. */
function nameOf({ part, division, said }: BuriedLetter, made: Part, index: number | null): Part {
  if (part === 0) return made;
  return { ...made, part, division: division + (index === null ? '' : `.${index}`), key: said.key ?? made.key };
}
