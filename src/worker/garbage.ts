/** Gives memory back now: collections on demand. */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'regular' | 'last-resort' }) => void;

/** V8 has no other way to a collection than this flag, which a context made after it sees. Half a millisecond, and nothing is kept. */
function collector(): Collect {
  setFlagsFromString('--expose-gc');
  // What the flag puts there.
  return runInNewContext('gc') as Collect;
}

/** A full collection of this thread's heap: some milliseconds, for the rare moment when much has become garbage at once. */
export function collectGarbage(): void {
  collector()({ type: 'major', execution: 'sync', flavor: 'regular' });
}

/**
 * Collects until nothing more is found, shrinks the young generation to its least size and drops code that has not run lately: 30 to 60 ms,
 * for the moment when a thread has started and what that took is not needed again. Returns the bytes of memory that the heap still has.
 */
export function shrinkHeap(): number {
  collector()({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  return getHeapStatistics().total_physical_size;
}
