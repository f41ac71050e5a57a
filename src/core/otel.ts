/** What the agent itself says in OTLP, as shapes: otlp/writeMetrics.ts writes its metrics, otlp/writeEvents.ts its events. */
export type Attributes = Record<string, string | number | boolean | string[]>;

export interface Point<Value> {
  /** Bytes: as encodeAttributes of otlp/writeMetrics.ts makes them, for attributes that come again and again. */
  attributes: Attributes | Uint8Array;
  value: Value;
}

/** The buckets of positive values; counts are integers. */
export interface HistogramValue {
  count: number;
  sum: number;
  min: number;
  max: number;
  scale: number;
  zeroCount: number;
  offset: number;
  counts: number[];
}

export type Metric =
  | { kind: 'sum'; name: string; unit: string; description: string; points: Point<number>[] }
  | { kind: 'gauge'; name: string; unit: string; description: string; points: Point<number>[] }
  | { kind: 'histogram'; name: string; unit: string; description: string; points: Point<HistogramValue>[] };

/** An event: a log record with an EventName. `severity` is the SeverityNumber. */
export interface EventRecord {
  name: string;
  timeMs: number;
  severity: number;
  /** A sentence for people. */
  body: string;
  resource: Attributes;
  attributes: Record<string, AnyAttribute>;
}

/** Numbers are doubles on the wire, bigints integers. */
export type AnyAttribute = string | number | bigint | boolean | string[];
