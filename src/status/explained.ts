/** What /traces/{id} answers: src/wiring/explain.ts finds it out, `plumbline why` prints it. */
import type { Signal } from '../core/block.ts';

export interface Explained {
  trace_id: string;
  /** `unknown`: neither the trace table nor a journal has it. */
  decision: 'kept' | 'dropped' | 'undecided' | 'unknown';
  /** In one sentence. */
  why: string;
  class: string | null;
  rule: string | null;
  threshold: string | null;
  probability: number | null;
  randomness: string;
  first_seen: string | null;
  decided_at: string | null;
  contracts: { service: string; state: string; why: string }[];
  /** Sequences of the frames that hold it. */
  journal: { intake: number[]; derived: number[]; searched_all: boolean };
  received: FoundItem[];
  kept: FoundItem[];
}

export interface FoundItem {
  signal: Signal;
  service: string;
  /** A span's id, or that of the span a log record belongs to. */
  span_id: string;
  /** The span's name, or the record's body when that is a text. */
  name: string;
  /** A span's kind; empty for a log record. */
  kind: string;
  status: string;
  duration_ms: number | null;
  received_at: string;
  sequence: number;
  kept: string | null;
  rule: string | null;
  partial: boolean;
  tracestate: string;
  randomness: string | null;
}
