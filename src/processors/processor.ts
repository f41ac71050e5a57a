/** What a processor is: up to four parts (editor, measurer, observer, selector) that one definition hands out. */
import type { Logger } from 'pino';
import type { ContractPlan } from '../contracts/plan.ts';
import type { BlockPool, Signal, Stream } from '../core/block.ts';
import type { ComponentWords } from '../core/component.ts';
import type { Telemetry } from '../core/telemetry.ts';
import type { AttributeEdit } from '../otlp/editAttribute.ts';
import type { LogView } from '../otlp/logs.ts';
import type { MetricView } from '../otlp/metrics.ts';
import type { PointView } from '../otlp/points.ts';
import type { Reader } from '../otlp/protobuf.ts';
import type { Envelope } from '../otlp/resource.ts';
import type { SpanView } from '../otlp/traces.ts';
import type { Bits56 } from '../otlp/tracestate.ts';

/**
 * The trace table's shared memory (sample/traceTable.ts), that of its slots (sample/slots.ts) and of learned limits (sample/limits.ts), and
 * what their times are relative to.
 */
export interface TraceTableHandle {
  memory: SharedArrayBuffer;
  slots: SharedArrayBuffer;
  limits: SharedArrayBuffer;
  startMs: number;
  waitMs: number;
  /** What a decision waits beyond `waitMs`: a slot with a budget, so that the slot of each trace is whole by then. */
  lagMs: number;
}

/** A contract that is broken, or was. */
export interface Breach {
  plan: ContractPlan;
  sinceMs: number;
  /** Infinity while it is. */
  untilMs: number;
}

/** What a worker's parts look at: one set a worker, refilled for every item. */
export interface Views {
  pool: BlockPool;
  reader: Reader;
  envelope: Envelope;
  span: SpanView;
  log: LogView;
  metric: MetricView;
  point: PointView;
  contracts: readonly ContractPlan[];
  traces: TraceTableHandle | null;
  /** Of the selectors of `sampled` that stand before the processor that is made. */
  droppers: readonly Dropper[];
}

/** What a selector drops in any case, asked of the item that was read last: for who measures what may be kept. */
export interface Dropper {
  span(envelope: Envelope): boolean;
  log(envelope: Envelope): boolean;
}

/** Worker, before the journal: rewrites attributes. Pure. */
export interface Editor {
  readonly touchesItems: boolean;
  /** Bytes that one attribute or resource can grow by at most. */
  readonly growth: number;
  attribute(bytes: Buffer, edit: AttributeEdit): 'keep' | 'remove' | 'replace';
  /** `added`: what editors before it add to this resource. */
  addToResource(bytes: Buffer, at: number, end: number, added: Buffer | null): Buffer | null;
}

/**
 * Worker, on frames that are about to be committed: measures every item. What it measured leaves by `write`; between tasks it keeps
 * nothing that matters.
 */
export interface Measurer {
  /** A task begins, or begins again because a frame of it was refused. */
  reset(receivedMs: number): void;
  enterResource?(envelope: Envelope): void;
  span?(span: SpanView, envelope: Envelope): void;
  log?(log: LogView, envelope: Envelope): void;
  /** A metric begins; its points, those that are sound, follow. */
  metric?(metric: MetricView, envelope: Envelope): void;
  point?(point: PointView, metric: MetricView, envelope: Envelope): void;
  /** Bytes `write` needs at most. */
  size(): number;
  /** Writes to pool memory at `at` (8-aligned) and returns the address after it. */
  write(out: DataView, at: number): number;
}

/** Frames for the derived journal: one export request of the agent's own making. */
export interface Emission {
  stream: Stream;
  signal: Signal;
  bytes: Uint8Array;
  items: number;
  /** The moment it speaks of, Unix milliseconds; an event of that moment is told once, even over a restart. */
  timeMs: number;
  /** It takes what was merged so far with it: after a crash those frames are not merged again. */
  ends: boolean;
  /** Makes a part of `bytes`, in about a millisecond, so that requests need not wait for all of them; false when there is no more. */
  prepare?(): boolean;
}

/** Main: merges what measurers measured, once the frames are committed, in the order of the journal. */
export interface Observer {
  /** `at` to `end`: what the measurer wrote; addresses it holds are valid during the call. */
  merge(out: DataView, at: number, end: number, receivedMs: number): void;
  /**
   * Called about ten times a second: everything received before `nowMs` has been merged. What it returns is appended to the derived
   * journal at once. `final`: the agent stops, what is open should leave now.
   */
  tick(nowMs: number, final: boolean): Emission[];
  /** All it remembers, for the checkpoint; `open` gets it back. */
  save(): unknown;
  /**
   * At a start: of what is merged so far, what was received before `undecidedMs` had been decided when an agent before this one stopped, without
   * waiting for what comes now; Infinity when all was.
   */
  decided?(undecidedMs: number): void;
  /** At a start: what was committed before is merged, and nothing had come while the agent was down. */
  resume?(): void;
  /** What it makes of frames is made again of all that are read again after a restart, whatever it saved. */
  readonly isRebuilt?: boolean;
  /** Goes on under another configuration; without it an observer is made anew from what it saved. */
  follow?(config: unknown, contracts: readonly ContractPlan[]): void;
  /** A reload has taken it out: what it says of now, to others and in metrics, ends. */
  leave?(nowMs: number): void;
}

