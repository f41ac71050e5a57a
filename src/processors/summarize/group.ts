/** What summaries are kept by. */
import type { HistogramValue } from '../../core/otel.ts';

/** One line of a summary. `kind` is the span kind, or the severity number when `status` is LOG_ROW. */
export interface Group extends Identity {
  histogram: HistogramValue;
}

export interface Identity {
  resource: Record<string, string>;
  name: string;
  kind: number;
  status: number;
}

/** What stands for all groups beyond the bound, as the metrics SDK specification has it. */
export const OVERFLOW_NAME = 'otel.metric.overflow';
