/** A journal in memory for tests of sinks: gives frames in pool memory as the real one does, and wipes that memory when it is given back. */
import {
  type BlockPool,
  copyInto,
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  type Signal,
  type Stream,
  startFrame,
  writeU64,
} from '../../src/core/block.ts';
import type { FrameBatch, FrameSource, Row } from '../../src/core/component.ts';

interface Stored extends Row {
  sequence: number;
  payload: Uint8Array;
  items: number;
  receivedMs: number;
}

export class MemorySource implements FrameSource {
  head = 0;
  /** Batches that were given and not yet released. */
  lent = 0;
  reads = 0;
  /** Thrown by the next read. */
  failure: Error | null = null;
  /** Where each reader says that it goes on. */
  readonly followers = new Map<object, number>();
  readonly #pool: BlockPool;
  readonly #frames: Stored[] = [];
  #moved = Promise.withResolvers<void>();

  constructor(pool: BlockPool) {
    this.#pool = pool;
  }

  append(stream: Stream, signal: Signal, payload: Uint8Array, items = 1, receivedMs = Date.now()): number {
    const sequence = this.head++;
    this.#frames.push({ stream, signal, sequence, payload, items, receivedMs });
    this.#moved.resolve();
    this.#moved = Promise.withResolvers();
    return sequence;
  }

  /** Drops what nobody will read again; it stays counted. */
  forget(below: number): void {
    for (let i = below - 1; i >= 0; i--) {
      const frame = this.#frames[i] as Stored;
      if (frame.payload.length === 0) return;
      frame.payload = new Uint8Array(0);
    }
  }

  total(stream: Stream, signal: Signal): number {
    const own = this.#frames.filter((frame) => frame.stream === stream && frame.signal === signal);
    return own.reduce((sum, frame) => sum + frame.items, 0);
  }

  #has({ stream, signal }: Row, from: number): boolean {
    return this.#frames.some((one) => one.sequence >= from && one.stream === stream && one.signal === signal);
  }

  async arrival(row: Row, from: number, pass: (next: number) => boolean): Promise<void> {
    for (let next = from; !this.#has(row, from); ) {
      if (this.head > next) {
        next = this.head;
        if (!pass(next)) return;
      }
      await this.#moved.promise;
    }
  }

  follow(reader: object, next: number): void {
    this.followers.set(reader, next);
  }

  leave(reader: object): void {
    this.followers.delete(reader);
  }

  async read(from: number, row: Row, maxBytes: number): Promise<FrameBatch | null> {
    this.reads++;
    if (this.failure !== null) {
      const { failure } = this;
      this.failure = null;
      throw failure;
    }
    if (!this.#has(row, from)) return null;
    const chosen: Stored[] = [];
    let bytes = 0;
    let next = from;
    for (; next < this.head; next++) {
      const frame = this.#frames[next] as Stored;
      if (frame.stream !== row.stream || frame.signal !== row.signal) continue;
      const span = frameSpan(frame.payload.length);
      if (chosen.length > 0 && bytes + span > maxBytes) break;
      chosen.push(frame);
      bytes += span;
    }
    this.lent++;
    const block = bytes === 0 ? -1 : this.#pool.allocate(bytes);
    let at = block;
    const frames = chosen.map((frame) => {
      const here = at;
      writeFrame(this.#pool, here, frame);
      at += frameSpan(frame.payload.length);
      return here;
    });
    let isReleased = false;
    const release = () => {
      if (isReleased) throw new Error('released twice');
      isReleased = true;
      this.lent--;
      if (block < 0) return;
      this.#pool.bytes.fill(0xff, block, block + bytes);
      this.#pool.release(block);
    };
    const blockBytes = block < 0 ? 0 : this.#pool.capacity(block);
    return { frames, next, damaged: 0, filtered: 0, blockBytes, release };
  }
}

export function writeFrame(pool: BlockPool, at: number, frame: Stored): void {
  startFrame(pool, at, frame.stream, frame.signal, frame.receivedMs, frame.payload.length);
  writeU64(pool, at + Field.sequence, frame.sequence);
  pool.words[(at + Field.items) >>> 2] = frame.items;
  copyInto(pool.bytes, at + FRAME_HEADER_BYTES, frame.payload);
}
