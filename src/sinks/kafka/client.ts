/** Sends batches with kafkajs: bytes in flight are capped, each send has a deadline, errors become words. kafkajs.ts mends the library. */
import type { Message } from 'kafkajs';
import type { WriteResult } from '../../core/component.ts';
import { messageOf } from '../../core/errors.ts';
import { formatDuration } from '../../core/units.ts';
import { type Connection, openConnection } from './connection.ts';
import type { ThreadSettings, WireRecord } from './messages.ts';

/** kafkajs holds a copy or two of what is in flight. */
const MOST_BYTES_IN_FLIGHT = 16 << 20;
/** What a broker says to a record it will never take. */
const REFUSALS = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD', 'INVALID_TIMESTAMP']);
const UNKNOWN_TOPIC = 'UNKNOWN_TOPIC_OR_PARTITION';

/** One batch being sent. Once it is given up its memory may be used for something else, so nothing may read it any more. */
interface Attempt {
  topic: string;
  records: readonly WireRecord[];
  isGivenUp: boolean;
}

export class Client {
  readonly #settings: ThreadSettings;
  readonly #memory: Buffer;
  #connection: Connection | null = null;
  #connections = 0;
  #bytesInFlight = 0;
  #waiting: (() => void)[] = [];

  constructor(settings: ThreadSettings) {
    this.#settings = settings;
    this.#memory = Buffer.from(settings.pool.memory);
  }

  /** Never rejects, and answers within the deadline. */
  async send(topic: string, records: readonly WireRecord[]): Promise<WriteResult> {
    const { config, deadlineMs } = this.#settings;
    const attempt = { topic, records, isGivenUp: false };
    const late = Promise.withResolvers<WriteResult>();
    const timer = setTimeout(() => {
      attempt.isGivenUp = true;
      this.#drop(this.#connection);
      late.resolve({
        kind: 'retry',
        error: `${config.brokers.join(', ')}: no answer in ${formatDuration(deadlineMs)}`,
      });
    }, deadlineMs);
    try {
      return await Promise.race([this.#deliver(attempt), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    if (this.#connection === null) return;
    // In order where nothing is owed: what acks: 0 has written still has to leave.
    if (this.#bytesInFlight === 0) await this.#connection.disconnect();
    else this.#drop(this.#connection);
  }

  async #deliver(attempt: Attempt): Promise<WriteResult> {
    const bytes = attempt.records.reduce((sum, { length }) => sum + length, 0);
    await this.#enter(bytes);
    let used: Connection | null = null;
    let isReady = false;
    try {
      if (attempt.isGivenUp) return { kind: 'retry', error: 'given up' };
      this.#connection ??= openConnection(this.#settings.config, this.#settings.deadlineMs, this.#connections++);
      used = this.#connection;
      await used.ready;
      isReady = true;
      return await this.#sendAll(used, attempt);
    } catch (error) {
      // A broker's answer to a request says that the connection is sound; anything else leaves that open.
      if (!isReady || typeOf(error) === '') this.#drop(used);
      return { kind: 'retry', error: wordsFor(error, attempt.topic) };
    } finally {
      this.#leave(bytes);
    }
  }

  async #sendAll(connection: Connection, attempt: Attempt): Promise<WriteResult> {
    const refused: number[] = [];
    let reason = '';
    const sendSome = async (indices: number[]): Promise<void> => {
      try {
        await this.#produce(connection, attempt, indices, this.#settings.config.create_topics);
      } catch (error) {
        if (!REFUSALS.has(typeOf(error))) throw error;
        // Which of them it is the broker does not say.
        if (indices.length > 1) for (const i of indices) await sendSome([i]);
        else {
          refused.push(...indices);
          reason = `${typeOf(error)}: ${messageOf(error)}`;
        }
      }
    };
    for (const indices of chunksOf(attempt.records, this.#settings.config.max_message_bytes)) await sendSome(indices);
    return refused.length === 0 ? { kind: 'delivered' } : { kind: 'refused', parts: refused, reason };
  }

  async #produce(connection: Connection, attempt: Attempt, indices: number[], canCreate: boolean): Promise<void> {
    const messages = indices.map((i) => this.#messageOf(attempt, attempt.records[i] as WireRecord));
    try {
      await connection.produce(attempt.topic, messages);
    } catch (error) {
      if (!canCreate || typeOf(error) !== UNKNOWN_TOPIC) throw error;
      await connection.createTopic(attempt.topic);
      await this.#produce(connection, attempt, indices, false);
    }
  }

  #messageOf(attempt: Attempt, { at, length, key, headers }: WireRecord): Message {
    const memory = this.#memory;
    return {
      key,
      headers,
      // kafkajs copies it when it encodes the request, which may be long after the deadline.
      get value() {
        if (attempt.isGivenUp) throw new Error('given up');
        return memory.subarray(at, at + length);
      },
    };
  }

  async #enter(bytes: number): Promise<void> {
    while (this.#bytesInFlight > 0 && this.#bytesInFlight + bytes > MOST_BYTES_IN_FLIGHT) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#bytesInFlight += bytes;
  }

  #leave(bytes: number): void {
    this.#bytesInFlight -= bytes;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** The next send begins anew: sockets of a broker that does not answer would keep it waiting for minutes. */
  #drop(dropped: Connection | null): void {
    if (this.#connection === dropped) this.#connection = null;
    dropped?.destroy();
  }
}

/**
 * Indices in order, cut so that no request holds more than `most` bytes, a larger single record excepted: kafkajs makes one record batch
 * of all records for a partition, and it is the batch that the broker's limit is about.
 */
function chunksOf(records: readonly WireRecord[], most: number): number[][] {
  const chunks: number[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const [i, { length }] of records.entries()) {
    if (bytes + length > most) {
      chunks.push([]);
      bytes = 0;
    }
    chunks.at(-1)?.push(i);
    bytes += length;
  }
  return chunks;
}

/** The broker's error name, wherever kafkajs has wrapped it; empty when no broker said it. */
function typeOf(error: unknown): string {
  for (let one = error; one instanceof Error; one = one.cause) {
    if ('type' in one && typeof one.type === 'string') return one.type;
  }
  return '';
}

function wordsFor(error: unknown, topic: string): string {
  if (typeOf(error) === UNKNOWN_TOPIC) return `topic ${topic} does not exist: create it, or set create_topics: true`;
  return messageOf(error);
}
