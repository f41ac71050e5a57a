/** One batch on its way: made into parts once, written under a deadline, what is refused cut down or buried. When to try again is row.ts's. */
import type { Logger } from 'pino';
import { type BlockPool, Field, readU64 } from '../core/block.ts';
import type { Encoder, Output, Part, Row, WriteResult, Writer } from '../core/component.ts';
import { messageOf } from '../core/errors.ts';
import { syncDirectory } from '../core/makeDirectory.ts';
import { formatDuration } from '../core/units.ts';
import { buryFrame, buryPart, buryPartial } from './dead_letter.ts';
import { createOutput, divide } from './divide.ts';
import type { Lease } from './lease.ts';
import type { LetterBound } from './letterBound.ts';
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
  /** Holds that directory within its bound. */
  letters: LetterBound | null;
  log: Logger;
}

/** Halves that are refused one after the other before what is refused goes to the dead letters as it is: a destination may refuse everything. */
const MOST_REFUSALS = 128;

/** Something for the dead letters, and how many of its items count. */
type Dead = { reason: string; items: number } & ({ frame: number } | { parts: Part[]; isPartial: boolean });

/** What a job is for, and who waits for it. */
export interface Order {
  frames: readonly number[];
  lease: Lease;
  /** Asked before each write: what was taken back to be read again must not be written behind what comes then. */
  isWanted(): boolean;
  /** Told of each write that begins and of each that was answered, in time or late. */
  count(change: 1 | -1): void;
}

export class Job {
  /** Items that went to the dead letters. */
  deadLettered = 0;
  readonly #settings: JobSettings;
  readonly #writer: Writer;
  readonly #row: Row;
  readonly #order: Order;
  #parts: Parts | null = null;
  /** What is still to be written; each group is one write. Kept, so that a retry goes on where the last attempt stopped. */
  #groups: Part[][] = [];
  /** Kept, so that a full disk below the dead letters does not send anything again. */
  #dead: Dead[] = [];
  /** Memory of what is cut here. */
  readonly #pieces: Output;
  /** Since the last write that was taken. */
  #refusals = 0;
  #isHeld = false;

  constructor(settings: JobSettings, writer: Writer, row: Row, order: Order) {
    this.#settings = settings;
    this.#writer = writer;
    this.#row = row;
    this.#order = order;
    this.#pieces = createOutput(settings.pool, (release) => order.lease.add(release));
  }

  /** Everything that is left to do. Never rejects: what fails, whoever threw it, is a retry. */
  async attempt(): Promise<WriteResult> {
    try {
      if (this.#parts === null) await this.#make();
      for (let group = this.#groups[0]; group !== undefined; group = this.#groups[0]) {
        if (!this.#order.isWanted()) return { kind: 'retry', error: 'it is read again' };
        const answer = await this.#write(group);
        if (answer.kind === 'retry') return answer;
        const left = this.#follow(group, answer);
        this.#groups.splice(0, 1, ...left);
      }
      await this.#bury();
      return { kind: this.#isHeld ? 'held' : 'delivered' };
    } catch (error) {
      return { kind: 'retry', error: messageOf(error) };
    }
  }

  async #make(): Promise<void> {
    const { pool, encoder, encode } = this.#settings;
    const made = await makeParts(pool, encoder, encode, this.#order.frames, this.#row);
    this.#parts = made;
    this.#order.lease.add(() => made.release());
    this.#groups = groupsOf(made.parts, encoder.mostBytes ?? Infinity);
    for (const { frame, reason } of made.refused) {
      this.#dead.push({ frame, reason, items: pool.words[(frame + Field.items) >>> 2] as number });
    }
  }

  /** Notes what the answer buries; returns the groups that come in the place of this one. */
  #follow(group: Part[], answer: Exclude<WriteResult, { kind: 'retry' }>): Part[][] {
    this.#refusals = answer.kind === 'refused' ? this.#refusals + 1 : 0;
    if (answer.kind === 'held') this.#isHeld = true;
    if (answer.kind === 'partial') {
      const items = Math.min(Math.max(0, answer.items), itemsOf(group));
      if (items > 0) this.#dead.push({ parts: group, reason: answer.reason, items, isPartial: true });
    }
    if (answer.kind !== 'refused') return [];
    const refused = answer.parts.map((i) => group[i] as Part);
    const smaller =
      answer.divide && this.#refusals < MOST_REFUSALS ? divide(this.#pieces, this.#row.signal, refused) : null;
    if (smaller !== null) return smaller;
    for (const part of refused) {
      this.#dead.push({ parts: [part], reason: answer.reason, items: part.items, isPartial: false });
    }
    return [];
  }

  /** Writes under a deadline. A late answer changes nothing, but until it comes the memory stays, since it may be read. */
  async #write(parts: Part[]): Promise<WriteResult> {
    const { pool, timeoutMs } = this.#settings;
    const receivedMs = readU64(pool, (this.#order.frames[0] as number) + Field.receivedMs);
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    const deadline = Promise.withResolvers<WriteResult>();
    const timer = setTimeout(
      () => deadline.resolve({ kind: 'retry', error: `no answer within ${formatDuration(timeoutMs)}` }),
      timeoutMs,
    );
    this.#order.lease.hold();
    this.#order.count(1);
    const write = this.#safely(() => this.#writer.write({ row: this.#row, parts, receivedMs, bytes })).finally(() => {
      clearTimeout(timer);
      this.#order.lease.done();
      this.#order.count(-1);
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

  async #bury(): Promise<void> {
    if (this.#dead.length === 0) return;
    const { deadLetter, letters, agent, name, pool, log } = this.#settings;
    const written: number[] = [];
    if (deadLetter !== null) {
      const grave = { directory: deadLetter, agent, sink: name, pool, row: this.#row };
      for (const dead of this.#dead) {
        if ('frame' in dead) written.push(await buryFrame(grave, dead.frame, dead.reason));
        else if (dead.isPartial)
          written.push(await buryPartial(grave, dead.parts, this.#order.frames, dead.items, dead.reason));
        else for (const part of dead.parts) written.push(await buryPart(grave, part, this.#order.frames, dead.reason));
      }
      // Once for all letters of the batch.
      await syncDirectory(deadLetter);
    }
    this.deadLettered = this.#dead.reduce((sum, { items }) => sum + items, 0);
    const { stream, signal } = this.#row;
    const { reason } = this.#dead[0] as Dead;
    log.error(
      { sink: name, stream, signal, items: this.deadLettered, reason, directory: deadLetter },
      'refused for good',
    );
    this.#dead = [];
    letters?.add(written);
  }
}

function itemsOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { items }) => sum + items, 0);
}

/** In order, each of at most so many bytes, a single part excepted. */
function groupsOf(parts: readonly Part[], mostBytes: number): Part[][] {
  const groups: Part[][] = [];
  let bytes = 0;
  for (const part of parts) {
    if (groups.length === 0 || bytes + part.length > mostBytes) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(part);
    bytes += part.length;
  }
  return groups;
}
