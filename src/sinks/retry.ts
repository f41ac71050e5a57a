/** Failing and waiting: what it is called, how long before the next attempt, and sleeps that a rewind or a close cuts short. */
import type { Row } from '../core/component.ts';

export interface Retry {
  initialMs: number;
  maxMs: number;
}

/** How a row goes. */
export interface RowState {
  row: Row;
  state: 'ok' | 'retrying' | 'stalled';
  error: string | null;
  lagItems: number;
  /** Age of the oldest frame that was read and is not yet safe. */
  lagMs: number;
}

const STALLED_AFTER_MS = 60_000;

/** What a failure is called that lasts so long without progress. */
export function stateOf(error: string | null, forMs: number): RowState['state'] {
  if (error === null) return 'ok';
  return forMs >= STALLED_AFTER_MS ? 'stalled' : 'retrying';
}

/** Exponential with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ */
export function backoffMs(retry: Retry, attempt: number): number {
  // 2 ** 30 times one millisecond is over any maximum; beyond it the power would leave what timers take.
  return Math.random() * Math.min(retry.maxMs, retry.initialMs * 2 ** Math.min(attempt, 30));
}

/** Resolves after `ms`, or as soon as the signal is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}

/** Resolves when the promise does or the signal is aborted; rejects as the promise does. */
export function until(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve, reject) => {
    // Taken off again either way: the signal outlives thousands of these.
    const stop = () => resolve();
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
