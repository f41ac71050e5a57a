/** Decisions of the selection that are not yet safe: what was kept and how much was lost, until the derived journal has them. */
import {
  type BlockPool,
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  SIGNALS,
  type Signal,
  startFrame,
  writeU64,
} from '../core/block.ts';
import { AgentError } from '../core/errors.ts';
import { sealPayload } from '../journal/format.ts';
import { copyRange } from '../otlp/protobuf.ts';
import type { Guard } from './guard.ts';
import type { SelectionProgress } from './progress.ts';
import type { Selected, SelectResult } from './tasks.ts';

/** A run of frames that was decided, and the items of it, by signal index, that could not be. */
export interface Decided {
  result: SelectResult;
  damaged: readonly number[];
  /** Of them, what whoever decided has told of. */
  told?: readonly number[];
  /** Of the first frame. */
  receivedMs: number;
}

/** Items were lost: by damage of the journal, or in a frame, at this address, that no worker survives. */
export type OnLoss = (signal: Signal, items: number, poison: { frame: number; message: string } | null) => void;

/** A frame of more is cut for Kafka, whose messages are a million bytes unless it says otherwise. */
const MOST_BYTES = 900_000;

export class Pending {
  bytes = 0;
  sinceMs = 0;
  readonly #blocks: BlockPool;
  readonly #guard: Guard | null;
  readonly #onLoss: OnLoss;
  #decided: Decided[] = [];

  constructor(blocks: BlockPool, guard: Guard | null = null, onLoss: OnLoss = () => {}) {
    this.#blocks = blocks;
    this.#guard = guard;
    this.#onLoss = onLoss;
  }

  get isEmpty(): boolean {
    return this.#decided.length === 0;
  }

  add(decided: Decided, nowMs: number): void {
    if (this.isEmpty) this.sinceMs = nowMs;
    this.#guard?.check(decided.result, decided.receivedMs);
    this.#decided.push(decided);
    for (const { length } of decided.result.selected) this.bytes += length;
  }

  /** Whether one frame still holds them, too, without being larger than what sinks send in one piece. */
  fits(more: readonly Decided[]): boolean {
    return (
      this.isEmpty || this.bytes + more.reduce((sum, { result }) => sum + lengthOf(result.selected), 0) <= MOST_BYTES
    );
  }

  /** Forgets everything. */
  drop(): void {
    dropResults(this.#blocks, this.#decided);
    this.#decided = [];
    this.bytes = 0;
    this.#guard?.rollback();
  }

  /** Appends one frame for each signal; then, and only then, `progress` moves to `covers` (by signal index) and everything here is forgotten. */
  async flush(
    progress: SelectionProgress,
    covers: readonly number[],
    nowMs: number,
    append: (region: { first: number; end: number }) => Promise<void>,
  ): Promise<void> {
    const filtered = this.#sum(progress.filtered, ({ result }, i) => result.filtered[i] as number);
    const sampledOut = this.#sum(progress.sampledOut, ({ result }, i) => result.sampledOut[i] as number);
    const damaged = this.#sum(progress.damaged, (one, i) => one.damaged[i] as number);
    const kept = SIGNALS.map((signal) =>
      this.#decided.flatMap(({ result }) => result.selected.filter((one) => one.signal === signal)),
    );
    const frames = kept.filter((parts) => parts.length > 0);
    if (frames.length > 0) await this.#append(frames, covers, filtered, nowMs, append);
    for (let i = 0; i < SIGNALS.length; i++) {
      progress.next[i] = covers[i] as number;
      progress.filtered[i] = filtered[i] as number;
      progress.sampledOut[i] = sampledOut[i] as number;
      progress.damaged[i] = damaged[i] as number;
      progress.kept[i] = (progress.kept[i] as number) + itemsOf(kept[i] as Selected[]);
    }
    this.#guard?.commit();
    const decided = this.#decided;
    this.drop();
    // Not before it is counted: until then the same frames may come again.
    for (const [i, signal] of SIGNALS.entries()) {
      const items = decided.reduce((sum, { damaged, told }) => sum + (damaged[i] as number) - (told?.[i] ?? 0), 0);
      if (items > 0) this.#onLoss(signal, items, null);
    }
  }

  #sum(before: readonly number[], of: (decided: Decided, signal: number) => number): number[] {
    return before.map((items, i) => this.#decided.reduce((sum, decided) => sum + of(decided, i), items));
  }

  async #append(
    frames: Selected[][],
    covers: readonly number[],
    filtered: readonly number[],
    nowMs: number,
    append: (region: { first: number; end: number }) => Promise<void>,
  ): Promise<void> {
    const bytes = frames.reduce((sum, parts) => sum + frameSpan(lengthOf(parts)), 0);
    const block = this.#blocks.allocate(bytes);
    if (block < 0) {
      const message = 'no free block for what was selected: raise agent.memory_limit';
      throw new AgentError('OVERLOADED', message, { retryable: true });
    }
    try {
      let end = block;
      for (const parts of frames) end = this.#writeFrame(end, parts, covers, filtered, nowMs);
      await append({ first: block, end });
    } finally {
      this.#blocks.release(block);
    }
  }

  #writeFrame(
    at: number,
    parts: readonly Selected[],
    covers: readonly number[],
    filtered: readonly number[],
    nowMs: number,
  ): number {
    const blocks = this.#blocks;
    const [first] = parts as [Selected];
    const bytes = lengthOf(parts);
    startFrame(blocks, at, 'sampled', first.signal, nowMs, bytes);
    let to = at + FRAME_HEADER_BYTES;
    for (const part of parts) to = copyRange(blocks.bytes, part.at, part.at + part.length, to);
    blocks.words[(at + Field.items) >>> 2] = itemsOf(parts);
    const signal = SIGNALS.indexOf(first.signal);
    writeU64(blocks, at + Field.covers, covers[signal] as number);
    writeU64(blocks, at + Field.filtered, filtered[signal] as number);
    sealPayload(blocks, at);
    return at + frameSpan(bytes);
  }
}

/** What the workers wrote is given back. */
export function dropResults(blocks: BlockPool, decided: readonly Decided[]): void {
  for (const { result } of decided) if (result.block >= 0) blocks.release(result.block);
}

function itemsOf(parts: readonly Selected[]): number {
  return parts.reduce((items, part) => items + part.items, 0);
}

function lengthOf(parts: readonly Selected[]): number {
  return parts.reduce((bytes, part) => bytes + part.length, 0);
}
