/** One batch on its way: made into parts once, written under a deadline, its refused parts buried. Leaves when to try again to row.ts. */
import type { Logger } from 'pino';
import { type BlockPool, Field, readU64 } from '../core/block.ts';
import type { Encoder, Part, Row, WriteResult, Writer } from '../core/component.ts';
import { messageOf } from '../core/errors.ts';
import { formatDuration } from '../core/units.ts';
import { buryFrame, buryPart } from './dead_letter.ts';
import type { Lease } from './lease.ts';
import { type EncodeTask, makeParts, type Parts } from './parts.ts';

export interface JobSettings {
  /** The sink's name, and the agent's for file names. */
  name: string;
  agent: string;
  pool: BlockPool;
  encoder: Encoder;
  encode: EncodeTask;
  timeoutMs: number;
  /** Directory of what the destination refuses for good; null drops it, counted. */
  deadLetter: string | null;
  log: Logger;
}

type Final = Exclude<WriteResult, { kind: 'retry' }>;

export class Job {
  /** Items that went to the dead letters. */
  deadLettered = 0;
  readonly #settings: JobSettings;
  readonly #writer: Writer;
  readonly #row: Row;
  readonly #frames: readonly number[];
  readonly #lease: Lease;
  readonly #count: (change: 1 | -1) => void;
  #parts: Parts | null = null;
  /** What the destination answered; kept, so that a full disk below the dead letters does not send everything again. */
  #answer: Final | null = null;

  /** `count` is told of each write that begins and of each that was answered, in time or late. */
  constructor(
    settings: JobSettings,
    writer: Writer,
    row: Row,
    frames: readonly number[],
    lease: Lease,
    count: (change: 1 | -1) => void,
  ) {
    this.#settings = settings;
    this.#writer = writer;
    this.#row = row;
    this.#frames = frames;
    this.#lease = lease;
    this.#count = count;
  }

  /** Everything that is left to do. Never rejects: what fails, whoever threw it, is a retry. */
  async attempt(): Promise<WriteResult> {
    const { pool, encoder, encode } = this.#settings;
    try {
      if (this.#parts === null) {
        const made = await makeParts(pool, encoder, encode, this.#frames, this.#row);
        this.#parts = made;
        this.#lease.add(() => made.release());
      }
      if (this.#answer === null) {
        const answer = await this.#write(this.#parts.parts);
        if (answer.kind === 'retry') return answer;
        this.#answer = answer;
      }
      await this.#bury(this.#parts, this.#answer);
      return this.#answer;
    } catch (error) {
      return { kind: 'retry', error: messageOf(error) };
    }
  }

  /** Writes under a deadline. A late answer changes nothing, but until it comes the memory stays, since it may be read. */
  async #write(parts: Part[]): Promise<WriteResult> {
    if (parts.length === 0) return { kind: 'delivered' };
    const { pool, timeoutMs } = this.#settings;
    const receivedMs = readU64(pool, (this.#frames[0] as number) + Field.receivedMs);
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    const deadline = Promise.withResolvers<WriteResult>();
    const timer = setTimeout(
      () => deadline.resolve({ kind: 'retry', error: `no answer within ${formatDuration(timeoutMs)}` }),
      timeoutMs,
    );
    this.#lease.hold();
    this.#count(1);
    const write = this.#safely(() => this.#writer.write({ row: this.#row, parts, receivedMs, bytes })).finally(() => {
      clearTimeout(timer);
      this.#lease.done();
      this.#count(-1);
    });
    return Promise.race([write, deadline.promise]);
  }

  async #safely(write: () => Promise<WriteResult>): Promise<WriteResult> {
    try {
      return await write();
    } catch (error) {
      return { kind: 'retry', error: messageOf(error) };
    }
  }

  async #bury(made: Parts, answer: Final): Promise<void> {
    const refused = answer.kind === 'refused' ? answer.parts.map((i) => made.parts[i] as Part) : [];
    if (refused.length === 0 && made.refused.length === 0) return;
    const { deadLetter, agent, name, pool, log } = this.#settings;
    const words = answer.kind === 'refused' ? answer.reason : (made.refused[0]?.reason ?? '');
    let items = 0;
    for (const { frame } of made.refused) items += pool.words[(frame + Field.items) >>> 2] as number;
    for (const part of refused) items += part.items;
    if (deadLetter !== null) {
      const grave = { directory: deadLetter, agent, sink: name, pool, row: this.#row };
      for (const { frame, reason } of made.refused) await buryFrame(grave, frame, reason);
      for (const part of refused) await buryPart(grave, part, this.#frames, words);
    }
    this.deadLettered = items;
    const { stream, signal } = this.#row;
    log.error({ sink: name, stream, signal, items, reason: words, directory: deadLetter }, 'refused for good');
  }
}
