/** What an agent does between SIGTERM and its end: each step may wait for a client, a destination, memory or the disk, and none for ever. */
import { AgentError, messageOf } from '../core/errors.ts';
import { millisecondsOf } from '../core/units.ts';
import type { IngestServer } from '../ingest/server.ts';
import type { StatusServer } from '../status/server.ts';
import type { Intake } from '../worker/intake.ts';
import type { WorkerPool } from '../worker/pool.ts';
import type { SelectionProgress } from '../worker/progress.ts';
import type { Selection } from '../worker/selection.ts';
import type { Ground } from './ground.ts';
import { tellQueued } from './queued.ts';
import type { Reload } from './reload.ts';
import type { Running } from './sinks.ts';
import type { Store } from './store.ts';

interface Parts {
  store: Store;
  workers: WorkerPool;
  reload: Reload;
  /** It has been said that nothing is taken any more. */
  unwatch(): void;
  intake: Intake;
  selection: Selection | null;
  progress: SelectionProgress | null;
  deliveries: Running[];
  status: StatusServer;
  ingest: IngestServer;
}

/** Of the grace that clients may take to be done; the rest is for what is here already. */
const INGEST_SHARE_OF_GRACE = 0.5;
/** What the selection has begun ends in less, or waits for memory that never comes. */
const LAST_STEP_MS = 1000;
/** What is still saved when the grace is over takes no longer, unless the disk hangs. */
const SAVE_MS = 5000;

/** Resolves when everything is closed. Throws JOURNAL_SYNC_FAILED when the disk hangs. */
export async function stop(ground: Ground, parts: Parts): Promise<void> {
  const { grace } = ground.config.agent.shutdown;
  const { directory } = ground.config.journal;
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const what = `not all was saved ${SAVE_MS / 1000} s after agent.shutdown.grace (${grace})`;
    const left = 'what was answered 200 is in the journal, and some of it comes to sinks again';
    late.reject(
      new AgentError('JOURNAL_SYNC_FAILED', `${directory}: the disk hangs: ${what}: ${left}: look at the disk`),
    );
  }, millisecondsOf(grace) + SAVE_MS);
  await Promise.race([stopAll(ground, parts), late.promise]).finally(() => clearTimeout(timer));
}

/** Not ready but serving; then nothing more comes in; then all that is here goes as far as it can before the grace ends. */
async function stopAll(ground: Ground, parts: Parts): Promise<void> {
  const { now, trouble, config } = ground;
  const { store, workers, intake, selection, deliveries, status, ingest } = parts;
  const { serve_on, grace } = config.agent.shutdown;
  const graceMs = millisecondsOf(grace);
  const deadlineMs = now() + graceMs;
  parts.reload.stop();
  parts.unwatch();
  trouble.set('stopping', 'the agent is shutting down');
  ingest.startDraining();
  await after(Math.min(millisecondsOf(serve_on), graceMs));
  await ingest.close(Math.max(0, deadlineMs - now()) * INGEST_SHARE_OF_GRACE);
  await intake.drained();
  await store.memory.close();
  // It may be in a read that waits for memory, which sinks give back when they close.
  const drained = selection?.drain(store.intake.head, deadlineMs);
  await Promise.race([drained, after(deadlineMs - now())]);
  store.memory.noteStop();
  // Each by itself: one whose destination is down takes all of the grace, and the others have files to finish.
  await Promise.all(
    deliveries.map(({ delivery }) => delivery.drain(deadlineMs).then(() => delivery.close(deadlineMs))),
  );
  await Promise.race([drained, after(LAST_STEP_MS)]);
  await saveLast(ground, store);
  await status.stop();
  await workers.close();
  await store.intake.close();
  await store.derived.close();
  await store.root.close();
  tellQueued(ground, store, parts.progress, deliveries);
}

/** On a full disk, for one: what is not saved is measured or sent again by the next start, and the agent leaves as it should. */
async function saveLast({ log }: Ground, { memory }: Store): Promise<void> {
  for (const save of [() => memory.checkpoint(), () => memory.saveCursors()])
    await save().catch((error: unknown) => log.warn(`not saved, some of it is done again: ${messageOf(error)}`));
}

function after(ms: number): Promise<unknown> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)).unref());
}
