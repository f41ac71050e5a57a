/** The kafka sink: each record one export request, or a piece of one; the client runs on a thread of its own. */
import type { SinkDefinition } from '../../core/component.ts';
import { keyPairFault } from '../keyPair.ts';
import { Config, type KafkaConfig } from './config.ts';
import { createEncoder } from './encode.ts';
import { topicFault } from './topics.ts';

export const kafka: SinkDefinition = {
  type: 'kafka',
  summary: 'Writes records to Kafka topics.',
  config: Config,
  subscribe: 'map',
  concurrency: 4,
  batchBytes: 1 << 20,
  // As below.
  fault: (config) => topicFault(config as KafkaConfig) ?? tlsFault(config as KafkaConfig),
  // src/config.ts has validated both against Config and the keys of every sink.
  encoder: (config) => createEncoder(config as KafkaConfig),
  open: async (config, context) => {
    const { createKafkaWriter } = await import('./writer.ts');
    return createKafkaWriter(config as KafkaConfig, context);
  },
};

function tlsFault({ tls }: KafkaConfig): string | null {
  return typeof tls === 'boolean' ? null : keyPairFault(tls);
}