/** A clock that goes back by more was set: what is open leaves, or begins anew, instead of waiting until the time comes again. */
export const SET_BACK_MS = 1000;

/** What a contract's signal came to in its window. */
export interface ContractValue {
  service: string;
  /** What the contract says of the service's resource beside its name. */
  resource?: Record<string, string>;
  signal: string;
  value: number;
}

/** How long the spans of one operation lasted: counts of buckets, of which bucket i ends at 2^((offset + i + 1) / 2^scale) milliseconds. */
export interface OperationDurations {
  service: string;
  name: string;
  kind: number;
  durations: { scale: number; offset: number; counts: readonly number[]; zeroCount: number };
}

/** From then to before then, Unix milliseconds. */
export interface Flagged {
  sinceMs: number;
  untilMs: number;
}

export interface ObserverContext {
  pool: BlockPool;
  /** `{agent.id}-{journal id}` */
  agent: string;
  contracts: readonly ContractPlan[];
  traces: TraceTableHandle | null;
  /** Services (by the hash of their name) whose traces are unusual, and when: `flag` writes it, `sample` reads it. */
  flagged: Map<number, Flagged[]>;
  /** What was flushed last: `summarize` writes it, `sample` takes it. */
  operations: { flushed: readonly OperationDurations[] };
  /** Contracts that are broken, or were, by their scope (contracts/service.ts): `detect` writes it, `sample` reads it. */
  breaches: Map<number, Breach[]>;
  /** A contract broke at `timeMs`: what its service had sent before may be asked for. */
  onBreach(plan: ContractPlan, timeMs: number): void;
  /** What contracts measure now, of signals that have enough items: `detect` knows, `flag` asks. */
  contractValues(): readonly ContractValue[];
  telemetry: Telemetry;
  log: Logger;
}

/** Verdicts of a selector beside an index into `additions`. */
export const FILTERED = -2;
export const SAMPLED_OUT = -3;
export const NO_OPINION = -4;

/** What is added to an item that is kept. */
export interface Addition {
  /** Attributes, as encoded KeyValue messages without tag and length. */
  attributes: readonly Buffer[];
}

/**
 * Worker, after the journal: decides for each item. Answers an index into `additions` to keep it so, FILTERED or SAMPLED_OUT to drop
 * it, NO_OPINION to leave it to the next selector.
 */
export interface Selector {
  readonly additions: readonly Addition[];
  /** Of the item that was kept last: the threshold it was kept by; 0 is certainty. */
  readonly threshold: Bits56;
  /** Of the log record that was kept last: its randomness, when it was made from the record itself. */
  readonly randomness: Bits56 | null;
  /** A frame begins. `hasTraceState`: some span of it carries a tracestate. */
  begin(hasTraceState: boolean, receivedMs: number): void;
  span(at: number, end: number, envelope: Envelope): number;
  log(at: number, end: number, envelope: Envelope): number;
  /** Of a selector whose verdict may change while a trace is waited for; those without it say the same at any time. */
  readonly outlook?: Outlook;
  readonly dropper?: Dropper;
}

/** What a selector can tell of traces whose spans have no tracestate as they come in, before the journal. */
export interface Outlook {
  /**
   * What `span` would answer for all spans of the trace: SAMPLED_OUT, which stands for as long as `isOut` says, or that they may be kept.
   * `idAt`: where the id lies.
   */
  trace(idAt: number): number;
  /** After `begin`: whether what `trace` had sampled out still is. `idAt`: where the second half of the id lies. */
  isOut(idAt: number): boolean;
  /** Fetches what `isOut` will look at; what it answers is never negative, and of no interest otherwise. */
  touch(idAt: number): number;
}

export interface ProcessorDefinition extends ComponentWords {
  kind: 'editor' | 'observer' | 'selector';
  /** A second one of the type would measure, tell or decide everything once more. */
  isSingle?: boolean;
  editor?(config: unknown): Editor;
  measurer?(config: unknown, views: Views): Measurer;
  observer?(config: unknown, context: ObserverContext, saved: unknown): Observer;
  selector?(config: unknown, views: Views): Selector;
  /** Streams whose items the selector is asked about: `sampled` when left out. In `raw` it may only drop, and says the same at any time. */
  streams?(config: unknown): readonly Stream[];
}
