/** One attempt at a batch: laid into requests that the topic takes; notes which records are safe and which are too large. */
import type { Message } from 'kafkajs';
import type { WriteResult } from '../../core/component.ts';
import { type Connection, typeOf } from './connection.ts';
import type { Limits } from './limits.ts';
import type { WireRecord } from './messages.ts';
import { RECORD_BYTES } from './size.ts';

/** What a broker says to a record batch that is too large for topic or segment. Everything else it says may change. */
const TOO_LARGE = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']);

export class Attempt {
  /** Records, by index, that are safe. */
  readonly delivered: number[] = [];
  isGivenUp = false;
  /** Of what is being sent, or was sent last. */
  topic = '';
  readonly #records: readonly WireRecord[];
  /** The pool's, where records lie. */
  readonly #memory: Buffer;
  readonly #limits: Limits;
  readonly #failing: Set<string>;
  readonly #refused: number[] = [];

  /** `failing`: topics of which the broker took nothing when it was last asked to. */
  constructor(records: readonly WireRecord[], memory: Buffer, limits: Limits, failing: Set<string>) {
    this.#records = records;
    this.#memory = memory;
    this.#limits = limits;
    this.#failing = failing;
  }

  get bytes(): number {
    return this.#records.reduce((sum, { length }) => sum + length, 0);
  }

  /** From now on its memory may be used for something else, so nothing may read it any more. */
  giveUp(): void {
    this.isGivenUp = true;
  }

  /** Rejects with what the client says when the batch has to come again. */
  async sendAll(connection: Connection): Promise<WriteResult> {
    const byTopic = Map.groupBy(this.#records.keys(), (i) => this.#record(i).topic);
    // One that is missing holds up none that are there.
    const topics = [...byTopic].sort(([a], [b]) => Number(this.#failing.has(a)) - Number(this.#failing.has(b)));
    for (const [topic, indices] of topics) await this.#sendTopic(connection, topic, indices);
    const [first] = this.#refused;
    if (first === undefined) return { kind: 'delivered' };
    return { kind: 'refused', parts: this.#refused, reason: this.#wordsFor(first), divide: true };
  }

  async #sendTopic(connection: Connection, topic: string, indices: number[]): Promise<void> {
    this.topic = topic;
    try {
      for (const some of this.#requestsOf(indices, topic)) await this.#sendSome(connection, topic, some);
      this.#failing.delete(topic);
    } catch (error) {
      if (typeOf(error) !== '') this.#failing.add(topic);
      throw error;
    }
  }

  async #sendSome(connection: Connection, topic: string, indices: number[]): Promise<void> {
    const [first] = indices;
    if (first === undefined) return;
    const { items } = this.#record(first);
    const bytes = indices.reduce((sum, i) => sum + this.#sizeOf(i), 0);
    // A known limit saves the trip, unless nothing is left to cut: compressed it may pass.
    if (indices.length === 1 && items > 1 && bytes > this.#limits.of(topic)) {
      this.#refused.push(first);
      return;
    }
    try {
      if (this.isGivenUp) throw new Error('given up');
      await connection.produce(
        topic,
        indices.map((i) => this.#messageOf(i)),
      );
      this.delivered.push(...indices);
    } catch (error) {
      if (!TOO_LARGE.has(typeOf(error))) throw error;
      await this.#limits.learn(connection, topic, bytes);
      if (indices.length === 1) this.#refused.push(first);
      else for (const some of this.#smaller(indices, topic)) await this.#sendSome(connection, topic, some);
    }
  }

  /** Which of them is too large the broker does not say. */
  #smaller(indices: readonly number[], topic: string): number[][] {
    const requests = this.#requestsOf(indices, topic);
    return requests.length > 1 ? requests : indices.map((i) => [i]);
  }

  /** Indices in order, laid together so that no request, and so no record batch, is too large, a single record excepted. */
  #requestsOf(indices: readonly number[], topic: string): number[][] {
    const most = this.#limits.of(topic);
    const requests: number[][] = [];
    let bytes = Number.POSITIVE_INFINITY;
    for (const i of indices) {
      if (bytes + this.#sizeOf(i) > most) {
        requests.push([]);
        bytes = 0;
      }
      requests.at(-1)?.push(i);
      bytes += this.#sizeOf(i);
    }
    return requests;
  }

  #messageOf(index: number): Message {
    const { at, length, key, headers } = this.#record(index);
    const value = () => {
      if (this.isGivenUp) throw new Error('given up');
      return this.#memory.subarray(at, at + length);
    };
    return {
      key,
      headers,
      // kafkajs copies it when it encodes the request, which may be long after the deadline.
      get value() {
        return value();
      },
    };
  }

  #wordsFor(index: number): string {
    const { topic, length, items } = this.#record(index);
    const limit = this.#limits.words(topic);
    return `too large for topic ${topic}${limit}: a record of ${length} bytes with ${items} item(s); raise max.message.bytes`;
  }

  #sizeOf(index: number): number {
    return this.#record(index).length + RECORD_BYTES;
  }

  #record(index: number): WireRecord {
    // Indices are those of this array.
    return this.#records[index] as WireRecord;
  }
}
