/** How large a record may be, by topic: as configured, and lower where the broker has refused one and said its limit. */
import type { Connection } from './connection.ts';

/** A limit that was lowered may be raised again. */
const KNOWN_FOR_MS = 600_000;

export class Limits {
  readonly #most: number;
  readonly #learnt = new Map<string, { bytes: number; untilMs: number }>();

  constructor(mostBytes: number) {
    this.#most = mostBytes;
  }

  /** Bytes of one record batch. */
  of(topic: string): number {
    return Math.min(this.#read(topic) ?? this.#most, this.#most);
  }

  /** Asks for the topic's limit after it refused `bytes`, unless what is known explains it. What the broker does not tell is found by cutting. */
  async learn(connection: Connection, topic: string, bytes: number): Promise<void> {
    const known = this.#read(topic);
    if (known !== undefined && (known < bytes || known === Number.POSITIVE_INFINITY)) return;
    const limit = (await connection.readLimit(topic)) ?? Number.POSITIVE_INFINITY;
    this.#learnt.set(topic, { bytes: limit, untilMs: performance.now() + KNOWN_FOR_MS });
  }

  /** What the broker has said, for people; empty when it was not asked or did not tell. */
  words(topic: string): string {
    const bytes = this.#read(topic) ?? Number.POSITIVE_INFINITY;
    return bytes === Number.POSITIVE_INFINITY ? '' : `, which takes ${bytes} bytes`;
  }

  #read(topic: string): number | undefined {
    const learnt = this.#learnt.get(topic);
    return learnt !== undefined && performance.now() < learnt.untilMs ? learnt.bytes : undefined;
  }
}
