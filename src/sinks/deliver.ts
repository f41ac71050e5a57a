/** Brings frames to one sink: opens its writer, runs a row per stream and signal, says how it goes. The rows do the work: row.ts. */
import type { Logger } from 'pino';
import type { BlockPool, Signal, Stream } from '../core/block.ts';
import type { CursorRow, FrameSource, Row, SinkContext, SinkDefinition, Writer } from '../core/component.ts';
import { messageOf } from '../core/errors.ts';
import type { Telemetry } from '../core/telemetry.ts';
import { Room } from './lease.ts';
import { LetterBound, type LetterLimits } from './letterBound.ts';
import type { BuriedLetter } from './letters.ts';
import type { EncodeTask } from './parts.ts';
import { expireCursor, passedOf } from './progress.ts';
import { backoffMs, type Retry, type RowState, sleep, stateOf } from './retry.ts';
import { DeliveryRow } from './row.ts';

/** A batch for each group that the journal commits would cost more than it carries. */
const GATHER_MS = 25;

/** Which signals a stream can hold. */
export const SIGNALS_OF: Record<Stream, readonly Signal[]> = {
  raw: ['traces', 'metrics', 'logs'],
  sampled: ['traces', 'metrics', 'logs'],
  summaries: ['metrics'],
  events: ['logs'],
};

export interface DeliveryOptions {
  definition: SinkDefinition;
  /** The sink's name, and `{agent.id}-{journal id}`. */
  name: string;
  agent: string;
  /** The sink's validated section of agent.yaml. */
  config: unknown;
  pool: BlockPool;
  streams: readonly Stream[];
  source(stream: Stream): FrameSource;
  /** The row's durable counts; they are changed in place. */
  cursor(row: Row): CursorRow;
  /** Called after a cursor changed: its owner saves it some time. `damaged`: items that were lost on the way there. */
  changed?(row: Row, damaged: number): void;
  /** The sink's encoder in a worker. */
  encode: EncodeTask;
  retry: Retry;
  timeoutMs: number;
  /** Batches of one row in flight; default: the definition's. */
  concurrency?: number;
  /** Blocks that its batches may keep, beyond one batch of each row. */
  mostBlockBytes: number;
  /** How long what comes is gathered when a row has read all there was; default GATHER_MS. */
  gatherMs?: number;
  /** The sink's own folder below agent.data_dir. */
  directory: string;
  /** Directory of what the destination refuses for good; null drops it, counted. */
  deadLetter: string | null;
  letterLimits: LetterLimits;
  /** Dead letters were deleted for their bound: they are lost. */
  lettersDeleted?(said: Row & { sink: string; items: number }): void;
  telemetry: Telemetry;
  log: Logger;
  now(): number;
}

export interface DeliveryState {
  state: RowState['state'];
  error: string | null;
  lagItems: number;
  lagMs: number;
  rows: RowState[];
}

export interface Delivery {
  /** Returns at once; a writer that cannot be opened is tried again. */
  start(): void;
  /** Resolves when everything readable was sent once, or at the deadline (Unix milliseconds). */
  drain(deadlineMs: number): Promise<void>;
  /** Stops reading, waits for what is in flight until the deadline (Unix milliseconds), closes the writer. */
  close(deadlineMs: number): Promise<void>;
  /** Gives up what the row has not sent below `next`, where its running total is `total`; returns the items. */
  expire(row: Row, next: number, total: number): number;
  /** Has the writer complete what it holds of a row that has read everything; another one's comes to its end soon. */
  finish(row: Row): Promise<void>;
  /** How it goes; refreshes the lag metrics, too. */
  state(): DeliveryState;
}

/** Counted from 0 on: what first appears at 7 is no increase for whoever asks Prometheus for one. */
const OUTCOMES = ['delivered', 'dead_lettered', 'damaged', 'expired'] as const;

