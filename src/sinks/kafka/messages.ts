/** What main and the Kafka thread say to each other; bytes stay in the pool's shared memory, only addresses travel. */
import type { PoolHandle } from '../../core/block.ts';
import type { WriteResult } from '../../core/component.ts';
import type { KafkaConfig } from './index.ts';

/** What the thread is started with. */
export interface ThreadSettings {
  pool: PoolHandle;
  config: KafkaConfig;
  deadlineMs: number;
}

export interface WireRecord {
  at: number;
  length: number;
  key: string | null;
  headers: Record<string, string>;
}

export type ToThread = { kind: 'send'; id: number; topic: string; records: WireRecord[] } | { kind: 'close' };

export type FromThread = { kind: 'answer'; id: number; result: WriteResult };
