/** What main and the workers tell each other: addresses in the pool and a few numbers, never bytes. */
import type { MessagePort } from 'node:worker_threads';
import type { Whose } from '../contracts/plan.ts';
import type { PoolHandle, Signal, Stream } from '../core/block.ts';
import type { Part } from '../core/component.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { Bits56 } from '../otlp/tracestate.ts';
import type { TraceTableHandle } from '../processors/processor.ts';
import type { PolicyHandle } from './policy.ts';

/** What a worker is started with. */
export interface WorkerSetup {
  pool: PoolHandle;
  policy: PolicyHandle;
  traces: TraceTableHandle | null;
  sinks: { type: string; config: unknown }[];
  maxBodyBytes: number;
  /** Of a span, a log record or a data point. */
  maxItemBytes: number;
}

/** A run of whole frames in one block. */
export interface Region {
  /** The block's address, for its release. */
  block: number;
  first: number;
  end: number;
}

/** Memory that a worker may write to, from `at` (8-aligned) to before `end`. */
export interface Room {
  at: number;
  end: number;
}

export interface ObserveTask {
  kind: 'observe';
  /** Addresses of the frames' headers, all in one block. */
  frames: readonly number[];
  receivedMs: number;
  /** Frames from the journal, after a restart: only measured, never changed. */
  measureOnly: boolean;
  /** Where shortlists go, when they are asked for. */
  shortlists?: Room;
}

/** A request that was refused: `index` into the task's frames. */
export interface Refusal {
  index: number;
  code: ErrorCode;
  message: string;
}

export interface ObserveResult {
  /** Frames that were inflated, converted, edited or cut: they stand here, in the order of their requests, not in the input. */
  moved: Region[];
  refused: Refusal[];
  /** What the measurers wrote, by their processors' slots; null when there was nothing to measure. */
  measured: { block: number; sections: { processor: number; at: number; end: number }[] } | null;
  /** Addresses of the frames' shortlists, by index into the task's frames (NO_SHORTLIST for those that have none), and where their memory ends. */
  shortlists?: { frames: number[]; end: number } | null;
}

export interface SelectTask {
  kind: 'select';
  frames: readonly number[];
  /** The frames are shortlists. */
  isShort?: boolean;
  /** By signal index: frames below this sequence were decided before a crash. */
  from: readonly number[];
  decided: readonly DecidedBefore[];
}

/** A look-back remembers what frames of the stream `sampled` hold. */
export interface NoteTask {
  kind: 'note';
  frames: readonly number[];
  seen: SharedArrayBuffer;
}

/** A look-back asks what of a service's items may still be added. */
export interface RecallTask {
  kind: 'recall';
  /** All of its time. */
  frames: readonly number[];
  whose: Whose;
  /** The selection has decided what lies below. */
  undecidedFrom: number;
  /** Least randomness of what is added, and that of the base share. */
  threshold: Bits56;
  base: Bits56;
  seen: SharedArrayBuffer | null;
  /** Bytes are added up, nothing is cut out. */
  weighs: boolean;
}

/** Frames from `from` to before `to`, as far as they are of the service, were decided by a look-back. */
export interface DecidedBefore {
  whose: Whose;
  from: number;
  to: number;
}

/** One signal's kept items as one export request. */
export interface Selected {
  signal: Signal;
  at: number;
  length: number;
  items: number;
}

export interface SelectResult {
  block: number;
  selected: Selected[];
  /** Items filtered and sampled out, by signal index. */
  filtered: number[];
  sampledOut: number[];
  /** Shortlists, by index into the task's frames, that do not say enough: the whole frame has to be looked at. */
  unsure?: number[];
}

/** What sinks of `raw` get of frames where a processor drops from it; all frames are of one signal. */
export interface FilterTask {
  kind: 'filter';
  frames: readonly number[];
}

export interface FilterResult {
  /** Those that lose nothing, at their address, and what is left of the others, in order; a frame of which nothing is left is missing. */
  frames: number[];
  filtered: number;
  blocks: number[];
}

export interface EncodeTask {
  kind: 'encode';
  sink: number;
  frames: readonly number[];
  stream: Stream;
  signal: Signal;
}

export interface EncodeResult {
  parts: Part[];
  blocks: number[];
}

/** Collects the thread's garbage and gives its memory back: garbage.ts. */
interface ShrinkTask {
  kind: 'shrink';
}

interface ShrinkResult {
  /** Bytes that are left of the thread's heap. */
  heapBytes: number;
}

/** What comes in the place of a result when the whole task has failed, for example because the pool was empty. */
export interface Failure {
  failed: { code: ErrorCode; message: string; retryable: boolean };
}

export type Task = ObserveTask | SelectTask | NoteTask | RecallTask | FilterTask | EncodeTask | ShrinkTask;

/** What a thread is asked to serve until it ends: tasks come and results go by the port, `words` are lane.ts's. */
export interface Serve {
  port: MessagePort;
  words: Int32Array<SharedArrayBuffer>;
}

export type Result<T extends Task> = T extends ObserveTask
  ? ObserveResult
  : T extends SelectTask | NoteTask | RecallTask
    ? SelectResult
    : T extends FilterTask
      ? FilterResult
      : T extends EncodeTask
        ? EncodeResult
        : ShrinkResult;

/** Blocks a thread allocates are marked with this, so that they can be taken back when it dies. 1 is main's. */
export function ownerOf(thread: number): number {
  return thread + 1;
}
