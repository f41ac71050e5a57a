/** Builds the worker pool, and the intake that feeds it. */
import { createHash } from 'node:crypto';
import { PAGE_BYTES } from '../core/block.ts';
import { messageOf } from '../core/errors.ts';
import { workerCount } from '../core/resources.ts';
import { bytesOf } from '../core/units.ts';
import type { TraceTableHandle } from '../processors/processor.ts';
import { processors } from '../processors/registry.ts';
import { shrinkHeap } from '../worker/garbage.ts';
import { Intake } from '../worker/intake.ts';
import type { Observers } from '../worker/observers.ts';
import { WorkerPool } from '../worker/pool.ts';
import type { Shortlists } from '../worker/shortlists.ts';
import { UNLIMITED_BYTES } from '../worker/walk.ts';
import type { Ground } from './ground.ts';
import type { Store } from './store.ts';

/** How long after a refused append the agent says that it is not ready. */
const TROUBLE_MS = 5000;

/** Their threads start now; `ready` says when they have. */
export function createWorkers(ground: Ground, traces: TraceTableHandle | null, policy: SharedArrayBuffer): WorkerPool {
  const { config, pool, telemetry, log } = ground;
  const itemSize = config.ingest.http.max_item_size;
  const setup = {
    pool: pool.handle,
    policy,
    traces,
    sinks: config.sinks.map((one) => ({ type: one.type, config: one })),
    maxBodyBytes: bytesOf(config.ingest.http.max_request_body_size),
    maxItemBytes: itemSize === 'none' ? UNLIMITED_BYTES : bytesOf(itemSize),
  };
  const onRestart = () => {
    telemetry.workerRestarts.inc();
    log.error('a worker thread died and was replaced; its requests run again one by one');
  };
  // Main gives its own garbage back when the threads have given back theirs.
  const workers = new WorkerPool(workerCount(config.agent.workers), pool, setup, onRestart, { onRest: shrinkHeap });
  ground.undo.push(() => workers.close());
  return workers;
}

export function createIntake(
  ground: Ground,
  store: Store,
  workers: WorkerPool,
  observers: Observers,
  shortlists: Shortlists | undefined,
): Intake {
  const { pool, log, trouble, now, telemetry } = ground;
  let forget: NodeJS.Timeout | undefined;
  return new Intake({
    blocks: pool,
    workers,
    editing: () =>
      ground.config.processors.some(({ type }) => processors.find((one) => one.type === type)?.kind === 'editor'),
    async append(region) {
      try {
        await store.intake.append(region);
        trouble.delete('journal');
      } catch (error) {
        trouble.set('journal', messageOf(error));
        // Without a request nobody would learn that there is room again: the next one is to try.
        clearTimeout(forget);
        forget = setTimeout(() => trouble.delete('journal'), TROUBLE_MS).unref();
        throw error;
      }
    },
    // The journal writes whole pages, behind a segment's header.
    mostRegionBytes: (Math.floor(bytesOf(ground.config.journal.segment_size) / PAGE_BYTES) - 1) * PAGE_BYTES,
    merge: (measured, receivedMs, first, next) => observers.merge(measured, receivedMs, first, next),
    onMergeFault(message) {
      telemetry.measureFaults.inc();
      log.error(`committed frames could not be measured: ${message}`);
    },
    onPoison(message, body) {
      // It finds the request again in a capture without telemetry being written into a log.
      const sha256 = createHash('sha256').update(body).digest('hex');
      log.error({ bytes: body.length, sha256 }, `a request that no worker survives was answered 500: ${message}`);
      store.intake.quarantine(`request-${sha256.slice(0, 16)}`, body);
    },
    shortlists,
    now,
  });
}
