/**
 * Block and Frame: the one shared memory everything flows through, who owns a piece of it, and the header each frame has.
 *
 * All blocks lie in one shared, page-aligned memory that is handed to every thread once; from then on only addresses
 * (byte offsets into that memory) travel. A frame looks the same in a block and in a journal segment, so that a block can be
 * written to disk and read back without touching a byte of it. docs/journal-format.md describes the layout.
 *
 *   block:  | frame | frame | frame | zeros up to the next 4 KiB |
 *   frame:  | header, 80 bytes | payload: protobuf | zeros up to a multiple of 8 |
 */

import { sharedMemory } from './aligned.ts';

export const UNIT_BYTES = 1 << 20;
/** Addresses, and ends, are signed words in what workers note. */
const MOST_UNITS = 2 ** 31 / UNIT_BYTES - 1;
export const PAGE_BYTES = 4096;
export const FRAME_HEADER_BYTES = 80;
/** "PLMB" read as a little-endian word. */
export const FRAME_MAGIC = 0x424d4c50;
export const FRAME_VERSION = 1;

/** Byte offsets of the header's fields. All integers are little-endian but the last. */
export const Field = {
  magic: 0, // u32
  headerCrc: 4, // u32, CRC-32 of the bytes 8 to 79
  version: 8, // u8
  flags: 9, // u8, see Flag
  stream: 10, // u8, index into STREAMS
  signal: 11, // u8, index into SIGNALS
  epoch: 12, // u32, how often this journal was opened: tells a stale record from one that follows
  segment: 16, // u32, number of the segment it was written to: tells a recycled file's old bytes
  serviceKey: 20, // u32, hash of service.name; 0 when the frame holds several services, and in derived ones
  sequence: 24, // u64
  receivedMs: 32, // u64, Unix milliseconds
  total: 40, // u64, items of this stream and signal since the journal was created, this frame included
  covers: 48, // u64, derived journal: the intake sequence up to which this frame's stream and signal is decided
  filtered: 56, // u64, stream `sampled`: items filtered since the journal was created; `summaries`: see worker/observers.ts
  items: 64, // u32, spans, data points or log records
  payloadCrc: 68, // u32
  rejected: 72, // u32, items of the same request that were refused (partial success)
  length: 76, // u32 BIG-endian, payload bytes: header's tail and payload together are what `otlp_proto` files hold
} as const;

/** Until it is committed, a frame's `covers` and `filtered` words carry what only main and the worker tell each other. */
export const Uncommitted = {
  encoding: 48, // u32, bits of Encoding: how the request's body came
  warned: 52, // u32, what the client is warned of: exemplars that were cut out, log records kept as without a trace
} as const;

export const Encoding = { protobuf: 0, json: 1, gzip: 2, zstd: 4, deflate: 8 } as const;

/**
 * void: the frame holds nothing (refused or moved to another block); readers skip it. traceState: some span of it carries a tracestate or
 * says why an agent has kept it, so that sampling cannot decide by trace ids alone. group: the first of what one write made safe;
 * everything before it was safe by then.
 */
export const Flag = { void: 1, traceState: 2, group: 4 } as const;

export const STREAMS = ['raw', 'sampled', 'summaries', 'events'] as const;
export type Stream = (typeof STREAMS)[number];
export const SIGNALS = ['traces', 'metrics', 'logs'] as const;
export type Signal = (typeof SIGNALS)[number];

const FREE = 0;
/** Owner of blocks that belong to main; workers use their own number, from 2 up. */
export const OWNER_MAIN = 1;

/** What a thread needs to use the pool; can be posted. */
export interface PoolHandle {
  memory: SharedArrayBuffer;
  owners: SharedArrayBuffer;
  units: number;
}

/**
 * The pool of 1 MiB units. `allocate` is safe from any thread (compare-and-swap per unit); `retain`, `release`,
 * `trim` and `reclaim` are main's alone. A block is named by the address of its first byte, which is a multiple of UNIT_BYTES.
 */
