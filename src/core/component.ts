/** What a component is: a folder that exports one definition, from which validation, schema, docs, tests and wiring follow. */
import type { Logger } from 'pino';
import type { TObject } from 'typebox';
import type { BlockPool, Signal, Stream } from './block.ts';

/** What both kinds of component say of themselves. `type` is the folder's name, the YAML `type` and the metric label. */
export interface ComponentWords {
  type: string;
  /** One sentence for docs and schema. */
  summary: string;
  /** Keys beside `type` (and, for sinks, beside those every sink takes); every key has a description and, if optional, a default. */
  config: TObject;
  /** What is wrong between keys that are sound each, in words, or null. */
  fault?(config: unknown): string | null;
}

// ---------------------------------------------------------------------------------------------------------------- sinks

/** A range of pool memory that a sink sends as one thing: a Kafka record's value, or a piece of a file. */
export interface Part {
  /** Address and length in the pool. Valid until the batch is released; copy to keep. */
  at: number;
  length: number;
  /** First and last frame sequence inside; the same for sinks that never join frames. */
  sequence: number;
  lastSequence: number;
  /** 0 when the frame is whole; 1, 2, ... when one frame was split, in an order that a retry repeats. */
  part: number;
  /** Where a refused part was cut further: `.1`, `.2.1`, ..., in an order that a retry repeats. Missing otherwise. */
  division?: string;
  items: number;
  /** Grouping key as the sink defines it (Kafka: the record's key), or null. */
  key: string | null;
  /** Where it goes (Kafka: the topic), when that depends on the data. Missing otherwise. */
  destination?: string;
}

/** Memory that an encoder writes to. Blocks taken here belong to the task's result; a throw gives them all back. */
export interface Output {
  readonly pool: BlockPool;
  /** Address of `bytes` of fresh memory, 8-aligned; throws OVERLOADED (retryable) when the pool is empty. */
  allocate(bytes: number): number;
}

/** The pure half of a sink: runs in a worker, synchronous, no I/O, no clock. */
export interface Encoder {
  /** Most bytes that are written at once, a single part excepted; no bound when it is left out. */
  mostBytes?: number;
  /** The part for a frame that leaves as it lies in memory, or null when `encode` has to make it. Runs on main. */
  direct(pool: BlockPool, frame: number): Part | null;
  /** Parts of these frames (addresses of headers; all of one stream and signal, ascending sequence), in order. */
  encode(pool: BlockPool, frames: readonly number[], stream: Stream, signal: Signal, out: Output): Part[];
}

/** One (sink, stream, signal): what a cursor belongs to. */
export interface Row {
  readonly stream: Stream;
  readonly signal: Signal;
}

export interface Batch {
  row: Row;
  parts: Part[];
  /** Receive time of the batch's first frame, Unix milliseconds. */
  receivedMs: number;
  bytes: number;
}

/** What became of a batch. A writer never throws: what it throws is treated as `retry`. */
export type WriteResult =
  /** Every part is safe at the destination. */
  | { kind: 'delivered' }
  /** The bytes are taken (the memory may be released) but not yet safe; `confirm` follows, or `rewind`. */
  | { kind: 'held' }
  /** Not now; the whole batch comes again. */
  | { kind: 'retry'; error: string; afterMs?: number }
  /**
   * These parts (by index) are refused for good, the others are delivered. `divide`: the parts are export requests, and fewer of them,
   * or smaller ones, may be taken: they come again in halves, down to one item.
   */
  | { kind: 'refused'; parts: number[]; reason: string; divide?: boolean }
  /** Delivered but for so many items, and the destination did not say which. */
  | { kind: 'partial'; items: number; reason: string };

/** The half of a sink that does I/O; lives on main (kafka puts its client on a thread of its own). */
export interface Writer {
  write(batch: Batch): Promise<WriteResult>;
  /**
   * For writers that hold: called once before the first frame of a row is written (at start and after a rewind). Returns the last
   * sequence that the destination already has when it holds a finished piece beginning with this frame, else null.
   */
  resume?(row: Row, firstSequence: number, receivedMs: number): Promise<number | null>;
  /** For writers that hold: completes what is held of the row before its time, since the journal waits for it. Never rejects. */
  finish?(row: Row): Promise<void>;
  /** Completes what is held, waits for what is in flight, frees everything. After `deadlineMs` (Unix) it gives up and returns. */
  close(deadlineMs: number): Promise<void>;
}

