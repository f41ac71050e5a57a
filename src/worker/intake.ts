/**
 * Intake, on main: bodies into blocks, blocks to observe, observed frames to the journal, then the replies, then the measurements.
 *
 *   submit -> open block -> (a worker is free) observe -> append -> committed -> replies -> merge -> release
 *
 * There are two open blocks: frames that stay as they came, and frames that a worker has to rewrite into a block of its own, so that
 * a committed block has few holes.
 */
import {
  type BlockPool,
  copyInto,
  Encoding,
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  isVoid,
  nextFrame,
  payloadLength,
  UNIT_BYTES,
  writeU64,
} from '../core/block.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { acceptedOf, clearUncommitted, framesOf, lossOf, NOT_WRITTEN, refusalOf, spanOf } from './observed.ts';
import { addFrame, type Body, closeBlock, type OpenBlock, type Outcome, openBlock } from './openBlock.ts';
import { isDeadly, type WorkerPool } from './pool.ts';
import type { Shortlists } from './shortlists.ts';
import type { ObserveResult } from './tasks.ts';

/** A task: as much as the read cache and sinks take in one piece, and as makes its price small beside what it does. */
const BLOCK_BYTES = 2 * UNIT_BYTES;
const MOST_GATHERED_BYTES = BLOCK_BYTES / 2;

interface IntakeOptions {
  blocks: BlockPool;
  workers: WorkerPool;
  /** Whether editors are configured: then every frame may have to be rewritten. */
  editing(): boolean;
  /** Resolves when the region's frames are safe; their headers then have sequences. No region is larger than `mostRegionBytes`, a frame alone excepted. */
  append(region: { first: number; end: number }): Promise<void>;
  mostRegionBytes: number;
  /** Called once per committed task, in the order of the journal; `first` and `next` are the sequences its frames span. */
  merge(measured: ObserveResult['measured'], receivedMs: number, first: number, next: number): void;
  /** A request that kills workers, or makes them throw: for the log and the quarantine. `body` is a view: copy to keep. */
  onPoison(message: string, body: Uint8Array): void;
  /** Committed frames could not be measured: a fault of the agent. */
  onMergeFault(message: string): void;
  /** Left out when nothing is sampled. */
  shortlists?: Shortlists | undefined;
  now(): number;
}

export class Intake {
  readonly #options: IntakeOptions;
  readonly #closed: OpenBlock[] = [];
  #direct: OpenBlock | null = null;
  #rewritten: OpenBlock | null = null;
  /** Blocks that were handed to observe and are not merged yet, oldest first. */
  readonly #inFlight = new Set<OpenBlock>();
  #idle: (() => void)[] = [];
  #isKicking = false;
  /** Tasks whose frames are being written. */
  #committing = 0;

  constructor(options: IntakeOptions) {
    this.#options = options;
    options.workers.setObserveSource(() => this.#nextJob());
  }

  /** Copies the body into a block, or takes the one it lies in; resolves when its frame is committed or refused. Never rejects. */
  submit(body: Body): Promise<Outcome> {
    return new Promise((resolve) => {
      if (body.lent) {
        this.#submitBlock(body, body.lent.take(), resolve);
        return;
      }
      const open = this.#roomFor(body);
      if (open === null) {
        resolve({
          kind: 'refused',
          code: 'OVERLOADED',
          message: 'no free block: raise agent.memory_limit or add workers',
        });
        return;
      }
      const { blocks } = this.#options;
      let to = open.end + FRAME_HEADER_BYTES;
      for (const chunk of body.chunks) {
        copyInto(blocks.bytes, to, chunk);
        to += chunk.length;
      }
      addFrame(blocks, open, body, resolve);
      this.#kickSoon();
    });
  }

  /** After what else was read in this turn of the event loop: it goes with the same task, and into the same group of the journal. */
  #kickSoon(): void {
    if (this.#isKicking) return;
    this.#isKicking = true;
    setImmediate(() => {
      this.#isKicking = false;
      this.#options.workers.kick();
    });
  }

  /** The body is the block's only frame, and lies where it belongs. */
  #submitBlock(body: Body, block: number, resolve: (outcome: Outcome) => void): void {
    const { blocks } = this.#options;
    const open = openBlock(blocks, block, false);
    addFrame(blocks, open, body, resolve);
    this.#closed.push(open);
    this.#kickSoon();
  }