export class BlockPool {
  readonly handle: PoolHandle;
  /** The whole memory, byte- and word-wise; addresses index them. Views made from it live until the block is released. */
  readonly bytes: Buffer;
  readonly words: Uint32Array;
  readonly units: number;
  readonly #owners: Int32Array;
  readonly #lengths: Int32Array;
  readonly #references: Uint16Array;
  readonly #owner: number;

  constructor(handle: PoolHandle, owner: number) {
    this.handle = handle;
    this.units = handle.units;
    this.bytes = Buffer.from(handle.memory);
    this.words = new Uint32Array(handle.memory);
    this.#owners = new Int32Array(handle.owners, 0, handle.units);
    this.#lengths = new Int32Array(handle.owners, handle.units * 4, handle.units);
    this.#references = new Uint16Array(handle.units);
    this.#owner = owner;
  }

  /** Creates the memory: `bytes` are reserved now and touched only when used; less than 2 GiB, however many are asked for. */
  static create(bytes: number): BlockPool {
    const units = Math.max(4, Math.min(MOST_UNITS, Math.floor(bytes / UNIT_BYTES)));
    const memory = sharedMemory(units * UNIT_BYTES);
    const owners = new SharedArrayBuffer(units * 8);
    return new BlockPool({ memory, owners, units }, OWNER_MAIN);
  }

  /** Address of a block of at least `bytes`, with one reference, or -1 when the pool has no such run of units. */
  allocate(bytes: number): number {
    const wanted = unitsFor(bytes);
    // Lowest first, so that a quiet agent touches few pages.
    for (let first = 0; first + wanted <= this.units; first++) {
      const taken = this.#takeRun(first, wanted);
      if (taken === wanted) return first * UNIT_BYTES;
      first += taken;
    }
    return -1;
  }

