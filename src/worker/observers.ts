/** The observers on main: what was measured goes in by journal position, what they have to say comes out as frames, a crash changes neither. */
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
} from '../core/block.ts';
import { AgentError } from '../core/errors.ts';
import { sealPayload } from '../journal/format.ts';
import type { Emission, Observer, ObserverContext, ProcessorDefinition } from '../processors/processor.ts';
import type { ObserveResult } from './tasks.ts';

/** What the checkpoint holds; by processor index, of the type named. */
export interface SavedObservers {
  /** Everything below this intake sequence has been merged. */
  position: number;
  states: { type: string; state: unknown }[];
}

interface Placed {
  type: string;
  observer: Observer;
  /** What lies below has been merged before the restart, or has left with a flush. */
  from: number;
}

export class Observers {
  /** Everything below this intake sequence has been merged. */
  position: number;
  readonly #placed: (Placed | null)[];
  readonly #view: DataView;

  /**
   * `flushed`: by processor index, the position that its last flush after the checkpoint covers; nothing for one that has not flushed
   * since. An observer with such a flush begins empty there.
   */
  constructor(
    processors: readonly { definition: ProcessorDefinition; config: unknown }[],
    context: ObserverContext,
    saved: SavedObservers | null,
    flushed: readonly number[],
  ) {
    this.#view = new DataView(context.pool.handle.memory);
    this.position = saved?.position ?? 0;
    this.#placed = processors.map(({ definition, config }, i) => {
      if (definition.observer === undefined) return null;
      const before = saved?.states[i];
      const usable = before?.type === definition.type && flushed[i] === undefined;
      const observer = definition.observer(config, context, usable ? before.state : null);
      // One that saves nothing is rebuilt from whatever is read again.
      const from = observer.save() === null ? 0 : Math.max(this.position, flushed[i] ?? 0);
      return { type: definition.type, observer, from };
    });
  }

  /** Positions at which some observer begins: runs of frames measured again must not straddle them. */
  get cuts(): number[] {
    return this.#placed.flatMap((placed) => placed?.from ?? []);
  }

  /** Observers by their processor's type, for what they can tell beside frames. */
  byType(type: string): Observer | null {
    return this.#placed.find((one) => one?.type === type)?.observer ?? null;
  }

  /** `first` and `next`: the intake sequences that the task's frames span. */
  merge(measured: ObserveResult['measured'], receivedMs: number, first: number, next: number): void {
    for (const { processor, at, end } of measured?.sections ?? []) {
      const placed = this.#placed[processor];
      if (placed && first >= placed.from) placed.observer.merge(this.#view, at, end, receivedMs);
    }
    this.position = Math.max(this.position, next);
  }

  /** What there is to say now, and which processor says it; those in `silent` are not asked. */
  tick(nowMs: number, final: boolean, silent: ReadonlySet<number>): { emission: Emission; processor: number }[] {
    return this.#placed.flatMap((placed, processor) =>
      placed === null || silent.has(processor)
        ? []
        : placed.observer.tick(nowMs, final).map((emission) => ({ emission, processor })),
    );
  }

  save(): SavedObservers {
    return {
      position: this.position,
      states: this.#placed.map((one) => ({ type: one?.type ?? '', state: one?.observer.save() ?? null })),
    };
  }
}

/**
 * An emission as a frame in a block of its own. An event, or what ends something, names its speaker (a processor's index, or -1) in
 * `filtered` as index + 1.
 */
export function emissionFrame(
  pool: BlockPool,
  emission: Emission,
  covers: number,
  processor: number,
): { block: number; end: number } {
  const block = pool.allocate(frameSpan(emission.bytes.length));
  if (block < 0)
    throw new AgentError('OVERLOADED', 'no free block for a summary or an event: raise agent.memory_limit', {
      retryable: true,
    });
  const { stream, signal }: { stream: Stream; signal: Signal } = emission;
  startFrame(pool, block, stream, signal, emission.timeMs, emission.bytes.length);
  copyInto(pool.bytes, block + FRAME_HEADER_BYTES, emission.bytes);
  pool.words[(block + Field.items) >>> 2] = emission.items;
  writeU64(pool, block + Field.covers, covers);
  writeU64(pool, block + Field.filtered, emission.ends || stream === 'events' ? processor + 1 : 0);
  sealPayload(pool, block);
  return { block, end: block + frameSpan(emission.bytes.length) };
}