export function createDelivery(options: DeliveryOptions): Delivery {
  for (const stream of options.streams)
    for (const signal of SIGNALS_OF[stream])
      for (const outcome of OUTCOMES)
        options.telemetry.sinkItems.inc({ sink: options.name, stream, signal, outcome }, 0);
  const stop = new AbortController();
  const letters = boundLetters(options);
  let writer: Writer | null = null;
  let rows: DeliveryRow[] = [];
  let openError: string | null = null;
  let opening: Promise<void> = Promise.resolve();
  let failingSinceMs = 0;

  const find = (row: Row) => rows.find((one) => one.row.stream === row.stream && one.row.signal === row.signal);
  const context: SinkContext = {
    name: options.name,
    agent: options.agent,
    pool: options.pool,
    directory: options.directory,
    log: options.log,
    fail: (row, error) => find(row)?.fail(error),
    confirm: (row, lastSequence) => find(row)?.confirm(lastSequence),
    rewind: (row, error) => find(row)?.rewind(error),
    now: options.now,
  };

  async function open(): Promise<void> {
    for (let attempt = 0; !stop.signal.aborted; attempt++) {
      try {
        const opened = await options.definition.open(options.config, context);
        openError = null;
        writer = opened;
        rows = createRows(options, opened, letters);
        for (const row of rows) void row.run();
        return;
      } catch (error) {
        if (openError === null) failingSinceMs = options.now();
        openError = messageOf(error);
        await sleep(backoffMs(options.retry, attempt), stop.signal);
      }
    }
  }

  return {
    start: () => {
      opening = open();
    },
    drain: (deadlineMs) => {
      const drained = opening.then(() => Promise.all(rows.map((row) => row.drained())));
      return before(deadlineMs, options.now(), drained);
    },
    async close(deadlineMs) {
      stop.abort();
      await opening;
      for (const row of rows) row.stopReading();
      await before(deadlineMs, options.now(), Promise.all(rows.map((row) => row.settled())));
      if (letters !== null) await before(deadlineMs, options.now(), letters.sweep());
      if (writer !== null) await before(deadlineMs, options.now(), writer.close(deadlineMs));
    },
    expire: (row, next, total) =>
      find(row)?.expire(next, total) ?? Math.max(0, expireCursor(options.cursor(row), next, total)),
    finish: async (row) => find(row)?.finish(),
    state: () => {
      const found = rows.map((row) => row.state());
      if (openError !== null) found.push(...unopened(openError, options.now() - failingSinceMs, options));
      const summed = sumOf(found);
      options.telemetry.sinkLagItems.set({ sink: options.name }, summed.lagItems);
      options.telemetry.sinkLagSeconds.set({ sink: options.name }, summed.lagMs / 1000);
      return summed;
    },
  };
}

/** Dead letters within their bound; what is deleted was dead-lettered and is given up now. Letters of others are told of, not counted. */
function boundLetters(options: DeliveryOptions): LetterBound | null {
  const { deadLetter, letterLimits, log, now } = options;
  if (deadLetter === null) return null;
  const isOwn = ({ agent, sink, stream }: BuriedLetter['said']) =>
    agent === options.agent && sink === options.name && options.streams.includes(stream);
  return new LetterBound({
    directory: deadLetter,
    limits: letterLimits,
    log,
    now,
    mayDelete: ({ said, sequence }) => !isOwn(said) || sequence < options.cursor(said).next,
    deleted(said) {
      const { sink, stream, signal } = said;
      const row = { stream, signal };
      const items = said.rejected ?? said.items;
      options.lettersDeleted?.({ ...row, sink, items });
      if (!isOwn(said)) return;
      const cursor = options.cursor(row);
      const counted = Math.min(items, cursor.deadLettered);
      cursor.deadLettered -= counted;
      cursor.expired += counted;
      options.telemetry.sinkItems.inc({ sink, ...row, outcome: 'expired' }, counted);
      options.changed?.(row, 0);
    },
  });
}

function createRows(options: DeliveryOptions, writer: Writer, letters: LetterBound | null): DeliveryRow[] {
  const { definition } = options;
  const settings = {
    ...options,
    encoder: definition.encoder(options.config),
    letters,
    room: new Room(options.mostBlockBytes),
    batchBytes: definition.batchBytes,
    concurrency: options.concurrency ?? definition.concurrency,
    gatherMs: options.gatherMs ?? GATHER_MS,
    changed: (row: Row, damaged: number) => {
      options.changed?.(row, damaged);
      // Now that what was buried is counted.
      void letters?.sweep();
    },
  };
  return options.streams.flatMap((stream) =>
    SIGNALS_OF[stream].map((signal) => {
      const row = { stream, signal };
      return new DeliveryRow(row, options.cursor(row), options.source(stream), writer, settings);
    }),
  );
}

/** What waits is not read yet: it is at least as old as the failure when there is any. */
function unopened(error: string, forMs: number, { streams, source, cursor }: DeliveryOptions): RowState[] {
  return streams.flatMap((stream) =>
    SIGNALS_OF[stream].map((signal) => {
      const row = { stream, signal };
      const lagItems = Math.max(0, source(stream).total(stream, signal) - passedOf(cursor(row)));
      return { row, state: stateOf(error, forMs), error, lagItems, lagMs: lagItems === 0 ? 0 : forMs };
    }),
  );
}

/** The worst row's state and words. */
function sumOf(rows: RowState[]): DeliveryState {
  const worst = rows.find(({ state }) => state === 'stalled') ?? rows.find(({ state }) => state === 'retrying');
  return {
    state: worst?.state ?? 'ok',
    error: worst?.error ?? null,
    lagItems: rows.reduce((sum, row) => sum + row.lagItems, 0),
    lagMs: rows.reduce((most, row) => Math.max(most, row.lagMs), 0),
    rows,
  };
}

/** Waits for the promise, at most until the deadline. */
async function before(deadlineMs: number, nowMs: number, promise: Promise<unknown>): Promise<void> {
  const deadline = new AbortController();
  const timer = sleep(Math.max(0, deadlineMs - nowMs), deadline.signal);
  await Promise.race([promise, timer]);
  deadline.abort();
}
