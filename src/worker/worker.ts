/** The worker thread's door: builds its parts once, runs tasks, and turns whatever goes wrong into a result, so that only death is a throw. */
import { threadId, workerData } from 'node:worker_threads';
import { AgentError, messageOf } from '../core/errors.ts';
import { ItemChooser } from './choose.ts';
import { encode } from './encode.ts';
import { shrinkHeap } from './garbage.ts';
import { observe } from './observe.ts';
import { createParts, followPolicy } from './parts.ts';
import { note, recall } from './recall.ts';
import { select } from './select.ts';
import { ownerOf, type Result, type Task, type TaskMessage, type ThreadData } from './tasks.ts';
import { ItemWalk } from './walk.ts';

// Node types workerData as any; pool.ts puts a ThreadData there, by way of piscina.
const data = workerData as ThreadData;
const begun = new Int32Array(data.begun);
const parts = createParts(data.setup, ownerOf(threadId));
const walk = new ItemWalk();
let chooser = new ItemChooser(parts.views, parts.selectors);
let chooserEpoch = parts.epoch;

export default function run({ task, ticket }: TaskMessage): Result<Task> {
  Atomics.store(begun, ticket, 1);
  try {
    switch (task.kind) {
      case 'observe':
        return observe(parts, walk, task);
      case 'select':
        followPolicy(parts);
        if (chooserEpoch !== parts.epoch) {
          chooser = new ItemChooser(parts.views, parts.selectors);
          chooserEpoch = parts.epoch;
        }
        return select(parts, chooser, task);
      case 'note':
        return note(parts, task);
      case 'recall':
        followPolicy(parts);
        return recall(parts, task);
      case 'encode':
        return encode(parts, task);
      case 'shrink':
        return { heapBytes: shrinkHeap() };
    }
  } catch (error) {
    parts.output.discard();
    parts.measureOutput.discard();
    walk.tainted = false;
    return failure(task, error);
  }
}

function failure(task: Task, error: unknown): Result<Task> {
  const code = error instanceof AgentError ? error.code : 'WORKER_DIED';
  const failed = { code, message: messageOf(error) };
  switch (task.kind) {
    case 'observe':
      return { moved: [], refused: [], measured: null, failed };
    case 'select':
    case 'note':
    case 'recall':
      return { block: -1, selected: [], filtered: [], sampledOut: [], failed };
    case 'encode':
      return { parts: [], blocks: [], failed };
    case 'shrink':
      throw error;
  }
}
