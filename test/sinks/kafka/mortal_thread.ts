/** Stands in for the client's thread: dies of the first batch it gets, then, started again, delivers every one. */
import { parentPort, workerData } from 'node:worker_threads';
import type { ThreadSettings, ToThread } from '../../../src/sinks/kafka/messages.ts';

const { pool } = workerData as ThreadSettings;
// The last byte of the pool survives the thread.
const lives = Buffer.from(pool.memory).subarray(-1);

parentPort?.on('message', (message: ToThread) => {
  if (message.kind === 'close') process.exit();
  if (lives[0] === 0) {
    lives[0] = 1;
    throw new Error('out of memory');
  }
  parentPort?.postMessage({ kind: 'answer', id: message.id, result: { kind: 'delivered' }, delivered: [] });
});
