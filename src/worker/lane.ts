/**
 * A thread of the pool as main sees it. Piscina starts, replaces and ends the threads; what it runs in each is one task without an end, and
 * the tasks of the agent reach it by a port and a counter of its own. A task of piscina's costs twice as much: docs/adr/0014-lanes.md.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { Failure, Result, Serve, Task } from './tasks.ts';
import { packTask, unpackResult, type WireResult } from './wire.ts';

/** Of the shared words: how many tasks were sent, 1 once the last one has begun (a new thread first loads its modules), and the thread's id. */
export const SENT = 0;
export const BEGUN = 1;
export const THREAD = 2;
const WORDS = 3;

export interface Job {
  task: Task;
  resolve(result: Result<Task>): void;
  reject(error: Error): void;
}

export class Lane {
  /** What the thread is busy with. */
  job: Job | null = null;
  /** Turns of the pool's watch since the task has begun. */
  turns = 0;
  readonly #onResult: (lane: Lane, result: Result<Task> | Failure) => void;
  #abort: AbortController | null = null;
  #port: MessagePort | null = null;
  #words = new Int32Array(new SharedArrayBuffer(0));
  #isEnding = false;

  constructor(onResult: (lane: Lane, result: Result<Task> | Failure) => void) {
    this.#onResult = onResult;
  }

  /** A thread was given to it, and has not been lost. */
  get isOpen(): boolean {
    return this.#port !== null;
  }

  /** A task can be sent to it. */
  get isFree(): boolean {
    return this.job === null && !this.#isEnding;
  }

  /** What a thread is to serve; `end` aborts the signal. */
  open(): { serve: Serve; signal: AbortSignal } {
    const { port1, port2 } = new MessageChannel();
    this.#words = new Int32Array(new SharedArrayBuffer(WORDS * 4));
    this.#abort = new AbortController();
    this.#port = port1;
    port1.on('message', (wire: WireResult) => this.#onResult(this, unpackResult(wire)));
    port1.unref();
    return { serve: { port: port2, words: this.#words }, signal: this.#abort.signal };
  }

  send(job: Job): void {
    this.job = job;
    this.turns = 0;
    Atomics.store(this.#words, BEGUN, 0);
    // A task under way keeps the process running.
    this.#port?.ref();
    this.#port?.postMessage(packTask(job.task));
    Atomics.add(this.#words, SENT, 1);
    Atomics.notify(this.#words, SENT, 1);
  }

  /** The job whose result has come. */
  take(): Job | null {
    const { job } = this;
    this.job = null;
    this.#port?.unref();
    return job;
  }

  get hasBegun(): boolean {
    return this.job !== null && Atomics.load(this.#words, BEGUN) === 1;
  }

  /** Of the thread that serves; 0 before it has begun to. */
  get threadId(): number {
    return Atomics.load(this.#words, THREAD);
  }

  /** Ends the thread, whatever it does. */
  end(): void {
    this.#isEnding = true;
    this.#abort?.abort();
  }

  /** The thread is lost; the next one gets a port of its own. */
  close(): void {
    this.#port?.close();
    this.#port = null;
    this.#isEnding = false;
  }
}
