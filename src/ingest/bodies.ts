/** Bodies while they arrive at the fast front, and their memory: reused, so that reading makes no garbage outside the heap. */
import { copyInto, UNIT_BYTES } from '../core/block.ts';
import type { Lend, LentBlock } from '../core/lentBlock.ts';
import type { Body } from './accept.ts';

const LEAST_BYTES = 4096;
/** Larger ones are made when they are needed and not kept. */
const MOST_BYTES = 4 << 20;
/** Of all that lie unused. */
const MOST_KEPT_BYTES = 32 << 20;

export class BodyMemory {
  /** By size. */
  readonly #free = new Map<number, Buffer[]>();
  #kept = 0;
  readonly #lend: Lend;

  constructor(lend: Lend = () => null) {
    this.#lend = lend;
  }

  /** For a body that would get a block of its own: that block. */
  lend(bytes: number): LentBlock | null {
    return bytes > UNIT_BYTES ? this.#lend(bytes) : null;
  }

  /** At least `bytes` bytes, and at most a quarter or 4 KiB more, with any content. */
  acquire(bytes: number): Buffer {
    if (bytes > MOST_BYTES) return Buffer.allocUnsafeSlow(bytes);
    const size = sizeFor(bytes);
    const buffer = this.#free.get(size)?.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(size);
    this.#kept -= size;
    return buffer;
  }

  /** Nobody reads it any more, and no socket writes into it. */
  release(buffer: Buffer): void {
    const size = buffer.length;
    if (size > MOST_BYTES || this.#kept + size > MOST_KEPT_BYTES) return;
    const same = this.#free.get(size);
    if (same === undefined) this.#free.set(size, [buffer]);
    else same.push(buffer);
    this.#kept += size;
  }
}

/** Four sizes between a power of two and the next. */
function sizeFor(bytes: number): number {
  const step = Math.max(LEAST_BYTES, (1 << (31 - Math.clz32(bytes))) >> 2);
  return Math.ceil(bytes / step) * step;
}

const NOTHING = Buffer.alloc(0);

/** The body of a connection's request: what came with the head, and then, if that is not all, memory of its own that the socket fills. */
export class ArrivingBody {
  readonly #memory: BodyMemory;
  readonly #readBuffer: Buffer;
  /** As announced. */
  bytes = 0;
  #arrived = 0;
  #first: Buffer = NOTHING;
  /** Where `#first` lies once it is kept. */
  #kept: Buffer | null = null;
  #own: Buffer | null = null;
  /** What `#own` lies in when it is a block. */
  #lent: LentBlock | null = null;

  /** `readBuffer` is what sockets read into where `target` has nothing better. */
  constructor(memory: BodyMemory, readBuffer: Buffer) {
    this.#memory = memory;
    this.#readBuffer = readBuffer;
  }

  get isWhole(): boolean {
    return this.#arrived === this.bytes;
  }

  /** `first`: those of the `bytes` that came with the head. */
  begin(bytes: number, first: Buffer): void {
    this.dropFirst();
    this.bytes = bytes;
    this.#arrived = first.length;
    this.#first = first;
  }

  /** What came with the head stands in memory that others read into, too: it is copied. */
  keepFirst(): void {
    this.#kept = this.#memory.acquire(this.#first.length);
    this.#first.copy(this.#kept);
    this.#first = this.#kept.subarray(0, this.#first.length);
  }

  /** What came with the head is not wanted. */
  dropFirst(): void {
    if (this.#kept !== null) this.#memory.release(this.#kept);
    this.#kept = null;
    this.#first = NOTHING;
  }

  /** From now on what comes is kept. */
  collect(): void {
    this.#lent = this.#memory.lend(this.bytes);
    this.#own = this.#lent?.payload ?? this.#memory.acquire(this.bytes);
    copyInto(this.#own, 0, this.#first);
    this.dropFirst();
  }

  /** Where the socket's next read goes. */
  target(): Uint8Array {
    return this.#own === null || this.isWhole ? this.#readBuffer : this.#own.subarray(this.#arrived, this.bytes);
  }

  /** Takes a read of `length` bytes into `buffer`, a target; answers how many of them are the body's. */
  take(length: number, buffer: Uint8Array): number {
    const taken = Math.min(length, this.bytes - this.#arrived);
    if (buffer === this.#readBuffer && this.#own !== null) this.#readBuffer.copy(this.#own, this.#arrived, 0, taken);
    this.#arrived += taken;
    return taken;
  }

  /** The whole body; valid until it is freed, or, when it came with its head, until the next read. */
  view(): Body {
    return { chunks: [this.#own?.subarray(0, this.bytes) ?? this.#first], bytes: this.bytes, lent: this.#lent };
  }

  /** Of a whole body alone: into another one the socket may still write, and it is the garbage collector that knows when it does not. */
  free(): void {
    if (this.#lent !== null) this.#lent.giveBack();
    else if (this.#own !== null) this.#memory.release(this.#own);
    this.#lent = null;
    this.#own = null;
    this.dropFirst();
  }

  /** The socket is closed and writes nothing any more. */
  abandon(): void {
    this.#lent?.giveBack();
  }
}