  /** The oldest receive time among frames that are not merged yet; Infinity when there are none. */
  get oldestInFlightMs(): number {
    for (const { receivedMs } of this.#inFlight) return receivedMs;
    return Infinity;
  }

  /** Resolves when everything submitted is answered and merged. */
  drained(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #isIdle(): boolean {
    return this.#inFlight.size === 0 && this.#closed.length === 0 && this.#direct === null && this.#rewritten === null;
  }

  #roomFor(body: Body): OpenBlock | null {
    const direct = body.encoding === Encoding.protobuf && !this.#options.editing();
    const need = frameSpan(body.bytes);
    let open = direct ? this.#direct : this.#rewritten;
    if (open !== null && open.end + need > open.limit) {
      this.#closed.push(open);
      open = null;
    }
    open ??= this.#open(need, false);
    if (direct) this.#direct = open;
    else this.#rewritten = open;
    return open;
  }

  #open(bytes: number, alone: boolean): OpenBlock | null {
    const { blocks, mostRegionBytes } = this.#options;
    const block = blocks.allocate(alone ? bytes : Math.max(BLOCK_BYTES, bytes));
    if (block < 0) return null;
    const open = openBlock(blocks, block, alone);
    open.limit = Math.min(open.limit, block + Math.max(mostRegionBytes, bytes));
    return open;
  }

  #nextJob(): ReturnType<Parameters<WorkerPool['setObserveSource']>[0]> {
    const open = this.#closed.shift() ?? this.#takeOpen();
    if (open === null) return null;
    closeBlock(this.#options.blocks, open);
    this.#stamp(open);
    this.#inFlight.add(open);
    open.lent = this.#options.shortlists?.lend();
    const { frames, receivedMs, lent } = open;
    const task = { kind: 'observe' as const, frames, receivedMs, measureOnly: false };
    return {
      task: lent === undefined ? task : { ...task, shortlists: { at: lent.at, end: lent.end } },
      resolve: (result) => void this.#finish(open, result as ObserveResult),
      reject: (error) => this.#fail(open, error),
    };
  }

  #takeOpen(): OpenBlock | null {
    if (this.#gathers()) return null;
    const open = this.#direct ?? this.#rewritten;
    if (open === this.#direct) this.#direct = null;
    else this.#rewritten = null;
    return open;
  }

  /** While a group is written, what comes goes together: it could not be written before, and each task and group has its price. */
  #gathers(): boolean {
    const isSmall = (open: OpenBlock | null) => open === null || open.end - open.block < MOST_GATHERED_BYTES;
    return this.#committing > 0 && isSmall(this.#direct) && isSmall(this.#rewritten);
  }

  /** One receive time for the whole task: what it measures then falls into one slot. */
  #stamp(open: OpenBlock): void {
    const { blocks, now } = this.#options;
    open.receivedMs = now();
    for (const at of open.frames) writeU64(blocks, at + Field.receivedMs, open.receivedMs);
  }

  async #finish(open: OpenBlock, result: ObserveResult): Promise<void> {
    try {
      const outcomes = await this.#commit(open, result);
      for (const [i, reply] of open.replies.entries()) reply(outcomes[i] as Outcome);
    } catch (error) {
      this.#refuse(open, error);
    }
    this.#release(open, result);
  }

  #fail(open: OpenBlock, error: Error): void {
    if (isDeadly(error) && !open.alone) this.#isolate(open, error.message);
    else {
      if (isDeadly(error)) this.#tellPoison(open, error.message);
      this.#refuse(open, error);
    }
    this.#release(open, null);
    this.#options.workers.kick();
  }

  #refuse({ replies }: OpenBlock, error: unknown): void {
    const code = error instanceof AgentError ? error.code : 'JOURNAL_SYNC_FAILED';
    for (const reply of replies) reply({ kind: 'refused', code, message: messageOf(error) });
  }

  async #commit(open: OpenBlock, result: ObserveResult): Promise<Outcome[]> {
    const { blocks } = this.#options;
    const frames = framesOf(blocks, open.frames, result);
    const stay = frames.some((at) => at >= open.block && at < open.limit && !isVoid(blocks, at));
    const regions = stay ? [{ block: open.block, first: open.block, end: open.end }, ...result.moved] : result.moved;
    const taken = frames.map((at, index) => refusalOf(result.refused, index) ?? acceptedOf(blocks, at));
    clearUncommitted(blocks, regions);
    this.#committing++;
    // All of them are waited for: none of their memory may be given back before. They may lie in several groups, of which some fail.
    const appends = await Promise.allSettled(regions.map((region) => this.#options.append(region)));
    this.#committing--;
    this.#kickSoon();
    const outcomes = taken.map((outcome, index) =>
      outcome.kind === 'refused' ? outcome : (lossOf(frames[index] as number, regions, appends) ?? outcome),
    );
    const written = frames.map((at, index) => (outcomes[index]?.kind === 'accepted' ? at : NOT_WRITTEN));
    if (appends.every(({ status }) => status === 'fulfilled')) this.#merge(result.measured, open.receivedMs, written);
    else await this.#measureAgain(open.receivedMs, written);
    if (open.lent !== undefined) this.#options.shortlists?.keep(open.lent, result.shortlists, written);
    return outcomes;
  }

  /** What was measured is of frames that were not written, too: those will come again. */
  async #measureAgain(receivedMs: number, written: readonly number[]): Promise<void> {
    const { blocks, workers, onMergeFault } = this.#options;
    const frames = written.filter((at) => at !== NOT_WRITTEN);
    if (frames.length === 0) return;
    try {
      const { measured } = await workers.run({ kind: 'observe', frames, receivedMs, measureOnly: true });
      this.#merge(measured, receivedMs, written);
      if (measured !== null) blocks.release(measured.block);
    } catch (error) {
      onMergeFault(messageOf(error));
    }
  }

  /** The frames are committed: whatever goes wrong with their measurements must not change the answer. */
  #merge(measured: ObserveResult['measured'], receivedMs: number, written: readonly number[]): void {
    const { first, next } = spanOf(this.#options.blocks, written);
    try {
      this.#options.merge(measured, receivedMs, first, next);
    } catch (error) {
      this.#options.onMergeFault(messageOf(error));
    }
  }

  /** `result`: null of a task that failed, which has none. */
  #release(open: OpenBlock, result: ObserveResult | null): void {
    const { blocks } = this.#options;
    this.#inFlight.delete(open);
    if (open.lent !== undefined) this.#options.shortlists?.settle(open.lent, result?.shortlists);
    blocks.release(open.block);
    for (const block of new Set(result?.moved.map((region) => region.block))) blocks.release(block);
    if (result?.measured) blocks.release(result.measured.block);
    if (!this.#isIdle()) return;
    for (const resolve of this.#idle) resolve();
    this.#idle = [];
  }

  #tellPoison(open: OpenBlock, message: string): void {
    const { blocks, onPoison } = this.#options;
    for (const at of open.frames) {
      const from = at + FRAME_HEADER_BYTES;
      onPoison(message, blocks.bytes.subarray(from, from + payloadLength(blocks, at)));
    }
  }

  /** The task's worker died: its frames run again one by one, once; one that kills again is refused. */
  #isolate(open: OpenBlock, message: string): void {
    const { blocks } = this.#options;
    open.replies.forEach((reply, i) => {
      const at = open.frames[i] as number;
      const alone = this.#open(frameSpan(payloadLength(blocks, at)), true);
      if (alone === null) reply({ kind: 'refused', code: 'OVERLOADED', message });
      else {
        blocks.bytes.copyWithin(alone.block, at, nextFrame(blocks, at));
        alone.end = alone.block + nextFrame(blocks, at) - at;
        blocks.bytes[alone.block + Field.flags] = 0;
        alone.frames.push(alone.block);
        alone.replies.push(reply);
        this.#closed.push(alone);
      }
    });
  }
}
