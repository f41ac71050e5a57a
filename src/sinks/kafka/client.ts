/** The client in its thread: bytes in flight are capped, each batch has a deadline, connections are replaced, errors become words. */
import type { WriteResult } from '../../core/component.ts';
import { AgentError, messageOf } from '../../core/errors.ts';
import { formatDuration } from '../../core/units.ts';
import { Attempt } from './attempt.ts';
import { type Connection, openConnection, typeOf, withColons } from './connection.ts';
import { Limits } from './limits.ts';
import type { ThreadSettings, WireRecord } from './messages.ts';

/** kafkajs holds a copy or two of what is in flight. */
const MOST_BYTES_IN_FLIGHT = 16 << 20;

/** A connection and how many batches are being sent over it. */
interface Used {
  connection: Connection;
  users: number;
  isRetired: boolean;
}

/** A batch that is being sent, and over which connection, once it has one. */
interface Flight {
  attempt: Attempt;
  used: Used | null;
}

/** A batch that waits for room; told whether it is let in. */
interface Waiting {
  attempt: Attempt;
  bytes: number;
  answer(isIn: boolean): void;
}

export interface Answer {
  result: WriteResult;
  /** Records (by index) that need not come again when the result is a retry. */
  delivered: number[];
}

export class Client {
  readonly #settings: ThreadSettings;
  readonly #memory: Buffer;
  readonly #limits: Limits;
  /** Topics that the broker refused when it was last asked. */
  readonly #failing = new Set<string>();
  readonly #open: typeof openConnection;
  #current: Used | null = null;
  #opened = 0;
  #bytesInFlight = 0;
  /** Those that wait for room, the oldest first. */
  readonly #waiting: Waiting[] = [];

  constructor(settings: ThreadSettings, open: typeof openConnection = openConnection) {
    this.#settings = settings;
    this.#open = open;
    this.#memory = Buffer.from(settings.pool.memory);
    this.#limits = new Limits(settings.config.max_message_bytes);
  }

  /** Never rejects, and answers within the deadline. */
  async send(records: readonly WireRecord[]): Promise<Answer> {
    const { config, deadlineMs } = this.#settings;
    const attempt = new Attempt(records, this.#memory, this.#limits, this.#failing);
    const flight: Flight = { attempt, used: null };
    const late = Promise.withResolvers<WriteResult>();
    const timer = setTimeout(() => {
      attempt.giveUp();
      // Sockets of a broker that does not answer would keep the next batch waiting for minutes.
      if (flight.used !== null) this.#drop(flight.used);
      this.#letIn();
      const error = `${config.brokers.join(', ')}: no answer in ${formatDuration(deadlineMs)}`;
      late.resolve({ kind: 'retry', error });
    }, deadlineMs);
    try {
      const result = await Promise.race([this.#deliver(flight), late.promise]);
      return { result, delivered: attempt.delivered };
    } finally {
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    if (this.#current === null) return;
    // In order where nothing is owed: what acks: 0 has written still has to leave.
    if (this.#bytesInFlight === 0) await this.#current.connection.disconnect();
    else this.#drop(this.#current);
  }

  async #deliver(flight: Flight): Promise<WriteResult> {
    const { attempt } = flight;
    const bytes = attempt.bytes;
    if (!(await this.#enter(attempt, bytes))) return { kind: 'retry', error: 'there was no room' };
    let isReady = false;
    try {
      flight.used = this.#connect();
      await flight.used.connection.ready;
      isReady = true;
      return await attempt.sendAll(flight.used.connection);
    } catch (error) {
      // A broker's answer to a request says that the connection is sound; anything else leaves that open.
      if (flight.used !== null && (!isReady || typeOf(error) === '')) this.#drop(flight.used);
      return { kind: 'retry', error: wordsFor(error, attempt.topic) };
    } finally {
      this.#leave(flight.used, bytes);
    }
  }

  #connect(): Used {
    if (this.#current?.connection.isOutdated()) this.#retire(this.#current);
    const { config, deadlineMs } = this.#settings;
    this.#current ??= {
      connection: this.#open(config, deadlineMs, this.#opened++),
      users: 0,
      isRetired: false,
    };
    this.#current.users++;
    return this.#current;
  }

  /** No further batch uses it; it ends with the last that does. */
  #retire(used: Used): void {
    this.#current = null;
    used.isRetired = true;
    if (used.users === 0) void used.connection.disconnect();
  }

  /** Ends it at once. */
  #drop(used: Used): void {
    if (this.#current === used) this.#current = null;
    used.connection.destroy();
  }

  /** In turn: a large batch would otherwise wait for as long as small ones come. */
  #enter(attempt: Attempt, bytes: number): Promise<boolean> {
    return new Promise((answer) => {
      this.#waiting.push({ attempt, bytes, answer });
      this.#letIn();
    });
  }

  #letIn(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const { attempt, bytes, answer } = first;
      const hasRoom = this.#bytesInFlight === 0 || this.#bytesInFlight + bytes <= MOST_BYTES_IN_FLIGHT;
      if (!hasRoom && !attempt.isGivenUp) return;
      this.#waiting.shift();
      if (!attempt.isGivenUp) this.#bytesInFlight += bytes;
      answer(!attempt.isGivenUp);
    }
  }

  #leave(used: Used | null, bytes: number): void {
    if (used !== null && --used.users === 0 && used.isRetired) void used.connection.disconnect();
    this.#bytesInFlight -= bytes;
    this.#letIn();
  }
}

function wordsFor(error: unknown, topic: string): string {
  if (error instanceof AgentError) return error.message;
  const type = typeOf(error);
  if (type === 'UNKNOWN_TOPIC_OR_PARTITION') {
    return `topic ${topic} does not exist: create it, or set create_topics: true`;
  }
  if (type === 'TOPIC_AUTHORIZATION_FAILED') return `not allowed to write to topic ${topic}: grant it to this user`;
  const broker = brokerOf(error);
  return broker === '' ? messageOf(error) : `${broker}: ${messageOf(error)}`;
}

/** HOST:PORT of the broker whose connection failed, where kafkajs says it. */
function brokerOf(error: unknown): string {
  for (let one = error; one instanceof Error; one = one.cause) {
    if ('broker' in one && typeof one.broker === 'string') return withColons(one.broker);
  }
  return '';
}
