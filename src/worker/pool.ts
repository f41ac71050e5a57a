/**
 * The worker pool: piscina, and what it cannot know: which kind of task goes first, and what a dead thread leaves behind.
 *
 * A task is handed out only when a worker is free, so that observe's open block keeps filling until then: batches grow with load and
 * no timer is needed. Observe goes first; select and encode get at least every second task. Threads start with the pool, and again when
 * there is work after they were ended for want of it: each takes 15 MB, and many agents stand beside a service that says nothing for hours.
 */
import type { Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import type { BlockPool } from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { type Job, Lane } from './lane.ts';
import { type Failure, ownerOf, type Result, type Serve, type Task, type WorkerSetup } from './tasks.ts';

/** Gives the next observe task when a worker is free, or null when nothing waits. */
export type ObserveSource = () => Job | null;

/** A task that runs longer is taken for an endless loop and its thread is ended. The largest body takes half a second. */
const TASK_MS = 5000;
/** Counted in turns of main's own event loop, so that a process that was stopped for a while ends nobody. */
const TURNS_PER_TASK = 10;
/**
 * When nothing was to do for so long, the threads end. The next request waits for a new one, a tenth of a second; so this is more than the
 * minute after which SDKs send metrics again.
 */
const REST_AFTER_MS = 90_000;

/** Every second task: a select costs a tenth of an observe, and what trails too far behind is read from the disk again. */
const OTHERS_AT_LEAST_EVERY = 2;

export class WorkerPool {
  restarts = 0;
  readonly size: number;
  #busy = 0;
  #sinceOthers = 0;
  readonly #waiting: Job[] = [];
  #source: ObserveSource = () => null;
  readonly #piscina: Piscina<Serve, never>;
  readonly #blocks: BlockPool;
  /** Threads that have been seen, until their exit. */
  readonly #threads = new Map<Worker, Promise<void>>();
  readonly #started: Promise<unknown>;
  readonly #onRestart: () => void;
  readonly #onRest: () => void;
  #closing = false;
  readonly #lanes: readonly Lane[];
  readonly #watch: NodeJS.Timeout;
  readonly #turnsToRest: number;
  #idleTurns = 0;
  /** Ids of threads that were ended for want of work. */
  readonly #resting = new Set<number>();

  constructor(
    size: number,
    blocks: BlockPool,
    setup: WorkerSetup,
    onRestart: () => void,
    /** `onRest`: nothing has come for long, and the last thread has ended for it. */
    { taskMs = TASK_MS, restAfterMs = REST_AFTER_MS, onRest = () => {} } = {},
  ) {
    this.size = size;
    this.#turnsToRest = (restAfterMs * TURNS_PER_TASK) / taskMs;
    this.#lanes = Array.from({ length: size }, () => new Lane((lane, result) => this.#finish(lane, result)));
    this.#watch = setInterval(() => {
      this.#endEndless();
      this.#endIdle();
    }, taskMs / TURNS_PER_TASK).unref();
    this.#blocks = blocks;
    this.#onRestart = onRestart;
    this.#onRest = onRest;
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    this.#piscina = new Piscina({
      filename: new URL(`./worker.${extension}`, import.meta.url).href,
      // By themselves they never end: what they serve has no end.
      minThreads: 0,
      maxThreads: size,
      concurrentTasksPerWorker: 1,
      workerData: setup,
      // The hot path allocates next to nothing: the process's large young generation is main's.
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    // Without a listener a thread that dies between tasks would end the process; it is replaced, which is counted at its exit.
    this.#piscina.on('error', () => {});
    this.#piscina.on('workerCreate', () => this.#watchThreads());
    const nothing = { kind: 'observe' as const, frames: [], receivedMs: 0, measureOnly: true };
    this.#started = Promise.race(this.#lanes.map(() => this.run(nothing)));
    // Whoever waits for it is told.
    this.#started.catch(() => {});
  }

  /** Resolves when the first worker has started; rejects with what stopped one. */
  async ready(): Promise<void> {
    await this.#started;
  }

  /** Has every thread collect its garbage, one task for each: 30 to 60 ms. Resolves to the bytes of their heaps. */
  async shrink(): Promise<number[]> {
    const results = await Promise.all(this.#lanes.map(() => this.run({ kind: 'shrink' as const })));
    return results.map(({ heapBytes }) => heapBytes);
  }

  /** The threads as they are now. */
  get threads(): readonly Worker[] {
    return this.#piscina.threads;
  }

  get busy(): number {
    return this.#busy;
  }

  setObserveSource(source: ObserveSource): void {
    this.#source = source;
  }

  /** Runs a task; rejects with what it threw, or with WORKER_DIED when its thread died, and only after that thread's exit. */
  run<T extends Task>(task: T): Promise<Result<T>> {
    return new Promise((resolve, reject) => {
      // The result's kind follows the task's: worker.ts switches on it.
      this.#waiting.push({ task, resolve: resolve as Job['resolve'], reject });
      this.kick();
    });
  }

  /** Hands out work while there is a free worker; call it when observe work may have come. */
  kick(): void {
    while (!this.#closing) {
      const lane = this.#lanes.find((one) => one.isFree);
      const job = lane === undefined ? null : this.#next();
      if (lane === undefined || job === null) return;
      this.#busy++;
      this.#idleTurns = 0;
      if (!lane.isOpen) void this.#serve(lane);
      lane.send(job);
    }
  }

  #next(): Job | null {
    const othersFirst = this.#waiting.length > 0 && this.#sinceOthers >= OTHERS_AT_LEAST_EVERY - 1;
    const observe = othersFirst ? null : this.#source();
    if (observe !== null) {
      this.#sinceOthers++;
      return observe;
    }
    const other = this.#waiting.shift() ?? null;
    if (other !== null) this.#sinceOthers = 0;
    return other;
  }

  #endEndless(): void {
    for (const lane of this.#lanes) if (lane.hasBegun && ++lane.turns > TURNS_PER_TASK) lane.end();
  }

  #endIdle(): void {
    // Most tasks begin and end between two turns: each of them begins the count anew.
    if (this.#busy > 0 || ++this.#idleTurns < this.#turnsToRest) return;
    for (const lane of this.#lanes) {
      if (!lane.isOpen) continue;
      this.#resting.add(lane.threadId);
      lane.end();
    }
  }

  #finish(lane: Lane, result: Result<Task> | Failure): void {
    // A lane has one job at a time, and a lost thread's port is closed: there is one.
    const job = lane.take() as Job;
    this.#busy--;
    if ('failed' in result) {
      const { code, message, retryable } = result.failed;
      job.reject(new AgentError(code, message, { retryable }));
    } else {
      this.#adopt(result);
      job.resolve(result);
    }
    this.kick();
  }

  /** Has a thread serve the lane for as long as it lives, which it never ends by itself. */
  async #serve(lane: Lane): Promise<void> {
    const { serve, signal } = lane.open();
    try {
      await this.#piscina.run(serve, { transferList: [serve.port], signal });
    } catch (error) {
      // At once, so that no other job is sent to a thread that is no more.
      const job = lane.take();
      lane.close();
      await this.#deadThreads();
      if (job !== null) {
        this.#busy--;
        const message = `a worker died on a task: ${messageOf(error)}`;
        job.reject(new AgentError('WORKER_DIED', message, { retryable: true, cause: error }));
      }
    }
    // Tasks that came meanwhile have waited for this thread or the next one.
    this.kick();
    // None has come, and this is the first to see that all threads have ended.
    if (this.#idleTurns < this.#turnsToRest) return;
    this.#idleTurns = 0;
    this.#onRest();
  }

  /** Blocks the worker allocated for its result are main's from now on. */
  #adopt(result: Result<Task>): void {
    if ('moved' in result) {
      const seen = new Set<number>();
      for (const { block } of result.moved) {
        if (!seen.has(block)) this.#blocks.adopt(block);
        seen.add(block);
      }
      if (result.measured !== null) this.#blocks.adopt(result.measured.block);
    } else if ('heapBytes' in result) return;
    else if ('blocks' in result) for (const block of result.blocks) this.#blocks.adopt(block);
    else if (result.block >= 0) this.#blocks.adopt(result.block);
  }

  #watchThreads(): void {
    for (const thread of this.threads) {
      if (this.#threads.has(thread)) continue;
      const { threadId } = thread;
      const owner = ownerOf(threadId);
      const exited = new Promise<void>((resolve) => {
        thread.once('exit', () => {
          this.#threads.delete(thread);
          // Only now can nobody write to its blocks any more.
          this.#blocks.reclaim(owner);
          if (!this.#resting.delete(threadId) && !this.#closing) {
            this.restarts++;
            this.#onRestart();
          }
          resolve();
        });
      });
      this.#threads.set(thread, exited);
    }
  }

  async #deadThreads(): Promise<void> {
    const alive = new Set(this.threads);
    await Promise.all([...this.#threads].filter(([thread]) => !alive.has(thread)).map(([, exit]) => exit));
  }

  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#watch);
    await this.#piscina.destroy();
  }
}

/** A worker died on a task or threw: what it was given may be the reason. */
export function isDeadly(error: unknown): boolean {
  return error instanceof AgentError && error.code === 'WORKER_DIED';
}