  /** The same from the other end of the pool, for what is held for seconds: among blocks that come and go it would leave holes. */
  allocateLasting(bytes: number): number {
    const wanted = unitsFor(bytes);
    for (let first = this.units - wanted; first >= 0; first--) {
      if (this.#takeRun(first, wanted) === wanted) return first * UNIT_BYTES;
    }
    return -1;
  }

  /** How many units from `first` on were free; all that were wanted are taken, or none. */
  #takeRun(first: number, wanted: number): number {
    let taken = 0;
    while (taken < wanted && Atomics.compareExchange(this.#owners, first + taken, FREE, this.#owner) === FREE) taken++;
    if (taken === wanted) {
      this.#lengths[first] = wanted;
      if (this.#owner === OWNER_MAIN) this.#references[first] = 1;
    } else for (let i = 0; i < taken; i++) Atomics.store(this.#owners, first + i, FREE);
    return taken;
  }

  /** Bytes of the block at `address`. */
  capacity(address: number): number {
    return (this.#lengths[address / UNIT_BYTES] as number) * UNIT_BYTES;
  }

  /** Gives back the units of the block behind its first `bytes`. */
  trim(address: number, bytes: number): void {
    const first = address / UNIT_BYTES;
    const before = this.#lengths[first] as number;
    const kept = unitsFor(bytes);
    this.#lengths[first] = Math.min(before, kept);
    for (let i = kept; i < before; i++) Atomics.store(this.#owners, first + i, FREE);
  }

  /** Main takes over a block that a worker allocated and handed back, with one reference. */
  adopt(address: number): void {
    const first = address / UNIT_BYTES;
    for (let i = 0; i < (this.#lengths[first] as number); i++) Atomics.store(this.#owners, first + i, OWNER_MAIN);
    this.#references[first] = 1;
  }

  retain(address: number): void {
    const first = address / UNIT_BYTES;
    this.#references[first] = (this.#references[first] as number) + 1;
  }

  release(address: number): void {
    const first = address / UNIT_BYTES;
    const left = (this.#references[first] as number) - 1;
    if (left < 0) throw new RangeError(`block at ${address} released more often than retained`);
    this.#references[first] = left;
    if (left === 0) this.#free(first);
  }

  /** Frees what a dead worker had allocated; call it only after that thread's exit, when nobody can write there any more. */
  reclaim(owner: number): void {
    for (let unit = 0; unit < this.units; unit++) {
      if (Atomics.load(this.#owners, unit) === owner) Atomics.store(this.#owners, unit, FREE);
    }
  }

  /** Gives back, in the thread that allocated it, a block that nobody else has seen. */
  discard(address: number): void {
    this.#free(address / UNIT_BYTES);
  }

  get unitsInUse(): number {
    let used = 0;
    for (let unit = 0; unit < this.units; unit++) if (Atomics.load(this.#owners, unit) !== FREE) used++;
    return used;
  }

  #free(first: number): void {
    // The length is read before the first store: after it the unit may be another thread's.
    const length = this.#lengths[first] as number;
    for (let i = length - 1; i >= 0; i--) Atomics.store(this.#owners, first + i, FREE);
  }
}

function unitsFor(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / UNIT_BYTES));
}

/** The payload's bytes in memory from one frame's header to the next. */
export function frameSpan(payloadBytes: number): number {
  return (FRAME_HEADER_BYTES + payloadBytes + 7) & ~7;
}

export function payloadLength(pool: BlockPool, at: number): number {
  const word = pool.words[(at + Field.length) >>> 2] as number;
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}

export function setPayloadLength(pool: BlockPool, at: number, bytes: number): void {
  pool.words[(at + Field.length) >>> 2] =
    (bytes << 24) | ((bytes & 0xff00) << 8) | ((bytes >>> 8) & 0xff00) | (bytes >>> 24);
}

/** The frame as an `otlp_proto` record: the header ends in the payload's length, as such a record begins. */
export function frameRecord(pool: BlockPool, at: number): Buffer {
  return pool.bytes.subarray(at + Field.length, at + FRAME_HEADER_BYTES + payloadLength(pool, at));
}

/** Address of the frame after the one at `at`. */
export function nextFrame(pool: BlockPool, at: number): number {
  return at + frameSpan(payloadLength(pool, at));
}

export function isVoid(pool: BlockPool, at: number): boolean {
  return ((pool.bytes[at + Field.flags] as number) & Flag.void) !== 0;
}

export function setVoid(pool: BlockPool, at: number): void {
  pool.bytes[at + Field.flags] = (pool.bytes[at + Field.flags] as number) | Flag.void;
}

/** A 64-bit field as a number; exact below 2^53. */
export function readU64(pool: BlockPool, at: number): number {
  return (pool.words[at >>> 2] as number) + (pool.words[(at >>> 2) + 1] as number) * 0x1_0000_0000;
}

export function writeU64(pool: BlockPool, at: number, value: number): void {
  pool.words[at >>> 2] = value >>> 0;
  pool.words[(at >>> 2) + 1] = Math.floor(value / 0x1_0000_0000);
}

/** Writes a fresh, uncommitted header at `at` (a multiple of 8): everything but kind, time and length is zero. */
export function startFrame(
  pool: BlockPool,
  at: number,
  stream: Stream,
  signal: Signal,
  receivedMs: number,
  payloadBytes: number,
): void {
  const word = at >>> 2;
  for (let i = 0; i < FRAME_HEADER_BYTES / 4; i++) pool.words[word + i] = 0;
  pool.words[word] = FRAME_MAGIC;
  pool.bytes[at + Field.version] = FRAME_VERSION;
  pool.bytes[at + Field.stream] = STREAMS.indexOf(stream);
  pool.bytes[at + Field.signal] = SIGNALS.indexOf(signal);
  writeU64(pool, at + Field.receivedMs, receivedMs);
  setPayloadLength(pool, at, payloadBytes);
}

/**
 * Copies bytes into shared memory, or out of it. V8 copies a *whole* source there word by word (2 GB/s) but a *part* of one
 * with memmove (20 GB/s): so all but the last byte go as a part, and the last one alone. Measured on Node 24.
 */
export function copyInto(target: Uint8Array, at: number, source: Uint8Array): void {
  const last = source.length - 1;
  if (last < 0) return;
  if (last > 0) Buffer.prototype.copy.call(source, target, at, 0, last);
  target[at + last] = source[last] as number;
}
