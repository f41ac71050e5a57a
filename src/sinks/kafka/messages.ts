/** What main and the Kafka thread say to each other; bytes stay in the pool's shared memory, only addresses travel. */
import type { PoolHandle } from '../../core/block.ts';
import type { WriteResult } from '../../core/component.ts';
import type { KafkaConfig } from './config.ts';

/** What the thread is started with. */
export interface ThreadSettings {
  pool: PoolHandle;
  config: KafkaConfig;
  deadlineMs: number;
}

export interface WireRecord {
  topic: string;
  at: number;
  length: number;
  items: number;
  key: string | null;
  headers: RecordHeaders;
}

/** Header names are promises: docs/output.md. */
export type RecordHeaders = Record<`plumbline.${'agent' | 'stream' | 'signal' | 'sequence'}`, string>;

export type ToThread = { kind: 'send'; id: number; records: WireRecord[] } | { kind: 'close' };

/** `delivered`: records (by index) that need not come again when the result is a retry. */
export type FromThread = { kind: 'answer'; id: number; result: WriteResult; delivered: number[] };
