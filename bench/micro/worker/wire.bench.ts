/** A task and its result to and fro by a message port, in one thread, as numbers. */
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import type { ObserveResult, ObserveTask } from '../../../src/worker/tasks.ts';
import {
  packResult,
  packTask,
  unpackResult,
  unpackTask,
  type WireResult,
  type WireTask,
} from '../../../src/worker/wire.ts';
import type { Bench } from '../harness.ts';
import { NOW_MS } from '../world.ts';

const BLOCK = 1 << 24;

export function benches(): Bench[] {
  const frames = [0, 1, 2, 3].map((i) => BLOCK + i * 65_536);
  const task: ObserveTask = {
    kind: 'observe',
    frames,
    receivedMs: NOW_MS,
    measureOnly: false,
    shortlists: { at: 2 * BLOCK, end: 2 * BLOCK + 65_536 },
  };
  const result: ObserveResult = {
    moved: [],
    refused: [],
    measured: {
      block: 3 * BLOCK,
      sections: [0, 1, 2].map((processor) => ({
        processor,
        at: 3 * BLOCK + processor * 8192,
        end: 3 * BLOCK + processor * 8192 + 8000,
      })),
    },
    shortlists: { frames, end: 2 * BLOCK + 40_000 },
  };
  const { port1, port2 } = new MessageChannel();
  const send = (message: unknown): unknown => {
    port1.postMessage(message);
    return receiveMessageOnPort(port2)?.message;
  };
  return [
    {
      name: 'worker/wire: observe, there and back',
      unit: 'task',
      items: 1000,
      run() {
        for (let i = 0; i < 1000; i++) {
          const there = unpackTask(send(packTask(task)) as WireTask);
          unpackResult(send(packResult(there, result)) as WireResult);
        }
      },
    },
  ];
}
