/**
 * Preloaded into a server (`--import`): how long its event loop is held up. At each SIGUSR2 it prints `loop_delay N P99_MS` for the time since the
 * last one, with N counting from 1. JavaScript, since what strips types would stay in the memory of each of the server's threads.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

/** Node looks that often, and counts this as part of each delay. */
const RESOLUTION_MS = 10;

if (isMainThread) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  let told = 0;
  process.on('SIGUSR2', () => {
    const p99Ms = Math.max(0, delay.percentile(99) / 1e6 - RESOLUTION_MS);
    delay.reset();
    console.log(`loop_delay ${++told} ${p99Ms.toFixed(2)}`);
  });
}