/** What a writer is given. */
export interface SinkContext {
  /** The sink's name, and `{agent.id}-{journal id}` for headers and file names. */
  name: string;
  agent: string;
  pool: BlockPool;
  log: Logger;
  /** Everything of the row up to and including `lastSequence` is safe. */
  confirm(row: Row, lastSequence: number): void;
  /** A folder of the sink's own below agent.data_dir, for what has to outlive the process; it may not exist yet. */
  directory: string;
  /** Held data cannot get to where it is safe now; the writer goes on trying, and `confirm` says when it got there. */
  fail(row: Row, error: string): void;
  /** Held data was lost (disk full, rename failed): read the row again from its cursor. */
  rewind(row: Row, error: string): void;
  now(): number;
}

export interface SinkDefinition extends ComponentWords {
  /** Streams this sink can take, and whether `subscribe` is a list of streams or a map from stream to destination. */
  subscribe: 'list' | 'map';
  /** Most batches of one row in flight at once; 1 keeps order. */
  concurrency: number;
  /** Bytes of frames the deliverer should collect into one batch, at most. */
  batchBytes: number;
  encoder(config: unknown): Encoder;
  /** It writes files named after the agent, and takes those it finds for its own: two writers must not have one name. */
  namesFiles?: boolean;
  /** Loads the I/O half; never called in a worker. Must not wait for the destination: that is `write`'s business. */
  open(config: unknown, context: SinkContext): Promise<Writer>;
}

// ------------------------------------------------------------------------------------------------------ frames for sinks

/** Some frames of one row, read from a journal. */
export interface FrameBatch {
  /** Addresses of headers in the pool, ascending sequence. May be empty when only other rows' frames were passed. */
  frames: number[];
  /** The sequence to read on from. */
  next: number;
  /** Items of damaged records that were passed, when known from the running totals around them. */
  damaged: number;
  /** Items that were cut out of the frames, or went with whole ones: `filter` with `streams: [raw]`. */
  filtered: number;
  /** Of the blocks that it keeps until it is released; others may keep the same ones. */
  blockBytes: number;
  /** Gives the memory back; call exactly once. */
  release(): void;
}

/** A run of frames of all rows, read from a journal. */
export interface FrameRun {
  /** Addresses of headers, ascending sequence. May be empty when only damage was passed. */
  frames: number[];
  /** The sequence to read on from. */
  next: number;
  /** Items of stream `raw` in damaged records that were passed, by signal index. */
  damaged: readonly number[];
  release(): void;
}

/** A journal as its readers see it. */
export interface FrameSource {
  /** The next sequence that will be given; everything below is durable and readable. */
  readonly head: number;
  /** Items of the stream and signal ever appended. */
  total(stream: Stream, signal: Signal): number;
  /**
   * Frames with sequence >= `from`, about `maxBytes` of them; null when there is none yet. `total`: items of the row that are known to
   * lie before `from`, so that damage there is not counted again.
   */
  read(from: number, row: Row, maxBytes: number, total: number): Promise<FrameBatch | null>;
  /**
   * Resolves when there is a frame of the row at `from` or behind, or when the source closes. Until then `pass` is told of each place before which
   * there is none, and answers whether it still waits.
   */
  arrival(row: Row, from: number, pass: (next: number) => boolean): Promise<void>;
  /** `reader` has what is below `next`. What somebody who follows has still to read stays in memory, as far as the source's bound goes. */
  follow(reader: object, next: number): void;
  /** `reader` reads no more. */
  leave(reader: object): void;
}

/** What is remembered durably of one row; the owner of the table saves it. All counts are items since the journal's creation. */
export interface CursorRow {
  /** First sequence not yet confirmed. */
  next: number;
  /** Running total of the row when the subscription was added: `offered` counts from here. */
  offeredFrom: number;
  /** Stream `sampled`: what the selection had filtered and sampled out by then. */
  filteredFrom: number;
  sampledOutFrom: number;
  /** Stream `sampled`: what had been lost before the selection read it, by damage and by expiry. */
  damagedFrom: number;
  expiredFrom: number;
  delivered: number;
  /** Stream `raw`: what a `filter` dropped on the way here. */
  filtered: number;
  deadLettered: number;
  expired: number;
  damaged: number;
}
