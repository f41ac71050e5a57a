/** The worker thread's door: builds its parts once, runs tasks, and turns whatever goes wrong into a result, so that only death is a throw. */
import { receiveMessageOnPort, threadId, workerData } from 'node:worker_threads';
import { AgentError, messageOf } from '../core/errors.ts';
import { ItemChooser } from './choose.ts';
import { encode } from './encode.ts';
import { filter } from './filter.ts';
import { shrinkHeap } from './garbage.ts';
import { BEGUN, SENT, THREAD } from './lane.ts';
import { observe } from './observe.ts';
import { createParts, followPolicy } from './parts.ts';
import { note, recall } from './recall.ts';
import { select } from './select.ts';
import { selectShort } from './selectShort.ts';
import { type Failure, ownerOf, type Result, type Serve, type Task, type WorkerSetup } from './tasks.ts';
import { ItemWalk } from './walk.ts';
import { packResult, unpackTask, type WireResult, type WireTask } from './wire.ts';

// Node types workerData as any; pool.ts puts a WorkerSetup there, by way of piscina.
const parts = createParts(workerData as WorkerSetup, ownerOf(threadId));
const walk = new ItemWalk();
let chooser = new ItemChooser(parts.views, parts.selectors);
let rawChooser = new ItemChooser(parts.views, parts.rawSelectors);
let chooserEpoch = parts.epoch;

/** Sleeps on the counter between tasks and never turns the thread's event loop: there is nothing in it. */
export default function serve({ port, words }: Serve): never {
  Atomics.store(words, THREAD, threadId);
  for (let seen = 0; ; ) {
    Atomics.wait(words, SENT, seen);
    seen = Atomics.load(words, SENT);
    for (let sent = receiveMessageOnPort(port); sent !== undefined; sent = receiveMessageOnPort(port)) {
      Atomics.store(words, BEGUN, 1);
      // Node types messages as any; lane.ts sends nothing else.
      port.postMessage(answer(unpackTask(sent.message as WireTask)));
    }
  }
}

function answer(task: Task): WireResult {
  try {
    return packResult(task, run(task));
  } catch (error) {
    parts.output.discard();
    parts.measureOutput.discard();
    walk.tainted = false;
    return failureOf(error);
  }
}

function run(task: Task): Result<Task> {
  switch (task.kind) {
    case 'observe':
      return observe(parts, walk, task);
    case 'select':
      followProcessors();
      return task.isShort === true ? selectShort(parts, chooser, task) : select(parts, chooser, task);
    case 'note':
      return note(parts, task);
    case 'recall':
      followPolicy(parts);
      return recall(parts, task);
    case 'filter':
      followProcessors();
      return filter(parts, rawChooser, task);
    case 'encode':
      return encode(parts, task);
    case 'shrink':
      return { heapBytes: shrinkHeap() };
  }
}

function followProcessors(): void {
  followPolicy(parts);
  if (chooserEpoch === parts.epoch) return;
  chooser = new ItemChooser(parts.views, parts.selectors);
  rawChooser = new ItemChooser(parts.views, parts.rawSelectors);
  chooserEpoch = parts.epoch;
}

function failureOf(error: unknown): Failure {
  const known = error instanceof AgentError ? error : null;
  const { code = 'WORKER_DIED', retryable = false } = known ?? {};
  return { failed: { code, message: messageOf(error), retryable } };
}
