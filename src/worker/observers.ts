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

/** What the checkpoint holds; by slot, of the type named. */
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

export interface ConfiguredProcessor {
  definition: ProcessorDefinition;
  config: unknown;
}

export interface Spoken {
  emission: Emission;
  /** Slot of the processor that speaks. */
  processor: number;
}

/** The n-th of a type keeps the n-th slot of that type; what is new gets a slot that nobody had. */
function slotsFor(processors: readonly ConfiguredProcessor[], taken: readonly string[]): number[] {
  const free = [...taken];
  let next = taken.length;
  return processors.map(({ definition }) => {
    if (definition.observer === undefined) return -1;
    const known = free.indexOf(definition.type);
    if (known < 0) return next++;
    free[known] = '';
    return known;
  });
}

export class Observers {
  /** Everything below this intake sequence has been merged. */
  position: number;
  /** By slot: it is given once, so that what was measured or said before others came or went still finds its observer. */
  #placed: (Placed | null)[] = [];
  readonly #view: DataView;
  #context: ObserverContext;
  /** Sequences at which agents before this one had stopped, having decided all below them without waiting; ascending. */
  #stops: number[];
  /** Slots of the processors, in their order; -1 for those that observe nothing. */
  slots: number[] = [];

  /**
   * `flushed`: by slot, the position that its last flush after the checkpoint covers; nothing for one that has not flushed
   * since. An observer with such a flush begins empty there.
   */
  constructor(
    processors: readonly ConfiguredProcessor[],
    context: ObserverContext,
    saved: SavedObservers | null,
    flushed: readonly number[],
    stops: readonly number[] = [],
  ) {
    this.#stops = [...stops];
    this.#view = new DataView(context.pool.handle.memory);
    this.position = saved?.position ?? 0;
    this.#context = context;
    const states = saved?.states ?? [];
    this.slots = slotsFor(
      processors,
      states.map(({ type }) => type),
    );
    this.#placed = new Array<Placed | null>(Math.max(states.length, ...this.slots.map((slot) => slot + 1))).fill(null);
    processors.forEach(({ definition, config }, i) => {
      const slot = this.slots[i] as number;
      if (definition.observer === undefined) return;
      const before = flushed[slot] === undefined ? (states[slot]?.state ?? null) : null;
      const observer = definition.observer(config, context, before);
      const from = observer.isRebuilt === true ? 0 : Math.max(this.position, flushed[slot] ?? 0);
      this.#placed[slot] = { type: definition.type, observer, from };
    });
  }

  /**
   * Goes on with other processors and contracts: each observer takes over what the one before it in its slot remembered. Returns the last words of those that are gone.
   */
  follow(processors: readonly ConfiguredProcessor[], contracts: ObserverContext['contracts'], nowMs: number): Spoken[] {
    const placedBefore = this.#placed;
    this.#context = { ...this.#context, contracts };
    this.slots = this.slotsOf(processors);
    this.#placed = new Array<Placed | null>(Math.max(placedBefore.length, ...this.slots.map((slot) => slot + 1))).fill(
      null,
    );
    processors.forEach(({ definition, config }, i) => {
      const slot = this.slots[i] as number;
      if (definition.observer === undefined) return;
      const placed = placedBefore[slot] ?? null;
      const before = placed?.observer.follow === undefined ? null : placed.observer;
      before?.follow?.(config, contracts);
      const observer = before ?? definition.observer(config, this.#context, placed?.observer.save() ?? null);
      this.#placed[slot] = { type: definition.type, observer, from: placed?.from ?? this.position };
    });
    return placedBefore.flatMap((placed, processor) => {
      if (placed === null || this.#placed[processor] !== null) return [];
      const emissions = placed.observer.tick(nowMs, true);
      placed.observer.leave?.(nowMs);
      return emissions.map((emission) => ({ emission, processor }));
    });
  }

  /** The slots that `follow` would give. */
  slotsOf(processors: readonly ConfiguredProcessor[]): number[] {
    return slotsFor(
      processors,
      this.#placed.map((placed) => placed?.type ?? ''),
    );
  }

  /** Positions at which some observer begins, or an agent had stopped: runs of frames measured again must not straddle them. */
  get cuts(): number[] {
    return [...this.#placed.flatMap((placed) => placed?.from ?? []), ...this.#stops];
  }

  /** Observers by their processor's type, for what they can tell beside frames. */
  byType(type: string): Observer | null {
    return this.#placed.find((one) => one?.type === type)?.observer ?? null;
  }

  /** `first` and `next`: the intake sequences that the task's frames span; of none `first` is Infinity. */
  merge(measured: ObserveResult['measured'], receivedMs: number, first: number, next: number): void {
    for (let stop = this.#stops[0]; stop !== undefined && first >= stop && first < Infinity; stop = this.#stops[0]) {
      this.#stops.shift();
      for (const placed of this.#placed) placed?.observer.decided?.(Infinity);
    }
    for (const { processor, at, end } of measured?.sections ?? []) {
      const placed = this.#placed[processor];
      if (placed && first >= placed.from) placed.observer.merge(this.#view, at, end, receivedMs);
    }
    this.position = Math.max(this.position, next);
  }

  /** What there is to say now, and which processor says it; those in `silent` are not asked. */
  tick(nowMs: number, final: boolean, silent: ReadonlySet<number>): Spoken[] {
    return this.#placed.flatMap((placed, processor) =>
      placed === null || silent.has(processor)
        ? []
        : placed.observer.tick(nowMs, final).map((emission) => ({ emission, processor })),
    );
  }

  /** What was committed before a restart is merged; of that, what was received before `undecidedMs` had been decided. */
  resume(undecidedMs: number): void {
    this.#stops = [];
    for (const placed of this.#placed) {
      placed?.observer.decided?.(undecidedMs);
      placed?.observer.resume?.();
    }
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
